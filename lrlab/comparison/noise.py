"""How much runs of one configuration differ by their seeds alone, and what difference so many seeds can show."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrlab.comparison import pairs, statistics
from lrlab.comparison.candidates import Candidate
from lrlab.comparison.contests import Comparison
from lrlab.comparison.statistics import LEVEL, Interval

SEEDS = (3, 5, 10, 20, 40)  # each, for which it is said


@dataclass(frozen=True)
class Detectable:
    """The smallest difference that so many seeds each show in four of five comparisons."""

    seeds: int
    difference: Interval  # as far as the noise is known


@dataclass(frozen=True)
class Noise:
    """What the seeds of one candidate at one base LR show."""

    name: str
    lr: float
    values: list[float]
    mean: Interval
    deviation: Interval  # between seeds
    detectable: list[Detectable]


def of(compared: Comparison, *, comparisons: int = 1, seeds: Sequence[int] = SEEDS) -> list[Noise]:
    """The noise of every candidate at its best LR, for so many `comparisons` that are made together."""
    level = pairs.level_of_each(comparisons)
    found = []
    for contest in compared.contests:
        for candidate in contest.candidates:
            found.append(_noise(candidate, contest.steps.get(contest.metric, 0.0), level, seeds))
    return found


def _noise(candidate: Candidate, step: float, level: float, seeds: Sequence[int]) -> Noise:
    values = [*candidate.values(candidate.best_lr).values()]
    deviation = statistics.deviation(values, step=step)
    detectable = []
    for count in seeds:
        factor = statistics.detectable(count, level)
        bounds = (factor * end for end in (deviation.value, deviation.low, deviation.high))
        detectable.append(Detectable(count, Interval(*bounds)))
    mean = statistics.mean(values, step=step, level=LEVEL)
    return Noise(candidate.name, candidate.best_lr, values, mean, deviation, detectable)
