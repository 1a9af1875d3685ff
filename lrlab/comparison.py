"""A fair comparison of schedules: each at its own best LR, over seeds, with what can and cannot be claimed.

Runs are compared within a *contest*: the same data, model and number of epochs. In it, a *candidate* is all that was
chosen but the base LR and the seed: a schedule, usually. Comparing candidates at one shared LR would favour those
whom that LR suits (the best LR moves with the shape of the schedule), so each is judged at its own best.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrlab.errors import closest, wrong
from lrlab.inference import LEVEL, MOST_SEEDS, Difference, Mean, differences, mean
from lrlab.results import GROUPS, Result, differing, fingerprint

METRICS = ("val_accuracy", "val_loss", "best_val_accuracy", "best_val_loss", "train_accuracy", "train_loss")
_PRESENT = ("val_accuracy", "best_val_accuracy", "val_loss", "best_val_loss", "train_loss")
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
        return max(len(self.runs.get(lr, {})) + self.missing.get(lr, 0) for lr in {*self.runs, *self.missing})

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


@dataclass(frozen=True)
class Against:
    """A candidate against the reference, seed by seed, each at its own best LR."""

    name: str
    reference: str
    difference: Difference
    sentence: str


@dataclass(frozen=True)
class Contest:
    """Candidates that can be compared, best first."""

    title: str
    metric: str
    epochs: int
    candidates: list[Candidate]
    reference: str
    target: float
    against: list[Against]
    warnings: list[str]


@dataclass
class Comparison:
    """Everything that a set of runs says."""

    contests: list[Contest]
    left_out: list[tuple[str, str]] = field(default_factory=list)  # run, why
    differences: dict[str, list[Any]] = field(default_factory=dict)


def compare(
    results: Sequence[Result],
    *,
    metric: str = "val_accuracy",
    reference: str | None = None,
    target: float | None = None,
) -> Comparison:
    """Compare `results` by `metric`; differences are taken to `reference`, by default `constant` or the first name.

    `target` is the value of the validation metric to which epochs are counted; by default the one that the mean of
    every candidate reaches. Raises UserError where nothing can be compared.
    """
    comparison = Comparison([])
    usable = _usable(results, comparison.left_out)
    if not usable:
        why = Counter(reason for _, reason in comparison.left_out).most_common(1)
        raise wrong(
            "compare",
            got=f"{len(results)} runs of which none is finished" + (f" ({why[0][0]})" if why else ""),
            allowed="at least one finished run",
            do="start them again with the command that began them",
        )
    choices = {group: list(dict.fromkeys(result.choice(group) for result in usable)) for group in GROUPS}
    comparison.differences = {group: names for group, names in choices.items() if len(names) > 1} | differing(usable)
    known = {fingerprint(result.settings) for result in usable}
    unfinished = [
        result
        for result in results
        if result.status != "finished"
        and _task(result) == _task(usable[0])
        and fingerprint(result.settings) not in known  # or else it was run again elsewhere
    ]
    budgets = sorted({int(result.settings["trainer.epochs"]) for result in usable})
    for epochs in budgets:
        own = [result for result in usable if result.settings["trainer.epochs"] == epochs]
        lost = [result for result in unfinished if result.settings.get("trainer.epochs") == epochs]
        comparison.contests.append(
            _contest(own, lost, epochs=epochs, metric=metric, reference=reference, target=target)
        )
    if reference is not None and all(contest.reference != reference for contest in comparison.contests):
        names = sorted({candidate.name for contest in comparison.contests for candidate in contest.candidates})
        guess = closest(reference, names)
        raise wrong(
            "compare.reference",
            got=f"'{reference}'",
            allowed=", ".join(names),
            do=f"compare.reference={guess or names[0]}",
        )
    return comparison


def lower_is_better(metric: str) -> bool:
    return metric.endswith("loss")


def _task(result: Result) -> list[tuple[str, str]]:
    """What two runs must share to be compared at all: data and model."""
    return [(key, repr(value)) for key, value in result.settings.items() if key.startswith(("data.", "model."))]


def _usable(results: Sequence[Result], left_out: list[tuple[str, str]]) -> list[Result]:
    """The finished runs of one task, each once; the others are noted in `left_out` with the reason."""
    finished = []
    for result in results:
        if result.status != "finished":
            left_out.append((result.name, _why_unfinished(result)))
        elif lacking := _lacking(result):
            left_out.append((result.name, f"its files are missing or damaged (no {lacking})"))
        else:
            finished.append(result)
    tasks = Counter(str(_task(result)) for result in finished)
    usable: dict[str, Result] = {}
    for result in finished:
        most = tasks.most_common(1)[0][0]
        if str(_task(result)) != most:
            model = next(one for one in finished if str(_task(one)) == most)
            keys = [key for key in differing([result, model]) if key.startswith(("data.", "model."))]
            shown = ", ".join(f"{key}={result.settings.get(key)}" for key in keys[:3])
            left_out.append((result.name, f"other data or model: {shown}"))
        elif (own := fingerprint(result.settings) + _extended(result)) in usable:
            left_out.append((result.name, f"the same run as {usable[own].name}"))
        else:
            usable[own] = result
    return list(usable.values())


def _lacking(result: Result) -> str | None:
    """What a finished run should have and has not."""
    needed = {"history.csv": result.history or None, "config.yaml": result.settings or None}
    needed |= {key: result.settings.get(key) for key in ("seed", "trainer.epochs")}
    needed |= {name: result.summary.get(name) for name in (*METRICS, "seconds")}
    return next((name for name, value in needed.items() if value is None or isinstance(value, str)), None)


def _extended(result: Result) -> str:
    """What tells a run that was first planned for fewer epochs, and so had another LR, from one planned for all."""
    first = result.summary.get("extended_from")
    return f"extended from {first} epochs" if first is not None else ""


def _why_unfinished(result: Result) -> str:
    said = str(result.summary.get("error") or "").partition("; allowed")[0]
    reasons = {
        "running": "not finished: it still runs, or was killed",
        "not run": "not finished: it left no summary",
    }
    return reasons.get(result.status, result.status + (f": {said}" if said else ""))


def _contest(
    results: Sequence[Result],
    unfinished: Sequence[Result],
    *,
    epochs: int,
    metric: str,
    reference: str | None,
    target: float | None,
) -> Contest:
    candidates = _candidates(results, unfinished, metric)
    sign = 1 if lower_is_better(metric) else -1
    candidates.sort(key=lambda one: (sign * one.mean(metric).value, one.name))
    names = sorted(candidate.name for candidate in candidates)
    against_whom = reference if reference in names else "constant" if "constant" in names else names[0]
    title = f"{results[0].choice('data')}, {results[0].choice('model')}, {epochs} epochs"
    return Contest(
        title=title,
        metric=metric,
        epochs=epochs,
        candidates=candidates,
        reference=against_whom,
        target=_common_target(candidates, metric) if target is None else target,
        against=_against(candidates, against_whom, metric),
        warnings=_warnings(candidates, against_whom) + _without_any(unfinished, names, _names([*results, *unfinished])),
    )


def _without_any(unfinished: Sequence[Result], known: Sequence[str], names: Mapping[str, str]) -> list[str]:
    lost = Counter(names[result.name] for result in unfinished if names[result.name] not in known)
    return [f"{name}: none of its {count} runs finished" for name, count in sorted(lost.items())]


def _candidates(results: Sequence[Result], unfinished: Sequence[Result], metric: str) -> list[Candidate]:
    """The runs by candidate, base LR and seed."""
    names = _names([*results, *unfinished])
    runs: dict[str, dict[float, dict[int, Result]]] = {}
    missing: dict[str, Counter[float]] = {}
    for result in results:
        by_lr = runs.setdefault(names[result.name], {})
        by_lr.setdefault(_base_lr(result), {})[int(result.settings["seed"])] = result
    for result in unfinished:
        missing.setdefault(names[result.name], Counter())[_base_lr(result)] += 1
    return [Candidate(name, by_lr, dict(missing.get(name, {})), metric) for name, by_lr in runs.items()]


def _base_lr(result: Result) -> float:
    """The base LR; of an optimizer without that setting, the LR that it began with, 0 where even that is unknown."""
    lr = result.settings.get("optimizer.lr")
    return float(lr) if isinstance(lr, int | float) else result.history[0].lr if result.history else 0.0


def _names(results: Sequence[Result]) -> dict[str, str]:
    """The candidate of each run, by the run's name: its scheduler, and what else tells candidates apart."""
    varying = [group for group in GROUPS if len({result.choice(group) for result in results}) > 1]
    chosen = {r.name: tuple(r.choice(group) for group in varying) for r in results}
    names = {}
    for result in results:
        alike = [one for one in results if chosen[one.name] == chosen[result.name]]
        keys = [key for key in differing(alike) if key not in _TUNED and not _follows(key, alike)]
        extra = [f"{key.rpartition('.')[2]}={result.settings.get(key)}" for key in keys]
        others = [f"{group}={result.choice(group)}" for group in varying if group != "scheduler"]
        parts = [result.choice("scheduler"), *others, *extra, _extended(result)]
        names[result.name] = ", ".join(part for part in parts if part)
    return names


