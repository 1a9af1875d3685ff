"""What is shown is not what is trained: a reader that goes away, or a full disk under stdout, changes no run."""

import io
import os
import signal
import sys
from pathlib import Path

import pytest
from forked import start, wait_for
from support import history, same_weights, summary, weights

from lrlab.comparison import results
from lrlab.system import streams

RUN = ("data=fake", "data.train_images=64", "data.val_images=16", "data.image_size=8", "model=mlp", "trainer.epochs=30")
SWEEP = ("-m", *RUN, "seed=0,1,2", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1")
NOBODY = Path("/dev/full")  # takes nothing: no room


@pytest.fixture
def pipe(tmp_path):
    """A pipe and its reader, which has not read yet."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return path, reader


@pytest.mark.skipif(not NOBODY.exists(), reason="a device of Linux")
def test_a_run_whose_output_has_no_room_trains_to_its_end_and_says_so_in_its_log(command):
    process = start(*RUN, "hydra.run.dir=unseen", output=NOBODY)
    assert process.wait() == 0
    assert command(*RUN, "hydra.run.dir=seen").code == 0
    assert summary(Path("unseen"))["status"] == "finished"
    assert same_weights(weights(Path("unseen")), weights(Path("seen")))
    assert history(Path("unseen")) == history(Path("seen"))
    log = Path("unseen/train.log").read_text()
    assert log.count("stdout takes no more") == 1
    assert log.count("finished: val loss") == 1


@pytest.mark.slow
@pytest.mark.parametrize("first", ["sweep.json", "*/history.csv"])
def test_a_sweep_whose_reader_goes_away_ends_as_one_that_is_read(command, tmp_path, pipe, first):
    path, reader = pipe
    process = start(*SWEEP, "sweep=unread", output=path)
    wait_for(lambda: list(tmp_path.glob(f"outputs/sweeps/unread/{first}")))
    os.close(reader)
    assert process.wait() == 0
    assert command(*SWEEP, "sweep=read").code == 0
    sweeps = tmp_path / "outputs" / "sweeps"
    assert (sweeps / "unread" / results.TABLE).read_bytes() == (sweeps / "read" / results.TABLE).read_bytes()
    for seed in range(3):
        assert same_weights(weights(sweeps / "unread" / f"seed={seed}"), weights(sweeps / "read" / f"seed={seed}"))


@pytest.mark.slow
def test_a_stopped_run_that_nobody_reads_is_saved(tmp_path, pipe):
    path, reader = pipe
    process = start(*RUN[:-1], "trainer.epochs=5000", "hydra.run.dir=run", output=path)
    wait_for((tmp_path / "run" / "history.csv").exists)
    os.close(reader)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    assert summary(tmp_path / "run")["status"] == "interrupted"
    assert summary(tmp_path / "run")["updates"] > 0


class Full(io.StringIO):
    """Takes so many texts and then no more."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def write(self, text: str) -> int:
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_what_was_written_before_is_there_and_nothing_raises_after(monkeypatch, caplog):
    full = Full(room=2)
    monkeypatch.setattr(sys, "stdout", full)
    with streams.forgiving():
        for number in range(5):
            print(number, flush=True)
        assert sys.stdout.isatty() is False
    assert full.getvalue() == "0\n"
    assert sys.stdout is full
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_stream_that_is_closed_takes_nothing_and_raises_nothing(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with streams.forgiving():
        print("unheard", file=sys.stderr)
