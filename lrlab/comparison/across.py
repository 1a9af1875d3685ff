"""Several studies in one report: the same candidates on several data sets.

Values of different data sets are no more comparable than their units. So each is told as a ratio to the best mean on
its data set: of errors (1 - accuracy) for shares, of the metric itself for losses. 1 is as good as the best, 2 has
twice its error.

Source: Agarwal et al., Deep RL at the Edge of the Statistical Precipice, NeurIPS 2021 (arXiv:2108.13264).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy

from lrlab.comparison import statistics
from lrlab.comparison.statistics import Interval
from lrlab.comparison.verdict import Study
from lrlab.errors import wrong

_BOOTSTRAPS = 5_000
_POINTS = 60  # of a profile


@dataclass(frozen=True)
class Wins:
    """What the studies claim of a pair: on how many data sets."""

    one: str
    other: str
    better: int
    worse: int
    equivalent: int
    undecided: int


@dataclass(frozen=True)
class Across:
    """The candidates that all studies have, over their data sets."""

    data_sets: list[str]
    candidates: list[str]
    ratios: dict[str, list[list[float]]]  # of each candidate: a list a data set, a value a judging run
    iqm: dict[str, Interval]  # the interquartile mean of all its ratios; each alone
    profiles: dict[str, tuple[list[float], list[float]]]  # ratios, and the share of runs that are at most so bad
    wins: list[Wins]
    left_out: list[str]  # candidates that are not in all of them
    exploratory: str  # why nothing is a claim, by the first study that says so; empty where all are
    same_data: list[str]  # names of studies that are of one data set


def across(found: Sequence[Study]) -> Across:
    """The studies as one. Raises UserError where they cannot be compared."""
    studies = _named(found)
    _require_alike(studies)
    shared = [name for name in next(iter(studies.values())).protocol.candidates if _is_in_all(name, studies)]
    everywhere = set().union(*(study.protocol.candidates for study in studies.values()))
    values = {name: [_values(study, name) for study in studies.values()] for name in shared}
    errors = _as_errors(values, studies)
    means = numpy.array([list(map(numpy.mean, errors[name])) for name in shared])
    best = means.min(0).tolist()
    ratios = {name: _over(errors[name], best) for name in shared}
    highest = max(max(map(max, own)) for own in ratios.values())
    return Across(
        data_sets=[*studies],
        candidates=shared,
        ratios=ratios,
        iqm={name: interquartile_mean(own) for name, own in ratios.items()},
        profiles={name: _profile(own, highest) for name, own in ratios.items()},
        wins=[_wins(one, other, studies) for one, other in combinations(shared, 2)],
        left_out=sorted(everywhere - set(shared)),
        exploratory=next((study.exploratory for study in studies.values() if study.exploratory), ""),
        same_data=_same_data(studies),
    )


def _named(studies: Sequence[Study]) -> dict[str, Study]:
    """The studies by their names; of equal names, the later ones have a number."""
    named: dict[str, Study] = {}
    for study in studies:
        name, number = study.folder.resolve().name, 1
        while (unique := name if number == 1 else f"{name}-{number}") in named:
            number += 1
        named[unique] = study
    return named


def _over(errors: Sequence[Sequence[float]], best: Sequence[float]) -> list[list[float]]:
    """Errors by data set, as ratios to the best of each."""
    found = []
    for own, least in zip(errors, best, strict=True):
        found.append([float(value / least) for value in own])
    return found


def _same_data(studies: Mapping[str, Study]) -> list[str]:
    """The studies whose test images are those of another one, as far as their names and numbers tell."""
    splits = {}
    for name, study in studies.items():
        split = study.protocol.split
        splits[name] = (split["data"], split.get("test", split["val"]))
    return [name for name, split in splits.items() if [*splits.values()].count(split) > 1]


def _require_alike(studies: Mapping[str, Study]) -> None:
    """Raise UserError where studies are not finished, or say the same candidates are different things."""
    unfinished = [name for name, study in studies.items() if not study.is_finished]
    if unfinished:
        got = f"studies that are not finished ({', '.join(unfinished)})"
        raise wrong("compare", got=got, allowed="finished ones", do="finish them first, each by its own command")
    metrics = {study.protocol.judged_by for study in studies.values()}
    if len(metrics) > 1:
        got = f"studies judged by different metrics ({', '.join(sorted(metrics))})"
        raise wrong("compare", got=got, allowed="one metric on one split", do="compare those of one metric")
    shared = [name for name in next(iter(studies.values())).protocol.candidates if _is_in_all(name, studies)]
    if len(shared) < 2:
        got = "studies with fewer than two candidates in common"
        raise wrong("compare", got=got, allowed="at least two, with the same settings", do="compare each by itself")


def _is_in_all(name: str, studies: Mapping[str, Study]) -> bool:
    """Whether every study judged a candidate of this name, made by the same settings, and some run of it trained."""
    made = {repr(_own(study, name)) for study in studies.values()}
    return len(made) == 1 and all(_values(study, name) for study in studies.values())


def _own(study: Study, name: str) -> list[str] | None:
    """The overrides by which a candidate differs from others of its study; None where it has none of this name."""
    candidates = study.protocol.candidates
    if name not in candidates:
        return None
    common = set.intersection(*map(set, candidates.values()))
    return sorted(set(candidates[name]) - common)


def _values(study: Study, name: str) -> Sequence[float]:
    return next((one.values for one in study.candidates if one.name == name), ())


def _as_errors(
    values: Mapping[str, Sequence[Sequence[float]]], studies: Mapping[str, Study]
) -> dict[str, list[list[float]]]:
    """The values such that less is better, and above zero: an error of no image counts as half an image."""
    metric = next(iter(studies.values())).metric
    found: dict[str, list[list[float]]] = {}
    for name, by_data in values.items():
        found[name] = []
        for own, study in zip(by_data, studies.values(), strict=True):
            images = study.protocol.split.get("test", study.protocol.split.get("val", 1))
            least = 0.5 / images if metric.is_share else 1e-12
            errors = [1 - value if metric.is_share else value for value in own]
            found[name].append([max(error, least) for error in errors])
    return found


def interquartile_mean(by_data: Sequence[Sequence[float]]) -> Interval:
    """The mean of the middle half of all values, with a bootstrap interval that is stratified by data set.

    Its quantiles are widened for the few values of a stratum, as Student's t is wider than the normal distribution
    (Hesterberg, The American Statistician 69, 2015). No bounds where a stratum has fewer than three values.
    """
    centre = _middle(numpy.sort(numpy.concatenate([numpy.asarray(own, dtype=float) for own in by_data]))[None])[0]
    fewest = min(map(len, by_data))
    if fewest < 3:
        return Interval(float(centre), -math.inf, math.inf)
    generator = numpy.random.default_rng(0)
    drawn = [
        numpy.asarray(own, dtype=float)[generator.integers(0, len(own), (_BOOTSTRAPS, len(own)))] for own in by_data
    ]
    resampled = _middle(numpy.sort(numpy.concatenate(drawn, axis=1), axis=1))
    tail = statistics.widened_tail(fewest)
    low, high = numpy.quantile(resampled, [tail, 1 - tail])
    return Interval(float(centre), float(low), float(high))


def _middle(ordered: numpy.ndarray) -> numpy.ndarray:
    """The means (R,) of the middle halves of `ordered` (R, N): a quarter of the values is cut off at each end."""
    count = ordered.shape[1]
    cut = count // 4
    return ordered[:, cut : count - cut].mean(1)


def _profile(by_data: Sequence[Sequence[float]], highest: float) -> tuple[list[float], list[float]]:
    """For ratios from 1 on, the share of runs that are at most so bad, mean over data sets."""
    at = numpy.linspace(0.9, max(min(highest, 5.0), 1.1), _POINTS)
    shares = numpy.array([(numpy.asarray(own)[:, None] <= at).mean(0) for own in by_data])
    return at.tolist(), shares.mean(0).tolist()


def _wins(one: str, other: str, studies: Mapping[str, Study]) -> Wins:
    """On how many data sets which verdict holds of a pair."""
    counts = dict.fromkeys(("better", "worse", "equivalent", "undecided"), 0)
    for study in studies.values():
        for finding in study.findings:
            if {finding.pair.name, finding.pair.other} == {one, other}:
                pair = finding.pair if finding.pair.name == one else finding.pair.reversed()
                counts[pair.verdict] += 1
    return Wins(one, other, **counts)
