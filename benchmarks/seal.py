"""What finds damage in a checkpoint: a SHA-256 behind all of it, or the CRC-32 that torch gives every record.

Not a matter of time but of counts. A damaged file is found, or harmless (it loads to the same bits), or it is read as
something else, which must never be. The checkpoint is a run's own: a CNN with dropout, trained by Adam.
"""

import hashlib
import io
import random
import struct
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.runs import composed
from benchmarks.timing import Table

RUN = ("data=digits", "model=cnn", "model.dropout=0.2", "optimizer=adam", "trainer.epochs=1", "trainer.device=cpu")
OUTCOMES = ("found", "harmless", "read as something else")
MARK, DIGITS = b"lrlab sha256 ", 64  # how lrlab sealed its checkpoints up to commit 25a6d11
DESCRIPTOR = struct.Struct("<4s3L")  # behind each record: signature, CRC-32, both sizes
CENTRAL_CRC = 16  # bytes before the CRC-32 in a record's entry of the directory

Read = Callable[[bytes], Any]


@dataclass(frozen=True)
class Record:
    """Where a record of the file lies."""

    name: str
    header: int
    data: int
    size: int
    entry: int  # in the directory

    @property
    def descriptor(self) -> int:
        return self.data + self.size

    @property
    def end(self) -> int:
        return self.descriptor + DESCRIPTOR.size


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("seal", __doc__, repeats=1)
    parser.add_argument("--flips", type=int, default=1000, help="bits flipped, a quarter in each part (default: 1000)")
    parser.add_argument("--cuts", type=int, default=200, help="places where the file is cut (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    options = parser.parse_args(arguments)
    flips, cuts = (40, 10) if options.quick else (options.flips, options.cuts)
    before = timing.machine()
    with tempfile.TemporaryDirectory() as folder:
        whole = checkpoint(Path(folder) / "run")
        tables = []
        for title, file, read in ways(whole, Path(folder) / "damaged.pt"):
            damaged = damages(file, flips, cuts, random.Random(options.seed))
            tables.append(counted(title, read, file, damaged))
    timing.report("seal", tables, options, before, bytes=len(whole), seed=options.seed)
    kept = tables[-1]
    if wrong := [row["name"] for row in kept.rows if row[OUTCOMES[-1]]]:
        sys.exit(f"seal: damage was read as something else: {', '.join(wrong)}")


def checkpoint(folder: Path) -> bytes:
    """The last checkpoint of a short run."""
    from lrlab.config.prepare import prepare_typed
    from lrlab.runs import run

    folder.mkdir()
    run.carry_out(prepare_typed(composed(RUN), RUN), folder)
    return (folder / "checkpoints" / "last.pt").read_bytes()


# What is done to the file


def damages(whole: bytes, flips: int, cuts: int, draw: random.Random) -> dict[str, list[bytes]]:
    """Damaged files by what was done to them."""
    found = records(whole)
    tensors = [one for one in found if "/data/" in one.name]
    pickled = [one for one in found if one.name.endswith("/data.pkl")]
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        directory = file.start_dir
    parts = {
        "a bit of the tensors": [range(one.data, one.descriptor) for one in tensors],
        "a bit of the pickled state": [range(one.data, one.descriptor) for one in pickled],
        "a bit before or behind a record": [
            part for one in found for part in (range(one.header, one.data), range(one.descriptor, one.end))
        ],
        "a bit of the directory and the end": [range(directory, len(whole))],
    }
    made = {
        name: [flipped(whole, bit) for bit in draw.choices(bits(places), k=flips // 4)]
        for name, places in parts.items()
    }
    made["cut"] = [whole[:length] for length in draw.choices(range(len(whole)), k=cuts)]
    pairs = [pair for pair in twins(whole, tensors) if draw.random() < 0.2]
    made["data of two records exchanged"] = [exchanged(whole, *pair, header=False) for pair in pairs]
    made["two records exchanged with their headers"] = [exchanged(whole, *pair, header=True) for pair in pairs]
    made["other data, checksum right behind the record only"] = [forged(whole, one, directory=False) for one in tensors]
    made["other data, checksum right in the directory only"] = [forged(whole, one, directory=True) for one in tensors]
    return made


def records(whole: bytes) -> list[Record]:
    """Where each record lies, by the directory of a file that is not damaged."""
    found = []
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entry = file.start_dir
        for one in file.infolist():
            name, extra = struct.unpack_from("<2H", whole, one.header_offset + 26)
            found.append(
                Record(one.filename, one.header_offset, one.header_offset + 30 + name + extra, one.file_size, entry)
            )
            entry += 46 + len(one.filename.encode()) + len(one.extra)
    return found


def bits(places: Sequence[range]) -> Sequence[int]:
    """Every bit of these bytes."""
    found: list[int] = []
    for place in places:
        found += range(8 * place.start, 8 * place.stop)
    return found


def flipped(whole: bytes, bit: int) -> bytes:
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def twins(whole: bytes, found: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """Records of one size and different data, whose headers are of one size too."""
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            alike = (one.size, one.data - one.header) == (other.size, other.data - other.header)
            if alike and whole[one.data : one.descriptor] != whole[other.data : other.descriptor]:
                yield one, other


def exchanged(whole: bytes, one: Record, other: Record, *, header: bool) -> bytes:
    """The file with one record where the other was: its data alone, or with what stands before and behind it."""
    first, second = (
        slice(record.header, record.end) if header else slice(record.data, record.descriptor) for record in (one, other)
    )
    damaged = bytearray(whole)
    damaged[first], damaged[second] = whole[second], whole[first]
    return bytes(damaged)


def forged(whole: bytes, record: Record, *, directory: bool) -> bytes:
    """The file with other data in a record, and a checksum that fits it in one of the two places."""
    damaged = bytearray(whole)
    data = bytes(byte ^ 1 for byte in whole[record.data : record.descriptor])
    damaged[record.data : record.descriptor] = data
    struct.pack_into(
        "<L", damaged, record.entry + CENTRAL_CRC if directory else record.descriptor + 4, zlib.crc32(data)
    )
    return bytes(damaged)


# How it is read


def ways(whole: bytes, place: Path) -> list[tuple[str, bytes, Read]]:
    """By name: the file, and a function that reads such a file, or raises where it is damaged. The last is lrlab's."""
    return [
        ("A SHA-256 of all of it, at its end", sealed(whole), read_sealed),
        ("Python's zipfile.testzip", whole, read_tested),
        ("A CRC-32 of every record, and what is said twice compared", whole, partial(read_checked, place)),
    ]


def sealed(whole: bytes) -> bytes:
    """The file with its seal as the zip file's comment."""
    start = whole[:-2] + struct.pack("<H", len(MARK) + DIGITS) + MARK
    return start + hashlib.sha256(start).hexdigest().encode()


def read_sealed(damaged: bytes) -> Any:
    import torch

    if hashlib.sha256(damaged[:-DIGITS]).hexdigest().encode() != damaged[-DIGITS:]:
        raise ValueError("its SHA-256 is another one")
    return torch.load(io.BytesIO(damaged), weights_only=True)


def read_tested(damaged: bytes) -> Any:
    import torch

    try:
        with zipfile.ZipFile(io.BytesIO(damaged)) as file:
            if name := file.testzip():
                raise ValueError(f"the CRC-32 of {name} is another one")
        return torch.load(io.BytesIO(damaged), weights_only=True)
    except Exception as error:
        raise ValueError("it does not open") from error


def read_checked(place: Path, damaged: bytes) -> Any:
    """As lrlab reads a checkpoint, here from `place`."""
    from lrlab.runs import checkpoint

    place.write_bytes(damaged)
    return checkpoint.load(place)


def counted(title: str, read: Read, whole: bytes, damaged: dict[str, list[bytes]]) -> Table:
    """What became of every damaged file."""
    expected, rows = said(read(whole)), []
    for name, files in damaged.items():
        timing.note(f"{title}: {name}")
        counts = Counter(outcome(read, file, expected) for file in files)
        rows.append({"name": name, "files": len(files), **{one: counts[one] for one in OUTCOMES}})
    sums = {column: sum(row[column] for row in rows) for column in ("files", *OUTCOMES)}
    return Table(title, "", [*rows, {"name": "all", **sums}])


def outcome(read: Read, damaged: bytes, expected: bytes) -> str:
    """Which of `OUTCOMES`. Any other error than of damage would end a resumed run without a try of the one before."""
    from lrlab.runs.checkpoint import Damaged

    try:
        contents = read(damaged)
    except (Damaged, ValueError):
        return "found"
    return "harmless" if said(contents) == expected else "read as something else"


def said(contents: Any) -> bytes:
    """Every bit of `contents`, so that two of them can be compared."""
    import torch

    if isinstance(contents, torch.Tensor):
        return f"{contents.dtype} {tuple(contents.shape)} ".encode() + contents.numpy().tobytes()
    if isinstance(contents, dict):
        return b"{" + b",".join(said(key) + b":" + said(value) for key, value in contents.items()) + b"}"
    if isinstance(contents, list | tuple):
        return f"{type(contents).__name__}[".encode() + b",".join(map(said, contents)) + b"]"
    return repr(contents).encode()


if __name__ == "__main__":
    main()
