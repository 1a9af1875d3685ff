"""Which LR is the best: on common seeds, exactly, and untouched by what happens at LRs that lose."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lrlab.comparison import choice

COUNTS = st.integers(0, 360)


def best(values, failed=None, *, lower_is_better=False) -> float:
    return choice.best_lr(values, failed or {}, lower_is_better=lower_is_better, are_shares=True)


def grids(lrs: int, seeds: int):
    """Accuracies at LRs 1, 2, ... for seeds 0, 1, ..."""
    column = st.lists(COUNTS, min_size=seeds, max_size=seeds)
    return st.lists(column, min_size=lrs, max_size=lrs).map(
        lambda table: {
            float(lr + 1): {seed: count / 360 for seed, count in enumerate(column)} for lr, column in enumerate(table)
        }
    )


@given(grids(3, 4), st.data())
def test_a_run_with_a_new_seed_at_an_lr_that_loses_changes_nothing(values, data):
    before = best(values)
    loser = data.draw(st.sampled_from([lr for lr in values if lr != before]))
    changed = {**values, loser: {**values[loser], 99: data.draw(COUNTS) / 360}}
    assert best(changed) == before


@given(grids(3, 4), st.data())
def test_neither_does_a_failed_run_or_a_whole_lr_that_is_worse(values, data):
    before = best(values)
    loser = data.draw(st.sampled_from([lr for lr in values if lr != before]))
    assert best(values, {loser: 1}) == before
    worse = {seed: value - 1 / 360 for seed, value in values[before].items()}
    seeds = data.draw(st.integers(1, 4))
    assert best({**values, 0.5: dict([*worse.items()][:seeds])}) == before


@given(grids(4, 3))
def test_with_the_same_seeds_everywhere_the_largest_mean_is_the_best_and_of_equal_ones_the_smallest_lr(values):
    counts = {lr: sum(round(360 * value) for value in by_seed.values()) for lr, by_seed in values.items()}
    assert best(values) == min(lr for lr in values if counts[lr] == max(counts.values()))
    assert best(values, lower_is_better=True) == min(lr for lr in values if counts[lr] == min(counts.values()))


def test_where_lrs_beat_each_other_in_a_circle_the_one_that_loses_by_least_is_taken():
    circle = {
        1.0: {0: 0.9, 1: 0.6},  # beats the second by 0.1
        2.0: {1: 0.5, 3: 0.9},  # beats the third by 0.8
        3.0: {0: 0.95, 3: 0.1},  # beats the first by 0.05
    }
    assert best(circle) == 1.0
    assert best(dict(reversed(circle.items()))) == 1.0


def test_an_lr_at_which_runs_failed_cannot_win_by_its_survivors():
    values = {0.1: {0: 0.8, 1: 0.8, 2: 0.8}, 0.5: {0: 0.95, 1: 0.95}}
    assert best(values, {0.5: 1}) == 0.1
    assert best(values) == 0.5
    assert best(values, {0.1: 2, 0.5: 1}) == 0.5  # fewer failed there


@given(grids(3, 3), st.data())
def test_where_runs_failed_at_every_lr_a_run_more_at_one_that_loses_changes_nothing(values, data):
    failed = dict.fromkeys(values, 1)
    before = best(values, failed)
    loser = data.draw(st.sampled_from([lr for lr in values if lr != before]))
    assert best({**values, loser: {**values[loser], 99: data.draw(COUNTS) / 360}}, failed) == before
    assert best(values, {**failed, loser: 2}) == before


@given(grids(3, 1), st.data())
def test_neither_do_more_seeds_than_others_have(values, data):
    before = best(values)
    loser = data.draw(st.sampled_from([lr for lr in values if lr != before]))
    more = {seed: data.draw(COUNTS) / 360 for seed in (1, 2, 3)}
    assert best({**values, loser: {**values[loser], **more}}) == before


@given(st.dictionaries(st.sampled_from([0.1, 0.2, 0.4, 0.8]), st.floats(0.1, 1), min_size=2))
def test_the_width_holds_the_best_lr_and_no_lr_that_is_far_worse(means):
    low, high = choice.width_within(means, share=0.05, lower_is_better=False)
    top = max(means.values())
    assert low <= min(lr for lr in means if means[lr] == top) <= high
    inside = [lr for lr in means if low <= lr <= high]
    assert all(means[lr] >= 0.95 * top - 1e-12 for lr in inside)


def test_the_width_is_found_between_two_lrs():
    low, high = choice.width_within({0.1: 0.8, 0.4: 1.0, 1.6: 1.0}, share=0.05, lower_is_better=False)
    assert low == pytest.approx(0.4 * 0.25 ** (0.05 / 0.2))
    assert high == 1.6
    assert choice.width_within({0.1: 1.0, 0.2: 1.04}, share=0.05, lower_is_better=True) == (0.1, 0.2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_more_tuning_runs_never_make_the_expected_best_worse(values):
    found = choice.expected_best(values, lower_is_better=False)
    assert found[0] == pytest.approx(sum(values) / len(values))
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(found))
    assume(len(values) > 1)
    assert max(values) >= found[-1] - 1e-9
