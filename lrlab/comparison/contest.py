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
from lrlab.words import counted


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

    @property
    def against(self) -> list[Pair]:
        """Every other candidate against the reference."""
        with_it = [pair for pair in self.pairs if self.reference in (pair.name, pair.other)]
        named = [pair.reversed() if pair.name == self.reference else pair for pair in with_it]
        return sorted(named, key=lambda pair: [one.name for one in self.candidates].index(pair.name))

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
    judged = pairs.judge(samples, lower_is_better=lower_is_better(metric), step=contest.steps.get(metric, 0.0))
    return replace(contest, pairs=judged)


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
