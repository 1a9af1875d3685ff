"""A run follows its task: what it records, shows and keeps has the names of the task's metrics, whatever they are."""

import csv
import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from support import history, points, summary

from lrlab.commands import compare
from lrlab.runs import checkpoint
from lrlab.runs.display import epoch_line, result_line
from lrlab.runs.summary import Tally
from lrlab.training import metrics
from lrlab.training.loop import Epoch

FIXTURES = Path(__file__).parents[1] / "fixtures" / "25a6d11"
SMALL = ("model=linear", "trainer.device=cpu", "trainer.epochs=3", "data.batch_size=256", "optimizer.lr=0.1")
# A task of a user: what classification measures, and two things more.
TASKS = """
from lrlab.training.metrics import METRICS, Metric
from lrlab.training.task import Classification

def top2(logits, labels):
    return (logits.topk(2).indices == labels[:, None]).sum()

def doubt(logits, labels):
    return (1 - logits.softmax(1).amax(1)).sum()

class Ranking(Classification):
    metrics = (METRICS["loss"], Metric("top2", top2, is_share=True), Metric("doubt", doubt, lower_is_better=True))
"""


@pytest.fixture
def ranking(tmp_path):
    """What to type for a task that measures `top2` and `doubt`."""
    (tmp_path / "my_tasks.py").write_text(TASKS)
    return "task._target_=my_tasks.Ranking"


def only_run(folder: Path) -> Path:
    [run] = (folder / "outputs" / "runs").iterdir()
    return run


def test_a_run_records_what_its_task_measures(command, ranking, tmp_path):
    ended = command(*SMALL, ranking, "trainer.monitor=val_doubt", "scheduler=plateau", "scheduler.monitor=val_doubt")
    assert ended.code == 0, ended.err
    run = only_run(tmp_path)
    with (run / "history.csv").open(newline="") as file:
        header, *_ = csv.reader(file)
    measured = [f"{split}_{name}" for split in ("train", "val") for name in ("loss", "top2", "doubt")]
    assert header == ["epoch", "step", "lr", *measured, "seconds"]
    rows, said = history(run), summary(run)
    for name in measured:
        assert said[name] == float(rows[-1][name])
    assert said["best_val_top2"] == max(float(row["val_top2"]) for row in rows)
    doubts = [float(row["val_doubt"]) for row in rows]
    assert said["best_val_doubt"] == said["best_monitored"] == min(doubts)
    assert said["best_epoch"] == doubts.index(min(doubts))
    assert "accuracy" not in json.dumps(said)
    assert {"val/top2", "train/doubt", "val/doubt"} <= points(run).keys()
    assert re.search(r"val loss +\d\.\d{4}  top2 +\d+\.\d\d%  doubt +0\.\d{4}", ended.out)
    assert re.search(r"finished: val loss \d.*, val top2 .*%, val doubt 0.*; best val doubt 0", ended.out)


def test_such_a_run_is_extended_as_any_other(command, ranking, tmp_path):
    assert command(*SMALL, ranking, "trainer.monitor=val_top2").code == 0
    run = only_run(tmp_path)
    before = history(run)
    refused = command(f"resume={run}", "extend=5")
    assert "task._target_=my_tasks.Ranking, if you know and trust what this names" in refused.err
    ended = command(f"resume={run}", "extend=5", ranking)
    assert ended.code == 0, ended.err
    assert history(run)[:3] == before
    assert summary(run)["best_val_top2"] == max(float(row["val_top2"]) for row in history(run))


def test_what_no_metric_of_the_task_is_cannot_be_followed(command, ranking):
    for key in ("trainer.monitor", "scheduler.monitor"):
        ended = command(*SMALL, ranking, "trainer.monitor=val_top2", f"{key}=val_accuracy")
        assert re.search(
            rf"{key}: got 'val_accuracy'; allowed: val_loss, val_top2, val_doubt, train_loss, .*; do: {key}=", ended.err
        )