def _follows(key: str, results: Sequence[Result]) -> bool:
    """Whether a setting is a multiple of the base LR, as OneCycleLR's `max_lr` is, or is the seed."""
    values: list[Any] = [result.settings.get(key) for result in results]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return False
    if values == [result.settings.get("seed") for result in results]:
        return True
    lrs = [_base_lr(result) for result in results]
    return all(math.isclose(value * lrs[0], values[0] * lr) for value, lr in zip(values, lrs, strict=True))


def _common_target(candidates: Sequence[Candidate], metric: str) -> float:
    """The final validation metric that the mean of every candidate reaches."""
    name = "val_loss" if lower_is_better(metric) else "val_accuracy"
    worst = max if lower_is_better(metric) else min
    return worst(candidate.mean(name).value for candidate in candidates)


def reached(candidate: Candidate, target: float) -> Reached:
    """After how many epochs the runs at the best LR reach `target`, a validation loss or accuracy."""
    loss = lower_is_better(candidate.metric)
    first = []
    for run in candidate.best.values():
        values = [(row.epoch + 1, row.val_loss if loss else row.val_accuracy) for row in run.history]
        there = [
            epoch for epoch, value in values if value is not None and (value <= target if loss else value >= target)
        ]
        first += there[:1]
    return Reached(statistics.median(first) if first else None, len(first), len(candidate.best))


