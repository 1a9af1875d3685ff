"""Studies whose truth is known: tuned, judged and stopped by lrlab's own functions, many at a time as arrays."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy import stats

from lrlab.comparison import pairs, sequential, statistics
from lrlab.comparison.pairs import Test

Array = NDArray[Any]
Runs = tuple[Array, Array]  # the values (studies, candidates, seeds), and which of them collapsed
Noise = Callable[[numpy.random.Generator, tuple[int, ...]], Array]
TUNING = 12  # runs a candidate


def normal(generator: numpy.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_normal(shape)


def heavy(generator: numpy.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with three degrees of freedom, of standard deviation 1."""
    return generator.standard_t(3, shape) / math.sqrt(3)


@dataclass(frozen=True)
class Scenario:
    """Candidates whose truth is known."""

    name: str
    profiles: Sequence[Sequence[float]]  # the mean of each candidate at each of its LRs
    deviations: Sequence[float] = ()  # of each candidate's noise; 1 where nothing is said
    noise: Noise = normal
    collapse: float = 0.0  # the share of runs that do not train
    images: int = 0  # of which values are counts, around 97 %, with a deviation of 0.3 %; 0: values as they are
    maximum: int = 20
    looks: int = 4
    test: Test = "welch"
    common: float = 0.0  # the correlation of runs on common seeds
    margin: float | None = None

    @property
    def candidates(self) -> int:
        return len(self.profiles)

    @property
    def step(self) -> float:
        return 1 / self.images if self.images else 0.0

    @property
    def spreads(self) -> list[float]:
        """The standard deviation of each candidate's values."""
        scale = SPREAD if self.images else 1.0
        return [scale * deviation for deviation in self.deviations or [1.0] * self.candidates]


LOW, SPREAD = 0.97, 0.003  # of an accuracy that is a count


@dataclass
class Outcome:
    """What became of many studies of one scenario. Arrays are (studies, pairs) or (studies, candidates)."""

    couples: Sequence[tuple[int, int]]  # the candidates of each pair
    truth: Array  # of each pair's difference
    low: Array
    high: Array
    verdicts: Array  # 1 better, -1 worse, 0 equivalent, nan undecided
    mean_low: Array
    mean_high: Array
    mean_truth: Array
    chance_low: Array
    chance_high: Array
    chance_truth: Array
    rate_low: Array
    rate_high: Array
    seeds: Array  # used by each candidate
    oracle_width: Array
    mean_oracle_width: Array