def test_a_sweep_shows_and_compares_a_metric_that_is_in_the_table(command, enter, ranking, tmp_path, monkeypatch):
    top2 = metrics.Metric("top2", metrics.count_correct, is_share=True)
    monkeypatch.setitem(metrics.METRICS, "top2", top2)
    ended = command("-m", *SMALL, ranking, "trainer.monitor=val_top2", "seed=0,1", "hydra.launcher.in_process=true")
    assert ended.code == 0, ended.err
    assert re.search(r"seed=0 +finished +val loss +\d\.\d{4}  top2 +\d+\.\d\d%  doubt +0\.\d{4}", ended.out)
    [sweep] = (tmp_path / "outputs" / "sweeps").iterdir()
    refused = enter(compare.main, str(sweep), "compare.metric=val_accuracy").err
    assert (
        "compare.metric: got val_accuracy, which these runs do not measure; allowed: val_doubt, val_top2, " in refused
    )
    assert refused.endswith("; do: compare.metric=val_doubt\n")
    compared = enter(compare.main, str(sweep), "compare.metric=val_top2", "compare.target=50%")
    assert compared.code == 0, compared.err
    heading = compared.out.splitlines()[1]
    assert re.split(r"  +", heading)[3:5] == ["final val top2", "best val top2"]
    assert "accuracy" not in heading
    [row] = [line for line in compared.out.splitlines() if line.startswith("cosine")]
    mean = sum(summary(sweep / f"seed={seed}")["val_top2"] for seed in (0, 1)) / 2
    assert f"{mean:.2%} (" in row


def test_runs_of_different_tasks_are_not_compared(command, enter, tmp_path):
    (tmp_path / "my_other_tasks.py").write_text(f"{TASKS}    metrics = Classification.metrics\n")
    for typed in ((), ("task._target_=my_other_tasks.Ranking",), ("seed=1",)):
        assert command(*SMALL, *typed).code == 0
    compared = enter(compare.main, str(tmp_path / "outputs" / "runs"))
    assert re.search(r"left out: .*\(another task: task\._target_=my_other_tasks\.Ranking\)", compared.out)


def own_loss(folder: Path) -> None:
    """The module `my_losses`, with a class `FocalLoss`."""
    (folder / "my_losses.py").write_text(
        "import torch.nn.functional as F\n"
        "class FocalLoss:\n"
        "    def __init__(self, gamma):\n"
        "        self.gamma = gamma\n"
        "    def __call__(self, logits, labels):\n"
        "        each = F.cross_entropy(logits, labels, reduction='none')\n"
        "        return ((1 - (-each).exp()) ** self.gamma * each).mean()\n"
    )


