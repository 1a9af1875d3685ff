"""Optimizers and schedulers of others: what is theirs stays theirs, in plans, resumed runs and extended ones."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from stopped_runs import stop_at, validation_again
from support import composed, history, points, same_weights, summary, weights

from lrlab.config.prepare import plan_only, prepare
from lrlab.lr.hyperparameters import count_as_stepped, follows_metric, metric_argument
from lrlab.runs import checkpoint

CODE = '''
import numpy
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

class Counts(torch.optim.SGD):
    """Counts its steps in its groups, as Prodigy keeps its estimate there, and decays weights without a gradient."""
    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
            group["lr_seen"] = numpy.float64(group["lr"])
            for parameter in group["params"]:
                parameter.data.mul_(0.999)
        return super().step(closure)

class Whole(torch.optim.SGD):
    """Fails where there is no gradient."""
    def step(self, closure=None):
        self.param_groups[0]["params"][0].grad.norm()
        return super().step(closure)

class Calls:
    """Falls with every call, whoever calls it."""
    def __init__(self):
        self.calls = 0
    def __call__(self, epoch):
        self.calls += 1
        return 0.9 ** self.calls

def double(epoch): return numpy.float64(0.5) ** epoch
def single(epoch): return numpy.float32(0.5) ** epoch
def whole(epoch): return numpy.int64(1)

class OldWarmup(LRScheduler):
    """As warmup_scheduler.GradualWarmupScheduler, whose step() may be told an epoch, a metric or nothing."""
    def get_lr(self): return [base / (1 + max(self.last_epoch, 0)) for base in self.base_lrs]
    def step(self, epoch=None, metrics=None):
        assert epoch is None or isinstance(epoch, int)
        super().step()

class Follows(ReduceLROnPlateau):
    def step(self, val_loss): super().step(val_loss)

class NeedsEpoch(LRScheduler):
    def get_lr(self): return self.base_lrs
    def step(self, epoch): super().step()
'''
SMALL = ("model=linear", "data.batch_size=256", "trainer.epochs=4")


@pytest.fixture(autouse=True)
def foreign(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "foreign.py").write_text(CODE)
    sys.modules.pop("foreign", None)
    importlib.invalidate_caches()


def state_of(folder: Path) -> dict:
    return checkpoint.load(folder / checkpoint.LAST)["state"]


def test_what_an_optimizer_counts_in_its_groups_goes_on_when_a_run_is_extended(command):
    typed = ("optimizer._target_=foreign.Counts", "optimizer.lr=0.1")
    assert command(*SMALL, *typed, "scheduler=cosine", "hydra.run.dir=run").code == 0
    longer = command("resume=run", "extend=6", typed[0])
    assert longer.code == 0, longer.err
    [group, *_] = state_of(Path("run"))["optimizer"]["param_groups"]
    assert group["k"] == summary(Path("run"))["updates"]
    assert summary(Path("run"))["audit"]["equal"]


@pytest.mark.parametrize("scheduler", ["cosine", "onecycle", "plateau"])
def test_no_step_is_tried_on_what_trains(command, scheduler):
    typed = ("optimizer._target_=foreign.Counts", "optimizer.lr=0.1", f"scheduler={scheduler}")
    assert command(*SMALL, *typed, "hydra.run.dir=whole").code == 0
    assert state_of(Path("whole"))["optimizer"]["param_groups"][0]["k"] == summary(Path("whole"))["updates"]
    # The same in two parts.
    assert command(*SMALL, *typed, "hydra.run.dir=parts").code == 0
    for name in ("last", "previous"):
        (Path("parts/checkpoints") / f"{name}.pt").replace(Path(f"parts/checkpoints/{name}.kept"))
    Path("parts/checkpoints/last.pt").write_bytes(Path("parts/checkpoints/previous.kept").read_bytes())
    assert command("resume=parts", typed[0]).code == 0
    assert same_weights(weights(Path("parts")), weights(Path("whole")))
    assert points(Path("parts")) == points(Path("whole"))


def test_an_optimizer_that_wants_gradients_is_no_mistake(command):
    assert command(*SMALL, "optimizer._target_=foreign.Whole", "optimizer.lr=0.1").code == 0


@pytest.mark.parametrize("name", ["double", "single", "whole"])
def test_numbers_of_numpy_become_plain_where_they_are_saved(command, name):
    typed = ("scheduler=lambda", f"scheduler.lr_lambda._target_=foreign.{name}")
    done = command(*SMALL, *typed, "hydra.run.dir=run")
    assert (done.code, done.err) == (0, "")
    again = command("resume=run", "extend=5", typed[1])
    assert again.code == 0, again.err
    assert summary(Path("run"))["audit"]["equal"]


def test_an_object_that_counts_its_calls_is_planned_with_another_one(command):
    done = command(*SMALL, "scheduler=lambda", "scheduler.lr_lambda={_target_: foreign.Calls}", "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert summary(Path("run"))["audit"]["equal"]
    assert [float(row["lr"]) for row in history(Path("run"))] == pytest.approx([0.02 * 0.9**n for n in (1, 2, 3, 4)])


def test_a_metric_is_told_by_its_name_and_only_to_what_needs_one(command):
    from lrlab.config.checks import locate

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    count_as_stepped(optimizer)
    assert not follows_metric(locate("foreign.OldWarmup", "scheduler")(optimizer))
    assert metric_argument(locate("foreign.Follows", "scheduler")(optimizer)) == "val_loss"
    done = command(*SMALL, "scheduler._target_=foreign.OldWarmup", "hydra.run.dir=old")
    assert done.code == 0, done.err
    assert [float(row["lr"]) for row in history(Path("old"))] == pytest.approx([0.02, 0.01, 0.02 / 3, 0.005])
    followed = command(
        *SMALL, "scheduler._target_=foreign.Follows", "scheduler.patience=0", "+scheduler.monitor=val_loss"
    )
    assert followed.code == 0, followed.err


def test_a_step_that_cannot_be_made_is_told_with_its_own_words(command):
    refused = command(*SMALL, "scheduler._target_=foreign.NeedsEpoch")
    assert refused.code == 1
    assert "missing 1 required positional argument: 'epoch'" in refused.err
    assert "durations" not in refused.err


TWO_POINTS = '''
class TwoPoints(torch.optim.SGD):
    """As schedule-free optimizers: trains at one point and is used at another, the average so far."""
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        self.mode = "eval"
    def step(self, closure=None):
        assert self.mode == "train", "step() in eval mode"
        super().step(closure)
        for group in self.param_groups:
            group["steps"] = group.get("steps", 0) + 1
            for p in group["params"]:
                state = self.state[p]
                mean = state.setdefault("mean", p.detach().clone())
                mean.lerp_(p.detach(), 1 / group["steps"])
    def _exchange(self, mode):
        if self.mode != mode:
            self.mode = mode
            for group in self.param_groups:
                for p in group["params"]:
                    if "mean" in self.state[p]:
                        here = p.detach().clone()
                        p.data.copy_(self.state[p]["mean"])
                        self.state[p]["mean"].copy_(here)
    def train(self): self._exchange("train")
    def eval(self): self._exchange("eval")
'''
OF_TWO = ("optimizer._target_=foreign.TwoPoints", "scheduler=constant", "trainer.epochs=3", "data.batch_size=256")


@pytest.fixture
def two_points(tmp_path):
    (tmp_path / "foreign.py").write_text(CODE + TWO_POINTS)


@pytest.mark.usefixtures("two_points")
def test_what_is_saved_of_an_optimizer_with_two_points_is_what_was_evaluated(command):
    assert command(*OF_TWO, "model=cnn", "hydra.run.dir=run").code == 0
    recorded = float(history(Path("run"))[-1]["val_loss"])
    assert validation_again(Path("run"), *OF_TWO, "model=cnn") == pytest.approx(recorded, rel=1e-6)


@pytest.mark.usefixtures("two_points")
@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.slow), 5, 11, "validation"])
def test_a_run_with_two_points_goes_on_exactly_from_wherever_it_was_stopped(command, monkeypatch, step):
    typed = [*OF_TWO, "model=cnn", "model.dropout=0.3"]
    assert command(*typed, "hydra.run.dir=undisturbed").code == 0
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert command(*typed, "hydra.run.dir=run").code == 143
    assert command("resume=run", OF_TWO[0]).code == 0
    assert same_weights(weights(Path("run")), weights(Path("undisturbed")))
    assert history(Path("run")) == history(Path("undisturbed"))


FIRST_BY_ANOTHER_NAME = """
def make_optimizer(model_or_params, opt="sgd", lr=0.1):
    return torch.optim.SGD(model_or_params, lr=lr)

