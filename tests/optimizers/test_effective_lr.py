"""An optimizer that finds a step size d by itself has d x LR recorded beside the LR, of every group."""

import importlib
import signal
import sys
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import torch
from support import StopAt, history, points, same_weights, summary, weights

from lrlab.lr.hyperparameters import adapts_its_lr, effective, read
from lrlab.runs import checkpoint

CODE = '''
import torch

class Finds(torch.optim.SGD):
    """Finds a step size, as Prodigy does: it doubles with every update."""
    def __init__(self, params, lr=0.1, d0=1e-3):
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            group["d"] = d0

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(parameter.grad, alpha=-group["d"] * group["lr"])
            group["d"] = 2 * group["d"]
'''
SMALL = ("model=linear", "data.batch_size=256", "trainer.epochs=2", "scheduler=warmup_cosine")
TARGET = "optimizer._target_=finds.Finds"
UPDATES = 12


@pytest.fixture(autouse=True)
def finds(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "finds.py").write_text(CODE)
    sys.modules.pop("finds", None)
    importlib.invalidate_caches()


def test_it_is_what_each_update_used(command):
    assert command(*SMALL, TARGET, "optimizer.lr=0.5", "hydra.run.dir=run").code == 0
    recorded = points(Path("run"))
    d = [1e-3 * 2.0**step for step in range(UPDATES)]
    lrs = [lr for _, lr in recorded["lr"]]
    assert [value for _, value in recorded["lr/effective"]] == pytest.approx(numpy.multiply(d, lrs), rel=1e-6)
    assert "lr/effective" not in summary(Path("run"))["plan"]
    assert summary(Path("run"))["audit"]["equal"]


def test_of_several_groups_each_has_its_own(command):
    groups = ("optimizer.groups.head.params=[head.bias]", "optimizer.groups.head.lr_scale=0.5")
    assert command(*SMALL, TARGET, *groups, "hydra.run.dir=run").code == 0
    recorded = points(Path("run"))
    whole = [value for _, value in recorded["lr/effective"]]
    assert [value for _, value in recorded["lr/effective/head"]] == pytest.approx([0.5 * one for one in whole])


def test_a_stopped_run_records_it_as_a_whole_one(command, monkeypatch):
    assert command(*SMALL, TARGET, "hydra.run.dir=whole").code == 0
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 4)
        assert command(*SMALL, TARGET, "hydra.run.dir=parts").code == 143
    assert command("resume=parts", TARGET).code == 0
    assert points(Path("parts")) == points(Path("whole"))
    assert same_weights(weights(Path("parts")), weights(Path("whole")))


def test_a_run_from_before_it_was_recorded_goes_on(command, monkeypatch):
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 4)
        assert command(*SMALL, TARGET, "hydra.run.dir=run").code == 143
    last = Path("run") / checkpoint.LAST
    contents = checkpoint.load(last)
    contents.pop("lrlab")
    contents["tracker"]["curves"] = contents["tracker"]["curves"][:-1]
    checkpoint.save(last, contents)
    done = command("resume=run", TARGET)
    assert done.code == 0, done.err
    assert len(history(Path("run"))) == 2


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adafactor"])
def test_others_have_none(name):
    optimizer = getattr(torch.optim, name)([torch.zeros(2, 2, requires_grad=True)], lr=0.1)
    assert not adapts_its_lr(optimizer)


def test_what_is_read_is_planned_and_what_is_effective_is_not():
    from finds import Finds

    optimizer = Finds([{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)]}], lr=0.5)
    assert adapts_its_lr(optimizer)
    assert effective(optimizer) == {"lr/effective": 0.5e-3, "lr/effective/1": 0.5e-3}
    assert read(optimizer).keys() & effective(optimizer).keys() == set()


@pytest.mark.parametrize(
    ("package", "name"),
    [("prodigyopt", "Prodigy"), *(("pytorch_optimizer", name) for name in ("Prodigy", "DAdaptAdam", "DAdaptSGD"))],
)
def test_the_ones_that_there_are_are_known(command, package, name):
    pytest.importorskip(package, reason=f"{package} is not installed")
    target = f"optimizer._target_={package}.{name}"
    assert command(*SMALL, target, "optimizer.lr=1", "hydra.run.dir=run").code == 0
    recorded = points(Path("run"))
    values = [value for _, value in recorded["lr/effective"]]
    assert len(values) == UPDATES
    assert all(0 < value < 1 for value in values)
    ratios = [value / lr for value, (_, lr) in zip(values, recorded["lr"], strict=True)]
    assert all(other > one * (1 - 1e-6) for one, other in pairwise(ratios))  # d only grows
    assert ratios[-1] > ratios[0]
    saved = checkpoint.load(Path("run") / checkpoint.LAST)["state"]["optimizer"]["param_groups"]
    assert saved[0]["d"] >= ratios[-1] * (1 - 1e-6)
