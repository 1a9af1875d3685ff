"""What makes a comparison less fair or less sure than it looks."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from lrlab import words
from lrlab.comparison.candidates import UNKNOWN_LR, Candidate
from lrlab.comparison.pairs import FEWEST_SEEDS
from lrlab.comparison.results import Result
from lrlab.training.metrics import find
from lrlab.words import counted


def cautions(candidates: Sequence[Candidate]) -> list[str]:
    """What the reader of a comparison of these has to know."""
    found = []
    for candidate in candidates:
        found += _about_its_grid(candidate)
        found += _about_its_audits(candidate)
        found += _about_its_updates(candidate)
    found += _about_the_grids(candidates)
    found += _about_the_seeds(candidates)
    found += _other_losses(candidates)
    found += _the_same(candidates)
    found += _computed_differently(candidates)
    return found


def of_other_programs(runs: Sequence[Result]) -> list[str]:
    """A warning where runs that other programs trained are compared with lrlab's by the names of data and model."""
    programs = sorted({run.logged_by for run in runs if run.logged_by is not None})
    if not programs or all(run.logged_by is not None and "plan" not in run.summary for run in runs):
        return []
    return [
        f"{', '.join(programs)}: that data, model and metric are those of the other runs is what their names say, and "
        "nobody can check it"
    ]


def _about_the_grids(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where candidates could not show their best, or not on equal terms."""
    grids = {candidate.name: candidate.grid for candidate in candidates}
    if all(grid == [UNKNOWN_LR] for grid in grids.values()):
        return []  # which a warning about the whole table says
    if len(candidates) > 1 and all(len(grid) == 1 for grid in grids.values()):
        return ["every schedule had one base LR only; the best LR moves with the schedule, so sweep optimizer.lr"]
    shown = {name: ", ".join(f"{lr:g}" for lr in grid) for name, grid in grids.items()}
    if len({str(grid) for grid in grids.values()}) > 1:
        listed = "; ".join(words.few([f"{name} {lrs}" for name, lrs in shown.items()]))
        return [f"the schedules were not run with the same base LRs: {listed}"]
    return []


def _about_the_seeds(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where there are too few seeds to judge the noise."""
    few = [candidate.name for candidate in candidates if len(candidate.best) < FEWEST_SEEDS]
    if not few:
        return []
    between = "; " if any("," in name for name in few) else ", "
    return [f"fewer than {FEWEST_SEEDS} seeds, which say nothing about the noise: {between.join(words.few(few))}"]


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
    """Warnings where runs of a candidate failed or are missing, or where it is best at the edge of its LRs."""
    found = []
    grid, best = candidate.grid, candidate.best_lr

    # Runs that failed, and runs that are still to come.
    so = "some failed at every LR, so survivors were compared" if candidate.survivors else "it cannot be the best LR"
    for lr in grid:
        failed, finished = candidate.failed.get(lr, 0), len(candidate.runs.get(lr, {}))
        at = f" at LR {lr:g}" if lr != UNKNOWN_LR else ""
        if failed:
            found.append(f"{candidate.name}: {failed} of {counted(failed + finished, 'run')}{at} failed; {so}")
        if waiting := candidate.pending.get(lr, 0):
            found.append(f"{candidate.name}: {counted(waiting, 'run')}{at} did not finish yet")

    # LRs with more seeds than others.
    seeds = {lr: len(candidate.runs[lr]) for lr in sorted(candidate.runs)}
    if len(set(seeds.values())) > 1:
        listed = ", ".join(f"{count} at {lr:g}" for lr, count in seeds.items())
        found.append(f"{candidate.name}: not as many seeds at every LR ({listed}); LRs were compared on common seeds")

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
    audits = {run.name: run.summary.get("audit") or {} for run in candidate.best.values()}
    differing = [name for name, audit in audits.items() if audit.get("equal") is False]
    if not differing:
        return []
    runs = ", ".join(words.few(differing))
    return [f"{candidate.name}: the LR of a run was not the one that was planned (see the summary.json of {runs})"]


def _about_its_updates(candidate: Candidate) -> list[str]:
    """A warning where a loop of another's made fewer updates than were planned, so that its LR ended half-way."""
    for run in candidate.best.values():
        planned, made = (run.summary.get("plan") or {}).get("updates"), run.summary.get("updates")
        if run.logged_by is not None and planned and made and made < planned:
            return [f"{candidate.name}: {made:,} of {planned:,} planned updates were made, by {run.name} for one"]
    return []


def _the_same(candidates: Sequence[Candidate]) -> list[str]:
    """A warning where one training has several names, as `step` and `constant` are before the first step."""
    by_training: dict[str, list[str]] = {}
    for candidate in candidates:
        by_training.setdefault(repr(_trained(candidate)), []).append(candidate.name)
    several = [names for names in by_training.values() if len(names) > 1]
    so = "are the same training: the same LR and losses in every epoch"
    return [f"{', '.join(words.few(names[:-1]))} and {names[-1]} {so}" for names in several]


def _trained(candidate: Candidate) -> list[tuple[Any, ...]]:
    """What tells one training from another: by seed, the LR and the losses of every epoch."""
    trained: list[tuple[Any, ...]] = []
    for seed, run in sorted(candidate.best.items()):
        epochs = [(row.lr, *sorted(row.measured.items())) for row in run.history]
        trained.append((seed, epochs or run.name))
    return trained


def _computed_differently(candidates: Sequence[Candidate]) -> list[str]:
    """A warning for each of versions, devices and commits of the user's code that is not the same for all runs."""
    runs = list(chain.from_iterable(candidate.all_runs for candidate in candidates))
    computed_by = {run.name: _computed_by(run) for run in runs}
    found = []
    for name in dict.fromkeys(chain.from_iterable(computed_by.values())):
        by_value: dict[str, set[str]] = {}
        for run_name, said in computed_by.items():
            by_value.setdefault(str(said.get(name, "unknown")), set()).add(run_name)
        if len(by_value) > 1:
            shown = ", ".join(f"{value} ({counted(len(names), 'run')})" for value, names in sorted(by_value.items()))
            found.append(f"the runs were not all computed alike: {name} {shown}")
    return found


def _computed_by(run: Result) -> dict[str, str]:
    """What computed a run: its device, the versions, and the commit of the code around it, as far as they are known."""
    said = {"device": run.summary.get("device"), **(run.summary.get("versions") or {})}
    said["commit"] = run.summary.get("commit")
    return {name: str(value) for name, value in said.items() if value is not None}
