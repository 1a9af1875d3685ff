"""Runs of other tasks than classification: resumed, evaluated, compared as those of digits are."""

import re
import shutil
import signal

import pytest
from support import StopAt, history, points, same_weights, slow_but, summary, weights

from lrlab.commands import compare, evaluate

TEXT = (
    *("data=text", "data.batch_size=512", "data.length=16", "task=language", "model=transformer", "model.width=8"),
    *("model.depth=1", "optimizer=adamw", "optimizer.lr=0.01"),
)
NUMBERS = ("data=diabetes", "task=regression", "model=mlp")
TASKS = {"language": (TEXT, ["bits_per_byte", "perplexity"]), "regression": (NUMBERS, ["mae", "r2"])}


@pytest.mark.parametrize("task", slow_but(TASKS, "regression"))
def test_a_run_is_extended_to_what_it_would_have_been(task, command, tmp_path):
    typed, metrics = TASKS[task]
    whole = command(*typed, "trainer.epochs=3", "scheduler=constant", "hydra.run.dir=whole")
    assert whole.code == 0, whole.err
    assert command(*typed, "trainer.epochs=1", "scheduler=constant", "hydra.run.dir=part").code == 0
    ended = command("resume=part", "extend=3")
    assert ended.code == 0, ended.err
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    said = summary(tmp_path / "whole")
    assert said["audit"]["equal"]
    for metric in metrics:
        assert said[f"val_{metric}"] == float(history(tmp_path / "whole")[-1][f"val_{metric}"])
        assert summary(tmp_path / "part")[f"val_{metric}"] == said[f"val_{metric}"]
        assert f"val/{metric}" in points(tmp_path / "whole")
    last = f"best val {metrics[-1]}"
    assert re.search(rf"finished: val loss \d.*; {last} ", whole.out)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("step", slow_but([2, 5, 8], 5))
def test_a_run_that_is_stopped_within_an_epoch_ends_as_the_whole_one(task, step, command, tmp_path, monkeypatch):
    typed = [*TASKS[task][0], "trainer.epochs=3", *(["data.batch_size=64"] if task == "regression" else [])]
    assert command(*typed, "hydra.run.dir=whole").code == 0
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, step)
        assert command(*typed, "hydra.run.dir=part").code == 143
    ended = command("resume=part")
    assert ended.code == 0, ended.err
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    assert history(tmp_path / "whole") == history(tmp_path / "part")


@pytest.mark.parametrize("task", slow_but(TASKS, "regression"))
def test_a_sweep_is_judged_by_the_tasks_last_metric_and_tested(task, command, enter, tmp_path):
    typed, metrics = TASKS[task]
    ended = command("-m", *typed, "trainer.epochs=1", "scheduler=cosine,linear", "seed=0,1,2", "sweep=s")
    assert ended.code == 0, ended.err
    assert f"final val {metrics[-1].replace('_', ' ')}" in ended.out
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    shown = enter(compare.main, str(sweep))
    assert shown.code == 0, shown.err
    assert re.search(r"linear and cosine cannot be told apart: difference [+-]?\d+\.\d{4} \(", shown.out)
    assert "%" not in shown.out.partition("\n\n")[0].replace("100%", "")
    tested = enter(evaluate.main, str(sweep / "scheduler=cosine,seed=0"))
    assert tested.code == 0, tested.err
    assert f"test {metrics[-1].replace('_', ' ')}" in tested.out


def test_a_text_that_changed_is_other_data(command, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("to be or not to be, that is the question. " * 300)
    typed = [*TEXT, f"data.root={text}", "trainer.epochs=1", "hydra.run.dir=run"]
    assert command(*typed).code == 0
    moved = tmp_path / "b.txt"
    shutil.copy(text, moved)
    assert command("resume=run", "extend=2", f"data.root={moved}").code == 0
    moved.write_text(moved.read_text().replace("question", "answer.."))
    refused = command("resume=run", "extend=3", f"data.root={moved}")
    assert refused.code == 1
    assert "other data" in refused.err


MISTAKES = {
    "data=text": "task: got classification, for targets (64,) of 70 classes; allowed: a class each; do: tas",
    "data=text task=language": "model: got cnn, for samples of shape (64,); allowed: images (C, H, W); do: model=trans",
    "data=diabetes model=mlp": "task: got classification, for targets that are no classes; allowed: a class each; ",
    "task=regression": "task: got regression, for targets that are 10 classes; allowed: numbers; do: ",
    "task=language": "task: got language, for targets (); allowed: windows of tokens",
    "data=text task=language model=transformer model.heads=5": "model.heads: got 5, for a width of 64; allowed: a di",
    "data=text task=language model=mlp": "model: got an error on windows (64,): ",
    "data=diabetes task=regression model=mlp ++data.shift=2": "data.shift: got 2, for a sample of shape (10,); allow",
    "data=diabetes task=regression model=mlp data.cache=disk": "data.cache: got disk, for samples that are no images",
    "data=arrays model=mlp": "data.root: got nothing; allowed: a file *.npz, *.csv, or a folder with inputs.npy and",
    "task.loss=mae task=regression data=diabetes model=mlp": "task.loss: got 'mae'; allowed: mse, l1, smooth_l1, or a",
    "data=diabetes task=regression model=mlp trainer.monitor=val_accuracy": "trainer.monitor: got 'val_accuracy'; all",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(typed, command, tmp_path):
    ended = command(*typed.split())
    assert ended.code == 1
    assert MISTAKES[typed] in ended.err
    assert ended.err.count("\n") == 1
    assert not list((tmp_path / "outputs" / "runs").glob("*/*.pt"))


BROKEN = """
from lrlab.training.metrics import METRICS, Metric
from lrlab.training.regression import Regression

def in_sums(outputs, targets):
    raise RuntimeError("boom")

def unknown(outputs, targets):
    return (targets * float("nan")).sum()

def positive(outputs, targets):
    assert targets.min() != 0, "targets must not be 0"
    return (outputs.view_as(targets) / targets).sum()

class InSums(Regression):
    metrics = (METRICS["loss"], Metric("bad", derived=lambda means: 1 / 0, sums=(("_x", in_sums),)))

class Derived(Regression):
    metrics = (METRICS["loss"], Metric("bad", derived=lambda means: 1 / 0))

class Unknown(Regression):
    metrics = (METRICS["loss"], Metric("bad", unknown))

class Positive(Regression):
    metrics = (METRICS["loss"], Metric("good", positive))
"""
SAID = {
    "InSums": "task.metrics: got bad, which fails on outputs (2, 1): boom; ",
    "Derived": "task.metrics: got bad, which fails (division by zero); allowed: metrics that are finite numbers; do: ",
    "Unknown": "task.metrics: got bad, which is nan; allowed: metrics that are finite numbers; do: correct bad",
}


@pytest.mark.parametrize("task", SAID)
def test_a_metric_that_is_no_number_is_one_line(task, command, tmp_path):
    (tmp_path / "broken_metrics.py").write_text(BROKEN)
    ended = command(*NUMBERS, f"task._target_=broken_metrics.{task}", "trainer.epochs=1")
    assert ended.code == 1
    assert SAID[task] in ended.err


def test_a_metric_is_tried_on_targets_of_the_data(command, tmp_path):
    (tmp_path / "broken_metrics.py").write_text(BROKEN)
    assert command(*NUMBERS, "task._target_=broken_metrics.Positive", "trainer.epochs=1").code == 0
