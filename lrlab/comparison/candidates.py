"""Candidates of a comparison. A candidate is what was chosen apart from the base LR and the seed: usually a schedule.

The best LR moves with the shape of the schedule, so one shared LR would favour those that it suits. Each candidate is
judged at its own best LR.
"""

import functools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lrlab.comparison import choice
from lrlab.comparison.budgets import budget_of
from lrlab.comparison.results import Result, differing
from lrlab.comparison.sound import is_number
from lrlab.comparison.statistics import Interval, median
from lrlab.config.identity import GROUPS, LENGTHS, TUNED
from lrlab.training.metrics import find, followed, lower_is_better
from lrlab.words import epochs_in_words

UNKNOWN_LR = 0.0  # stands for the base LR where none is told: nothing is trained with 0
FAILED = ("failed", "diverged")  # how runs end that say something of their LR; others were only stopped


@dataclass(frozen=True)
class Candidate:
    """A schedule, whatever else was chosen with it, and the runs of both."""

    name: str
    runs: dict[float, dict[int, Result]]  # finished ones, by base LR and seed
    failed: dict[float, int]  # runs that were begun and failed or diverged, by base LR
    pending: dict[float, int]  # runs that have not ended yet, or were stopped, by base LR
    metric: str

    def values(self, lr: float, metric: str | None = None) -> dict[int, float]:
        """A metric of the finished runs at a base LR, by seed."""
        name = metric or self.metric
        return {seed: float(run.summary[name]) for seed, run in sorted(self.runs[lr].items())}

    @property
    def known_lr(self) -> float | None:
        """The best base LR; None where the LR is not told, as in a table without such a column."""
        return self.best_lr if self.best_lr != UNKNOWN_LR else None

    @property
    def survivors(self) -> bool:
        """Whether a run failed at every LR, so that only survivors can be compared."""
        return all(self.failed.get(lr, 0) for lr in self.runs)

    @functools.cached_property
    def best_lr(self) -> float:
        """The base LR that was best on the seeds that it has in common with each of the others; see `choice`."""
        return choice.best_lr(
            {lr: self.values(lr) for lr in self.runs},
            self.failed,
            lower_is_better=lower_is_better(self.metric),
            are_shares=find(self.metric).is_share,
        )

    @property
    def all_runs(self) -> list[Result]:
        """The finished runs at every base LR."""
        return list(chain.from_iterable(by_seed.values() for by_seed in self.runs.values()))

    @property
    def grid(self) -> list[float]:
        """The base LRs that were tried, as far as they are told; where none is, what stands for it."""
        tried = {*self.runs, *self.failed, *self.pending}
        return sorted(tried - {UNKNOWN_LR} or tried)

    @functools.cached_property
    def best(self) -> dict[int, Result]:
        """The runs at the best LR, by seed."""
        return dict(sorted(self.runs[self.best_lr].items()))

    def mean(self, metric: str) -> float:
        """The mean of `metric` over the seeds at the best LR."""
        return statistics.fmean(self.values(self.best_lr, metric).values())


@dataclass(frozen=True)
class Reached:
    """After how many epochs a candidate reached the target. A run that never did counts as infinite."""

    epochs: Interval  # the median over all seeds, infinite where half of them or more did not reach it
    reached: int  # seeds
    seeds: int  # all of them


def gather(results: Sequence[Result], unfinished: Sequence[Result], metric: str) -> list[Candidate]:
    """The candidates, each with its runs by base LR and seed."""
    names = names_of([*results, *unfinished])
    runs: dict[str, dict[float, dict[int, Result]]] = {}
    for result in results:
        by_lr = runs.setdefault(names[result.name], {})
        by_seed = by_lr.setdefault(_base_lr(result), {})
        by_seed[int(result.settings["seed"])] = result
    failed: dict[str, Counter[float]] = {}
    pending: dict[str, Counter[float]] = {}
    for result in unfinished:
        counts = failed if result.status in FAILED else pending
        counts.setdefault(names[result.name], Counter())[_base_lr(result)] += 1
    return [
        Candidate(name, by_lr, dict(failed.get(name, {})), dict(pending.get(name, {})), metric)
        for name, by_lr in runs.items()
    ]


def names_of(results: Sequence[Result]) -> dict[str, str]:
    """The name of each run's candidate, by the name of the run.

    It is made of the scheduler and of whatever else tells candidates apart.
    """
    varying = [group for group in GROUPS if len({result.choice(group) for result in results}) > 1]
    chosen_alike: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        chosen_alike.setdefault(tuple(result.choice(group) for group in varying), []).append(result)
    names = {}
    for alike in chosen_alike.values():
        keys = [key for key in differing(alike) if key not in LENGTHS and _tells_apart(key, alike)]
        has_budgets = len(set(map(budget_of, alike))) > 1
        for result in alike:
            extra = [f"{key.rpartition('.')[2]}={_as_typed(result.settings.get(key))}" for key in keys]
            if has_budgets and (budget := budget_of(result)) is not None:
                extra.append(budget.setting.removeprefix("trainer."))
            others = [f"{group}={result.choice(group)}" for group in varying if group != "scheduler"]
            parts = [result.choice("scheduler"), *others, *extra, extended(result)]
            names[result.name] = ", ".join(part for part in parts if part)
    return names


def _as_typed(value: Any) -> str:
    """A setting as one types it: null, true and false are no words of Python's."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def lr_in_words(lr: float) -> str:
    return f"{lr:g}" if lr != UNKNOWN_LR else "-"


def _base_lr(result: Result) -> float:
    """The base LR. An optimizer without that setting has the LR that it began with, where that is known."""
    lr = result.settings.get("optimizer.lr")
    if is_number(lr):
        return float(lr)  # type: ignore[arg-type]
    if result.history and is_number(result.history[0].lr):
        return result.history[0].lr
    return UNKNOWN_LR


def _tells_apart(key: str, results: Sequence[Result]) -> bool:
    """Whether runs that differ in this setting belong to different candidates."""
    return key not in TUNED and not _follows(key, results)


def _follows(key: str, results: Sequence[Result]) -> bool:
    """Whether a setting only repeats the seed, or is a multiple of the base LR as OneCycleLR's `max_lr` is."""
    values: list[Any] = [result.settings.get(key) for result in results]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    if values == [result.settings.get("seed") for result in results]:
        return True
    lrs = [_base_lr(result) for result in results]
    return all(math.isclose(value * lrs[0], values[0] * lr) for value, lr in zip(values, lrs, strict=True))


def extended(result: Result) -> str:
    """A mark for a run that was first planned for fewer epochs: it had another LR than one planned for all of them."""
    first = result.summary.get("extended_from")
    return f"extended from {epochs_in_words(first)}" if first is not None else ""


def reached(candidate: Candidate, target: float) -> Reached:
    """After how many epochs the runs at the best LR reach `target`, a value of the metric on the validation split."""
    firsts = [_first_epoch_at(run, candidate.metric, target) for run in candidate.best.values()]
    there = [epoch for epoch in firsts if epoch is not None]
    epochs = [math.inf if epoch is None else float(epoch) for epoch in firsts]
    return Reached(median(epochs), len(there), len(candidate.best))


def _first_epoch_at(run: Result, metric_name: str, target: float) -> int | float | None:
    """The first epoch, counted from 1, after which a run is as good as `target`; None where it never is."""
    metric = find(metric_name)
    sign = 1 if metric.lower_is_better else -1
    for row in run.history:
        value = row.measured[followed(metric_name)]
        if value is not None and sign * value <= sign * target:
            return run.epochs_at(row)
    return None
