"""`lrlab predict`: what other schedules would have led to, from runs as they lie in their folders."""

import csv
import json
import math
import shlex
import shutil
import struct
from functools import partial
from pathlib import Path

import pytest
import torch
from support import ROOT, train

import lrlab
from lrlab.commands import predict
from lrlab.commands import train as train_command
from lrlab.comparison import event_files, loss_curves, results
from lrlab.integrations.loop import logged
from lrlab.runs import tracking


def trained(folder: Path, *typed: str) -> Path:
    """The folder of a run that was trained there."""
    train(folder, *typed)
    return folder


TRAINED = ("model=mlp", "trainer.epochs=12", "scheduler=cosine", "scheduler.interval=step")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("trained") / "run", *TRAINED)


@pytest.fixture
def ask(enter):
    """Run `python -m lrlab.predict ARGUMENTS` in this process."""
    return partial(enter, predict.main)


def found(path: str = "found.json") -> dict:
    return json.loads(Path(path).read_text())


def last_val_loss(folder: Path) -> float:
    return json.loads((folder / "summary.json").read_text())["val_loss"]


def by_name(said: dict) -> dict[str, dict]:
    return {row["schedule"]: row for row in said["predictions"]}


def test_schedules_are_ranked_with_intervals_in_the_terminal_and_in_files(ask, run):
    files = ("predict.csv=found.csv", "predict.json=found.json", "predict.file=found.png")
    done = ask(str(run), "scheduler=constant,linear,wsd", *files)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:3] == ["schedule", "LR", "rank"]
    assert "a prediction is no verdict" in lines[-4]
    said = found()
    assert [row["rank"] for row in said["predictions"]] == [1, 2, 3, 4]
    for row in said["predictions"]:
        assert row["val_loss_one_run_low"] < row["val_loss_low"] < row["val_loss"] < row["val_loss_high"]
    assert by_name(said)["cosine"]["basis"] == "trained"
    assert by_name(said)["cosine"]["val_loss_measured"] == pytest.approx(last_val_loss(run), rel=1e-9)
    with Path("found.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in table] == [row["val_loss"] for row in said["predictions"]]
    assert struct.unpack(">II", Path("found.png").read_bytes()[16:24])[0] > 500


def test_what_python_takes_and_the_command_does_not_is_said_with_what_to_type(ask, tmp_path):
    (tmp_path / "steps.csv").write_text("step,lr,val_loss\n0,0.1,2.0\n")
    done = ask("steps.csv", "scheduler=linear")
    assert done.code == 1
    assert "predict: got steps.csv, a file; " in done.err
    assert 'do: lrlab.predict("steps.csv", "linear", "wsd") in Python' in done.err

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    s = lrlab.cosine(lr=0.1, total_steps=10)
    scheduler = s.scheduler(optimizer)
    with logged(optimizer, s, data="toy", model="linear", folder="mine") as run:
        for _ in range(10):
            optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
            optimizer.step()
            scheduler.step()
            run.epoch(train_loss=1.0, val_loss=1.0)
    done = ask("mine", "scheduler=linear")
    assert done.code == 1
    assert "predict: got mine, which a loop of yours wrote" in done.err
    assert 'do: lrlab.predict("mine/history.csv"' in done.err


@pytest.mark.slow
def test_all_are_asked_for_where_none_is_named_and_those_that_follow_a_metric_are_not_predicted(ask, run):
    assert ask(str(run), "predict.json=found.json").code == 0
    rows = by_name(found())
    assert {"step", "cosine_restarts", "warmup_linear", "onecycle"} <= set(rows)
    for name in ("plateau", "greedy", "warmup_plateau"):
        assert rows[name]["basis"].startswith("not predicted: its LR follows a metric")
        assert rows[name]["rank"] is rows[name]["val_loss"] is None
    assert rows["onecycle"]["basis"] == "a guess: momentum scheduled otherwise"


def test_a_scheduler_takes_the_base_lr_of_the_run_and_settings_of_its_own(ask, run):
    typed = ("scheduler=wsd", "scheduler.lr_lambda.decay=20%,60%", "optimizer.lr=0.02,0.01", "predict.json=found.json")
    assert ask(str(run), *typed).code == 0
    rows = [row for row in found()["predictions"] if row["basis"] != "trained"]
    assert len(rows) == 4
    assert {row["lr"] for row in rows} == {0.02, 0.01}
    assert {row["basis"] for row in rows if row["lr"] == 0.01} == {"a guess: another base LR, of which one was trained"}
    assert len({row["schedule"] for row in rows}) == 2


def test_two_runs_of_one_schedule_are_a_mean_over_seeds(ask, run, tmp_path):
    other = trained(tmp_path / "other", *TRAINED, "seed=1")
    assert ask(str(run), str(other), "scheduler=linear", "predict.json=found.json").code == 0
    two = by_name(found())["cosine"]
    assert two["val_loss_measured"] == pytest.approx((last_val_loss(run) + last_val_loss(other)) / 2)


def test_a_run_whose_lr_followed_a_metric_is_fitted_by_the_lrs_that_it_used(ask, tmp_path):
    folder = trained(tmp_path / "plateau", "model=mlp", "trainer.epochs=40", "scheduler=plateau", "optimizer.lr=0.05")
    assert ask(str(folder), "scheduler=linear", "predict.json=found.json").code == 0
    assert by_name(found())["plateau"]["basis"] == "trained"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["scheduler=wsd"], "predict: got no run; allowed: the folder of a run, or of several; do: "),
        (["nowhere", "scheduler=wsd"], "predict: got nowhere, which is no folder"),
        (["RUN", "optimizer.weight_decay=0.1"], "optimizer.weight_decay: got a setting whose effect nothing predicts"),
        (["RUN", "sheduler=wsd"], r"sheduler: got a setting whose effect nothing predicts (did you mean scheduler?)"),
        (["RUN", "scheduler=csoine"], "scheduler: got 'csoine' (did you mean cosine?)"),
        (["RUN", "predict.file=curves.gif"], "predict.file: got curves.gif; allowed: a name that ends with .png"),
        (["RUN", "scheduler=step", "scheduler.gama=0.1"], "scheduler.gama: "),
    ],
)
def test_a_mistake_is_one_line(ask, run, typed, message):
    done = ask(*(str(run) if one == "RUN" else one for one in typed))
    assert done.code == 1
    assert done.err.startswith(f"lrlab: error: {message}"), done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_runs_that_differ_in_more_than_schedule_lr_and_seed_are_refused(ask, run, tmp_path):
    other = trained(tmp_path / "other", *TRAINED, "optimizer.momentum=0.5")
    done = ask(str(run), str(other), "scheduler=linear")
    assert done.code == 1
    assert "optimizer.momentum: got 0.5 and 0.9; allowed: runs that differ in schedule" in done.err


