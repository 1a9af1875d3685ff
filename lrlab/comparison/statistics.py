"""What a handful of seeds can tell: intervals of means, of differences and of shares, and how many seeds it would take.

Intervals of means and differences rest on Student's t, because there are few seeds. A percentile bootstrap of five
values covers the truth in about 83 % of cases where it promises 95 %; t covers it in 95 %, if the noise is normal.

All functions take samples as arrays (..., n), one value a seed along the last axis, and give results (...), so that
ten thousand fabricated sweeps are judged by the very code that judges one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95  # of every interval, and of all of those that are stated together
POWER = 0.80  # with which a difference is to be found
MOST_SEEDS = 10_000  # more are not worth naming
FEWEST_FOR_A_MEDIAN = 6  # of fewer seeds not even the whole range covers the median in 95 % of cases

_MOST_IMAGES = 10**7  # that a share is a count of
_ROUNDING = 1e-9  # a spread below this part of the values is that of arithmetic
_SAW_SOMETHING = 0.80  # the level of the interval that has to exclude zero before a number of seeds is named


def _scipys() -> Any:
    """scipy's distributions. Their import takes a second, which `--help` is not to wait for."""
    from scipy import stats

    return stats


@dataclass(frozen=True)
class Interval:
    """An estimate, from `low` to `high`: floats, or arrays of them. It reaches to infinity where the noise is unknown.

    >>> Interval(0.98, 0.95, 1.01).within(0, 1)
    Interval(value=0.98, low=0.95, high=1)
    """

    value: Any
    low: Any
    high: Any

    @property
    def is_known(self) -> bool:
        return bool(math.isfinite(self.low) and math.isfinite(self.high))

    @property
    def half_width(self) -> Any:
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> Any:
        """Whether `value` lies outside."""
        return (self.low > value) | (self.high < value)

    def inside(self, margin: float) -> Any:
        """Whether all of it lies between -`margin` and `margin`."""
        return (self.low > -margin) & (self.high < margin)

    def within(self, least: float, most: float) -> "Interval":
        """The part of it that a quantity between `least` and `most` can have."""
        return Interval(self.value, max(self.low, least), min(self.high, most))

    def reversed(self) -> "Interval":
        """That of the same difference, taken the other way round."""
        return Interval(-self.value, -self.high, -self.low)


def mean(values: ArrayLike, *, step: float = 0.0, level: float = LEVEL) -> Interval:
    """The mean of one value a seed, with the t interval: s / sqrt(n) times the quantile of n - 1 degrees of freedom.

    `step` is the distance between values that are counts, 1/360 of a share of 360 images. Their rounding adds
    step²/12 to the variance, so that three equal counts are not taken for certainty.

    >>> result = mean([1.0, 2.0, 3.0])
    >>> float(result.value), round(float(result.high), 4)
    (2.0, 4.4841)
    """
    sample = numpy.asarray(values, dtype=float)
    seeds = sample.shape[-1]
    return _student(sample.mean(-1), _variance(sample, step) / seeds, seeds - 1, level)


def welch(one: ArrayLike, other: ArrayLike, *, step: float = 0.0, level: float = LEVEL) -> Interval:
    """The mean of `one` minus that of `other`, whose seeds have nothing in common, with Welch's interval.

    The degrees of freedom are Satterthwaite's. Source: B. L. Welch, Biometrika 34 (1947).

    >>> found = welch([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    >>> float(found.value), round(float(found.low), 3), round(float(found.high), 3)
    (2.0, -0.267, 4.267)
    """
    first, second = numpy.asarray(one, dtype=float), numpy.asarray(other, dtype=float)
    n, m = first.shape[-1], second.shape[-1]
    if min(n, m) < 2:
        return _student(first.mean(-1) - second.mean(-1), numpy.zeros(first.shape[:-1]), 0, level)
    a, b = _variance(first, step) / n, _variance(second, step) / m
    shares = a**2 / (n - 1) + b**2 / (m - 1)
    freedom = (a + b) ** 2 / numpy.where(shares > 0, shares, 1.0)
    return _student(first.mean(-1) - second.mean(-1), a + b, freedom, level)


def paired(one: ArrayLike, other: ArrayLike, *, step: float = 0.0, level: float = LEVEL) -> Interval:
    """The mean of the differences seed by seed, with its t interval."""
    differences = numpy.asarray(one, dtype=float) - numpy.asarray(other, dtype=float)
    return mean(differences, step=math.sqrt(2) * step, level=level)


