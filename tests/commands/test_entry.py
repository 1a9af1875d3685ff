"""How every command ends when the system refuses something: one line, in the system's own words."""

import errno
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, summary

from lrlab.commands import compare
from lrlab.commands.entry import enter as enter_command
from lrlab.commands.entry import of_the_system

MY_DATA = """
import torch
class Images:
    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index > 7:
            raise ConnectionError("503 Service Unavailable")
        return torch.zeros(1, 4, 4), index % 2


def data():
    from lrlab.data import Splits

    return Splits(train=Images(), val=Images(), num_classes=2)
"""


def raising(error: OSError):
    def command(_typed: list[str]) -> None:
        raise error

    return lambda: enter_command(command)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/proc/x"),
            r"file: got /proc/x \(Permission denied\); allowed: one that can be used; do: correct its path or perm.*",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "here/x"),
            r"file: got here/x \(No space left on device\); allowed: one .*; do: make room, or choose another folder",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            r"test_entry\.py, line \d+: got OSError: Too many open files; allowed: .*; do: mend the cause .*",
        ),
        (ConnectionError(), r"test_entry\.py, line \d+: got ConnectionError: no message; allowed: .*; do: .*"),
    ],
)
def test_an_error_of_the_system_is_told_in_its_own_words(enter, error, line):
    outcome = enter(raising(error))
    assert outcome.code == 1
    assert re.fullmatch(rf"lrlab: error: {line}\n", outcome.err), outcome.err


def test_what_a_loader_process_sent_is_told_without_its_traceback():
    raised = f'Traceback (most recent call last):\n  File "{__file__}", line 7, in __getitem__\nConnectionError: 503\n'
    sent = ConnectionError(f"Caught ConnectionError in DataLoader worker process 0.\nOriginal {raised}")
    assert str(of_the_system(sent)).startswith("test_entry.py, line 7: got ConnectionError: 503; allowed: ")


def test_an_error_in_somebodys_data_set_names_their_line_and_no_disk(command, tmp_path):
    (tmp_path / "my_data.py").write_text(MY_DATA)
    outcome = command("data._target_=my_data.data", "model=linear", "trainer.epochs=1")
    assert outcome.code == 1
    line = r"my_data\.py, line 9: got ConnectionError: 503 Service Unavailable; allowed: .*; do: mend the cause .*"
    assert re.fullmatch(f"lrlab: error: {line}", outcome.err.splitlines()[-1])


def test_a_home_that_is_not_known_is_told_by_the_name_that_was_typed(enter, monkeypatch):
    told = enter(compare.main, "~nobody_of_this_name/runs")
    assert told.code == 1
    assert "compare: got ~nobody_of_this_name/runs, but nobody_of_this_name has no home here; " in told.err
    assert told.err.endswith("do: write the whole path\n")
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert "but this user has no home here" in enter(compare.main, "~/runs").err


def no_home(path: Path) -> Path:
    if str(path).startswith("~"):
        raise RuntimeError("Could not determine home directory.")
    return path


def test_without_a_home_the_default_run_trains_and_only_what_needs_one_is_refused(command, monkeypatch):
    monkeypatch.setattr(Path, "expanduser", no_home)
    assert command("model=linear", "trainer.epochs=1").code == 0
    refused = command("model=linear", "trainer.epochs=1", "data.cache=disk")
    assert refused.code == 1
    assert "data.cache_dir: got ~/.cache/lrlab, but this user has no home here; " in refused.err


def test_a_current_folder_that_was_deleted_and_bytes_that_are_no_text_are_one_line(command, tmp_path, monkeypatch):
    told = command("data=imagefolder", "data.root=" + os.fsdecode(b"\xff/images"))
    assert told.code == 1
    assert "command line: got 'data.root=\\xff/images'; allowed: text in UTF-8; do: rename the file" in told.err
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    told = command("model=linear")
    assert told.code == 1
    assert told.err == (
        "lrlab: error: folder: got a current folder that was deleted; allowed: one that exists; "
        "do: cd to a folder that exists\n"
    )
    os.chdir(tmp_path)


@pytest.mark.slow
def test_a_run_with_closed_streams_trains():
    closed = 'exec python3 train.py model=linear trainer.epochs=1 hydra.run.dir="$1" >&- 2>&- <&-'
    closed = closed.replace("python3", shlex.quote(sys.executable))
    done = subprocess.run(["sh", "-c", closed, "sh", str(Path.cwd() / "run")], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert summary(Path("run"))["status"] == "finished"
    assert "epoch 1/1" in Path("run/train.log").read_text()
