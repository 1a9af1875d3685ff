"""A comparison of runs: which of them can be compared, and what that shows.

Runs are compared within a *contest*: the same data, model and budget: so many epochs, or so many updates.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from lrlab.comparison import cautions, equal_terms, pairs
from lrlab.comparison.budgets import ANY, Budget, budget_of, epochs_of, in_order
from lrlab.comparison.candidates import Candidate, extended, gather, names_of
from lrlab.comparison.pairs import Pair, Sample
from lrlab.comparison.results import A_TABLE, Result, default_metric, differing, is_number
from lrlab.comparison.statistics import Interval, counting_step, mean
from lrlab.config import other_data
from lrlab.config.identity import GROUPS, SHARED, fingerprint
from lrlab.errors import UserError, closest, wrong
from lrlab.training.metrics import (
    AVERAGE,
    find,
    followed,
    is_of_average,
    lower_is_better,
    measured_names,
    possible_metrics,
    split_and_metric,
)
from lrlab.words import counted, printable

_STOPPED_EARLY = "stopped early"


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


@dataclass
class Comparison:
    """Everything that a set of runs says."""

    contests: list[Contest]
    left_out: list[tuple[str, str]] = field(default_factory=list)  # run, why
    differences: dict[str, list[Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)  # about all contests together
    confirm: str | None = None  # the command of the study that would confirm it


def compare(
    results: Sequence[Result],
    *,
    metric: str | None = None,
    reference: str | None = None,
    target: float | None = None,
    stopped_early: bool = False,
    together: bool = False,
) -> Comparison:
    """Compare `results` by `metric`, each candidate with `reference`: by default `constant`, or else the first name.

    Without a `metric` it is what the task of most is judged by.

    Epochs are counted until the validation metric reaches `target`. By default that is the value that the mean of
    every candidate reaches. Runs that were `stopped_early` are left out unless they are asked for. Budgets are compared
    each by itself unless `together`. Raises UserError where nothing can be compared.
    """
    # Which runs can be compared.
    comparison = Comparison([])
    metric = metric or default_metric(results)
    results = equal_terms.on_equal_terms(results, metric)
    usable = _usable(results, metric, comparison.left_out, stopped_early=stopped_early)
    if not usable:
        raise _none_finished(results, metric, comparison.left_out)
    comparison.differences = _differences(usable)
    unfinished = _unfinished(results, usable)

    # A contest for each budget.
    def of(result: Result) -> Budget | None:
        return Budget(ANY, 0) if together else budget_of(result)

    for budget in in_order(map(of, usable)):
        own = [result for result in usable if of(result) == budget]
        lost = [result for result in unfinished if of(result) == budget]
        comparison.contests.append(
            _contest(own, lost, budget=budget, metric=metric, reference=reference, target=target)
        )
    if reference is not None:
        _require_reference(reference, comparison.contests)
    comparison.warnings += _across_budgets(comparison.contests)
    comparison.warnings += _stopped_early(comparison.left_out)
    return comparison


def _across_budgets(contests: Sequence[Contest]) -> list[str]:
    """A warning where runs of several lengths have no schedule in common, so that nothing is compared across them."""
    if len(contests) < 2:
        return []
    names = [{candidate.name for candidate in contest.candidates} for contest in contests]
    if set.intersection(*names):
        return []
    listed = "; ".join(
        f"{contest.budget.in_words}: {', '.join(sorted(own))}" for contest, own in zip(contests, names, strict=True)
    )
    return [f"runs of different lengths are not compared, and no schedule was trained for all of them ({listed})"]


def _stopped_early(left_out: Sequence[tuple[str, str]]) -> list[str]:
    """A warning where runs were left out because they were stopped early: a comparison without them has a bias."""
    count = sum(why.startswith(_STOPPED_EARLY) for _, why in left_out)
    if not count:
        return []
    told = "1 run that was stopped early is" if count == 1 else f"{count} runs that were stopped early are"
    return [f"{told} left out, for they had less training than the others; compare.stopped_early=true compares them"]


def _none_finished(results: Sequence[Result], metric: str, left_out: Sequence[tuple[str, str]]) -> UserError:
    """The error where no run can be compared, with the most common reason."""
    measured = [one for one in results if one.status == "finished" and one.metrics and one.logged_by is None]
    lacks_average = is_of_average(metric) and not any(map(equal_terms.averages, measured))
    if measured and (find(metric) not in measured[0].metrics or lacks_average):
        names = [name for name in possible_metrics(measured[0].metrics) if not (lacks_average and is_of_average(name))]
        return wrong(
            "compare.metric",
            got=f"{metric}, which these runs do not measure",
            allowed=", ".join(names),
            do=f"compare.metric={names[0]}",
        )
    why = Counter(reason for _, reason in left_out).most_common(1)
    if why and all(reason.startswith(_STOPPED_EARLY) for _, reason in left_out):
        got = f"{counted(len(results), 'run')}, all stopped early"
        raise wrong("compare", got=got, allowed="runs of one length", do="compare.stopped_early=true")
    return wrong(
        "compare",
        got=f"{counted(len(results), 'run')} of which none is finished" + (f" ({why[0][0]})" if why else ""),
        allowed="at least one finished run",
        do="start them again with the command that began them",
    )


def _differences(usable: Sequence[Result]) -> dict[str, list[Any]]:
    """The choices and the settings that are not the same in all runs, each with its values."""
    choices = {group: list(dict.fromkeys(result.choice(group) for result in usable)) for group in GROUPS}
    several = {group: names for group, names in choices.items() if len(names) > 1}
    return several | differing(usable)


def _unfinished(results: Sequence[Result], usable: Sequence[Result]) -> list[Result]:
    """The runs that did not finish and that would be comparable if they had."""
    finished_elsewhere = {fingerprint(result.settings) for result in usable}
    shared = _what_is_shared(results)
    own = shared(usable[0])
    lost = [result for result in results if result.status != "finished" and shared(result) == own]
    return [result for result in lost if fingerprint(result.settings) not in finished_elsewhere]


def _require_reference(reference: str, contests: Sequence[Contest]) -> None:
    """Raise UserError where no contest has the candidate `reference`."""
    if any(contest.reference == reference for contest in contests):
        return
    candidates: set[str] = set()
    for contest in contests:
        candidates |= {candidate.name for candidate in contest.candidates}
    names = sorted(candidates)
    guess = closest(reference, names) or names[0]
    raise wrong(
        "compare.reference",
        got=f"'{reference}'",
        allowed=", ".join(names),
        do=f"compare.reference={guess}",
    )


def _what_is_shared(results: Sequence[Result]) -> Callable[[Result], str]:
    """What two runs must share to be compared at all: data, model and what is learned.

    Runs of other programs say no more of it than names, so where there are such, names decide.
    """
    if any(result.logged_by is not None for result in results):
        return lambda result: f"{result.choice('data')} {result.choice('model')}"
    return lambda result: fingerprint({key: one for key, one in result.settings.items() if key.startswith(SHARED)})


def _usable(
    results: Sequence[Result], metric: str, left_out: list[tuple[str, str]], *, stopped_early: bool = False
) -> list[Result]:
    """The runs that can be compared, each once. The others are noted in `left_out` with the reason."""
    # Those that finished, with all that a comparison needs.
    finished = []
    for result in results:
        reason = _why_unusable(result, metric)
        if reason is None and not stopped_early and (stop := result.summary.get("stopped_early")):
            reason = f"{_STOPPED_EARLY} in epoch {stop['epoch'] + 1}: {stop['why']}"
        if reason is None:
            finished.append(result)
        else:
            left_out.append((result.name, reason))
    if not finished:
        return []

    # Of these, those that share data, model and task with most of the others.
    shared = _what_is_shared(finished)
    most = Counter(map(shared, finished)).most_common(1)[0][0]
    alike = [result for result in finished if shared(result) == most]
    model = alike[0]
    contents = _most_common_contents(alike)
    usable: dict[str, Result] = {}
    for result in finished:
        own = f"{fingerprint(result.settings)} {extended(result)} {result.logged_by}"
        if shared(result) != most:
            left_out.append((result.name, _what_is_not_shared(result, model)))
        elif changed := printable(other_data.difference(contents, result.summary.get("contents"))):
            left_out.append((result.name, f"other data: {changed}"))
        elif own in usable:
            left_out.append((result.name, f"the same run as {usable[own].name}"))
        else:
            usable[own] = result
    return list(usable.values())


def _why_unusable(result: Result, metric: str) -> str | None:
    """Why a run cannot be compared by `metric`, whatever the others are; None where it can."""
    if result.status != "finished":
        return _why_unfinished(result)
    if result.history and find(metric) not in result.metrics:
        return f"its task does not measure {find(metric).name}"
    if is_of_average(metric) and not equal_terms.averages(result) and metric not in result.summary:
        return "it averaged no weights"
    lacking = _lacking(result, metric)
    return f"its files are missing or damaged (no {lacking})" if lacking else None


def _what_is_not_shared(result: Result, model: Result) -> str:
    """What a run has unlike `model`, which is one of those that are compared."""
    keys = [key for key in differing([result, model]) if key.startswith(SHARED)]
    if not keys or result.logged_by is not None or model.logged_by is not None:
        return f"other data or model: data={result.choice('data')}, model={result.choice('model')}"
    what = "another task" if keys[0].startswith("task.") else "other data or model"
    shown = ", ".join(f"{key}={result.settings.get(key)}" for key in keys[:3])
    return f"{what}: {shown}"


def _most_common_contents(results: Sequence[Result]) -> Any:
    """What the data of most of these runs holds; None where no run knows it."""
    known = [result.summary["contents"] for result in results if "contents" in result.summary]
    counts = Counter(repr(contents) for contents in known)
    return next((one for one in known if repr(one) == counts.most_common(1)[0][0]), None)


def _lacking(result: Result, metric: str) -> str | None:
    """The first thing that a finished run should have, to be judged by `metric`, and lacks; None where it has all."""
    if not result.history:
        return "history.csv"
    if not result.settings:
        return "config.yaml"
    budget = budget_of(result)
    numbers = {"seed": result.settings.get("seed"), "trainer.epochs": budget.amount if budget else None}
    if "optimizer.lr" in result.settings:
        numbers["optimizer.lr"] = _above_zero(result.settings["optimizer.lr"])
    needed = [name for name in possible_metrics(result.metrics) if name == metric or not is_of_average(name)]
    if result.logged_by is not None:  # it need not have measured its training data
        needed = [name for name in needed if not name.startswith("train_")]
    numbers |= {name: result.summary.get(name) for name in (*needed, "seconds")}
    return next((name for name, value in numbers.items() if not is_number(value)), None)


def _above_zero(lr: Any) -> Any:
    return lr if is_number(lr) and lr > 0 else None


def _why_unfinished(result: Result) -> str:
    """How a run ended, and the beginning of its error if it had one."""
    if result.status == "running":
        return "not finished: it still runs, or was killed"
    if result.status == "not run":
        return "not finished: it left no summary"
    said = result.summary.get("complaint") or result.summary.get("error")
    return f"{result.status}: {said}" if said else result.status


def _contest(
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
