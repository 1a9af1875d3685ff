"""A run that is stopped early says so everywhere, and is left out of comparisons."""

import pytest
from support import TINY, history, summary, train

from lrlab.config import compose
from lrlab.config.prepare import prepare

RUN = (*TINY, "trainer.epochs=9", "optimizer.lr=1e-9", "scheduler=step")  # never better by 10
EARLY = "trainer.stop_early={patience:2,min_delta:10}"


def test_it_is_in_the_summary_in_what_is_shown_and_known_when_it_is_resumed(command, tmp_path):
    done = command(*RUN, EARLY, "hydra.run.dir=run")
    assert done.code == 0, done.err
    said, folder = summary(tmp_path / "run"), tmp_path / "run"
    why = "val_accuracy has not become better by more than 10 for 2 epochs"
    assert said["status"] == "finished"
    assert said["stopped_early"] == {"epoch": 2, "why": why}
    assert [row["epoch"] for row in history(folder)] == ["0", "1", "2"]
    assert said["audit"]["equal"]
    line = f"stopped early in epoch 3: {why}; its LR was 5e-10, and would have ended at 6.25e-11 after 9 epochs"
    assert line in done.out
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}
    again = command("resume=run")
    assert f"nothing to do: run was stopped early, in epoch 3: {why}" in again.out
    assert {path: path.read_bytes() for path in before} == before
    refused = command("resume=run", "extend=20")
    assert refused.err.startswith("lrlab: error: extend: got 20, for a run that was stopped early in epoch 3; ")


def test_a_run_without_it_says_nothing_of_it(tmp_path):
    assert "stopped_early" not in train(tmp_path, *TINY, "trainer.epochs=1")
    said = train(tmp_path / "patient", *TINY, "trainer.epochs=2", "trainer.stop_early=5")
    assert said["stopped_early"] is None


@pytest.mark.parametrize(
    ("length", "patience", "runs_out"),
    [
        ("trainer.epochs=4", "2", True),
        ("trainer.epochs=3", "2", False),
        ("trainer.epochs=3", "1ep", True),
        ("trainer.epochs=5 trainer.eval_every=2", "2", True),
        ("trainer.epochs=4 trainer.eval_every=2", "2", False),
        ("trainer.epochs=0.5", "1st", False),
        ("trainer.budget=5s", "100", True),
    ],
)
def test_a_patience_that_cannot_run_out_is_told_of(length, patience, runs_out):
    config = compose.compose([*TINY, *length.split(), f"trainer.stop_early={patience}", "scheduler=constant"])
    told = [line for line in prepare(config).checked.warnings if line.startswith("trainer.stop_early: a patience of ")]
    assert len(told) == (not runs_out)


def test_the_shortest_run_in_which_a_patience_runs_out_is_stopped(tmp_path):
    typed = ("optimizer.lr=1e-9", "scheduler=constant", "trainer.stop_early={patience:2,min_delta:10}")
    said = train(tmp_path, *TINY, *typed, "trainer.epochs=4")
    assert said["stopped_early"]["epoch"] == 2


@pytest.mark.slow
def test_it_is_left_out_of_comparisons_unless_asked_for(enter, tmp_path, monkeypatch):
    from lrlab.commands import compare

    monkeypatch.chdir(tmp_path)
    for name, typed in {"early": (EARLY, "seed=1"), "whole": (), "other": ("seed=1",)}.items():
        train(tmp_path / "runs" / name, *RUN, *typed)
    shown = enter(compare.main, "runs")
    assert shown.code == 0, shown.err
    assert "left out: early (stopped early in epoch 3: val_accuracy has not become better" in shown.out
    assert "1 run that was stopped early is left out" in shown.out
    asked = enter(compare.main, "runs", "compare.stopped_early=true")
    assert asked.code == 0, asked.err
    assert "left out" not in asked.out


@pytest.mark.parametrize("typed", ["trainer.stop_early=3", "trainer.budget=10s"])
def test_a_study_has_runs_of_one_length(enter, tmp_path, monkeypatch, typed):
    from lrlab.commands import study

    monkeypatch.chdir(tmp_path)
    refused = enter(study.main, "one", *TINY, "scheduler=constant,cosine", typed)
    assert refused.code == 1
    key = typed.partition("=")[0]
    assert refused.err.startswith(f"lrlab: error: {key}: got "), refused.err
    assert refused.err.endswith(f"do: {key}=null\n")


def test_a_run_ends_in_an_epoch_that_was_validated(tmp_path):
    """Whatever it follows: the weights that are left are those that were measured."""
    said = train(tmp_path, *RUN, EARLY, "trainer.monitor=train_loss", "trainer.eval_every=4")
    rows = history(tmp_path)
    assert said["stopped_early"]["epoch"] == 7
    assert [row["epoch"] for row in rows if row["val_loss"]] == ["3", "7"]
    assert said["val_loss"] == float(rows[-1]["val_loss"])


def test_a_run_whose_patience_was_over_at_its_end_is_not_extended(command, tmp_path):
    """A run that was as long from the start would have stopped there."""
    assert command(*RUN, "trainer.epochs=3", EARLY, "hydra.run.dir=run").code == 0
    assert summary(tmp_path / "run")["stopped_early"] is None
    refused = command("resume=run", "extend=5")
    assert refused.err.startswith("lrlab: error: extend: got 5, for a run that was stopped early in epoch 3; ")
    assert command(*RUN, "trainer.epochs=2", EARLY, "hydra.run.dir=shorter").code == 0
    assert command("resume=shorter", "extend=9").code == 0
    assert summary(tmp_path / "shorter")["stopped_early"]["epoch"] == 2


def test_an_average_that_never_began_has_no_test_score(enter, tmp_path, monkeypatch):
    from lrlab.commands import evaluate

    monkeypatch.chdir(tmp_path)
    small = ("model=linear", "data.batch_size=600", "trainer.device=cpu", "trainer.epochs=40", "optimizer.lr=1e-9")
    train(tmp_path / "run", *small, EARLY, "trainer.average=swa")
    refused = enter(evaluate.main, "run", "evaluate.weights=average")
    assert refused.code == 1
    assert "evaluate: got a run that did not average its weights" in refused.err