def make_scheduler(name, optimizer, num_training_steps: int):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_training_steps)

class ByPosition(torch.optim.lr_scheduler.ExponentialLR):
    def __init__(self, opt, gamma: float):
        super().__init__(opt, gamma)

class OnlyByPosition(torch.optim.SGD):
    def __init__(self, params, /, lr=0.1):
        super().__init__(params, lr=lr)

class Touches(torch.optim.SGD):
    # changes its parameters when it is made, as some do that keep a copy
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.mul_(1.0)
"""


@pytest.mark.parametrize(
    "typed",
    [
        "optimizer._target_=foreign.make_optimizer optimizer.lr=0.05",
        "scheduler={_target_:foreign.make_scheduler,name:cosine,num_training_steps:100%}",
        "scheduler={_target_:foreign.ByPosition,gamma:0.9}",
        "optimizer._target_=foreign.Unlimited",
        "optimizer._target_=foreign.OnlyByPosition",
        "optimizer._target_=foreign.Touches",
    ],
)
def test_what_trains_is_handed_over_whatever_its_parameter_is_called(tmp_path, typed):
    (tmp_path / "foreign.py").write_text(CODE + FIRST_BY_ANOTHER_NAME + UNLIMITED)
    prepare(composed(*SMALL, *typed.split()))
    plan_only(composed(*SMALL, *typed.split()))


UNLIMITED = '''
class Unlimited(torch.optim.SGD):
    """As Prodigy, one of whose defaults is infinite."""
    def __init__(self, params, lr=0.1, growth_rate=float("inf")):
        super().__init__(params, lr=lr)
        self.defaults["growth_rate"] = growth_rate
'''


SHAPED = """
class Shaped(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        assert sorted(tuple(p.shape) for p in self.param_groups[0]["params"]) == [(10,), (10, 64)]
"""


def test_a_plan_is_made_with_parameters_of_the_models_own_shapes(tmp_path):
    (tmp_path / "foreign.py").write_text(CODE + SHAPED)
    prepare(composed(*SMALL, "optimizer._target_=foreign.Shaped"))


def test_an_optimizer_for_matrices_alone_has_a_preview():
    plan, _ = plan_only(composed(*SMALL, "optimizer._target_=torch.optim.Muon"))
    assert plan.lrs is not None
