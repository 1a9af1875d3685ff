"""What the runs of a sweep have in common is found out once, and each is what it is when it is checked alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lrlab.config import catalogue, compose, own_targets, prepare
from lrlab.errors import UserError
from lrlab.sweeps import plan

SMALL = ["data=fake", "data.image_size=8", "model=mlp"]
CASES = {
    "plain": [*SMALL, "scheduler=cosine"],
    "a schedule that refers to the LR": [*SMALL, "scheduler=onecycle", "optimizer.lr=0.3"],
    "groups": [*SMALL, "optimizer.groups.head={params:[head.*],lr_scale:0.5}"],
    "a seed of the split that is its own": [*SMALL, "data.split_seed=5"],
    "a seed of the split that is the run's": [*SMALL, "data.split_seed=${seed}"],
    "a length that is the seed": [*SMALL, "trainer.epochs=${seed}"],
    "a reference within a reference": [*SMALL, "data.split_seed=${${oc.decode:seed}}"],
    "an average": [*SMALL, "trainer.average=ema", "trainer.stop_early=5ep"],
}
LRS = ["optimizer.lr=0.1", "optimizer.lr=1"]
ODD = ["1e-3", "1E-3", "1_0", ".5", "5.", "-1", "0", "-0", "-0.0", "007", "1e400", "1e-3st"]
ODD += ["nan", "inf", "true", "null", "abc", "'0.1'", "[0.1]", "{a:1}"]
_OFTEN = ("constant", "lambda", "onecycle", "plateau", "sequence", "step", "wsd")  # tried with every change
SCHEDULERS = [
    pytest.param(name, marks=[] if name in _OFTEN else pytest.mark.slow) for name in catalogue.options("scheduler")
]
# What is typed for all runs, and then the overrides of each axis.
AXES: dict[str, tuple[list[str], list[list[str]]]] = {
    "gammas": (["scheduler=exponential"], [LRS, ["scheduler.gamma=0.9", "scheduler.gamma=1"]]),
    "lengths": (["scheduler=step"], [["scheduler.step_size=25%", "scheduler.step_size=3", "scheduler.step_size=2ep"]]),
    "settings of functions": (
        ["scheduler=wsd"],
        [LRS, ["scheduler.lr_lambda.decay=10%", "scheduler.lr_lambda.decay=7", "scheduler.lr_lambda.decay=0.3"]],
    ),
    "epochs": ([], [["trainer.epochs=4", "trainer.epochs=2.5", "trainer.epochs=0", "trainer.epochs=4ep"], LRS]),
    "two lengths of the run": (["trainer.steps=null"], [["trainer.epochs=4", "trainer.epochs=null"]]),
    "steps": ([], [["trainer.steps=40", "trainer.steps=2ep", "trainer.steps=null", "trainer.steps=0"]]),
    "data": ([], [["data.batch_size=32", "data.batch_size=100"], ["data.flip=true", "data.flip=false"], LRS]),
    "models": ([], [["model.width=8", "model.width=16", "model.width=8.0"], LRS]),
    "tasks": ([], [["task.label_smoothing=0", "task.label_smoothing=0.1", "task.label_smoothing=2"]]),
    "options": ([], [["scheduler=step", "scheduler=plateau"], ["optimizer=adam", "optimizer=sgd"], LRS]),
    "groups": (
        ["optimizer.groups.head.params=[head.*]", "optimizer.groups.head.schedule=onecycle"],
        [LRS, ["optimizer.groups.head.lr_scale=0.5", "optimizer.groups.head.lr_scale=2"]],
    ),
    "schedules of groups": (
        [],
        [["optimizer.groups.head.schedule=linear", "optimizer.groups.head.schedule=null"], LRS],
    ),
    "weight decay": (
        ["optimizer.schedule.weight_decay=cosine"],
        [["optimizer.weight_decay=0.1", "optimizer.weight_decay=0"]],
    ),
    "odd numbers": ([], [[f"optimizer.lr={text}" for text in ODD]]),
    "a setting that is added": (
        [],
        [["+optimizer.foreach=true", "optimizer.foreach=false", "++optimizer.foreach=null"]],
    ),
    "a setting typed twice": ([], [["optimizer.lr=0.1", "optimizer.lr=0.2"], ["optimizer.lr=0.3", "optimizer.lr=0.4"]]),
    "a setting inside of a node that is typed": (
        [],
        [
            ["optimizer.groups.head.lr_scale=0.5", "optimizer.groups.head.lr_scale=2"],
            ["optimizer.groups={head:{lr_scale:0.5}}", "optimizer.groups={}"],
        ],
    ),
    "a node that is typed before a setting inside of it": (
        ["optimizer.groups={head:{lr_scale:0.5}}"],
        [["optimizer.groups.head.lr_scale=0.5", "optimizer.groups.head.lr_scale=2"]],
    ),
    "a setting that does not exist": ([], [["optimizer.lr=0.1", "optimizer.lrr=0.1"]]),
    "a class": (
        ["scheduler._target_=torch.optim.lr_scheduler.StepLR", "scheduler.step_size=5"],
        [["scheduler.gamma=0.5", "scheduler.gamma=0.2"], LRS],
    ),
    "a reference that is typed": (["scheduler=cosine", "scheduler.eta_min=${optimizer.lr}"], [LRS]),
    "a reference on the axis": ([], [["optimizer.weight_decay=${optimizer.lr}", "optimizer.weight_decay=0.1"], LRS]),
    "early ends": ([], [["trainer.stop_early=5", "trainer.stop_early=5ep", "trainer.stop_early=null"], LRS[:1]]),
    "seeds": (["data.split_seed=${seed}"], [["seed=1", "seed=2", "seed=x"], LRS]),
}
# Nodes of a user's optimizer that refer to its LR in every way.
REFERENCES = {
    "plainly": "weight_decay: ${optimizer.lr}",
    "by another one": "weight_decay: ${optimizer.dampening}\ndampening: ${optimizer.lr}",
    "from beside": "weight_decay: ${.lr}",
    "by a resolver": "weight_decay: ${oc.decode:'${optimizer.lr}'}",
    "in a text": "name: at_${optimizer.lr}",
    "in a list": "betas: ['${optimizer.lr}', 0.9]",
    "with all of the node": "copy: ${optimizer}",
    "by name": "weight_decay: ${oc.select:optimizer.lr}",
}


def checked_alone(overrides: list[str]) -> prepare.Checked:
    return prepare.prepare_typed(compose.compose(overrides), overrides).checked


@contextmanager
def the_long_way(monkeypatch) -> Iterator[None]:
    """In this block Hydra makes every object, and every scheduler is stepped through the whole run."""
    with monkeypatch.context() as patch:
        patch.setattr(own_targets, "is_own", lambda _: False)
        yield


def found(check: Callable[[list[str]], prepare.Checked], overrides: list[str]) -> Any:
    """What a check makes of a run, with texts that tell 1 from 1.0; or what it says of the mistake in it."""
    try:
        checked = check(overrides)
    except UserError as error:
        return str(error)
    return repr(checked), checked.identity.settings


def require_equal(monkeypatch, runs: list[list[str]]) -> None:
    """Each of the runs of a sweep is what it is alone."""
    checks = plan.Checks()
    for overrides in runs:
        together = found(lambda run: checks.job(run, Path("sweep"), "run").checked, overrides)
        with the_long_way(monkeypatch):
            assert together == found(checked_alone, overrides), overrides


@pytest.mark.parametrize("typed", CASES.values(), ids=CASES)
def test_a_run_is_what_it_is_when_it_is_checked_alone(typed, monkeypatch):
    seeds = ("seed=1", "seed=30")
    require_equal(monkeypatch, [run for seed in seeds for run in ([*typed, seed], [seed, *typed])])


@pytest.mark.parametrize(("typed", "axes"), AXES.values(), ids=AXES)
def test_a_run_on_any_axis_is_what_it_is_when_it_is_checked_alone(typed, axes, monkeypatch):
    require_equal(monkeypatch, [[*SMALL, *typed, *values] for values in product(*axes)])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_run_with_any_scheduler_is_what_it_is_when_it_is_checked_alone(scheduler, monkeypatch):
    typed = [*SMALL, f"scheduler={scheduler}", "trainer.epochs=4"]
    group = "optimizer.groups.head.lr_scale=0.5"
    require_equal(monkeypatch, [[*typed, LRS[0]], [*typed, LRS[1]], [*typed, group, LRS[1]]])


@pytest.mark.parametrize("optimizer", catalogue.options("optimizer"))
def test_a_run_with_any_optimizer_is_what_it_is_when_it_is_checked_alone(optimizer, monkeypatch):
    typed = [*SMALL, f"optimizer={optimizer}", "scheduler=wsd", "trainer.epochs=4"]
    require_equal(monkeypatch, [[*typed, LRS[0]], [*typed, LRS[1]], [*typed, LRS[1], "seed=3"]])


@pytest.mark.parametrize("written", REFERENCES.values(), ids=REFERENCES)
def test_what_refers_to_a_setting_follows_it(written, tmp_path, monkeypatch):
    (tmp_path / "optimizer").mkdir()
    node = f"_target_: torch.optim.SGD\nlr: 0.1\n{written}\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(node)
    typed = [*SMALL, f"hydra.searchpath=['file://{tmp_path}']", "optimizer=mine"]
    require_equal(monkeypatch, [[*typed, lr, seed] for lr in LRS for seed in ("seed=1", "seed=2")])


def test_the_second_seed_needs_no_config(monkeypatch):
    checks = plan.Checks()
    first = checks.job([*SMALL, "seed=1"], Path("sweep"), "one")
    monkeypatch.setattr(compose, "compose", None)
    second = checks.job([*SMALL, "seed=2"], Path("sweep"), "other")
    assert (first.checked.seed, second.checked.seed) == (1, 2)
    assert first.checked.plan is second.checked.plan


def test_a_hundred_runs_are_composed_once_and_a_schedule_is_computed_once(monkeypatch):
    composed, computed = [], []
    compose_one, factors = compose.compose, prepare.factors
    monkeypatch.setattr(compose, "compose", lambda *args, **more: composed.append(args) or compose_one(*args, **more))
    monkeypatch.setattr(prepare, "factors", lambda *args: computed.append(args) or factors(*args))
    checks = plan.Checks()
    for number in range(100):
        typed = [f"optimizer.lr={0.001 * (number // 10 + 1):.3g}", f"scheduler.lr_lambda.decay={number % 10 + 1}"]
        checks.job([*SMALL, "scheduler=wsd", *typed], Path("sweep"), "run")
    assert (len(composed), len(computed)) == (1, 10)


@pytest.mark.parametrize("seed", ["-1", "9223372036854775808", "1.5", "007", "'7'", "null"])
def test_a_seed_that_is_none_is_refused_like_the_first(seed):
    checks = plan.Checks()
    checks.job([*SMALL, "seed=1"], Path("sweep"), "one")
    overrides = [*SMALL, f"seed={seed}"]
    together = found(lambda run: checks.job(run, Path("sweep"), "other").checked, overrides)
    assert together == found(checked_alone, overrides)