def _against(candidates: Sequence[Candidate], reference: str, metric: str) -> list[Against]:
    """Every other candidate against the reference, paired by seed."""
    base = next(candidate for candidate in candidates if candidate.name == reference)
    theirs = base.values(base.best_lr)
    paired = {}
    for candidate in candidates:
        own = candidate.values(candidate.best_lr)
        seeds = sorted(own.keys() & theirs.keys())
        if candidate is not base and seeds:
            paired[candidate.name] = [own[seed] - theirs[seed] for seed in seeds]
    judged = differences(list(paired.values()))
    return [
        Against(name, reference, difference, sentence(name, reference, difference, metric, len(judged)))
        for name, difference in zip(paired, judged, strict=True)
    ]


def sentence(name: str, reference: str, difference: Difference, metric: str, comparisons: int = 1) -> str:
    """What can be claimed of a difference (`name` minus `reference`), in plain words."""
    amount, width, seeds = difference.mean.value, difference.mean.half_width, difference.mean.seeds
    count = f"{seeds} seed{'s' if seeds > 1 else ''}"
    if difference.is_found:
        better = (amount < 0) == lower_is_better(metric)
        verb = "beats" if better else "is worse than"
        return f"{name} {verb} {reference} by {_amount(abs(amount), width, metric)} ({count})"
    seen = f"difference {_amount(amount, width, metric)}"
    text = f"{count} cannot tell {name} and {reference} apart ({seen})"
    if seeds < 3:
        return f"{text}; at least 3 are needed to judge the noise"
    if difference.p is None:
        same = "is the same" if amount else "is zero"
        return f"{text}: it {same} with every seed, so the noise is unknown"
    if difference.p < 1 - LEVEL and comparisons > 1:
        text += f" once {comparisons} comparisons are made together"
    if difference.seeds_needed is None:
        return f"{text}; it would take more than {MOST_SEEDS:,}"
    return f"{text}; about {difference.seeds_needed:,} would"


