"""The only place that opens files to write: a file is written whole or not at all, a log as far as it goes.

A disk may be full, and a folder may come from anybody. What the disk refuses is told in one line, and no link that
stands in the place of a file is followed.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lrlab.errors import UserError, wrong

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag, and lets few users make links
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe would be waited for until somebody opens its other end
_REASONS = {errno.ELOOP: "it is a link, which would lead elsewhere"}


class Refused(UserError):
    """The disk did not take a file; what was there before is as it was."""


class Unreadable(UserError):
    """The disk or the operating system did not give a file's contents, whatever they are."""


def expanded(path: str, key: str) -> Path:
    """`path` with ~ as the user's home, and ~name as another's. Raises UserError, about `key`, where that is not known.

    In some containers there is no HOME, and the system has no name for the user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        is_own = path.partition("/")[0] == "~"
        raise wrong(
            key,
            got=f"{path}, but {'this user' if is_own else path.partition('/')[0][1:]} has no home here",
            allowed="a path without ~" + (", or a HOME in the environment" if is_own else ""),
            do="write the whole path" + (", or export HOME=FOLDER" if is_own else ""),
        ) from error


@contextmanager
def writing(path: Path, size_bytes: int | None = None) -> Iterator[None]:
    """Raise Refused where the block's I/O fails; it names `path`, the bytes that are needed and those that are free.

    `size_bytes` is None where it is not known how many are needed.
    """
    try:
        yield
    except OSError as error:
        raise _refused(path, error, size_bytes) from error


def _refused(path: Path, error: OSError, size_bytes: int | None) -> Refused:
    said = [_REASONS.get(error.errno or 0) or error.strerror or type(error).__name__]
    if size_bytes is not None:
        said.append(f"{size_bytes:,} bytes needed")
    with suppress(OSError, StopIteration):
        existing = next(folder for folder in path.absolute().parents if folder.is_dir())
        said.append(f"{shutil.disk_usage(existing).free:,} bytes free")
    return wrong(
        "file",
        got=f"{path}, which cannot be written ({', '.join(said)})",
        allowed="a disk with room, and a place that this user may write to",
        do="make room, or choose another folder",
        kind=Refused,
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise Unreadable, which names `path`, where the block's I/O fails: that tells nothing of its contents."""
    try:
        yield
    except OSError as error:
        raise wrong(
            "file",
            got=f"{path}, which cannot be read now ({error.strerror or type(error).__name__})",
            allowed="a file that this user may read, on a disk that works",
            do="see to that, then type the same command again; the file was left as it is",
            kind=Unreadable,
        ) from error


def require_room(folder: Path, size_bytes: int, what: str) -> None:
    """Raise Refused where the disk of `folder` has no room for `size_bytes` more, which `what` needs."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # some file systems do not say
        return
    if free < size_bytes:
        raise wrong(
            "folder",
            got=f"{folder}, on a disk with {free:,} bytes free",
            allowed=f"at least {size_bytes:,} bytes, {what}",
            do="make room, or choose another folder",
            kind=Refused,
        )


def new_file(path: Path) -> Any:
    """A file that did not exist, open to write, without a buffer. Whatever was prepared at `path` raises an OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666), "wb", buffering=0)


def growing_file(path: Path, *, text: bool = False) -> Any:
    """A file that is new or goes on where it ends, open to write: for `text`, or for bytes without a buffer.

    A link at `path`, or anything else that is no file, raises an OSError.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK | _NO_WAIT, 0o666)
    try:
        _require_regular(handle, path)
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "a", encoding="utf-8") if text else os.fdopen(handle, "ab", buffering=0)


def read_regular(path: Path | str, most_bytes: int) -> bytes:
    """The contents of a file from anybody. Raises an OSError where it is none, as a pipe or a device, or too large.

    Such things may have no end, or let whoever opens them wait for ever.
    """
    with open(os.open(path, os.O_RDONLY | _NO_WAIT), "rb") as file:
        _require_regular(file.fileno(), path)
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
    return data


def _require_regular(handle: int, path: Path | str) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "it is no file but a pipe, a device or a folder", str(path))


def nowhere() -> Any:
    """A text file in which there is nothing to read, and that keeps nothing of what is written."""
    return open(os.devnull, "r+", encoding="utf-8")


def write_whole(path: Path, contents: str | bytes) -> None:
    """Write `contents` to `path`, which then holds the old or the new ones and never a part. Raises Refused."""
    data = contents.encode() if isinstance(contents, str) else contents
    temporary = path.with_name(f".{secrets.token_hex(8)}.{path.name}.tmp")  # a name for which nothing was prepared
    with writing(path, len(data)):
        try:
            with new_file(temporary) as file:
                write_all(file, data)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_all(file: Any, data: bytes | bytearray | memoryview) -> None:
    """Write `data` to an unbuffered `file`, which may take it in parts."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def sha256_of(path: Path, length: int) -> str:
    """Of the first `length` bytes of a file."""
    return _digest_of(path, length).hexdigest()


def _digest_of(path: Path, length: int) -> Any:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length and (part := file.read(min(length, 2**20))):
            digest.update(part)
            length -= len(part)
    return digest


class Log:
    """A file that only grows. What the disk refuses waits in memory and is tried again later.

    `refusal` says why something waits; it is empty while nothing does.
    """

    def __init__(self, path: Path):
        self.path = path
        self.refusal = ""
        with writing(path):
            self._file = growing_file(path)
        self.length = self._file.seek(0, os.SEEK_END)  # of the records that are whole
        self._digest = _digest_of(path, self.length)
        self._waiting = bytearray()

    @property
    def sha256(self) -> str:
        """Of its first `length` bytes."""
        return self._digest.hexdigest()

    def add(self, data: bytes) -> None:
        self._waiting += data

    def write(self, text: str) -> None:
        """What `csv.writer` calls."""
        self.add(text.encode())

    def flush(self, *, sync: bool = False) -> None:
        """Hand what waits to the operating system, or with `sync` to the disk itself."""
        try:
            with writing(self.path, len(self._waiting)):
                self._append_whole()
                if sync:
                    os.fsync(self._file.fileno())
            self.refusal = ""
        except Refused as error:
            self.refusal = str(error)

    def _append_whole(self) -> None:
        """Add what waits to the file, all of it or nothing: half a record would hide what comes after it."""
        try:
            self._append()
        except OSError:
            os.ftruncate(self._file.fileno(), self.length)
            raise

    def _append(self) -> None:
        write_all(self._file, self._waiting)
        self.length += len(self._waiting)
        self._digest.update(self._waiting)
        self._waiting = bytearray()

    def close(self) -> None:
        self.flush()
        with suppress(OSError):
            self._file.close()
