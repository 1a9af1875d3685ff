"""What can be said of candidates: differences to a reference, in sentences, and what makes them less sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrlab.comparison.candidates import Candidate
from lrlab.comparison.statistics import LEVEL, MOST_SEEDS, Difference, differences
from lrlab.training.metrics import find, lower_is_better
from lrlab.words import counted


@dataclass(frozen=True)
class Against:
    """A candidate against the reference, seed by seed, each at its own best LR."""

    name: str
    reference: str
    difference: Difference
    sentence: str


def against(candidates: Sequence[Candidate], reference: str, metric: str) -> list[Against]:
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
    count = counted(seeds, "seed")
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
    kind = find(metric)
    unit = " points" if kind.is_share else ""
    numbers = [value] if width is None else [value, width]
    return " ± ".join(f"{kind.scale * number:.{kind.decimals}f}" for number in numbers) + unit


def warnings(candidates: Sequence[Candidate], reference: str) -> list[str]:
    """What makes the comparison less fair or less sure than it looks."""
    found = [warning for candidate in candidates for warning in _about(candidate)]
    grids = {candidate.name: candidate.grid for candidate in candidates}
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
    return found + _other_losses(candidates) + _the_same(candidates) + _computed_differently(candidates)


def _other_losses(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where losses are compared that are not the same function of the outputs."""
    losses = {
        str([(key, value) for key, value in sorted(run.settings.items()) if key.startswith("task.loss")])
        for candidate in candidates
        for run in candidate.best.values()
    }
    if len(losses) == 1 or find(candidates[0].metric).name != "loss":
        return []
    return [
        "the runs were not trained with the same task.loss, so their losses are not comparable (see compare.metric)"
    ]


def _about(candidate: Candidate) -> list[str]:
    """The warnings about one candidate."""
    found, grid, best = [], candidate.grid, candidate.best_lr
    for lr in grid:
        finished = len(candidate.runs.get(lr, {}))
        so = "every LR lacks some, so survivors were compared" if candidate.survivors else "it cannot be the best LR"
        if finished < candidate.planned:
            found.append(
                f"{candidate.name}: {finished} of {counted(candidate.planned, 'run')} at LR {lr:g} finished; {so}"
            )
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


def _the_same(candidates: Sequence[Candidate]) -> list[str]:
    """A warning for those that are one training under several names, as `step` is `constant` before its first step."""
    by_training: dict[str, list[str]] = {}
    for candidate in candidates:
        by_training.setdefault(repr(_trained(candidate)), []).append(candidate.name)
    return [
        f"{', '.join(names[:-1])} and {names[-1]} are the same training: the same LR and losses in every epoch"
        for names in by_training.values()
        if len(names) > 1
    ]


def _trained(candidate: Candidate) -> list[tuple[Any, ...]]:
    """What tells one training from another: by seed, the LR and the losses of every epoch."""
    return [
        (seed, [(row.lr, row.measured["train_loss"], row.measured["val_loss"]) for row in run.history] or run.name)
        for seed, run in sorted(candidate.best.items())
    ]


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
            shown = ", ".join(f"{value} ({counted(len(names), 'run')})" for value, names in sorted(by_value.items()))
            found.append(f"the runs were not all computed alike: {name} {shown}")
    return found
