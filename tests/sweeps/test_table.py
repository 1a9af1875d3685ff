"""The table of a sweep: what it shows of each run, how it chooses when there is no room, and plain lines without it."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from support import job as made_up

from lrlab.sweeps import table
from lrlab.sweeps.job import Job, Outcome, Seen


def jobs(count: int) -> list[Job]:
    return [made_up(f"seed={seed}", Path(f"sweep/seed={seed}"), epochs=4, updates=40) for seed in range(count)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    time = [100.0]
    monkeypatch.setattr(table.time, "monotonic", lambda: time[0])
    return time


def text(shown: table.Board, height: int = 20, width: int = 120) -> str:
    """The live table as text."""
    out = io.StringIO()
    shown.console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    shown.console.print(shown.table())
    return out.getvalue()


def test_a_line_a_run_where_there_is_no_terminal(clock, capsys):
    first, second = jobs(2)
    shown = table.Board([first, second], [])
    with shown:
        shown.seen(first, Seen(1, 0.1))
        clock[0] += 6
        shown.seen(first, Seen(10, 0.1, 1, {"loss": 0.5, "accuracy": 0.75}))
        clock[0] += 18
        shown.seen(first, Seen(40, 0.01, 4, {"loss": 0.25, "accuracy": 0.875}))
        shown.ended(first, Outcome("finished", 0.25))
    assert capsys.readouterr().out.splitlines() == [
        "to go      about 46.7s",
        "[1/2] seed=0  finished     val loss   0.2500  acc  87.50%   24.0s",
    ]


def test_a_failure_is_told_at_once_with_its_folder_and_the_end_of_its_log(tmp_path, capsys):
    job = made_up("seed=0", tmp_path)
    (tmp_path / "train.log").write_text("".join(f"line {number}\n" for number in range(20)))
    table.Board([job], []).ended(job, Outcome("killed", error="its process was killed by SIGKILL"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/1] seed=0  killed"
    assert lines[1:3] == ["  its process was killed by SIGKILL", f"  folder: {tmp_path}"]
    assert lines[-1] == "  | line 19"
    assert len(lines) == 7


def test_the_table_shows_epoch_lr_loss_accuracy_state_and_the_time_that_is_left(clock):
    shown = table.Board(jobs(3), [])
    shown.seen(jobs(3)[0], Seen(10, 0.1, 1, {"loss": 0.5, "accuracy": 0.75}))
    clock[0] += 10
    shown.seen(jobs(3)[0], Seen(20, 0.05, 2, {"loss": 0.25, "accuracy": 0.875}))
    header, first, second, _, total = [line.split() for line in text(shown).splitlines()]
    assert header == ["run", "epoch", "LR", "val", "loss", "accuracy", "state", "time", "left"]
    assert first == ["seed=0", "2/4", "0.05", "0.2500", "87.50%", "running", "20.0s"]
    assert second == ["seed=1", "waiting"]
    assert " ".join(total) == "0 of 3 runs done, 1 running, about 1m40s left"


@pytest.mark.usefixtures("clock")
def test_where_there_is_no_room_what_runs_and_what_failed_is_shown_first():
    many = jobs(50)
    shown = table.Board(many, [])
    for job in many[:20]:
        shown.seen(job, Seen(40, 0.1))
        shown.ended(job, Outcome("failed" if job is many[3] else "finished"))
    shown.seen(many[20], Seen(10, 0.1))
    lines = text(shown, height=12).splitlines()
    assert len(lines) <= 12
    states = {line.split()[0]: line.split()[-1] for line in lines[1:-1]}
    assert states["seed=3"] == "failed"
    assert "seed=20" in states
    assert {"seed=19", "seed=21"} <= set(states)
    assert lines[-1].startswith("20 of 50 runs done, 1 running, 1 failed")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_on_a_narrow_screen_every_run_under_way_is_in_sight_and_no_line_is_cut(width):
    many = [made_up(f"scheduler=cosine,lr=0.{number:02},seed={number}", Path("run")) for number in range(30)]
    shown = table.Board(many, [])
    for job in many[:20]:
        shown.seen(job, Seen(10, 0.1, 1, {"loss": 0.5, "accuracy": 0.75}))
    for job in many[:15]:
        shown.ended(job, Outcome("failed"))
    lines = text(shown, height=14, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(f"seed={number} " in line for line in lines) for number in range(15, 20))
    assert all(line.split()[-1] != "…" for line in lines)
    assert "0.5000" in lines[-3] or width < 60


@pytest.mark.usefixtures("clock")
def test_long_names_are_cut_before_a_column_has_to_go():
    long = ",".join(f"scheduler.lr_lambda.part{number}=0.1" for number in range(3)) + ",seed="
    many = [made_up(f"{long}{number}", Path("run")) for number in range(3)]
    shown = table.Board(many, [])
    shown.seen(many[0], Seen(10, 0.1, 1, {"loss": 0.5, "accuracy": 0.75}))
    header, first, *_ = text(shown, width=80).splitlines()
    assert header.split() == ["run", "epoch", "val", "loss", "accuracy", "state", "time", "left"]
    assert first.split()[1:5] == ["1/1", "0.5000", "75.00%", "running"]
    assert "seed=0" in first


@pytest.mark.usefixtures("clock")
def test_runs_that_were_finished_before_count_as_done():
    shown = table.Board(jobs(2), jobs(3))
    assert text(shown).splitlines()[-1] == "3 of 5 runs done"


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ('{"metrics": [{"name": "flags", "is_share": true, "lower_is_better": false, "short": "fl"}]}', "fl  75.00%"),
        ('{"metrics": [{"name": "flags"}, 3]}', "flags   0.7500"),
        ('{"metrics": 3}', "flags   0.7500"),
        ("nothing", "flags   0.7500"),
    ],
)
def test_a_share_of_a_users_own_task_is_written_in_percent(told, written, tmp_path, capsys):
    job = made_up("seed=0", tmp_path, epochs=4, updates=40)
    (tmp_path / "summary.json").write_text(told)
    shown = table.Board([job], [])
    shown.seen(job, Seen(10, 0.1, 1, {"loss": 0.5, "flags": 0.75}))
    shown.ended(job, Outcome("finished", 0.25))
    assert f"val loss   0.5000  {written}" in capsys.readouterr().out


def finish(shown: table.Board, job: Job, accuracy: float) -> None:
    shown.seen(job, Seen(40, 0.01, 4, {"loss": 1 - accuracy, "accuracy": accuracy}))
    shown.ended(job, Outcome("finished", 1 - accuracy))


def test_of_many_runs_a_hundred_lines_tell_how_far_they_are_and_which_is_best(clock, capsys):
    many = jobs(1000)
    shown = table.Board(many, jobs(3))
    for number, job in enumerate(many):
        clock[0] += 1
        finish(shown, job, (number * 7 % 1000) / 1000)
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("to go")]
    assert len(lines) == 100
    assert lines[0].startswith("13 of 1,003 runs done")
    assert lines[0].endswith("best: val acc 6.30% of seed=9")
    assert lines[-1] == "1,003 of 1,003 runs done; best: val acc 99.90% of seed=857"


def test_of_many_failures_the_first_are_told_at_length_and_the_others_are_counted(capsys, tmp_path):
    many = [made_up(f"seed={seed}", tmp_path / f"seed={seed}") for seed in range(600)]
    shown = table.Board(many, [])
    for job in many:
        shown.ended(job, Outcome("failed", error="it broke"))
    out = capsys.readouterr().out
    assert out.count("it broke") == out.count("  folder: ") == 20
    assert out.count("failures are counted") == 1
    assert out.splitlines()[-1] == "600 of 600 runs done, 600 failed"


def test_the_best_run_of_many_has_the_lowest_loss_where_the_loss_is_all_that_is_measured(capsys):
    many = jobs(501)
    shown = table.Board(many, [])
    for loss, job in zip((0.5, 0.25, 0.75), many, strict=False):
        shown.seen(job, Seen(40, 0.01, 4, {"loss": loss}))
        shown.ended(job, Outcome("finished", loss))
    shown.ended(many[3], Outcome("finished"))
    shown.ended(many[4], Outcome("finished"))
    assert "best: val loss 0.2500 of seed=1" in capsys.readouterr().out


def test_a_live_table_of_many_runs_says_nothing_of_those_that_finish(capsys):
    many = jobs(600)
    shown = table.Board(many, [])
    shown.is_live = True
    for job in many[:300]:
        finish(shown, job, 0.5)
    assert capsys.readouterr().out == ""
    assert "300 of 600 runs done" in text(shown)