def _student(centre: NDArray[Any], variance: NDArray[Any], freedom: Any, level: float) -> Interval:
    """The t interval around `centre`, whose own variance is `variance`; without bounds where that is unknown."""
    unknown = (variance <= 0) | (numpy.asarray(freedom) <= 0)
    quantile = _scipys().t.ppf(0.5 + level / 2, numpy.where(unknown, 1.0, freedom))
    half = numpy.where(unknown, math.inf, quantile * numpy.sqrt(variance))
    return Interval(centre, centre - half, centre + half)


def _variance(sample: NDArray[Any], step: float) -> NDArray[Any]:
    """The variance over seeds and of rounding; 0 where the values differ by no more than arithmetic does."""
    if sample.shape[-1] < 2:
        return numpy.zeros(sample.shape[:-1])
    spread = sample.var(-1, ddof=1)
    noise = _ROUNDING * numpy.abs(sample).max(-1)
    return numpy.where(spread > noise**2, spread, 0.0) + step**2 / 12


def deviation(values: Sequence[float], *, step: float = 0.0, level: float = LEVEL) -> Interval:
    """The standard deviation of one value a seed, with its interval, which rests on normal noise (chi-squared).

    >>> found = deviation([1.0, 2.0, 3.0])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (1.0, 0.521, 6.285)
    """
    freedom = len(values) - 1
    variance = float(_variance(numpy.asarray(values, dtype=float), step))
    if freedom < 1 or variance == 0:
        return Interval(math.sqrt(variance), 0.0, math.inf)
    low, high = _scipys().chi2.ppf([0.5 - level / 2, 0.5 + level / 2], freedom)
    return Interval(*(math.sqrt(variance * factor) for factor in (1.0, freedom / high, freedom / low)))


def widened_tail(seeds: int, level: float = LEVEL) -> float:
    """The share to cut off at each end of a bootstrap distribution of so many values a stratum.

    A percentile bootstrap uses normal quantiles and divides by n. This one is as much wider as t with n - 1 degrees is.

    >>> round(widened_tail(5), 4), round(widened_tail(1000), 4)
    (0.001, 0.0248)
    """
    t = _scipys().t.ppf(0.5 + level / 2, seeds - 1)
    return float(_scipys().norm.sf(t * math.sqrt(seeds / (seeds - 1))))


def rate(count: ArrayLike, of: int, *, level: float = LEVEL) -> Interval:
    """A share of `count` among `of`, with the interval of Clopper and Pearson (Biometrika 26, 1934).

    >>> found = rate(0, 5)
    >>> float(found.value), float(found.low), round(float(found.high), 3)
    (0.0, 0.0, 0.522)
    """
    beta, tail = _scipys().beta, (1 - level) / 2
    k = numpy.asarray(count, dtype=float)
    low = numpy.where(k > 0, beta.ppf(tail, numpy.maximum(k, 1), of - k + 1), 0.0)
    high = numpy.where(k < of, beta.ppf(1 - tail, k + 1, numpy.maximum(of - k, 1)), 1.0)
    return Interval(k / of, low, high)


def superiority(one: ArrayLike, other: ArrayLike, *, level: float = LEVEL) -> Interval:
    """How likely a run of `one` is larger than a run of `other`; half of the equal ones count. Any noise may be in it.

    The estimate is Mann and Whitney's, over all pairs of runs. Its variance is at most p (1 - p) / min(n, m) (Birnbaum
    and Klose, Annals of Mathematical Statistics 28, 1957), and the interval is Wilson's score interval for that bound.

    >>> found = superiority([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    >>> round(float(found.value), 3), round(float(found.low), 3), round(float(found.high), 3)
    (0.944, 0.392, 0.998)
    """
    first, second = numpy.asarray(one, dtype=float), numpy.asarray(other, dtype=float)
    ours, theirs = first[..., :, None], second[..., None, :]
    share = ((ours > theirs) + 0.5 * (ours == theirs)).mean((-2, -1))
    fewest = min(first.shape[-1], second.shape[-1])
    z = _scipys().norm.ppf(0.5 + level / 2)
    weight = z**2 / fewest
    centre = (share + weight / 2) / (1 + weight)
    half = numpy.sqrt(weight * share * (1 - share) + weight**2 / 4) / (1 + weight)
    return Interval(share, numpy.maximum(centre - half, 0.0), numpy.minimum(centre + half, 1.0))


