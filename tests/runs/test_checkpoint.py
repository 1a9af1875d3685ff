"""A checkpoint is whole or absent, runs no code, and is refused where it does not fit."""

import errno
import os
import pickle
import random
import re
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch

from lrlab.errors import UserError
from lrlab.runs import checkpoint
from lrlab.system import disk

CONTENTS = {"state": {"weights": torch.arange(5.0)}, "config": {"seed": 1}, "name": "x", "none": None, "pair": (1, 2.5)}

SECOND = {name: value for name, value in CONTENTS.items() if name != "state"} | {"name": "second"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "last.pt"
    checkpoint.save(path, CONTENTS)
    return path


def test_contents_come_back_as_they_were(path):
    loaded = checkpoint.load(path)
    assert torch.equal(loaded.pop("state")["weights"], CONTENTS["state"]["weights"])
    assert loaded == {
        "lrlab": checkpoint.FORMAT,
        **{name: value for name, value in CONTENTS.items() if name != "state"},
    }
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


class Unsavable:
    def __reduce__(self):
        raise OSError(28, "No space left on device")


def test_a_save_that_fails_leaves_the_old_checkpoint_and_nothing_else(path):
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"state": torch.zeros(1000), "bad": Unsavable()})
    assert checkpoint.load(path)["name"] == "x"
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_the_file_is_on_the_disk_before_it_is_renamed_and_the_folder_after(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, original=original: (calls.append(name), original(*a))[1])
    checkpoint.save(path, CONTENTS)
    assert calls == ["fsync", "replace", "fsync"]


def test_a_run_folder_means_its_last_checkpoint(path):
    assert checkpoint.find(str(path.parent.parent)) == path
    assert checkpoint.find(str(path)) == path


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"resume: got .*nothing\.pt, which does not exist; .*; do: "):
        checkpoint.find(str(tmp_path / "nothing.pt"))
    with pytest.raises(UserError, match=r"a folder without checkpoints/last\.pt"):
        checkpoint.find(str(tmp_path))


def refuse(number: int, *_: object, **__: object) -> None:
    raise OSError(number, os.strerror(number))


def no_links(*_: object) -> None:
    raise OSError("this file system has none")


