"""When a study may stop: the levels of its looks, such that looking often costs no more errors than looking once.

A study has a maximum of seeds and a few looks on the way there. At each look a pair is judged by an interval at that
look's level, and the whole sequence of intervals covers the truth together. So a study may stop at any look, for any
reason, and what its intervals say holds.

The errors are spent as (n / maximum)², early looks get little (Lan and DeMets, Biometrika 70, 1983; the power family of
Kim and DeMets, Biometrika 74, 1987). The levels are found by simulation on the t scale, for the boundaries that are
made for normal statistics let through more than twice the errors at a handful of seeds.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy
from numpy.typing import NDArray

from lrlab.comparison.pairs import FEWEST_SEEDS, Test
from lrlab.comparison.statistics import LEVEL, power

_PATHS = 2_000_000  # that are simulated
_FEWEST = 1_000  # of them that have to cross in all, or else no simulation says where
SPENDING = 2.0  # the exponent for differences, which early looks seldom decide
SPENDING_ON_MEANS = 1.0  # for the means of a table, which are read whenever the study stops
_FIRST_LOOK = 5  # seeds
_UNEQUAL = 3.0  # of two standard deviations: about where Welch's approximation is at its worst


def looks(maximum: int, count: int) -> tuple[int, ...]:
    """The seeds of each candidate at every look: `count` of them evenly up to `maximum`, fewer where that is small.

    The first look is at five seeds or more, for fewer decide next to nothing.

    >>> looks(20, 4), looks(12, 4), looks(4, 4), looks(7, 1)
    ((5, 10, 15, 20), (6, 9, 12), (4,), (7,))
    """
    even = {math.ceil(maximum * number / count) for number in range(1, count + 1)}
    return tuple(sorted(seeds for seeds in even if seeds >= _FIRST_LOOK or seeds == maximum))


@lru_cache
def levels(at: tuple[int, ...], together: int, test: Test = "welch", spending: float = SPENDING) -> tuple[float, ...]:
    """The level of each interval at each of the looks `at`, for so many that hold together, over all looks.

    With `test="paired"` they are intervals of a mean, or of a mean difference. Errors are spent as
    (n / maximum) ** `spending`.

    >>> [round(level, 4) for level in levels((5,), 1)]
    [0.95]
    """
    errors = (1 - LEVEL) / max(together, 1)
    spent = [errors * (seeds / at[-1]) ** spending for seeds in at]
    if len(at) == 1:
        return (1 - errors,)
    if errors * _PATHS < _FEWEST:
        each = numpy.diff([0.0, *spent])  # nothing is saved by the looks having much in common
        return tuple(float(1 - one) for one in each)
    crossed = _crossings(_chances(at, test), spent)
    return tuple(float(1 - one) for one in crossed)


def _crossings(chances: NDArray[numpy.float64], spent: Sequence[float]) -> list[float]:
    """For each look the p-value at which the errors spent up to it are `spent`, by `chances` (paths, looks)."""
    going_on = numpy.ones(len(chances), dtype=bool)
    found = []
    for look, share in enumerate(spent):
        ordered = numpy.sort(chances[going_on, look])
        crossing = round(share * len(chances)) - int((~going_on).sum())
        found.append(float(ordered[crossing - 1]) if crossing > 0 else 0.0)
        going_on &= chances[:, look] > found[-1]
    return found


def _chances(at: Sequence[int], test: Test) -> NDArray[numpy.float64]:
    """Two-sided p-values (paths, looks) of two candidates that are equal, or of their differences.

    A step from one look to the next is drawn as the sum and the sum of squares of its values, not value by value.
    """
    from scipy import stats

    generator = numpy.random.default_rng(20261126)
    deviations = (1.0,) if test == "paired" else (1.0, _UNEQUAL)
    sums = numpy.zeros((len(deviations), _PATHS))
    squares = numpy.zeros((len(deviations), _PATHS))
    chances = numpy.empty((_PATHS, len(at)))
    before = 0
    for look, seeds in enumerate(at):
        more = seeds - before
        for arm, deviation in enumerate(deviations):
            total = deviation * math.sqrt(more) * generator.standard_normal(_PATHS)
            around = generator.chisquare(more - 1, _PATHS) if more > 1 else 0.0
            sums[arm] += total
            squares[arm] += deviation**2 * around + total**2 / more
        before = seeds
        variances = (squares - sums**2 / seeds) / (seeds - 1) / seeds
        centre = (sums[0] - sums[1:].sum(0)) / seeds
        whole = variances.sum(0)
        freedom = whole**2 / (variances**2 / (seeds - 1)).sum(0)
        chances[:, look] = 2 * stats.t.sf(numpy.abs(centre) / numpy.sqrt(whole), freedom)
    return chances


MOST_LOOKS = 10  # more take memory and a minute to calibrate, and save no runs
NOTICED = 3.0  # standard deviations between seeds; a design that misses even such a difference claims nothing
_OFTEN = 0.5


def can_claim(at: Sequence[int], pairs: int, test: Test = "welch") -> bool:
    """Whether some of the looks `at` finds a difference of three standard deviations more often than not.

    A look has at least the errors that are newly spent on it.

    >>> can_claim((2,), 1), can_claim((3,), 1), can_claim((4,), 15), can_claim((5,), 15)
    (False, True, False, True)
    """
    errors = (1 - LEVEL) / max(pairs, 1)
    before = 0.0
    for seeds in at:
        spent = errors * (seeds / at[-1]) ** SPENDING
        found = power(NOTICED, seeds, 1 - (spent - before), paired=test == "paired")
        if seeds >= FEWEST_SEEDS and found >= _OFTEN:
            return True
        before = spent
    return False


def fewest_that_can_claim(pairs: int, count: int = 1, test: Test = "welch") -> int:
    """The smallest maximum with which a study of so many pairs, with so many looks, can claim anything."""
    seeds = FEWEST_SEEDS
    while not can_claim(looks(seeds, count), pairs, test):
        seeds += 1
    return seeds
