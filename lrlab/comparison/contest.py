"""A contest: candidates that had the same data, model and budget (so many epochs, or so many updates), best first."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from lrlab.comparison import cautions, equal_terms, pairs
from lrlab.comparison.budgets import Budget, epochs_of
from lrlab.comparison.candidates import Candidate, gather, names_of
from lrlab.comparison.pairs import Pair, Sample
from lrlab.comparison.results import A_TABLE, Result
from lrlab.comparison.statistics import Interval, counting_step, mean
from lrlab.training.metrics import (
    AVERAGE,
    find,
    followed,
    lower_is_better,
    measured_names,
    possible_metrics,
    split_and_metric,
)
from lrlab.words import FEW, MANY, counted

_MOST_IN_ALL_PAIRS = 200  # candidates; a thousand make half a million pairs, which take minutes


@dataclass(frozen=True)
class Contest:
    """Candidates that can be compared, best first."""

    title: str
    metric: str
    budget: Budget
    candidates: list[Candidate]
    reference: str
    target: float
    pairs: list[Pair]  # all of them, each named by the better one first
    warnings: list[str]

    @property
    def epochs(self) -> int | float:
        """The epochs of its runs; where their updates were said, those that they come to."""
        return self.budget.amount if self.budget.unit == "epochs" else epochs_of(self.runs[0])

    @functools.cached_property
    def against(self) -> list[Pair]:
        """Every other candidate against the reference."""
        with_it = [pair for pair in self.pairs if self.reference in (pair.name, pair.other)]
        named = [pair.reversed() if pair.name == self.reference else pair for pair in with_it]
        ranks = {one.name: rank for rank, one in enumerate(self.candidates)}
        return sorted(named, key=lambda pair: ranks[pair.name])

    @functools.cached_property
    def drawn(self) -> list[Candidate]:
        """Those that a figure or a terminal has room for: of very many the best few, and the reference."""
        if len(self.candidates) <= MANY:
            return self.candidates
        best, others = self.candidates[:FEW], self.candidates[FEW:]
        return best + [one for one in others if one.name == self.reference]

    @functools.cached_property
    def told(self) -> list[Pair]:
        """Those of `against` of which a page or a terminal tells: of candidates that are drawn."""
        names = {candidate.name for candidate in self.drawn}
        return [pair for pair in self.against if pair.name in names]

    def mean(self, candidate: Candidate, metric: str) -> Interval:
        """The mean of `metric` over the seeds of a candidate at its best LR.

        The intervals of all candidates hold together, so that the one of the first row, which was picked because it is
        the best, holds as well.
        """
        values = candidate.values(candidate.best_lr, metric)
        level = pairs.level_of_each(len(self.candidates))
        return mean(list(values.values()), step=self.steps.get(metric, 0.0), level=level)

    @property
    def runs(self) -> list[Result]:
        """The runs at the best LRs."""
        return list(chain.from_iterable(candidate.best.values() for candidate in self.candidates))

    @functools.cached_property
    def steps(self) -> dict[str, float]:
        """The distance between values that are counts of images, of each metric whose values are.

        Runs say how many images there are; where earlier ones do not, the values of the judged runs tell.
        """
        runs = self.runs
        found = {}
        for name in possible_metrics(runs[0].metrics):
            if find(name).is_share and all(name in run.summary for run in runs):
                images = {run.images(split_and_metric(name)[0]) for run in runs}
                known = images.pop() if len(images) == 1 else None
                found[name] = 1 / known if known else counting_step(run.summary[name] for run in runs)
        return found


def contest_of(
    results: Sequence[Result],
    unfinished: Sequence[Result],
    *,
    budget: Budget,
    metric: str,
    reference: str | None,
    target: float | None,
) -> Contest:
    """The contest between the candidates of `results`, which all had one `budget`."""
    # Best first; of equal ones the first by name.
    candidates = gather(results, unfinished, metric)
    sign = 1 if lower_is_better(metric) else -1
    candidates.sort(key=lambda one: (sign * one.mean(metric), one.name))

    # The candidate that the others are compared with.
    names = sorted(candidate.name for candidate in candidates)
    against_whom = names[0]
    if reference is not None and reference in names:
        against_whom = reference
    elif "constant" in names:
        against_whom = "constant"

    named = [results[0].choice(group) for group in ("data", "model")]
    length = [] if all(result.logged_by == A_TABLE for result in results) else [budget.in_words]
    title = ", ".join([*(name for name in named if name != "?"), *length])
    contest = Contest(
        title=title,
        metric=metric,
        budget=budget,
        candidates=candidates,
        reference=against_whom,
        target=_common_target(candidates, metric) if target is None else target,
        pairs=[],
        warnings=[
            *cautions.cautions(candidates),
            *equal_terms.cautions(candidates, metric),
            *_without_any(unfinished, results, names),
        ],
    )
    samples = {one.name: Sample([*one.values(one.best_lr).values()]) for one in candidates}
    is_all = len(candidates) <= _MOST_IN_ALL_PAIRS
    judged = pairs.judge(
        samples,
        lower_is_better=lower_is_better(metric),
        step=contest.steps.get(metric, 0.0),
        reference=None if is_all else against_whom,
    )
    return replace(contest, pairs=judged, warnings=[*contest.warnings, *_about_pairs(contest, is_all=is_all)])


def _about_pairs(contest: Contest, *, is_all: bool) -> list[str]:
    """A note where there are too many candidates to judge all pairs of them."""
    if is_all:
        return []
    count = len(contest.candidates)
    return [
        f"of the {pairs.count(count):,} pairs of {count:,} schedules those with {contest.reference} are judged, at the "
        "level at which all of them hold together; compare.reference=NAME judges those with another"
    ]


def _without_any(unfinished: Sequence[Result], results: Sequence[Result], known: Sequence[str]) -> list[str]:
    """A warning for each candidate of which no run finished."""
    names = names_of([*results, *unfinished])
    lost = Counter(names[result.name] for result in unfinished if names[result.name] not in known)
    return [f"{name}: 0 of {counted(count, 'run')} finished" for name, count in sorted(lost.items())]


def _common_target(candidates: Sequence[Candidate], metric: str) -> float:
    """The final validation metric that the mean of every candidate reaches."""
    name = followed(metric)
    worst = max if lower_is_better(metric) else min
    return worst(candidate.mean(name) for candidate in candidates)


def columns(contest: Contest) -> Mapping[str, str]:
    """The metrics that a table of the contest shows, with their headings. The one that it is judged by comes first."""
    runs = contest.runs
    splits = ("val", "best_val", f"{AVERAGE}val")
    shown = chain.from_iterable(measured_names([metric], *splits) for metric in reversed(runs[0].metrics))
    best = [f"best_{contest.metric}"] if contest.metric.startswith("val_") else []
    names = dict.fromkeys([contest.metric, *best, *shown, "train_loss"])
    if all(run.logged_by == A_TABLE and len(run.history) == 1 for run in runs):  # nothing is known but one value
        return {contest.metric: contest.metric.removeprefix("val_").replace("_", " ")}
    return {name: _heading(name) for name in names if all(name in run.summary for run in runs)}


def _heading(name: str) -> str:
    words = name.replace("_", " ")
    return words if name.startswith("best_") else f"final {words}"
