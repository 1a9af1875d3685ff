"""What a handful of seeds can tell: intervals, paired differences, and how many seeds it would take.

Everything rests on Student's t, because there are few seeds. With five of them and normal noise, the t interval of a
mean covers the truth in 95 % of cases, as promised. A percentile bootstrap covers it in about 83 %.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

LEVEL = 0.95  # of every interval; a claim may be false in 1 - LEVEL of all comparisons together
POWER = 0.80  # with which a difference of the size seen is to be found
MOST_SEEDS = 10_000  # more are not worth naming


def _scipys() -> Any:
    """scipy's distributions. Their import takes a second, which `--help` is not to wait for."""
    from scipy import stats

    return stats


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its interval, from `value` - `half_width` to `value` + `half_width`."""

    value: float
    half_width: float | None  # None for one seed
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A paired difference, mean over seeds, with its interval and what can be claimed of it.

    `p` comes from the two-sided paired t test. `adjusted_p` is corrected for all comparisons that are made together.
    Both are None where they mean nothing: with fewer than three seeds, or where all differences are equal.
    `seeds_needed` would find a difference of this size. It is None where it is found already, or where no number below
    10,000 would do.
    """

    mean: Mean
    p: float | None
    adjusted_p: float | None
    seeds_needed: int | None

    @property
    def is_found(self) -> bool:
        return self.adjusted_p is not None and self.adjusted_p < 1 - LEVEL


def mean(values: Sequence[float]) -> Mean:
    """The mean of one value a seed, with the t interval: s / sqrt(n) times the quantile of n - 1 degrees of freedom.

    >>> result = mean([1.0, 2.0, 3.0])
    >>> result.value, round(result.half_width, 4)
    (2.0, 2.4841)
    """
    average, seeds = statistics.fmean(values), len(values)
    if seeds < 2:
        return Mean(average, None, seeds)
    quantile = float(_scipys().t.ppf(0.5 + LEVEL / 2, seeds - 1))
    return Mean(average, quantile * statistics.stdev(values) / math.sqrt(seeds), seeds)


def differences(samples: Sequence[Sequence[float]]) -> list[Difference]:
    """One `Difference` for each of `samples`, judged together. A sample has the paired difference of each seed.

    The p-values are corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979), so that the chance that
    any claim is false, however many are made, is at most 5 %.

    >>> far, near = differences([[0.9, 1.0, 1.1, 1.0], [0.5, -0.4, 0.3, -0.2]])
    >>> far.is_found, near.is_found, near.seeds_needed
    (True, False, 675)
    """
    # Only those that have a p-value count as tests.
    p_values = [_p_value(values) for values in samples]
    corrected = holm([p for p in p_values if p is not None])
    tests = max(len(corrected), 1)

    remaining = iter(corrected)
    found = []
    for values, p in zip(samples, p_values, strict=True):
        adjusted = next(remaining) if p is not None else None
        difference = Difference(mean(values), p, adjusted, None)
        if not difference.is_found:
            difference = replace(difference, seeds_needed=seeds_needed(values, tests))
        found.append(difference)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values: the smallest times n, the next times n - 1, ..., never falling.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def seeds_needed(values: Sequence[float], tests: int = 1) -> int | None:
    """How many seeds would show a mean difference as large as that of `values`, in 80 % of repetitions.

    It follows from the noncentral t distribution at the strictest of `tests` corrected levels. None where no number
    below 10,000 would do, and where the spread is unknown.
    """
    if len(values) < 2 or (spread := _spread(values)) == 0:
        return None
    effect = abs(statistics.fmean(values)) / spread
    level = (1 - LEVEL) / tests

    def power(seeds: int) -> float:
        threshold = _scipys().t.ppf(1 - level / 2, seeds - 1)
        return float(_scipys().nct.sf(threshold, seeds - 1, effect * math.sqrt(seeds)))

    if effect == 0 or power(MOST_SEEDS) < POWER:
        return None
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        if power(middle) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def _p_value(values: Sequence[float]) -> float | None:
    """The two-sided p of the t test that the mean is 0; None where it means nothing."""
    if len(values) < 3 or (spread := _spread(values)) == 0:
        return None
    t = statistics.fmean(values) / (spread / math.sqrt(len(values)))
    return float(2 * _scipys().t.sf(abs(t), len(values) - 1))


def _spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 where the values differ by no more than rounding does."""
    spread = statistics.stdev(values)
    return spread if spread > 1e-9 * max(abs(value) for value in values) else 0.0
