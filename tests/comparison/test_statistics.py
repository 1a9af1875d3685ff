"""Intervals cover what they promise, claims are false as rarely as they promise, and the seeds named are enough."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.comparison.statistics import differences, holm, mean, seeds_needed

# Quantiles 0.975 of Student's t, from the tables (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
T_TABLE = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}


@pytest.mark.parametrize("freedom", T_TABLE)
def test_the_interval_is_students(freedom):
    values = [float(value) for value in range(freedom + 1)]
    expected = T_TABLE[freedom] * statistics.stdev(values) / math.sqrt(len(values))
    assert mean(values).half_width == pytest.approx(expected, rel=2e-4)


def test_one_seed_has_no_interval_and_no_claim():
    assert mean([0.5]).half_width is None
    [alone] = differences([[0.5]])
    assert (alone.p, alone.adjusted_p, alone.is_found, alone.seeds_needed) == (None, None, False, None)


@pytest.mark.parametrize("values", [[0.3, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0], [0.1 + 0.2, 0.3, 0.3], [1.0, 2.0]])
def test_two_seeds_and_differences_without_any_noise_support_no_claim(values):
    [judged] = differences([values])
    assert judged.p is None
    assert not judged.is_found


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_values_keep_the_order_and_lie_between_the_raw_ones_and_bonferronis(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) + 1e-12 for p, q in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_one_comparison_is_not_corrected():
    [alone] = differences([[0.1, 0.3, 0.2, 0.4]])
    assert alone.adjusted_p == alone.p


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_of_differences_cover_the_truth_as_often_as_they_say(seeds):
    generator, truth, covered = np.random.default_rng(seeds), 0.4, 0
    for _ in range(4000):
        result = mean(list(generator.normal(truth, 1.0, seeds)))
        covered += abs(result.value - truth) <= result.half_width
    assert 0.94 < covered / 4000 < 0.96


@pytest.mark.slow
def test_the_seeds_named_find_a_difference_of_the_size_seen_in_four_of_five_repetitions():
    generator = np.random.default_rng(0)
    pilot = list(generator.normal(0.8, 1.0, 6))
    needed = seeds_needed(pilot)
    effect, spread = abs(statistics.fmean(pilot)), statistics.stdev(pilot)
    found = sum(differences([list(generator.normal(effect, spread, needed))])[0].is_found for _ in range(2000))
    one_less = sum(differences([list(generator.normal(effect, spread, needed - 2))])[0].is_found for _ in range(2000))
    assert found / 2000 > 0.78
    assert one_less < found


def test_more_comparisons_ask_for_more_seeds_and_no_difference_for_no_number():
    values = [0.1, 0.5, 0.3, -0.1]
    assert seeds_needed(values, tests=6) > seeds_needed(values, tests=1)
    assert seeds_needed([0.1, -0.1, 0.1, -0.1]) is None
    assert seeds_needed([1e-9 + 1.0, -1.0, 1.0, -1.0]) is None