def _amount(value: float, width: float | None, metric: str) -> str:
    if metric.endswith("accuracy"):
        return f"{100 * value:.2f}" + (f" ± {100 * width:.2f}" if width is not None else "") + " points"
    return f"{value:.4f}" + (f" ± {width:.4f}" if width is not None else "")


def _warnings(candidates: Sequence[Candidate], reference: str) -> list[str]:
    """What makes the comparison less fair or less sure than it looks."""
    found = [warning for candidate in candidates for warning in _about(candidate)]
    grids = {candidate.name: _grid(candidate) for candidate in candidates}
    if len(candidates) > 1 and all(len(grid) == 1 for grid in grids.values()):
        found.append("every schedule had one base LR only; the best LR moves with the schedule, so sweep optimizer.lr")
    elif len({str(grid) for grid in grids.values()}) > 1:
        shown = "; ".join(f"{name} {', '.join(f'{lr:g}' for lr in grid)}" for name, grid in grids.items())
        found.append(f"the schedules were not run with the same base LRs: {shown}")
    if few := [candidate.name for candidate in candidates if len(candidate.best) < 3]:
        found.append(f"fewer than 3 seeds, which say nothing about the noise: {', '.join(few)}")
    base = next(candidate for candidate in candidates if candidate.name == reference)
    for candidate in candidates:
        if candidate is not base and not candidate.best.keys() & base.best.keys():
            found.append(f"{candidate.name} and {reference} have no seed in common, so their difference is not judged")
    return found + _computed_differently(candidates)


def _computed_differently(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where runs were computed by different versions or on different devices."""
    runs = [run for candidate in candidates for by_seed in candidate.runs.values() for run in by_seed.values()]
    found = []
    for name in ("torch", "device"):
        by_value: dict[str, set[str]] = {}
        for run in runs:
            said = run.summary.get("device") if name == "device" else (run.summary.get("versions") or {}).get("torch")
            by_value.setdefault(str(said), set()).add(run.name)
        if len(by_value) > 1:
            shown = ", ".join(f"{value} ({len(names)} runs)" for value, names in sorted(by_value.items()))
            found.append(f"the runs were not all computed alike: {name} {shown}")
    return found


def _about(candidate: Candidate) -> list[str]:
    """The warnings about one candidate."""
    found, grid, best = [], _grid(candidate), candidate.best_lr
    for lr in grid:
        finished = len(candidate.runs.get(lr, {}))
        so = "every LR lacks some, so survivors were compared" if candidate.survivors else "it cannot be the best LR"
        if finished < candidate.planned:
            found.append(f"{candidate.name}: {finished} of {candidate.planned} runs at LR {lr:g} finished; {so}")
    if len(grid) > 1 and best in (grid[0], grid[-1]):
        low = best == grid[0]
        ratio = min(3.0, grid[1] / grid[0] if low else grid[-1] / grid[-2])
        edge, beyond = ("lowest", best / ratio) if low else ("highest", best * ratio)
        found.append(
            f"{candidate.name}: its best LR {best:g} is the {edge} of the grid, and a better one may lie beyond "
            f"(try optimizer.lr={beyond:.2g})"
        )
    if any((run.summary.get("audit") or {}).get("equal") is False for run in candidate.best.values()):
        found.append(f"{candidate.name}: the LR of a run was not the one that was planned (see its summary.json)")
    return found


def _grid(candidate: Candidate) -> list[float]:
    """The base LRs that were tried."""
    return sorted({*candidate.runs, *candidate.missing})


def columns(contest: Contest) -> Mapping[str, str]:
    """The metrics that a table of the contest shows, with their headings; the one it is judged by comes first."""
    headings = {
        "val_accuracy": "final val accuracy",
        "best_val_accuracy": "best val accuracy",
        "val_loss": "final val loss",
        "best_val_loss": "best val loss",
        "train_loss": "final train loss",
        "train_accuracy": "final train accuracy",
    }
    return {name: headings[name] for name in dict.fromkeys([contest.metric, *_PRESENT])}