def test_a_loss_of_ones_own_is_typed_as_a_node(command, tmp_path):
    own_loss(tmp_path)
    for gamma in (0, 2):
        ended = command(*SMALL, f"task.loss={{_target_: my_losses.FocalLoss, gamma: {gamma}}}")
        assert ended.code == 0, ended.err
    assert command(*SMALL).code == 0
    focal0, focal2, plain = (summary(run) for run in sorted((tmp_path / "outputs" / "runs").iterdir(), key=_gamma))
    assert focal0["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-4)
    assert focal2["val_loss"] < 0.9 * plain["val_loss"]


def _gamma(run: Path) -> str:
    loss = checkpoint.load(run / "checkpoints" / "last.pt")["config"]["task"]["loss"]
    return "none" if loss is None else str(loss["gamma"])


def test_files_of_a_classification_have_the_names_that_they_always_had(command, tmp_path):
    """In the order of commit 25a6d11: scripts of users read them. Some facts came later."""
    assert command("model=linear", "trainer.epochs=1", "trainer.monitor=val_loss").code == 0
    run, earlier = only_run(tmp_path), FIXTURES / "finished_cosine"
    assert [name for name in summary(run) if name not in ("commit", "data", "contents")] == [*summary(earlier)]
    new, old = ((folder / "history.csv").read_text().splitlines()[0] for folder in (run, earlier))
    assert new == old
    new, old = (checkpoint.load(folder / "checkpoints" / "last.pt")["progress"] for folder in (run, earlier))
    assert [*new] == [*old]
    assert points(run).keys() == points(earlier).keys()


def test_the_lines_of_a_classification_read_as_they_always_did():
    """Made anew from the numbers of a run of commit 25a6d11."""
    rows, said = history(FIXTURES / "finished_cosine"), summary(FIXTURES / "finished_cosine")
    logged = (FIXTURES / "finished_cosine" / "train.log").read_text()
    for row in rows:
        means = [{name: float(row[f"{split}_{name}"]) for name in ("loss", "accuracy")} for split in ("train", "val")]
        event = Epoch(int(row["epoch"]), int(row["step"]), float(row["lr"]), *means, 0.0, 0.0)
        assert epoch_line(event, len(rows)).rpartition("%")[0] in logged
    tally = Tally()
    tally.load_state_dict(said)
    assert result_line(tally, said["updates"], "val_accuracy").rpartition(" in ")[0] in logged


def test_an_epoch_that_is_not_validated_says_so_in_the_place_of_the_validation():
    event = Epoch(0, 5, 0.1, {"loss": 1.5, "accuracy": 0.25}, None, 2.0, 1000.0)
    assert epoch_line(event, 10) == (
        "epoch  1/10  lr 0.1       train loss   1.5000  acc  25.00%   not validated                      2.0s"
        "     1,000 images/s"
    )


def test_a_loss_is_named_by_its_class_and_typed_again_as_it_was(command, tmp_path):
    own_loss(tmp_path)
    node = "task.loss={_target_: my_losses.FocalLoss, gamma: 3}"
    assert command(*SMALL, "hydra.run.dir=run", "task.loss._target_=my_losses.FocalLoss", "task.loss.gamma=3").code == 0
    saved = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.pt")["config"]["task"]["loss"]
    assert saved == {"_target_": "my_losses.FocalLoss", "gamma": 3}
    refused = command("resume=run", "extend=4")
    assert refused.code == 1
    assert "task.loss._target_: got my_losses.FocalLoss, which " in refused.err
    ended = command("resume=run", "extend=4", node)
    assert ended.code == 0, ended.err


METRICS_ARE = "allowed: a tuple of lrlab.training.metrics.Metric, the loss first; "
WRONG_TASKS = {
    "metrics = ('accuracy',)": f"task.metrics: got ('accuracy',); {METRICS_ARE}",
    "metrics = METRICS['loss']": f"task.metrics: got loss; {METRICS_ARE}",
    "metrics = (METRICS['accuracy'],)": "task.metrics: got (Metric(name='accuracy'",
    "metrics = ()": f"task.metrics: got (); {METRICS_ARE}",
    "def training_loss(self, outputs, targets): return outputs.sum(1)": "task: got a tensor (2,) from training_loss, ",
    "def validation_loss(self, outputs): return outputs": "task: got an error on logits (2, 10) and labels (2,): ",
    "training_loss = None": "task._target_: got my_tasks.Task, which makes a Task; allowed: a class with",
}


@pytest.mark.parametrize("line", WRONG_TASKS)
def test_a_task_that_is_none_is_told_before_anything_trains(command, tmp_path, line):
    (tmp_path / "my_tasks.py").write_text(
        "from lrlab.training.metrics import METRICS\n"
        "from lrlab.training.task import Classification\n"
        f"class Task(Classification):\n    {line}\n"
    )
    sys.modules.pop("my_tasks", None)
    importlib.invalidate_caches()
    ended = command(*SMALL, "task._target_=my_tasks.Task")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"lrlab: error: {WRONG_TASKS[line]}")
    assert "task.loss" not in ended.err
    assert not (tmp_path / "outputs").exists()
