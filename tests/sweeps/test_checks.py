"""Runs that differ in their seeds are checked once, and each is what it is when it is checked alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lrlab.config import compose, prepare
from lrlab.errors import UserError
from lrlab.sweeps import plan

SMALL = ["data=fake", "model=mlp"]
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


def checked_alone(overrides: list[str]) -> prepare.Checked:
    return prepare.prepare_typed(compose.compose(overrides), overrides).checked


def found(check: Callable[[list[str]], prepare.Checked], overrides: list[str]) -> prepare.Checked | str:
    """What a check makes of a run, or what it says of the mistake in it."""
    try:
        return check(overrides)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("typed", CASES.values(), ids=CASES)
def test_a_run_is_what_it_is_when_it_is_checked_alone(typed):
    checks = plan.Checks()
    for seed in ("seed=1", "seed=2", "seed=30", "seed=2"):
        for overrides in ([*typed, seed], [seed, *typed]):
            together = found(lambda run: checks.job(run, Path("sweep"), "run").checked, overrides)
            assert together == found(checked_alone, overrides)


def test_the_second_seed_needs_no_config(monkeypatch):
    checks = plan.Checks()
    first = checks.job([*SMALL, "seed=1"], Path("sweep"), "one")
    monkeypatch.setattr(compose, "compose", None)
    second = checks.job([*SMALL, "seed=2"], Path("sweep"), "other")
    assert (first.checked.seed, second.checked.seed) == (1, 2)
    assert first.checked.plan is second.checked.plan


@pytest.mark.parametrize("seed", ["-1", "9223372036854775808", "1.5", "007", "'7'", "null"])
def test_a_seed_that_is_none_is_refused_like_the_first(seed):
    checks = plan.Checks()
    checks.job([*SMALL, "seed=1"], Path("sweep"), "one")
    overrides = [*SMALL, f"seed={seed}"]
    together = found(lambda run: checks.job(run, Path("sweep"), "other").checked, overrides)
    assert together == found(checked_alone, overrides)
