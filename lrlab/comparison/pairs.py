"""Candidates against each other, two by two: one family of intervals, and the verdicts that follow from them.

All pairs are judged together, whichever of them a reader looks at. Each interval has the level 1 - 0.05 / pairs
(Bonferroni), so the chance that any of them misses the truth is at most 5 %. A verdict says what its interval says: a
pair differs exactly where the interval excludes zero. No step-down method is used. Holm's, say, finds a little more,
but it has no intervals that agree with its claims.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from lrlab.comparison import statistics
from lrlab.comparison.statistics import LEVEL, Interval

Verdict = Literal["better", "worse", "equivalent", "undecided"]
Test = Literal["welch", "paired"]
TESTS = ("welch", "paired")
FEWEST_SEEDS = 3  # of each; fewer say nothing about the noise


@dataclass(frozen=True)
class Sample:
    """The judged values of a candidate: of the runs that trained, and how many collapsed."""

    values: Sequence[float]  # one a seed, in the order of the seeds
    collapsed: int = 0
    seeds: Sequence[int] = ()  # of the values; where they are paired and none are given, they are counted from 0

    @property
    def runs(self) -> int:
        return len(self.values) + self.collapsed


@dataclass(frozen=True)
class Pair:
    """One candidate against another."""

    name: str
    other: str
    seeds: tuple[int, int]  # whose values were compared
    difference: Interval  # of the means, `name` minus `other`; one of a family
    superiority: Interval  # how likely a run of `name` is better than one of `other`, each alone
    verdict: Verdict
    more: tuple[int, int] | None = None  # seeds each that would tell them apart, from the fewest to the most
    margin: float | None = None  # within which they are equivalent, where that was declared

    def reversed(self) -> "Pair":
        """The same pair, named the other way round."""
        turned: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        chance = self.superiority
        return Pair(
            name=self.other,
            other=self.name,
            seeds=(self.seeds[1], self.seeds[0]),
            difference=self.difference.reversed(),
            superiority=Interval(1 - chance.value, 1 - chance.high, 1 - chance.low),
            verdict=turned.get(self.verdict, self.verdict),
            more=self.more,
            margin=self.margin,
        )


def level_of_each(pairs: int) -> float:
    """The level of each interval where so many are stated together.

    >>> round(level_of_each(1), 4), round(level_of_each(15), 4)
    (0.95, 0.9967)
    """
    return 1 - (1 - LEVEL) / max(pairs, 1)


def count(candidates: int) -> int:
    """How many pairs so many candidates make."""
    return candidates * (candidates - 1) // 2


def judge(
    samples: Mapping[str, Sample],
    *,
    lower_is_better: bool,
    step: float = 0.0,
    margin: float | None = None,
    test: Test = "welch",
    level: float | None = None,
    reference: str | None = None,
) -> list[Pair]:
    """Every pair of `samples`, judged together; with a `reference` only its own, at the level that all would have.

    `step` is the distance between values that are counts. Pairs whose interval lies inside `margin` are equivalent.
    With `test="paired"` the values of common seeds are compared, those of which both runs trained. `level` is that of
    each interval; by default it follows from the number of pairs.
    """
    if level is None:
        level = level_of_each(count(len(samples)))
    return [
        _judge_two(
            one, other, samples, lower_is_better=lower_is_better, step=step, margin=margin, test=test, level=level
        )
        for one, other in combinations(samples, 2)
        if reference in (None, one, other)
    ]


def _judge_two(
    name: str,
    other: str,
    samples: Mapping[str, Sample],
    *,
    lower_is_better: bool,
    step: float,
    margin: float | None,
    test: Test,
    level: float,
) -> Pair:
    ours, theirs = samples[name], samples[other]
    compared = (list(ours.values), list(theirs.values))
    if test == "paired":
        compared = _common(ours, theirs)
    difference = _difference(*compared, step=step, test=test, level=level)
    verdict = verdict_of(difference, lower_is_better=lower_is_better, margin=margin)
    more = None
    if verdict == "undecided" and test == "welch" and min(map(len, compared)) >= FEWEST_SEEDS:
        more = statistics.seeds_that_would_tell(*compared, step=step, level=level)
    return Pair(
        name=name,
        other=other,
        seeds=(len(compared[0]), len(compared[1])),
        difference=difference,
        superiority=_superiority(ours, theirs, lower_is_better=lower_is_better),
        verdict=verdict,
        more=more,
        margin=margin,
    )


def _common(ours: Sample, theirs: Sample) -> tuple[list[float], list[float]]:
    """The values of the seeds that both have, in the same order."""
    one, other = (
        dict(zip(sample.seeds or range(len(sample.values)), sample.values, strict=True)) for sample in (ours, theirs)
    )
    seeds = sorted(one.keys() & other.keys())
    return [one[seed] for seed in seeds], [other[seed] for seed in seeds]


def _difference(ours: Sequence[float], theirs: Sequence[float], *, step: float, test: Test, level: float) -> Interval:
    """The difference of the means, without bounds where there are too few seeds to judge the noise."""
    if not ours or not theirs:
        return Interval(math.nan, -math.inf, math.inf)
    compare = statistics.paired if test == "paired" else statistics.welch
    found = compare(ours, theirs, step=step, level=level)
    value, low, high = float(found.value), float(found.low), float(found.high)
    if min(len(ours), len(theirs)) < FEWEST_SEEDS:
        low, high = -math.inf, math.inf
    return Interval(value, low, high)


def verdict_of(difference: Interval, *, lower_is_better: bool, margin: float | None = None) -> Verdict:
    """What an interval says of the first of two."""
    if difference.excludes(0.0):
        return "better" if (difference.value < 0) == lower_is_better else "worse"
    if margin is not None and difference.inside(margin):
        return "equivalent"
    return "undecided"


def _superiority(ours: Sample, theirs: Sample, *, lower_is_better: bool) -> Interval:
    """How likely a run of the one is better than one of the other; one that collapsed is worse than all others."""
    sign = -1.0 if lower_is_better else 1.0
    one = [sign * value for value in ours.values] + [-math.inf] * ours.collapsed
    other = [sign * value for value in theirs.values] + [-math.inf] * theirs.collapsed
    if not one or not other:
        return Interval(0.5, 0.0, 1.0)
    found = statistics.superiority(one, other)
    return Interval(float(found.value), float(found.low), float(found.high))
