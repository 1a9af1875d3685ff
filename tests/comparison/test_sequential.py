"""Looking often costs no more errors than looking once, and a design that can claim nothing is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.comparison import sequential, statistics


@given(st.integers(3, 200), st.integers(1, 10))
def test_looks_rise_to_the_maximum_and_each_has_seeds_enough_to_judge(maximum, count):
    at = sequential.looks(maximum, count)
    assert at[-1] == maximum
    assert list(at) == sorted(set(at))
    assert at[0] >= min(5, maximum)
    assert len(at) <= count


def test_one_look_has_the_whole_error():
    assert sequential.levels((7,), 3) == (pytest.approx(1 - 0.05 / 3),)


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("test", ["welch", "paired"])
@pytest.mark.slow
def test_all_looks_together_keep_the_error(together, test):
    """On normal noise that no simulation of the levels has seen, with deviations that are equal and not."""
    at = (4, 8, 12)
    levels = sequential.levels(at, together, test)
    generator, studies = np.random.default_rng(5), 60_000
    for deviation in (1.0, 3.0):
        one = generator.normal(0.0, 1.0, (studies, at[-1]))
        other = generator.normal(0.0, deviation, (studies, at[-1]))
        compare = statistics.welch if test == "welch" else statistics.paired
        crossed = np.zeros(studies, dtype=bool)
        for seeds, level in zip(at, levels, strict=True):
            crossed |= compare(one[:, :seeds], other[:, :seeds], level=level).excludes(0.0)
        error = 0.05 / together
        assert crossed.mean() < error + 3 * math.sqrt(error / studies) + 0.03 * error
        assert crossed.mean() > 0.75 * error


def test_many_pairs_for_a_simulation_spend_the_errors_look_by_look():
    levels = sequential.levels((5, 10), 1000)
    assert sum(1 - level for level in levels) == pytest.approx(0.05 / 1000)


@pytest.mark.slow
def test_later_looks_are_less_strict_and_more_pairs_are_stricter():
    levels = sequential.levels((5, 10, 15, 20), 3)
    assert list(levels) == sorted(levels, reverse=True)
    assert all(ours > theirs for ours, theirs in zip(levels, sequential.levels((5, 10, 15, 20), 1), strict=True))


@pytest.mark.parametrize("pairs", [1, 3, 15, 45])
def test_the_fewest_seeds_that_can_claim_find_three_deviations_more_often_than_not(pairs):
    fewest = sequential.fewest_that_can_claim(pairs)
    level = 1 - 0.05 / pairs
    assert statistics.power(3.0, fewest, level) >= 0.5
    assert fewest == 3 or statistics.power(3.0, fewest - 1, level) < 0.5
