"""How every command ends when the system refuses something: one line, in the system's own words."""

import errno
import re

import pytest

from lrlab.commands.entry import enter as enter_command
from lrlab.commands.entry import of_the_system

MY_DATA = """
class Images:
    def __len__(self):
        return 20

    def __getitem__(self, index):
        raise ConnectionError("503 Service Unavailable")


def data():
    from lrlab.data import Splits

    return Splits(train=Images(), val=Images(), num_classes=2)
"""


def raising(error: OSError):
    def command(typed: list[str]) -> None:
        raise error

    return lambda: enter_command(command)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/proc/x"),
            r"file: got /proc/x \(Permission denied\); allowed: one that can be used; do: correct its path or permissions",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "here/x"),
            r"file: got here/x \(No space left on device\); allowed: one .*; do: make room, or choose another folder",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            r"test_entry\.py, line \d+: got OSError: Too many open files; allowed: .* that answer; do: mend the cause .*",
        ),
        (ConnectionError(), r"test_entry\.py, line \d+: got ConnectionError: no message; allowed: .*; do: .*"),
    ],
)
def test_an_error_of_the_system_is_told_in_its_own_words(enter, error, line):
    outcome = enter(raising(error))
    assert outcome.code == 1
    assert re.fullmatch(rf"lrlab: error: {line}\n", outcome.err), outcome.err


def test_what_a_loader_process_sent_is_told_without_its_traceback():
    sent = "Caught ConnectionError in DataLoader worker process 0.\nOriginal Traceback:\n  File x\nConnectionError: 503\n"
    try:
        raise ConnectionError(sent)
    except OSError as error:
        assert ": got ConnectionError: ConnectionError: 503; " in str(of_the_system(error))


def test_an_error_in_somebodys_data_set_names_their_line_and_no_disk(command, tmp_path):
    (tmp_path / "my_data.py").write_text(MY_DATA)
    outcome = command("data._target_=my_data.data", "+data.batch_size=4", "model=linear", "trainer.epochs=1")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "503 Service Unavailable" in outcome.err
    assert "my_data.py" in outcome.err
    assert "disk" not in outcome.err
