"""Candidates of a comparison: all that was chosen but the base LR and the seed, a schedule usually, with its runs.

Comparing candidates at one shared LR would favour those whom that LR suits (the best LR moves with the shape of the
schedule), so each is judged at its own best.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrlab.comparison.results import GROUPS, Result, differing
from lrlab.comparison.statistics import Mean, mean
from lrlab.training.metrics import find, lower_is_better
from lrlab.words import counted

_TUNED = ("optimizer.lr", "seed")


@dataclass(frozen=True)
class Candidate:
    """A schedule, and whatever else was chosen with it, with its runs."""

    name: str
    runs: dict[float, dict[int, Result]]  # finished ones, by base LR and seed
    missing: dict[float, int]  # runs that did not finish, by base LR
    metric: str

    def values(self, lr: float, metric: str | None = None) -> dict[int, float]:
        """A metric of the finished runs at a base LR, by seed."""
        return {seed: float(run.summary[metric or self.metric]) for seed, run in sorted(self.runs[lr].items())}

    @property
    def planned(self) -> int:
        """As many runs as were begun at any base LR."""
        return max(len(self.runs.get(lr, {})) + self.missing.get(lr, 0) for lr in self.grid)

    @property
    def survivors(self) -> bool:
        """Whether at every LR a run is missing."""
        return all(len(runs) < self.planned for runs in self.runs.values())

    @property
    def eligible_lrs(self) -> list[float]:
        """The LRs at which all runs finished or, where there is no such LR, the most.

        An LR at which some seeds diverged must not win by the mean of those that survived.
        """
        most = max(len(runs) for runs in self.runs.values())
        return sorted(lr for lr, runs in self.runs.items() if len(runs) == (most if self.survivors else self.planned))

    @property
    def best_lr(self) -> float:
        """The base LR with the best mean; of equal ones the smallest."""
        sign = 1 if lower_is_better(self.metric) else -1
        return min(self.eligible_lrs, key=lambda lr: sign * statistics.fmean(self.values(lr).values()))

    @property
    def grid(self) -> list[float]:
        """The base LRs that were tried."""
        return sorted({*self.runs, *self.missing})

    @property
    def best(self) -> dict[int, Result]:
        """The runs at the best LR, by seed."""
        return self.runs[self.best_lr]

    def mean(self, metric: str) -> Mean:
        """At the best LR."""
        return mean(list(self.values(self.best_lr, metric).values()))


@dataclass(frozen=True)
class Reached:
    """After how many epochs a candidate reached the target: the median of the seeds that did."""

    epochs: float | None
    reached: int
    seeds: int


def gather(results: Sequence[Result], unfinished: Sequence[Result], metric: str) -> list[Candidate]:
    """The runs by candidate, base LR and seed."""
    names = names_of([*results, *unfinished])
    runs: dict[str, dict[float, dict[int, Result]]] = {}
    missing: dict[str, Counter[float]] = {}
    for result in results:
        by_lr = runs.setdefault(names[result.name], {})
        by_lr.setdefault(_base_lr(result), {})[int(result.settings["seed"])] = result
    for result in unfinished:
        missing.setdefault(names[result.name], Counter())[_base_lr(result)] += 1
    return [Candidate(name, by_lr, dict(missing.get(name, {})), metric) for name, by_lr in runs.items()]


def names_of(results: Sequence[Result]) -> dict[str, str]:
    """The candidate of each run, by the run's name: its scheduler, and what else tells candidates apart."""
    varying = [group for group in GROUPS if len({result.choice(group) for result in results}) > 1]
    chosen = {r.name: tuple(r.choice(group) for group in varying) for r in results}
    names = {}
    for result in results:
        alike = [one for one in results if chosen[one.name] == chosen[result.name]]
        keys = [key for key in differing(alike) if key not in _TUNED and not _follows(key, alike)]
        extra = [f"{key.rpartition('.')[2]}={result.settings.get(key)}" for key in keys]
        others = [f"{group}={result.choice(group)}" for group in varying if group != "scheduler"]
        parts = [result.choice("scheduler"), *others, *extra, extended(result)]
        names[result.name] = ", ".join(part for part in parts if part)
    return names


def _base_lr(result: Result) -> float:
    """The base LR; of an optimizer without that setting, the LR that it began with, 0 where even that is unknown."""
    lr = result.settings.get("optimizer.lr")
    return float(lr) if isinstance(lr, int | float) else result.history[0].lr if result.history else 0.0


def _follows(key: str, results: Sequence[Result]) -> bool:
    """Whether a setting is a multiple of the base LR, as OneCycleLR's `max_lr` is, or is the seed."""
    values: list[Any] = [result.settings.get(key) for result in results]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    if values == [result.settings.get("seed") for result in results]:
        return True
    lrs = [_base_lr(result) for result in results]
    return all(math.isclose(value * lrs[0], values[0] * lr) for value, lr in zip(values, lrs, strict=True))


def extended(result: Result) -> str:
    """What tells a run that was first planned for fewer epochs, and so had another LR, from one planned for all."""
    first = result.summary.get("extended_from")
    return f"extended from {counted(first, 'epoch')}" if first is not None else ""


def reached(candidate: Candidate, target: float) -> Reached:
    """After how many epochs the runs at the best LR reach `target`, a value of the metric on the validation split."""
    metric = find(candidate.metric)
    sign = 1 if metric.lower_is_better else -1
    first = []
    for run in candidate.best.values():
        values = [(row.epoch + 1, row.measured[f"val_{metric.name}"]) for row in run.history]
        there = [epoch for epoch, value in values if value is not None and sign * value <= sign * target]
        first += there[:1]
    return Reached(statistics.median(first) if first else None, len(first), len(candidate.best))
