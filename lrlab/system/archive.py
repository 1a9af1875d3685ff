"""Zip files as torch writes them: the disk's refusals are told, and every record is checked against its CRC-32.

torch stores each record between a header and a descriptor, and lists all of them in a directory at the file's end. It
never looks at the checksums when it reads. Python's `zipfile` does, but believes what nothing confirms: one flipped
bit makes a record a folder, of which torch then reads nothing. So `require_whole` takes only what torch writes.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lrlab.system import disk

_CHUNK_BYTES = 2**20
_HEADER = struct.Struct("<4s5H3L2H")  # before a record; its name and padding follow
_DESCRIPTOR, _LONG_DESCRIPTOR = struct.Struct("<4s3L"), struct.Struct("<4sL2Q")  # behind it; long from 4 GiB on
_ENTRY = struct.Struct("<4s6H3L5H2L")  # of a record in the directory; its name and what is too long for it follow
_END = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")  # behind the directory: its long form, where that is, its short form
_DESCRIBED = 0x8  # flag: a descriptor follows, and the header holds zeros instead
_MOST = 0xFFFFFFFF  # that a field of four bytes holds; what is more stands elsewhere
_SEAL_BYTES = 77  # of the comment that ends files of commit 25a6d11: a SHA-256, which the CRC-32s do without


class Broken(Exception):
    """A file that is no whole zip file of torch's; the text says why."""


class Sink:
    """A file as `torch.save` takes it, which keeps the disk's reason for refusing: torch would hide it."""

    def __init__(self, file: io.RawIOBase):
        self.file, self.length = file, 0
        self.refusal: OSError | None = None

    def write(self, part: bytes | memoryview) -> int:
        """Write `part`; after a refusal only count it, so that what the whole file needs can be told."""
        if self.refusal is None:
            try:
                disk.write_all(self.file, part)
            except OSError as error:
                self.refusal = error
        self.length += len(part)
        return len(part)

    def flush(self) -> None:
        """Nothing, for torch's sake."""


def write(file: Path, save: Callable[[Sink], Any], *, meant: Path) -> None:
    """Let `save` write a zip file to `file`, and hand it to the disk.

    Raises disk.Refused, which names the path that is `meant` and the bytes that it needs, where the disk refuses them.
    """
    with disk.writing(meant):
        file.unlink(missing_ok=True)  # what a killed process left behind
        opened = disk.new_file(file)
    with opened:
        sink = Sink(opened)
        save(sink)
        with disk.writing(meant, sink.length):
            if sink.refusal is not None:
                raise sink.refusal
            os.fsync(opened.fileno())


@dataclass(frozen=True)
class _Record:
    """What the directory says about a record."""

    name: bytes
    flags: int
    checksum: int
    size: int
    start: int


def require_whole(file: BinaryIO) -> None:
    """Raise Broken unless `file` is, record by record, what torch wrote. Reads it in chunks and unpacks nothing.

    The padding between a record's header and its data, versions and times may be anything: nobody reads them.
    """
    count, size, start = _directory(file)
    end = 0
    for record in _listed(_read(file, size, start), count):
        end = _end_of(record, file, end, most=start)
    if end != start:
        raise Broken("something stands between its last record and its directory")


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """How many records the directory lists, how long it is, and where it starts."""
    length = os.fstat(file.fileno()).st_size
    for comment in (0, _SEAL_BYTES):
        place = length - comment - _END.size
        found = _read(file, _END.size, max(0, place))
        if place < 0 or len(found) < _END.size:
            break
        _, _, made_by, needed, _, _, _, count, size, start, *_ = _END.unpack(found)
        few = min(count, 0xFFFF)
        long_form = (b"PK\x06\x06", 44, made_by, needed, 0, 0, count, count, size, start)
        where = (b"PK\x06\x07", 0, place, 1)
        short_form = (b"PK\x05\x06", 0, 0, few, few, min(size, _MOST), min(start, _MOST), comment)
        if found == _END.pack(*long_form, *where, *short_form) and start + size == place:
            return count, size, start
    raise Broken("it does not end as torch's files do")


