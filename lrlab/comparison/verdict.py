"""What a study found: its judging runs read back, its pairs judged by its design, and what its tuning cost."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

import numpy
from numpy.typing import NDArray

from lrlab.comparison import design, pairs, results, sound, statistics, tuning
from lrlab.comparison.design import Design, Protocol, Record
from lrlab.comparison.pairs import Pair, Sample
from lrlab.comparison.results import Result
from lrlab.comparison.statistics import Interval
from lrlab.comparison.tuning import TuningCost
from lrlab.runs import scores, summary
from lrlab.training.metrics import METRICS, Metric


@dataclass(frozen=True)
class Judged:
    """A candidate on its judging seeds, up to its last complete look."""

    name: str
    look: int  # the number of complete ones
    runs: list[Result]  # that trained, in the order of their seeds
    values: list[float]  # of what is judged by, of the same runs
    collapsed: list[str]  # the runs that did not, by name
    mean: Interval  # over the runs that trained; all candidates' hold together, at whatever look they stopped
    rate: Interval  # of collapse, alone
    tuning: TuningCost

    @property
    def seeds(self) -> int:
        return len(self.values) + len(self.collapsed)


@dataclass(frozen=True)
class Finding:
    """A pair, with what a sample of other test images would have changed."""

    pair: Pair
    look: int
    images: Interval | None  # of the difference over test images, alone; None where it is not known for each image


@dataclass(frozen=True)
class Study:
    """What a study found so far."""

    folder: Path
    record: Record
    candidates: list[Judged]  # in the order of the design
    findings: list[Finding]  # every pair

    @property
    def protocol(self) -> Protocol:
        return self.record.protocol

    @property
    def metric(self) -> Metric:
        return METRICS[self.protocol.metric]

    @property
    def undecided(self) -> list[Finding]:
        """The pairs that more seeds could decide: those that were not yet judged at the last look."""
        last = len(self.protocol.looks)
        return [one for one in self.findings if one.pair.verdict == "undecided" and one.look < last]

    @property
    def is_finished(self) -> bool:
        """Whether every pair is decided, or was looked at for the last time."""
        return self.record.design is not None and not self.undecided

    @functools.cached_property
    def exploratory(self) -> str:
        """Why nothing that it shows is a claim; empty where it is one."""
        decided = self.record.design
        if decided is None and not self.record.changes:
            return ""
        written = summary.read(self.folder / design.JUDGING, results.SWEEP).get("design")
        if self.record.changes or (written is not None and written != self.record.fingerprint):
            looks = self.record.looks
            return f"exploratory: the design changed after {looks} look{'s' if looks != 1 else ''}"
        if decided is not None and any(one.tuning.lr != decided.lrs[one.name] for one in self.candidates):
            return "exploratory: the tuning runs are not those by which the design was made"
        if "test" not in self.record.protocol.split:
            return "exploratory: the samples that judge have chosen the base LRs too, for there is no test split"
        return ""

    @property
    def wanting(self) -> list[str]:
        """The candidates that need more seeds: they are in a pair that is not decided."""
        names = set(chain.from_iterable((one.pair.name, one.pair.other) for one in self.undecided))
        return [one.name for one in self.candidates if one.name in names]


def read(folder: Path) -> Study:
    """The study in `folder`. Raises UserError where its study.json is damaged."""
    record = design.read(folder)
    tuned = tuning.read(folder, record)
    if record.design is None:
        candidates = [_not_judged(name, cost) for name, cost in tuned.items()]
        return Study(folder, record, candidates, [])
    step = _step(record)
    candidates = [_judged(folder, record, name, tuned[name], step) for name in record.design.lrs]
    findings = _findings(record.protocol, record.design, candidates, step)
    return Study(folder, record, candidates, findings)


def _not_judged(name: str, cost: TuningCost) -> Judged:
    nothing = Interval(math.nan, -math.inf, math.inf)
    return Judged(name, 0, [], [], [], nothing, Interval(0.0, 0.0, 1.0), cost)


def judged_value(protocol: Protocol, run: Result) -> float | None:
    """What a judging run is judged by; None where it is not known yet, or is no value of the metric."""
    if protocol.has_test:
        score = scores.read(run.folder)
        value = None if score is None else score.measured.get(protocol.judged_by)
    else:
        value = run.summary.get(protocol.judged_by)
    if not sound.is_number(value):
        return None
    is_possible = not METRICS[protocol.metric].is_share or 0 <= value <= 1  # type: ignore[operator]  # it is a number
    return float(value) if is_possible else None  # type: ignore[arg-type]


def has_ended(protocol: Protocol, run: Result) -> bool:
    """Whether a judging run counts: it was measured, or it diverged, in training or on the test images."""
    if run.status == "diverged":
        return True
    return run.status == "finished" and (judged_value(protocol, run) is not None or _diverged_on_test(protocol, run))


def _diverged_on_test(protocol: Protocol, run: Result) -> bool:
    """Whether the loss on the test images is not finite."""
    score = scores.read(run.folder) if protocol.has_test else None
    return score is not None and not score.measured


def _judged(folder: Path, record: Record, name: str, cost: TuningCost, step: float) -> Judged:
    protocol, decided = record.protocol, record.design
    assert decided is not None

    # The runs of the looks that are complete.
    by_seed = {run.seed: run for run in record.judging.get(name, []) if run.lr == decided.lrs[name]}
    ended: list[Result] = []
    for seed in decided.seeds[name]:
        run = tuning.run_of(folder, design.JUDGING, by_seed[seed]) if seed in by_seed else None
        if run is None or not has_ended(protocol, run):
            break
        ended.append(run)
    complete = [seeds for seeds in protocol.looks if seeds <= len(ended)]
    ended = ended[: complete[-1]] if complete else []

    # Those that trained, and those that did not.
    values = {run.name: judged_value(protocol, run) for run in ended if run.status == "finished"}
    trained = {run: value for run, value in values.items() if value is not None and not _collapsed(record, name, value)}
    collapsed = [run.name for run in ended if run.name not in trained]
    mean = _not_judged(name, cost).mean
    if trained:
        level = decided.row_levels[len(complete) - 1]
        mean = statistics.mean([*trained.values()], step=step, level=level)
    return Judged(
        name=name,
        look=len(complete),
        runs=[run for run in ended if run.name in trained],
        values=[*trained.values()],
        collapsed=collapsed,
        mean=mean,
        rate=statistics.rate(len(collapsed), max(len(ended), 1)),
        tuning=cost,
    )


def _collapsed(record: Record, name: str, value: float) -> bool:
    """Whether a run that finished did not get half as far as the tuning runs of its candidate."""
    assert record.design is not None
    threshold = record.design.collapsed.get(name)
    if threshold is None:
        return False
    return value > threshold if METRICS[record.protocol.metric].lower_is_better else value < threshold


def _step(record: Record) -> float:
    """The distance between judged values that are counts of images."""
    split = "test" if record.protocol.has_test else "val"
    images = record.protocol.split.get(split)
    is_share = METRICS[record.protocol.metric].is_share
    return 1 / images if is_share and isinstance(images, int) and images > 0 else 0.0


def _findings(protocol: Protocol, decided: Design, candidates: Sequence[Judged], step: float) -> list[Finding]:
    """Every pair, judged at the last look that both have complete."""
    found = []
    for one, other in combinations(candidates, 2):
        look = min(one.look, other.look)
        if look == 0:
            nothing = Interval(math.nan, -math.inf, math.inf)
            pair = Pair(one.name, other.name, (0, 0), nothing, Interval(0.5, 0.0, 1.0), "undecided")
            found.append(Finding(pair, 0, None))
            continue
        seeds = protocol.looks[look - 1]
        first, second = (_up_to(judged, decided, seeds) for judged in (one, other))
        [pair] = pairs.judge(
            {judged.name: _sample(judged) for judged in (first, second)},
            lower_is_better=METRICS[protocol.metric].lower_is_better,
            step=step,
            margin=protocol.margin,
            test=decided.test,
            level=decided.levels[look - 1],
        )
        found.append(Finding(pair, look, _over_images(protocol, first, second)))
    return found


def _sample(judged: Judged) -> Sample:
    seeds = [int(run.settings["seed"]) for run in judged.runs]
    return Sample(judged.values, len(judged.collapsed), seeds)


def _up_to(judged: Judged, decided: Design, seeds: int) -> Judged:
    """A candidate with so many of its first seeds."""
    if judged.seeds == seeds:
        return judged
    first = set(decided.seeds[judged.name][:seeds])
    kept = [index for index, run in enumerate(judged.runs) if int(run.settings["seed"]) in first]
    return Judged(
        name=judged.name,
        look=judged.look,
        runs=[judged.runs[index] for index in kept],
        values=[judged.values[index] for index in kept],
        collapsed=judged.collapsed[: seeds - len(kept)],
        mean=judged.mean,
        rate=judged.rate,
        tuning=judged.tuning,
    )


def _over_images(protocol: Protocol, one: Judged, other: Judged) -> Interval | None:
    """The difference of two candidates over the test images, each with the mean over seeds: as if others were drawn."""
    ours, theirs = (_mean_of_each_image(protocol, judged) for judged in (one, other))
    if ours is None or theirs is None or len(ours) != len(theirs):
        return None
    found = statistics.mean(ours - theirs)
    return Interval(float(found.value), float(found.low), float(found.high))


def _mean_of_each_image(protocol: Protocol, judged: Judged) -> NDArray[numpy.float64] | None:
    """The metric (N,) of every test image, mean over the seeds that trained."""
    if not protocol.has_test or not judged.runs:
        return None
    images = [scores.each_image(run.folder, protocol.metric) for run in judged.runs]
    known = [values for values in images if values is not None]
    if len(known) < len(images) or len({len(values) for values in known}) > 1:
        return None
    return numpy.mean(known, axis=0, dtype=float)


def looks_at_test(study: Study) -> int:
    """How often the test images of one of its runs were looked at, at most."""
    runs = [*chain.from_iterable(one.runs for one in study.candidates)]
    found = [scores.read(run.folder) for run in runs]
    return max((score.looks for score in found if score is not None), default=0)
