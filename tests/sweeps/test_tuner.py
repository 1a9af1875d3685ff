"""How tuning runs are spent: all of them, the same way after any stop, beyond edges, between neighbours, on seeds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.sweeps.tuner import Tried, Tuning, grid_around

GRID = (0.02, 0.06, 0.2)


def tuning(runs: int = 12, grid=GRID) -> Tuning:
    return Tuning(grid=grid, runs=runs, lower_is_better=False, are_shares=False)


def spent(plan: Tuning, value, *, stop_after: int = 10**6) -> list[Tried]:
    """All runs of a tuning in which a run at an LR with a seed has `value(lr, seed)`."""
    tried: list[Tried] = []
    while (wanted := plan.next_runs(tried)) and len(tried) < stop_after:
        tried += [Tried(lr, seed, value(lr, seed)) for lr, seed in wanted]
    return tried


def peak(at: float):
    """Accuracies with their best at an LR."""
    return lambda lr, seed: 1 - 0.1 * abs(math.log(lr / at)) + 1e-4 * seed


@given(st.floats(0.0005, 5), st.integers(3, 30))
def test_every_run_of_the_budget_is_spent_once(at, runs):
    tried = spent(tuning(runs), peak(at))
    assert len(tried) == runs
    assert len({(one.lr, one.seed) for one in tried}) == runs


@given(st.floats(0.0005, 5), st.integers(3, 20), st.integers(1, 20))
def test_what_comes_next_follows_from_what_was_tried(at, runs, stopped):
    """Whoever is stopped within a round goes on with the rest of it."""
    plan, value = tuning(runs), peak(at)
    whole = spent(plan, value)
    part = whole[: min(stopped, runs)]
    there = {(one.lr, one.seed) for one in part}
    while wanted := plan.next_runs(part):
        new = [(lr, seed) for lr, seed in wanted if (lr, seed) not in there]
        assert new, "the same runs would be asked for for ever"
        part = part + [Tried(lr, seed, value(lr, seed)) for lr, seed in new]
        there |= set(new)
    assert len(part) == runs


@pytest.mark.parametrize("at", [0.002, 0.006, 0.6, 1.8])
def test_a_best_lr_at_the_edge_extends_the_grid(at):
    lrs = {one.lr for one in spent(tuning(), peak(at))}
    assert min(lrs) < at < max(lrs)


def test_gaps_beside_the_best_are_halved_and_then_seeds_are_added():
    tried = spent(tuning(), peak(0.06))
    assert [(one.lr, one.seed) for one in tried[:5]] == [(0.02, 0), (0.06, 0), (0.2, 0), (0.0346, 0), (0.11, 0)]
    seeds = {lr: max(one.seed for one in tried if one.lr == lr) for lr in (0.0346, 0.06, 0.11)}
    assert min(seeds.values()) >= 1
    assert tuning().best_lr(tried) == 0.06


def test_failed_runs_count_and_their_lr_is_not_chosen():
    def value(lr, seed):
        return None if lr > 0.1 else peak(0.2)(lr, seed)

    tried = spent(tuning(), value)
    assert len(tried) == 12
    assert any(one.value is None for one in tried)
    assert tuning().best_lr(tried) <= 0.1


def test_where_every_run_fails_lower_lrs_are_tried_until_the_budget_is_spent():
    tried = spent(tuning(6), lambda _lr, _seed: None)
    assert [one.lr for one in tried] == pytest.approx([0.02, 0.06, 0.2, 0.00667, 0.00222, 0.000739])
    assert tuning(6).best_lr(tried) is None


def test_of_a_loss_the_lowest_is_the_best():
    plan = Tuning(grid=GRID, runs=3, lower_is_better=True, are_shares=False)
    tried = spent(plan, lambda lr, _seed: abs(lr - 0.06))
    assert plan.best_lr(tried) == 0.06


def test_a_grid_around_an_lr_has_it_in_its_middle():
    assert grid_around(0.02) == (0.00667, 0.02, 0.06)