def fabricate(scenario: Scenario, studies: int, generator: numpy.random.Generator) -> tuple[Array, Array, Array]:
    """Judging values (studies, candidates, seeds), which of them collapsed, and the truth (studies, candidates).

    The LR of each candidate is chosen by tuning runs of its own; its truth is its mean there.
    """
    shape = (studies, scenario.candidates, scenario.maximum)
    deviations = numpy.array(scenario.deviations or [1.0] * scenario.candidates)
    truth = numpy.empty((studies, scenario.candidates))
    for index, profile in enumerate(scenario.profiles):
        means = numpy.asarray(profile)
        runs = max(TUNING // len(means), 1)
        tuned = means + deviations[index] * scenario.noise(generator, (studies, runs, len(means))).mean(1)
        truth[:, index] = means[tuned.argmax(1)]
    own = scenario.noise(generator, shape)
    if scenario.common:
        shared = scenario.noise(generator, (studies, 1, scenario.maximum))
        own = math.sqrt(scenario.common) * shared + math.sqrt(1 - scenario.common) * own
    values = truth[:, :, None] + deviations[None, :, None] * own
    collapsed = generator.random(shape) < scenario.collapse
    if scenario.images:
        exact = LOW + SPREAD * values
        values = numpy.round(exact * scenario.images) / scenario.images
        truth = LOW + SPREAD * truth
    return values, collapsed, truth


def conduct(scenario: Scenario, values: Array, collapsed: Array, truth: Array) -> Outcome:
    """Judge many studies look by look, as `lrlab study` does: a candidate that is decided gets no more seeds."""
    studies, count, _ = values.shape
    runs = (values, collapsed)
    couples = list(combinations(range(count), 2))
    at = sequential.looks(scenario.maximum, scenario.looks)
    levels = sequential.levels(at, len(couples), scenario.test)
    row_levels = sequential.levels(at, count, "paired", sequential.SPENDING_ON_MEANS)
    outcome = _blank(scenario, truth, couples)
    active = numpy.ones((studies, count), dtype=bool)
    for seeds, level, row_level in zip(at, levels, row_levels, strict=True):
        for candidate in range(count):
            _judge_one(scenario, outcome, candidate, active[:, candidate], runs, n=seeds, level=row_level)
        for index, pair in enumerate(couples):
            both = active[:, pair[0]] & active[:, pair[1]]
            if both.any():
                _judge_two(scenario, outcome, index, both, runs, n=seeds, level=level)
        active = _wanting(outcome, couples, seeds)
        if not active.any():
            break
    return outcome


def _blank(scenario: Scenario, truth: Array, couples: Sequence[tuple[int, int]]) -> Outcome:
    """The outcome before the first look: every interval is without bounds, every pair undecided."""
    of_pairs, of_rows = (len(truth), len(couples)), truth.shape
    return Outcome(
        couples=couples,
        truth=numpy.stack([truth[:, one] - truth[:, other] for one, other in couples], axis=1),
        low=numpy.full(of_pairs, -math.inf),
        high=numpy.full(of_pairs, math.inf),
        verdicts=numpy.full(of_pairs, math.nan),
        mean_low=numpy.full(of_rows, -math.inf),
        mean_high=numpy.full(of_rows, math.inf),
        mean_truth=truth,
        chance_low=numpy.zeros(of_pairs),
        chance_high=numpy.ones(of_pairs),
        chance_truth=chances_of(scenario, truth, couples),
        rate_low=numpy.zeros(of_rows),
        rate_high=numpy.ones(of_rows),
        seeds=numpy.zeros(of_rows),
        oracle_width=numpy.full(of_pairs, math.nan),
        mean_oracle_width=numpy.full(of_rows, math.nan),
    )


def _judge_one(
    scenario: Scenario,
    outcome: Outcome,
    candidate: int,
    chosen: Array,
    runs: tuple[Array, Array],
    *,
    n: int,
    level: float,
) -> None:
    """Note the mean and the rate of collapse of a candidate, in the studies `chosen` (R,), by its first `n` seeds."""
    values, collapsed = (part[chosen, candidate, :n] for part in runs)
    outcome.seeds[chosen, candidate] = n
    found = mean_of(values, collapsed, step=scenario.step, level=level)
    outcome.mean_low[chosen, candidate], outcome.mean_high[chosen, candidate] = found.low, found.high
    share = statistics.rate(collapsed.sum(-1), n)
    outcome.rate_low[chosen, candidate], outcome.rate_high[chosen, candidate] = share.low, share.high
    width = 2 * _quantile(scenario.candidates) * scenario.spreads[candidate] / math.sqrt(n)
    outcome.mean_oracle_width[chosen, candidate] = width


def _judge_two(
    scenario: Scenario, outcome: Outcome, index: int, both: Array, runs: Runs, *, n: int, level: float
) -> None:
    """Note the difference and the verdict of a pair, in the studies `both` (R,), by its first `n` seeds."""
    values, collapsed = runs
    one, other = ((values[both, side, :n], collapsed[both, side, :n]) for side in outcome.couples[index])
    found = difference_of(scenario, one, other, level)
    outcome.low[both, index], outcome.high[both, index] = found.low, found.high
    outcome.verdicts[both, index] = judged(found, scenario.margin)
    chance = statistics.superiority(*(numpy.where(lost, -math.inf, own) for own, lost in (one, other)))
    outcome.chance_low[both, index], outcome.chance_high[both, index] = chance.low, chance.high
    variance = sum(scenario.spreads[side] ** 2 for side in outcome.couples[index]) * (1 - scenario.common)
    width = 2 * _quantile(len(outcome.couples)) * math.sqrt(variance / n)
    outcome.oracle_width[both, index] = width


def _wanting(outcome: Outcome, couples: Sequence[tuple[int, int]], n: int) -> Array:
    """Which candidates (R, k) are in a pair that was judged at this look, with `n` seeds, and is undecided."""
    wanting = numpy.zeros(outcome.seeds.shape, dtype=bool)
    for index, (one, other) in enumerate(couples):
        judged_now = numpy.minimum(outcome.seeds[:, one], outcome.seeds[:, other]) == n
        more = judged_now & numpy.isnan(outcome.verdicts[:, index])
        wanting[:, one] |= more
        wanting[:, other] |= more
    return wanting


def _quantile(together: int) -> float:
    """The normal quantile of an oracle's interval, of so many that hold together."""
    return float(stats.norm.ppf(0.5 + pairs.level_of_each(together) / 2))


def judged(found: statistics.Interval, margin: float | None) -> Array:
    """The verdicts of intervals as numbers: 1 better, -1 worse, 0 equivalent, nan undecided."""
    claimed = numpy.where(found.excludes(0.0), numpy.sign(found.value), math.nan)
    if margin is None:
        return claimed
    return numpy.where(numpy.isnan(claimed) & found.inside(margin), 0.0, claimed)


def groups(lost: Array) -> Iterator[tuple[int, Array]]:
    """The studies (R,) by how many of their runs trained."""
    trained = (~lost).sum(-1)
    for count in numpy.unique(trained):
        yield int(count), trained == count


def kept(values: Array, lost: Array, count: int) -> Array:
    """The values (R, count) of the runs that trained."""
    order = numpy.argsort(lost, axis=-1, kind="stable")[..., :count]
    return numpy.take_along_axis(values, order, axis=-1)


def mean_of(values: Array, lost: Array, *, step: float, level: float) -> statistics.Interval:
    """The mean over the runs that trained, of many studies."""
    shape = values.shape[:1]
    centre, low, high = numpy.zeros(shape), numpy.full(shape, -math.inf), numpy.full(shape, math.inf)
    for count, own in groups(lost):
        if count:
            found = statistics.mean(kept(values[own], lost[own], count), step=step, level=level)
            centre[own], low[own], high[own] = found.value, found.low, found.high
    return statistics.Interval(centre, low, high)


def difference_of(
    scenario: Scenario, one: tuple[Array, Array], other: tuple[Array, Array], level: float
) -> statistics.Interval:
    """The difference of the means over the runs that trained, of many studies; each side with which runs did not."""
    (ours, gone), (theirs, theirs_gone) = one, other
    compare = statistics.welch
    if scenario.test == "paired":  # only seeds of which both runs trained
        compare, gone, theirs_gone = statistics.paired, gone | theirs_gone, gone | theirs_gone
    shape = ours.shape[:1]
    centre, low, high = numpy.zeros(shape), numpy.full(shape, -math.inf), numpy.full(shape, math.inf)
    for n, with_n in groups(gone):
        for m, with_m in groups(theirs_gone):
            both = with_n & with_m
            if not both.any() or min(n, m) < pairs.FEWEST_SEEDS:
                continue
            first, second = kept(ours[both], gone[both], n), kept(theirs[both], theirs_gone[both], m)
            found = compare(first, second, step=scenario.step, level=level)
            centre[both], low[both], high[both] = found.value, found.low, found.high
    return statistics.Interval(centre, low, high)


def chances_of(scenario: Scenario, truth: Array, couples: Sequence[tuple[int, int]]) -> Array:
    """How likely a run of the first of a pair is better, by the truth: from a million runs for each difference."""
    generator = numpy.random.default_rng(1)
    deviations = scenario.deviations or [1.0] * scenario.candidates
    scale = SPREAD if scenario.images else 1.0
    found = numpy.empty((len(truth), len(couples)))
    for index, (one, other) in enumerate(couples):
        noise = deviations[one] * scenario.noise(generator, (1_000_000,))
        noise -= deviations[other] * scenario.noise(generator, (1_000_000,))
        ordered = numpy.sort(noise)
        differences = (truth[:, one] - truth[:, other]) / scale
        better = 1 - numpy.searchsorted(ordered, -differences) / len(ordered)
        trained = 1 - scenario.collapse
        both, only_one, none = trained**2, trained * scenario.collapse, scenario.collapse**2
        found[:, index] = both * better + only_one + none / 2
    return found