def test_a_run_that_is_too_short_is_refused_with_both_reasons(ask, tmp_path):
    folder = trained(tmp_path / "short", "model=linear", "trainer.epochs=2", "data.batch_size=256")
    done = ask(str(folder), "scheduler=linear")
    assert done.code == 1
    assert "validation loss is not predicted: it has 2 points" in done.err
    assert "training loss is not predicted" in done.err


def test_a_config_from_somebody_else_is_not_trusted_with_classes(ask, run, tmp_path):
    doubtful = tmp_path / "doubtful"
    doubtful.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (doubtful / file.name).write_bytes(file.read_bytes())
    config = (doubtful / "config.yaml").read_text()
    (doubtful / "config.yaml").write_text(config.replace("torch.optim.SGD", "os.system"))
    done = ask(str(doubtful), "scheduler=linear")
    assert done.code == 1
    assert "os.system" in done.err


def test_an_extended_run_is_fitted_to_the_lrs_that_it_used(enter, tmp_path):
    folder = trained(tmp_path / "run", *TRAINED)
    before = loss_curves.of_run(results.read_result(folder, "run")).lrs
    assert enter(train_command.main, f"resume={folder}", "extend=24").code == 0
    after = loss_curves.of_run(results.read_result(folder, "run"))
    assert after.schedule == "cosine, extended"
    assert len(after.lrs) == 2 * len(before)
    assert after.lrs[: len(before)] == pytest.approx(before, abs=1e-8)


def test_a_length_in_epochs_replaces_one_in_updates(ask, tmp_path):
    folder = trained(tmp_path / "run", "model=mlp", "trainer.steps=300", "scheduler.interval=step", "scheduler=cosine")
    assert ask(str(folder), "scheduler=linear", "trainer.epochs=20", "predict.json=found.json").code == 0
    row = next(row for name, row in by_name(found()).items() if name.startswith("linear"))
    assert row["updates"] == 20 * 21
    assert "another length" in row["basis"]


