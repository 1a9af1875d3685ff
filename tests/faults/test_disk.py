"""A disk that fills up costs no good checkpoint and no other run, and the line names the path and the bytes."""

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import history, points, summary, train

from lrlab.commands import compare, find_lr, preview
from lrlab.runs import checkpoint, run
from lrlab.system import disk

SHORT = ("data=fake", "data.train_images=96", "data.val_images=20", "data.image_size=8", "data.batch_size=32")
RUN = (*SHORT, "model=mlp", "trainer.epochs=3")
LINE = r"file: got .*{}, which cannot be written \(No space left on device, [\d,]+ bytes needed, [\d,]+ bytes free\); "


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_for(monkeypatch: pytest.MonkeyPatch, name: str, *, from_call: int = 1) -> Iterator[None]:
    """The disk takes no whole file whose name ends in `name`, from the so-manyth on."""
    calls, sync = 0, os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        if Path(os.readlink(f"/proc/self/fd/{handle}")).name.endswith(name):
            calls += 1
            if calls >= from_call:
                full()
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, mounted where tests may mount."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "lrlab", str(place)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Leave so many bytes of a disk free."""
    usage = os.statvfs(place)
    filler = place / "filler"
    filler.write_bytes(bytes(max(0, usage.f_bavail * usage.f_frsize - leave)))
    return filler


def test_a_full_disk_in_a_checkpoint_leaves_the_one_before(command, monkeypatch):
    with full_for(monkeypatch, "last.tmp", from_call=3):
        outcome = command(*RUN, "checkpoint.every=null")
    (run,) = Path("outputs/runs").iterdir()
    assert outcome.code == 1
    assert re.match("lrlab: error: " + LINE.format(r"last\.pt"), outcome.err), outcome.err
    assert re.search(r"last good checkpoint: \S+/checkpoints/last\.pt \(update 3\)$", outcome.err.strip())
    assert outcome.err.count("\n") == 1
    assert list(run.rglob("*.tmp")) == []
    assert checkpoint.load(run / checkpoint.LAST)["state"]["progress"]["step"] == 3
    assert summary(run)["status"] == "failed"
    assert command(f"resume={run}").code == 0
    train(Path("whole"), *RUN)
    assert history(run) == history(Path("whole"))
    assert points(run)["lr"] == points(Path("whole"))["lr"]


def test_the_disk_of_a_run_is_filled_in_the_midst_of_it(command, small_disk, monkeypatch):
    """The real thing: every write point of the run meets a disk without room, in whatever order it comes to them."""
    original, filler = run.Display.show, []

    def show(display, event):
        original(display, event)
        if isinstance(event, run.Epoch) and event.epoch == 0:
            filler.append(fill(small_disk, 0))

    with monkeypatch.context() as patch:
        patch.setattr(run.Display, "show", show)
        outcome = command(*RUN, f"hydra.run.dir={small_disk}/run")
    assert outcome.code == 1
    assert re.search(LINE.format(r"(last|best)\.pt"), outcome.err), outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    assert checkpoint.latest(str(small_disk / "run"), print)[1]["state"]["progress"]["step"] in (0, 3)
    assert list((small_disk / "run").rglob("*.tmp")) == []
    filler[0].unlink()
    assert command(f"resume={small_disk}/run").code == 0
    train(Path("whole"), *RUN)
    assert history(small_disk / "run") == history(Path("whole"))


def test_a_full_disk_under_one_run_of_a_sweep_leaves_the_others_alone(command, small_disk):
    folder = Path("outputs/sweeps/s/seed=1")
    folder.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(small_disk), str(folder)], check=True)
    try:
        fill(small_disk, 20_000)
        outcome = command("-m", *RUN, "seed=0,1,2", "sweep=s", "hydra.launcher.n_jobs=1")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    assert outcome.code == 1
    for name in ("seed=0", "seed=2"):
        assert summary(Path("outputs/sweeps/s") / name)["status"] == "finished"
    assert re.search(r"seed=1 failed", outcome.err), outcome.err
    assert re.search(r"which cannot be written \(No space left on device, [\d,]+ bytes needed", outcome.out), (
        outcome.out
    )


