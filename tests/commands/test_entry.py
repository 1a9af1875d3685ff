"""How every command ends when the system refuses something: one line, in the system's own words."""

import errno
import re

import pytest

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