def median(values: Sequence[float]) -> Interval:
    """The median of values that may be infinite, with the interval between two of the values in order.

    Its bounds are as close as a level of 95 % allows whatever the noise is. Below six values there are no bounds.

    >>> median([4.0, 2.0, 9.0, math.inf, 3.0, 5.0])
    Interval(value=4.5, low=2.0, high=inf)
    """
    ordered = sorted(values)
    n = len(ordered)
    middle = _halfway(ordered[(n - 1) // 2], ordered[n // 2])
    if n < FEWEST_FOR_A_MEDIAN:
        return Interval(middle, -math.inf, math.inf)
    rank = int(_scipys().binom.ppf((1 - LEVEL) / 2, n, 0.5))  # fewer than so many below the median: at most 2.5 %
    return Interval(middle, ordered[rank - 1], ordered[n - rank])


def _halfway(low: float, high: float) -> float:
    return low if low == high else (low + high) / 2


def exact_mean(values: Iterable[float], *, are_shares: bool) -> Fraction:
    """The mean without rounding. A share is the count over images that it came from, so that equal counts are equal.

    >>> exact_mean([1 / 360, 2 / 360], are_shares=True) == exact_mean([0.0, 3 / 360], are_shares=True)
    True
    """
    exact = [Fraction(value) for value in values]
    if are_shares:
        exact = [one.limit_denominator(_MOST_IMAGES) for one in exact]
    return sum(exact, Fraction(0)) / len(exact)


def counting_step(values: Iterable[float]) -> float:
    """The distance between shares that are counts over one number of images; 0 where they are none.

    >>> round(1 / counting_step([349 / 360, 350 / 360, 351 / 360]))
    360
    """
    images = 1
    for value in values:
        images = math.lcm(images, Fraction(value).limit_denominator(_MOST_IMAGES).denominator)
        if images > _MOST_IMAGES:
            return 0.0
    return 1 / images


def power(effect: float, seeds: int, level: float, *, paired: bool = False) -> float:
    """How often Welch's interval at `level` excludes zero, where the true difference is `effect` standard deviations.

    Both sides have so many `seeds` each and the same noise. `paired` ones have nothing in common but their seeds, which
    is the least that pairing can gain. Source: the noncentral t distribution.
    """
    if seeds < 2:
        return 0.0
    freedom, shift = (1 if paired else 2) * (seeds - 1), effect * math.sqrt(seeds / 2)
    threshold = _scipys().t.ppf(0.5 + level / 2, freedom)
    return float(_scipys().nct.sf(threshold, freedom, shift))


def seeds_for(effect: float, level: float, *, least_power: float = POWER) -> int | None:
    """How many seeds each find a difference of `effect` standard deviations; None where 10,000 are too few.

    >>> seeds_for(1.0, 0.95), seeds_for(2.0, 0.95)
    (17, 6)
    """
    if effect <= 0 or power(effect, MOST_SEEDS, level) < least_power:
        return None
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        if power(effect, middle, level) >= least_power:
            high = middle
        else:
            low = middle + 1
    return low


def detectable(seeds: int, level: float, *, least_power: float = POWER) -> float:
    """The difference, in standard deviations, that so many seeds each find; infinite for fewer than two.

    >>> round(detectable(17, 0.95), 2)
    0.99
    """
    if seeds < 2:
        return math.inf
    low, high = 0.0, 1.0
    while power(high, seeds, level) < least_power:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        if power(middle, seeds, level) < least_power:
            low = middle
        else:
            high = middle
    return high


def seeds_that_would_tell(one: ArrayLike, other: ArrayLike, *, step: float, level: float) -> tuple[int, int] | None:
    """How many seeds each would tell these two apart, from the fewest to the most that fit what was seen.

    The size of the difference is known only roughly, so the two numbers belong to the ends of its 80 % interval. None
    where that interval holds zero: such runs saw nothing, and name no number.

    >>> seeds_that_would_tell([1.0, 2.1, 3.2], [0.0, 1.0, 1.7], step=0.0, level=0.95) is None
    True
    >>> seeds_that_would_tell([2.0, 3.1, 4.2], [0.0, 1.0, 1.7], step=0.0, level=0.95)
    (3, 18)
    """
    first, second = numpy.asarray(one, dtype=float), numpy.asarray(other, dtype=float)
    rough = welch(first, second, step=step, level=_SAW_SOMETHING)
    if not rough.is_known or not rough.excludes(0.0):
        return None
    noise = math.sqrt(float(_variance(first, step) + _variance(second, step)) / 2)
    nearest, farthest = sorted(abs(float(end)) / noise for end in (rough.low, rough.high))
    fewest, most = seeds_for(farthest, level), seeds_for(nearest, level)
    return (fewest, most or MOST_SEEDS) if fewest is not None else None
