"""A comparison of runs: a contest for each budget, and what is said of all contests together.

Runs are compared within a *contest*: the same data, model and budget: so many epochs, or so many updates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lrlab.comparison import equal_terms
from lrlab.comparison.budgets import ANY, Budget, budget_of, in_order
from lrlab.comparison.contest import Contest, contest_of
from lrlab.comparison.results import Result, default_metric, differing
from lrlab.comparison.usable import STOPPED_EARLY, none_finished, unfinished_of, usable_of
from lrlab.config.identity import GROUPS
from lrlab.errors import closest, wrong


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
    usable = usable_of(results, metric, comparison.left_out, stopped_early=stopped_early)
    if not usable:
        raise none_finished(results, metric, comparison.left_out)
    comparison.differences = _differences(usable)
    unfinished = unfinished_of(results, usable)

    # A contest for each budget.
    def of(result: Result) -> Budget | None:
        return Budget(ANY, 0) if together else budget_of(result)

    for budget in in_order(map(of, usable)):
        own = [result for result in usable if of(result) == budget]
        lost = [result for result in unfinished if of(result) == budget]
        comparison.contests.append(
            contest_of(own, lost, budget=budget, metric=metric, reference=reference, target=target)
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
    count = sum(why.startswith(STOPPED_EARLY) for _, why in left_out)
    if not count:
        return []
    told = "1 run that was stopped early is" if count == 1 else f"{count} runs that were stopped early are"
    return [f"{told} left out, for they had less training than the others; compare.stopped_early=true compares them"]


def _differences(usable: Sequence[Result]) -> dict[str, list[Any]]:
    """The choices and the settings that are not the same in all runs, each with its values."""
    choices = {group: list(dict.fromkeys(result.choice(group) for result in usable)) for group in GROUPS}
    several = {group: names for group, names in choices.items() if len(names) > 1}
    return several | differing(usable)


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