@pytest.mark.parametrize("log", ["events", "history"])
def test_logs_that_the_disk_refuses_never_end_training_and_come_later(command, monkeypatch, log):
    """Half of a write is taken, then none for an epoch, then all."""
    append, refused = disk.Log._append, []

    def sometimes(self: disk.Log) -> None:
        if log in self.path.name and self._waiting and 2 <= len(refused) + 2 <= 6 and self.length:
            refused.append(1)
            self._file.write(bytes(self._waiting[: len(self._waiting) // 2]))
            full()
        append(self)

    with monkeypatch.context() as patch:
        patch.setattr(disk.Log, "_append", sometimes)
        outcome = command(*RUN)
    (run,) = Path("outputs/runs").iterdir()
    assert outcome.code == 0
    assert len(refused) == 5
    assert len(re.findall(r"warning: file: got .*, which cannot be written", outcome.out)) == 1
    train(Path("whole"), *RUN)
    assert points(run) == points(Path("whole"))
    assert history(run) == history(Path("whole"))


def test_events_that_are_never_taken_are_named_at_the_end(command, monkeypatch):
    append = disk.Log._append
    monkeypatch.setattr(disk.Log, "_append", lambda self: full() if "events" in self.path.name else append(self))
    outcome = command(*RUN)
    (run,) = Path("outputs/runs").iterdir()
    assert outcome.code == 0
    said = summary(run)
    assert said["status"] == "finished"
    assert re.match(LINE.format(r"events\.out\.\S+"), said["warnings"][-1])
    assert len(history(run)) == 3


@pytest.mark.parametrize("name", ["config.yaml.tmp", "summary.json.tmp"])
def test_a_full_disk_before_the_first_update_is_one_line(command, monkeypatch, name):
    with full_for(monkeypatch, name):
        outcome = command(*RUN)
    assert outcome.code == 1
    assert re.match("lrlab: error: " + LINE.format(name.removesuffix(".tmp").replace(".", r"\.")), outcome.err)
    assert outcome.err.count("\n") == 1


def test_a_disk_without_room_for_two_checkpoints_is_refused_before_training(command, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    outcome = command(*RUN)
    assert outcome.code == 1
    assert re.match(
        r"lrlab: error: folder: got outputs\S+, on a disk with 1,000 bytes free; allowed: at least [\d,]+ bytes, "
        r"four checkpoints more; do: make room",
        outcome.err,
    )
    assert "epoch 1/3" not in outcome.out


@pytest.mark.parametrize(
    "name", [pytest.param("report.html.tmp", marks=pytest.mark.slow), "results.csv.tmp", ".svg.tmp"]
)
def test_a_report_is_whole_or_not_there(enter, monkeypatch, tmp_path, name):
    for seed in (0, 1):
        train(tmp_path / "runs" / f"run{seed}", *RUN, f"seed={seed}")
    with full_for(monkeypatch, name):
        outcome = enter(compare.main, "runs")
    assert outcome.code == 1
    assert re.match("lrlab: error: " + LINE.format(re.escape(name.removesuffix(".tmp"))), outcome.err), outcome.err
    assert [path for path in tmp_path.rglob("*") if path.name.endswith((name.removesuffix(".tmp"), ".tmp"))] == []
    assert enter(compare.main, "runs").code == 0


def test_a_preview_and_a_search_for_an_lr_say_so_too(enter, monkeypatch):
    with full_for(monkeypatch, ".png.tmp"):
        outcome = enter(preview.main, "scheduler=step", "preview.file=lr.png")
    assert (outcome.code, list(Path().glob("lr.*"))) == (1, [])
    assert re.match("lrlab: error: " + LINE.format(r"lr\.png"), outcome.err)
    with full_for(monkeypatch, "losses.csv.tmp"):
        outcome = enter(find_lr.main, *SHORT, "model=mlp")
    assert outcome.code == 1
    assert re.match("lrlab: error: " + LINE.format(r"losses\.csv"), outcome.err), outcome.err


def test_a_log_keeps_its_records_whole(tmp_path, monkeypatch):
    log = disk.Log(tmp_path / "log")
    log.add(b"one\n")
    log.flush()
    append = disk.Log._append

    def half(self: disk.Log) -> None:
        self._file.write(bytes(self._waiting[:2]))
        full()

    log.add(b"two\n")
    monkeypatch.setattr(disk.Log, "_append", half)
    log.flush()
    assert (tmp_path / "log").read_bytes() == b"one\n"
    assert log.refusal
    monkeypatch.setattr(disk.Log, "_append", append)
    log.add(b"three\n")
    log.flush(sync=True)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"
    assert not log.refusal
    log.close()
