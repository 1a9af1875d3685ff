"""What can be claimed of candidates: how they differ from a reference, and what makes that less sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from lrlab.comparison.candidates import Candidate
from lrlab.comparison.statistics import LEVEL, MOST_SEEDS, Difference, differences
from lrlab.training.metrics import find, lower_is_better
from lrlab.words import counted


@dataclass(frozen=True)
class Against:
    """A candidate against the reference, both at their own best LR, paired by seed."""

    name: str
    reference: str
    difference: Difference
    sentence: str


def against(candidates: Sequence[Candidate], reference: str, metric: str) -> list[Against]:
    """Every other candidate against the reference, paired by seed."""
    base = next(candidate for candidate in candidates if candidate.name == reference)
    theirs = base.values(base.best_lr)

    # The difference of each seed that both have.
    paired = {}
    for candidate in candidates:
        own = candidate.values(candidate.best_lr)
        seeds = sorted(own.keys() & theirs.keys())
        if candidate is not base and seeds:
            paired[candidate.name] = [own[seed] - theirs[seed] for seed in seeds]

    # All of them are judged together: each further claim makes a false one more likely.
    judged = differences(list(paired.values()))
    return [
        Against(name, reference, difference, sentence(name, reference, difference, metric, len(judged)))
        for name, difference in zip(paired, judged, strict=True)
    ]


def sentence(name: str, reference: str, difference: Difference, metric: str, comparisons: int = 1) -> str:
    """What can be claimed of a difference (`name` minus `reference`), in plain words."""
    amount, width, seeds = difference.mean.value, difference.mean.half_width, difference.mean.seeds
    count = counted(seeds, "seed")

    # A difference was found.
    if difference.is_found:
        better = (amount < 0) == lower_is_better(metric)
        verb = "beats" if better else "is worse than"
        return f"{name} {verb} {reference} by {_amount(abs(amount), width, metric)} ({count})"

    # None was found: why, and how many seeds would find one of this size.
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
    """A difference with the half width of its interval, and its unit."""
    kind = find(metric)
    unit = " points" if kind.is_share else ""
    numbers = [value] if width is None else [value, width]
    return " ± ".join(f"{kind.scale * number:.{kind.decimals}f}" for number in numbers) + unit


def cautions(candidates: Sequence[Candidate], reference: str) -> list[str]:
    """What makes the comparison less fair or less sure than it looks."""
    found = []
    for candidate in candidates:
        found += _about_its_grid(candidate)
        found += _about_its_audits(candidate)
    found += _about_the_grids(candidates)
    found += _about_the_seeds(candidates, reference)
    found += _other_losses(candidates)
    found += _the_same(candidates)
    found += _computed_differently(candidates)
    return found


def _about_the_grids(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where candidates could not show their best, or not on equal terms."""
    grids = {candidate.name: candidate.grid for candidate in candidates}
    if len(candidates) > 1 and all(len(grid) == 1 for grid in grids.values()):
        return ["every schedule had one base LR only; the best LR moves with the schedule, so sweep optimizer.lr"]
    shown = {name: ", ".join(f"{lr:g}" for lr in grid) for name, grid in grids.items()}
    if len({str(grid) for grid in grids.values()}) > 1:
        listed = "; ".join(f"{name} {lrs}" for name, lrs in shown.items())
        return [f"the schedules were not run with the same base LRs: {listed}"]
    return []


def _about_the_seeds(candidates: Sequence[Candidate], reference: str) -> list[str]:
    """Warnings where there are too few seeds to judge the noise, or none that the reference has too."""
    found = []
    few = [candidate.name for candidate in candidates if len(candidate.best) < 3]
    if few:
        found.append(f"fewer than 3 seeds, which say nothing about the noise: {', '.join(few)}")
    base = next(candidate for candidate in candidates if candidate.name == reference)
    for candidate in candidates:
        if candidate is not base and not candidate.best.keys() & base.best.keys():
            found.append(f"{candidate.name} and {reference} have no seed in common, so their difference is not judged")
    return found


def _other_losses(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where losses are compared that are not the same function of the outputs."""
    losses = set()
    for candidate in candidates:
        for run in candidate.best.values():
            settings = [pair for pair in sorted(run.settings.items()) if pair[0].startswith("task.loss")]
            losses.add(str(settings))
    if len(losses) == 1 or find(candidates[0].metric).name != "loss":
        return []
    return [
        "the runs were not trained with the same task.loss, so their losses are not comparable (see compare.metric)"
    ]


def _about_its_grid(candidate: Candidate) -> list[str]:
    """Warnings where a candidate lacks runs, or is best at the edge of the LRs that were tried."""
    found = []
    grid, best = candidate.grid, candidate.best_lr

    # Runs that are missing.
    so = "every LR lacks some, so survivors were compared" if candidate.survivors else "it cannot be the best LR"
    planned = counted(candidate.planned, "run")
    for lr in grid:
        finished = len(candidate.runs.get(lr, {}))
        if finished < candidate.planned:
            found.append(f"{candidate.name}: {finished} of {planned} at LR {lr:g} finished; {so}")

    # A best LR at the edge, with the next one to try: a step of the grid further, by a factor of 3 at most.
    edge = None
    if len(grid) > 1 and best == grid[0]:
        edge = "lowest"
        beyond = best / min(3.0, grid[1] / grid[0])
    elif len(grid) > 1 and best == grid[-1]:
        edge = "highest"
        beyond = best * min(3.0, grid[-1] / grid[-2])
    if edge is not None:
        found.append(
            f"{candidate.name}: its best LR {best:g} is the {edge} of the grid, and a better one may lie beyond "
            f"(try optimizer.lr={beyond:.2g})"
        )
    return found


def _about_its_audits(candidate: Candidate) -> list[str]:
    """A warning where a run did not have the LR that was planned."""
    audits = [run.summary.get("audit") or {} for run in candidate.best.values()]
    if all(audit.get("equal") is not False for audit in audits):
        return []
    return [f"{candidate.name}: the LR of a run was not the one that was planned (see its summary.json)"]


def _the_same(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where one training has several names, as `step` and `constant` are before the first step."""
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
    trained: list[tuple[Any, ...]] = []
    for seed, run in sorted(candidate.best.items()):
        epochs = [(row.lr, row.measured["train_loss"], row.measured["val_loss"]) for row in run.history]
        trained.append((seed, epochs or run.name))
    return trained


def _computed_differently(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where runs were computed by different versions or on different devices."""
    runs = list(chain.from_iterable(candidate.all_runs for candidate in candidates))
    computed_by = {
        "torch": {run.name: (run.summary.get("versions") or {}).get("torch") for run in runs},
        "device": {run.name: run.summary.get("device") for run in runs},
    }
    found = []
    for name, said in computed_by.items():
        by_value: dict[str, set[str]] = {}
        for run_name, value in said.items():
            by_value.setdefault(str(value), set()).add(run_name)
        if len(by_value) > 1:
            shown = ", ".join(f"{value} ({counted(len(names), 'run')})" for value, names in sorted(by_value.items()))
            found.append(f"the runs were not all computed alike: {name} {shown}")
    return found
