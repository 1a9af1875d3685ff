"""A zip file of torch's is read only if every record is what the directory says; damage of every kind is found."""

import io
import random
import struct
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import seal
from lrlab.system import archive

FIXTURES = Path(__file__).parents[1] / "fixtures" / "25a6d11"
SEALED = sorted(FIXTURES.rglob("last.pt"))
ATTRIBUTES = 38  # bytes before a record's attributes in its entry of the directory


def saved(contents: object) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


WHOLE = saved({"weights": torch.arange(50.0), "others": torch.arange(50.0) + 1, "name": "x"})


def require_whole(data: bytes, place: Path = Path("file.pt")) -> None:
    place.write_bytes(data)
    with place.open("rb") as file:
        archive.require_whole(file)


@pytest.mark.parametrize(
    "contents", [{}, [], torch.zeros(0), {"a": torch.zeros(3, 4), "b": "x" * 5000}, {1: (2.5, None)}]
)
def test_what_torch_saves_is_whole(contents):
    require_whole(saved(contents))


@pytest.mark.slow
def test_a_record_of_more_than_four_gibibytes_is_whole(tmp_path):
    """Most of it is a hole in the file, which takes no room on the disk."""
    place = tmp_path / "large.pt"

    class Holed:
        def __init__(self, file):
            self.file = file

        def write(self, part):
            view = memoryview(part)
            if view.nbytes > 2**16 and not any(view[:4096]):
                self.file.seek(view.nbytes, 1)
            else:
                self.file.write(view)
            return view.nbytes

        def flush(self):
            pass

    contents = [torch.ones(9), torch.zeros(2**32 + 5, dtype=torch.uint8), torch.ones(7)]
    with place.open("wb") as file:
        torch.save(contents, Holed(file))
    with place.open("rb") as file:
        archive.require_whole(file)
    with place.open("r+b") as file:
        file.seek(2**31)
        file.write(b"\1")
    with place.open("rb") as file, pytest.raises(archive.Broken, match="CRC-32 is another one"):
        archive.require_whole(file)


@pytest.mark.parametrize("path", SEALED, ids=lambda path: path.parent.parent.name)
def test_files_that_end_in_a_seal_are_read_and_their_damage_is_found(path):
    whole, draw = path.read_bytes(), random.Random(0)
    require_whole(whole)
    with pytest.raises(archive.Broken):
        require_whole(whole[:-1])
    with pytest.raises(archive.Broken):
        require_whole(whole + b"\0")
    for record in seal.records(whole):
        if record.size:
            bit = draw.randrange(8 * record.data, 8 * record.descriptor)
            with pytest.raises(archive.Broken, match="CRC-32 is another one"):
                require_whole(seal.flipped(whole, bit))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_what_another_program_packed_is_refused_before_it_is_unpacked(method):
    """A deflated file of 400 kB held 1.9 GB; torch stores."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as file, zipfile.ZipFile(packed, "w", method) as other:
        for record in file.infolist():
            other.writestr(record.filename, file.read(record))
    with pytest.raises(archive.Broken):
        require_whole(packed.getvalue())


def test_a_deflated_record_in_a_file_of_torchs_form_is_refused_by_name():
    damaged = bytearray(WHOLE)
    for record in seal.records(WHOLE):
        struct.pack_into("<H", damaged, record.entry + 10, zipfile.ZIP_DEFLATED)
        struct.pack_into("<H", damaged, record.header + 8, zipfile.ZIP_DEFLATED)
    with pytest.raises(archive.Broken, match="a record is compressed, and torch compresses none"):
        require_whole(bytes(damaged))


def test_sizes_beyond_the_file_are_refused_before_a_record_is_read(monkeypatch):
    damaged = bytearray(WHOLE)
    for record in seal.records(WHOLE):
        struct.pack_into("<2L", damaged, record.entry + 20, 2**31, 2**31)
    monkeypatch.setattr(archive, "_checksum", partial(pytest.fail, "a record was read"))
    with pytest.raises(archive.Broken, match="its records are larger than it is"):
        require_whole(bytes(damaged))


def test_a_record_that_became_a_folder_is_found():
    """zipfile's testzip finds nothing here, and torch.load reads memory that nobody wrote instead of the tensor."""
    for record in seal.records(WHOLE):
        damaged = seal.flipped(WHOLE, 8 * (record.entry + ATTRIBUTES) + 4)
        with zipfile.ZipFile(io.BytesIO(damaged)) as file:
            assert file.testzip() is None
        with pytest.raises(archive.Broken, match="its directory is not as torch writes it"):
            require_whole(damaged)


def test_bytes_that_no_record_owns_are_found():
    directory = seal.records(WHOLE)[0].entry
    for place in (0, directory, len(WHOLE)):
        with pytest.raises(archive.Broken):
            require_whole(WHOLE[:place] + b"PK" + WHOLE[place:])


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 97, b"x" * 98, b"x" * 5000, bytes(200)], ids=len)
def test_what_is_no_zip_file_is_refused(data):
    with pytest.raises(archive.Broken, match="it does not end as torch's files do"):
        require_whole(data)


@pytest.mark.parametrize("way", [0, 2], ids=["sealed", "checked"])
def test_damage_of_every_kind_is_found_or_harmless(way, tmp_path):
    """The short version of `python -m benchmarks seal`, on a file of this test's."""
    whole = saved({"lrlab": 3, "config": {}, "weights": [torch.rand(60) for _ in range(12)], "name": "x" * 300})
    title, file, read = seal.ways(whole, tmp_path / "damaged.pt")[way]
    table = seal.counted(title, read, file, seal.damages(file, 200, 50, random.Random(0)))
    (total,) = [row for row in table.rows if row["name"] == "all"]
    assert total["files"] == total["found"] + total["harmless"]
    assert {row["name"] for row in table.rows if row["harmless"]} <= {
        "a bit before or behind a record",
        "a bit of the directory and the end",
        "all",
    }


@pytest.mark.slow
def test_no_bit_outside_of_the_padding_makes_a_file_something_else(tmp_path):
    """Every one of them, where the benchmark draws some."""
    whole = saved({"lrlab": 3, "config": {}, "weights": torch.arange(9.0), "name": "x"})
    read = partial(seal.read_checked, tmp_path / "damaged.pt")
    expected = seal.said(read(whole))
    outcomes = {seal.outcome(read, seal.flipped(whole, bit), expected) for bit in range(8 * len(whole))}
    assert outcomes == {"found", "harmless"}