def _listed(directory: bytes, count: int) -> Iterator[_Record]:
    """What the directory says about each of its records. Raises Broken where torch would not have said that."""
    place = 0
    for _ in range(count):
        if len(directory) - place < _ENTRY.size:
            raise Broken("its directory is too short")
        signature, _, _, flags, *rest = _ENTRY.unpack_from(directory, place)
        method, _, _, checksum, packed, size, name_length, more_length, *rest = rest
        comment_length, disk_number, _, attributes, start = rest
        if (method, packed) != (0, size):
            raise Broken("a record is compressed, and torch compresses none")
        # Attributes could make the record a folder.
        if (signature, comment_length, disk_number, attributes) != (b"PK\x01\x02", 0, 0, 0):
            raise Broken("its directory is not as torch writes it")
        more = place + _ENTRY.size + name_length
        place = more + more_length
        size, start = _long(directory[more:place], size, start)
        yield _Record(directory[more - name_length : more], flags, checksum, size, start)
    if place != len(directory):
        raise Broken("its directory is too long")


def _long(more: bytes, size: int, start: int) -> tuple[int, int]:
    """The size and the start of a record: in its entry, or in `more` behind it where they need eight bytes."""
    long_size, long_start = size == _MOST, start == _MOST
    count = 2 * long_size + long_start  # the size is said twice
    if not count:
        values: tuple[int, ...] = ()
        expected = b""
    else:
        values = struct.unpack_from(f"<{count}Q", more.ljust(4 + 8 * count, b"\0"), 4)
        expected = struct.pack(f"<2H{count}Q", 1, 8 * count, *values)
    if more != expected or (long_size and values[0] != values[1]):
        raise Broken("its directory is not as torch writes it")
    return values[0] if long_size else size, values[-1] if long_start else start


def _end_of(record: _Record, file: BinaryIO, start: int, *, most: int) -> int:
    """Where the `record` that must start at `start` ends. Raises Broken where it is not what the directory says."""
    header = _read(file, _HEADER.size, start).ljust(_HEADER.size, b"\0")
    signature, _, flags, method, _, _, *later, name_length, padding = _HEADER.unpack(header)
    data = start + _HEADER.size + name_length + padding
    if data + record.size > most:
        raise Broken("its records are larger than it is")
    found = (signature, flags, method, later, _read(file, name_length, start + _HEADER.size), start)
    if found != (b"PK\x03\x04", record.flags, 0, [0, 0, 0], record.name, record.start):
        raise Broken("the header of a record and the directory disagree")
    if _checksum(file, data, record.size) != record.checksum:
        raise Broken("a record's CRC-32 is another one")
    if not flags & _DESCRIBED and record.size == 0:  # torch describes what holds something
        return data
    return _end_of_descriptor(record, file, data + record.size)


def _end_of_descriptor(record: _Record, file: BinaryIO, start: int) -> int:
    """Where the descriptor behind a record's data ends. Raises Broken where it disagrees with the directory."""
    for form, most in ((_DESCRIPTOR, _MOST), (_LONG_DESCRIPTOR, 2**63)):
        listed = (b"PK\x07\x08", record.checksum, record.size, record.size)
        if record.size <= most and _read(file, form.size, start) == form.pack(*listed):
            return start + form.size
    raise Broken("the descriptor of a record and the directory disagree")


def _read(file: BinaryIO, length: int, start: int) -> bytes:
    return os.pread(file.fileno(), length, start)


def _checksum(file: BinaryIO, start: int, length: int) -> int:
    """The CRC-32 of a part of `file`, or of what there is of it."""
    checksum, end = 0, start + length
    while start < end and (chunk := _read(file, min(_CHUNK_BYTES, end - start), start)):
        checksum = zlib.crc32(chunk, checksum)
        start += len(chunk)
    return checksum
