"""Zip files, as torch writes them, that end in the SHA-256 of all that is before it; a second core computes it.

The hash is the zip file's comment, so whatever reads zip files reads these.
"""

import errno
import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from lrlab.system import disk

_MARK, _DIGITS = b"lrlab sha256 ", 64
_NO_COMMENT = struct.pack("<H", 0)  # its length ends a zip file that has none
_COMMENT = struct.pack("<H", len(_MARK) + _DIGITS) + _MARK
_CHUNK_BYTES = 2**20


class Sink:
    """A file as `torch.save` takes it."""

    def __init__(self, file: io.RawIOBase):
        self.file, self.length = file, 0
        self.refusal: OSError | None = None
        self.ends: SimpleQueue[int | None] = SimpleQueue()  # how far it can be hashed; None when that is all
        self._told = 0

    def write(self, part: bytes | memoryview) -> int:
        """Write `part`, unless the disk refused one before: torch would hide its reason, and its need is unknown."""
        if self.refusal is None:
            try:
                write_all(self.file, part)
            except OSError as error:
                self.refusal = error
        self.length += len(part)
        if self.length - self._told >= _CHUNK_BYTES:
            self.tell()
        return len(part)

    def tell(self) -> None:
        """Let all be hashed that was written, but for what the seal may replace."""
        self._told = self.length
        self.ends.put(self.length - len(_NO_COMMENT))

    def flush(self) -> None:
        """Nothing, for torch's sake."""


def write(file: Path, save: Callable[[Sink], Any], *, meant: Path) -> None:
    """Let `save` write a zip file to `file`; seal it, and hand it to the disk.

    Raises disk.Refused, which names the path that is `meant` and the bytes that it needs, where the disk refuses them.
    """
    with disk.writing(meant):
        opened = file.open("w+b", buffering=0)
    with opened, ThreadPoolExecutor(1) as pool:
        sink = Sink(opened)
        try:
            hashing = pool.submit(_hash, opened.fileno(), iter(sink.ends.get, None))
            save(sink)
            sink.tell()
        finally:
            sink.ends.put(None)
        with disk.writing(meant, sink.length + len(_COMMENT) + _DIGITS):
            if sink.refusal is not None:
                raise sink.refusal
            digest = hashing.result()
            digest.update(_COMMENT)
            opened.seek(-len(_NO_COMMENT), os.SEEK_END)
            write_all(opened, _COMMENT + digest.hexdigest().encode())
            os.fsync(opened.fileno())


def write_all(file: io.RawIOBase, data: bytes | memoryview) -> None:
    """Write `data` to an unbuffered `file`, which may take it in parts."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def check(handle: int) -> tuple[bool, bool]:
    """Whether an open file has a seal, and whether the seal says what the file is."""
    length = os.fstat(handle).st_size - _DIGITS
    if length < len(_COMMENT) or os.pread(handle, len(_COMMENT), length - len(_COMMENT)) != _COMMENT:
        return False, False
    return True, _hash(handle, [length]).hexdigest().encode() == os.pread(handle, _DIGITS, length)


def _hash(handle: int, ends: Iterable[int]) -> "hashlib._Hash":
    """The hash of an open file up to the last of `ends`, each taken when the file has come so far."""
    digest, done = hashlib.sha256(), 0
    for end in ends:
        while done < end:
            if not (chunk := os.pread(handle, min(_CHUNK_BYTES, end - done), done)):
                raise OSError(errno.EIO, "it is shorter than what was written")
            digest.update(chunk)
            done += len(chunk)
    return digest