def test_the_one_before_stays_and_is_never_missing(path, monkeypatch):
    before = path.with_name("previous.pt")
    checkpoint.save(path, {**CONTENTS, "name": "second"}, before=before)
    assert [checkpoint.load(file)["name"] for file in (path, before)] == ["second", "x"]
    monkeypatch.setattr(os, "link", no_links)
    checkpoint.save(path, {**CONTENTS, "name": "third"}, before=before)
    assert [checkpoint.load(file)["name"] for file in (path, before)] == ["third", "second"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["last.pt", "previous.pt"]


def test_where_there_is_no_last_one_the_one_before_is_meant(path):
    path.rename(path.with_name("previous.pt"))
    assert checkpoint.find(str(path.parent.parent)).name == "previous.pt"


def test_every_flipped_bit_is_found_and_the_one_before_used_or_is_harmless(path):
    before, told, harmless = path.with_name("previous.pt"), [], 0
    checkpoint.save(path, {**SECOND, "state": CONTENTS["state"]}, before=before)
    whole, draw = path.read_bytes(), random.Random(0)
    for bit in draw.sample(range(8 * len(whole)), 500):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        used, contents = checkpoint.latest(str(path.parent.parent), told.append)
        if used == path:
            harmless += 1
            assert torch.equal(contents.pop("state")["weights"], CONTENTS["state"]["weights"])
            assert contents == {**SECOND, "lrlab": checkpoint.FORMAT}
            continue
        assert (used, contents["name"]) == (before, "x")
        with pytest.raises(checkpoint.Damaged, match=r"last\.pt, which cannot be read \("):
            checkpoint.load(path)
    assert len(told) == 500 - harmless
    assert harmless < 250  # this file is small, and half of it is padding between the records
    assert told[0].endswith("; previous.pt, the one before it, is used instead")
    assert "\n" not in told[0]


def test_every_truncation_is_found(path):
    whole = path.read_bytes()
    for length in random.Random(0).sample(range(len(whole)), 100):
        path.write_bytes(whole[:length])
        with pytest.raises(checkpoint.Damaged):
            checkpoint.load(path)


def test_what_the_operating_system_does_not_give_is_not_damage(path, monkeypatch):
    """A disk that fails, a server that is away, a file of somebody else's: the checkpoint before it is no answer."""
    checkpoint.save(path, CONTENTS, before=path.with_name("previous.pt"))
    kept = {file: file.read_bytes() for file in path.parent.iterdir()}
    for number in (errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", partial(refuse, number))
            with pytest.raises(disk.Unreadable) as told:
                checkpoint.latest(str(path.parent.parent), pytest.fail)
        assert not isinstance(told.value, checkpoint.Damaged)
        said = rf"file: got {path}, which cannot be read now \({os.strerror(number)}\); allowed: .*; do: .*"
        assert re.fullmatch(said, str(told.value))
    assert kept == {file: file.read_bytes() for file in path.parent.iterdir()}


@pytest.mark.parametrize("call", ["open", "is_file"])
def test_a_checkpoint_that_is_closed_to_this_user_is_named(path, monkeypatch, call):
    monkeypatch.setattr(Path, call, staticmethod(partial(refuse, errno.EACCES)))
    with pytest.raises(disk.Unreadable, match=r"last\.pt, which cannot be read now \(Permission denied\); "):
        checkpoint.latest(str(path), pytest.fail)


def test_a_whole_file_that_torch_does_not_load_is_not_damaged(path):
    checkpoint.save(path, CONTENTS, before=path.with_name("previous.pt"))
    torch.save({"lrlab": checkpoint.FORMAT, "state": Exploit()}, path)
    with pytest.raises(UserError, match=r"which cannot be read \(UnpicklingError: it is whole, but ") as told:
        checkpoint.latest(str(path.parent.parent), pytest.fail)
    assert not isinstance(told.value, checkpoint.Damaged)


def test_checksums_that_the_users_code_turned_off_are_written_all_the_same(path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        checkpoint.save(path, {**CONTENTS, "name": "without"})
        assert not torch.serialization.get_crc32_options()
    finally:
        torch.serialization.set_crc32_options(before)
    assert checkpoint.load(path)["name"] == "without"


def test_without_a_whole_one_or_for_a_file_that_was_named_there_is_no_other(path):
    before = path.with_name("previous.pt")
    checkpoint.save(path, CONTENTS, before=before)
    path.write_bytes(b"")
    with pytest.raises(checkpoint.Damaged):
        checkpoint.latest(str(path), print)
    before.write_bytes(b"")
    with pytest.raises(checkpoint.Damaged, match=r"previous\.pt"):
        checkpoint.latest(str(path.parent.parent), print)


def test_torch_reads_a_checkpoint_as_its_own(path):
    assert torch.load(path, weights_only=True)["name"] == "x"
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.comment == b""


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"which cannot be read .*; do: try another one, such as .*best\.pt"):
        checkpoint.load(path)


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("write", [torch.save, lambda payload, path: path.write_bytes(pickle.dumps(payload))])
def test_code_in_a_checkpoint_is_not_run(path, write):
    write({"lrlab": 1, "state": Exploit()}, path)
    with pytest.raises(UserError, match="which cannot be read"):
        checkpoint.load(path)
    assert not os.path.exists("pwned")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"model": torch.zeros(1)}, "which lrlab did not write"),
        ([1], "did not write"),
        ({"lrlab": 99}, "of format 99; .* do: use the version"),
    ],
)
def test_a_foreign_or_newer_file_is_refused(path, payload, message):
    torch.save(payload, path)
    with pytest.raises(UserError, match=message):
        checkpoint.load(path)