def test_a_schedule_that_does_not_exist_is_a_mistake_among_others_too(ask, run):
    done = ask(str(run), "scheduler=step,cosin")
    assert (done.code, done.out) == (1, "")
    assert "did you mean cosine?" in done.err


def test_a_run_on_data_in_a_folder_of_ones_own_is_predicted_without_reading_them(ask, run, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    config = (moved / "config.yaml").read_text()
    (moved / "config.yaml").write_text(config.replace("  cache_dir:", "  root: /nowhere\n  cache_dir:"))
    assert ask(str(moved), "scheduler=linear").code == 0


def test_schedules_of_ones_own_are_predicted(ask, run, tmp_path):
    own = tmp_path / "conf" / "scheduler"
    own.mkdir(parents=True)
    cosine = (ROOT / "conf" / "scheduler" / "linear.yaml").read_text()
    (own / "mine.yaml").write_text(cosine)
    done = ask(str(run), "--config-dir", str(tmp_path / "conf"), "scheduler=mine", "predict.json=found.json")
    assert done.code == 0, done.err
    assert "mine" in by_name(found())


@pytest.mark.slow
def test_a_shape_that_was_found_is_printed_as_it_can_be_trained(ask, run, enter):
    done = ask(str(run), "scheduler=linear,wsd", "predict.search=true", "predict.json=found.json")
    assert done.code == 0, done.err
    assert "piecewise_linear, found" in by_name(found())
    line = next(line for line in done.out.splitlines() if line.startswith("found "))
    typed = shlex.split(line.removeprefix("found"))
    assert enter(train_command.main, *TRAINED[:2], *typed).code == 0
    sweep = next(line for line in done.out.splitlines() if "sweep=found-" in line)
    assert "model=mlp trainer.epochs=12" in sweep


TASKS = {
    "label smoothing": ("task.label_smoothing=0.1",),
    "augmentation": ("data.shift=1",),
    "regression": ("data=diabetes", "task=regression", "data.batch_size=16", "optimizer=adam"),
    "language": (
        *("data=text", "task=language", "model=transformer", "model.width=8", "model.depth=1", "model.heads=1"),
        *("data.length=16", "data.batch_size=512", "optimizer=adamw", "optimizer.lr=0.02"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("typed", TASKS.values(), ids=TASKS)
def test_each_loss_of_every_task_has_a_law_of_its_own(ask, tmp_path, typed):
    folder = trained(tmp_path / "run", "model=mlp", "trainer.epochs=14", *typed, "scheduler=cosine")
    done = ask(str(folder), "scheduler=linear", "predict.json=found.json")
    said = found()
    assert done.code == 0, done.err
    assert len(said["parameters"]) + len(said["refused"]) == 2
    row = by_name(said)["cosine"]
    for split in said["parameters"]:
        assert abs(math.log(row[f"{split}_loss"] / row[f"{split}_loss_measured"])) < 0.2
    if len(said["parameters"]) == 2:
        assert said["parameters"]["train"] != said["parameters"]["val"]


@pytest.mark.parametrize(
    ("typed", "basis"),
    [
        (["optimizer.schedule={weight_decay:cosine}", "scheduler.interval=step"], "predicted"),
        (["optimizer.groups={biases:{params:['*bias'],schedule:linear}}", "scheduler.interval=step"], "predicted"),
    ],
)
def test_what_else_is_scheduled_alike_is_no_doubt(ask, tmp_path, typed, basis):
    folder = trained(tmp_path / "run", *TRAINED[:3], *typed)
    assert ask(str(folder), "scheduler=wsd,onecycle", "predict.json=found.json").code == 0
    rows = by_name(found())
    assert rows["wsd"]["basis"] == basis
    assert "momentum scheduled otherwise" in rows["onecycle"]["basis"]


def test_points_that_are_thinned_beyond_ten_thousand_are_enough(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "MOST_POINTS", 70)
    folder = trained(tmp_path / "run", *TRAINED)
    assert len(event_files.scalar(folder, "train/loss")) < 80
    assert ask(str(folder), "scheduler=linear", "predict.json=found.json").code == 0
    assert "train" in found()["parameters"]
