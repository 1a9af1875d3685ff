"""Intervals cover what they promise, whatever their noise, and the seeds named are enough."""

import math
import statistics as plain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrlab.comparison import statistics
from lrlab.comparison.statistics import Interval

# Quantiles 0.975 of Student's t, from the tables (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2).
T_TABLE = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}


@pytest.mark.parametrize("freedom", T_TABLE)
def test_the_interval_of_a_mean_is_students(freedom):
    values = [float(value) for value in range(freedom + 1)]
    expected = T_TABLE[freedom] * plain.stdev(values) / math.sqrt(len(values))
    assert statistics.mean(values).half_width == pytest.approx(expected, rel=2e-4)


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-3),
    st.lists(st.floats(-5, 5), min_size=2, max_size=8).filter(lambda values: np.ptp(values) > 1e-3),
    st.sampled_from([0.5, 0.95, 0.999]),
)
def test_the_interval_of_a_difference_is_welchs_as_scipy_has_it(one, other, level):
    found = statistics.welch(one, other, level=level)
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_a_paired_difference_is_the_mean_of_the_differences(pairs):
    one, other = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    assert statistics.paired(one, other) == statistics.mean(differences)


def test_one_seed_and_values_without_noise_have_no_interval():
    for values in ([0.5], [0.3, 0.3, 0.3], [0.0, 0.0], [0.1 + 0.2, 0.3, 0.3]):
        assert not statistics.mean(values).is_known
        assert not statistics.welch(values, values).is_known
    assert statistics.mean([0.5]).value == 0.5


def test_equal_counts_are_no_certainty_but_a_gain_of_many_images_is_one():
    step = 1 / 360
    assert statistics.mean([0.9, 0.9, 0.9], step=step).half_width == pytest.approx(
        4.303 * step / math.sqrt(36), rel=1e-3
    )
    gain = statistics.welch([0.9 + 10 * step] * 3, [0.9] * 3, step=step)
    assert gain.excludes(0.0)
    assert not statistics.welch([0.9 + step / 2] * 3, [0.9] * 3, step=step).excludes(0.0)


@given(st.integers(1, 40), st.data())
def test_a_rate_is_between_the_bounds_of_clopper_and_pearson(of, data):
    count = data.draw(st.integers(0, of))
    theirs = stats.binomtest(count, of).proportion_ci(0.95, "exact")
    found = statistics.rate(count, of)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@given(st.integers(6, 40))
def test_the_median_of_any_noise_is_covered_and_narrower_bounds_would_not_cover_it(n):
    found = statistics.median([float(value) for value in range(n)])
    below = int(found.low)  # so many values lie below the lower bound
    assert stats.binom.cdf(below, n, 0.5) <= 0.025 < stats.binom.cdf(below + 1, n, 0.5)
    assert found.low + found.high == n - 1


def test_below_six_seeds_a_median_has_no_interval_and_infinite_values_count():
    assert not statistics.median([1.0, 2.0, 3.0, 4.0, 5.0]).is_known
    assert statistics.median([3.0, math.inf, math.inf]).value == math.inf
    assert statistics.median([3.0, 4.0, math.inf]).value == 4.0
    assert statistics.median([3.0, math.inf]).value == math.inf


@given(st.lists(st.integers(0, 10), min_size=1, max_size=6), st.lists(st.integers(0, 10), min_size=1, max_size=6))
def test_the_chance_to_be_better_is_mann_and_whitneys_and_turns_round(one, other):
    found, turned = statistics.superiority(one, other), statistics.superiority(other, one)
    expected = stats.mannwhitneyu(one, other).statistic / (len(one) * len(other))
    assert found.value == pytest.approx(expected)
    assert (found.low, found.high) == pytest.approx((1 - turned.high, 1 - turned.low))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.integers(1, 9), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_means_of_counts_are_equal_where_the_counts_are(shift, counts):
    one = [count / 360 for count in counts]
    other = [(count + shift) / 360 for count in counts[:1]] + [count / 360 for count in counts[1:]]
    means = [statistics.exact_mean(values, are_shares=True) for values in (one, other)]
    assert means[1] - means[0] == statistics.exact_mean([shift / 360], are_shares=True) / len(counts)


@pytest.mark.parametrize("images", [144, 360, 6000, 10_000])
def test_the_number_of_images_follows_from_the_shares(images):
    counts = [images - 1, images // 2 + 1, images - 7]
    assert round(1 / statistics.counting_step(count / images for count in counts)) == images
    assert statistics.counting_step([math.pi / 4, math.e / 4]) == 0


def test_an_interval_turned_round_is_that_of_the_same_difference():
    assert Interval(1.0, 0.5, 2.0).reversed() == Interval(-1.0, -2.0, -0.5)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_the_truth_as_often_as_they_say(seeds):
    generator, truth = np.random.default_rng(seeds), 0.4
    one = generator.normal(truth, 1.0, (20_000, seeds))
    other = generator.normal(0.0, 1.0, (20_000, seeds))
    mean, difference = statistics.mean(one), statistics.welch(one, other)
    assert 0.945 < ((mean.low <= truth) & (truth <= mean.high)).mean() < 0.955
    assert 0.945 < ((difference.low <= truth) & (truth <= difference.high)).mean() < 0.97


def test_the_seeds_named_find_a_difference_of_that_size_in_four_of_five_repetitions():
    generator, effect = np.random.default_rng(0), 1.1
    needed = statistics.seeds_for(effect, 0.99)

    def found(seeds: int) -> float:
        one, other = generator.normal(effect, 1.0, (20_000, seeds)), generator.normal(0.0, 1.0, (20_000, seeds))
        return float(statistics.welch(one, other, level=0.99).excludes(0.0).mean())

    assert found(needed) > 0.79
    assert found(needed - 2) < 0.8
    assert statistics.detectable(needed, 0.99) <= effect < statistics.detectable(needed - 1, 0.99)


def test_no_effect_asks_for_no_number_and_a_stricter_level_for_more():
    assert statistics.seeds_for(0.0, 0.95) is None
    assert statistics.seeds_for(1.0, 0.997) > statistics.seeds_for(1.0, 0.95)
    assert statistics.detectable(1, 0.95) == math.inf


def test_pilots_that_saw_nothing_name_no_number():
    generator, named = np.random.default_rng(3), 0
    for _ in range(300):
        one, other = generator.normal(0.0, 1.0, (2, 5))
        undecided = not statistics.welch(one, other).excludes(0.0)
        named += undecided and statistics.seeds_that_would_tell(one, other, step=0.0, level=0.95) is not None
    assert named / 300 < 0.25
