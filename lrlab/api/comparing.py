"""`lrlab.compare`: what runs, tables of other programs or a study showed, and what may be claimed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrlab.api.compared import Compared, ComparedStudy
from lrlab.api.gathering import Gathered, comparison_of, gathered
from lrlab.api.running import Run, Runs
from lrlab.api.wording import of_arguments
from lrlab.comparison import design, foreign, verdict
from lrlab.comparison.foreign import Columns
from lrlab.config import checks
from lrlab.schedules.law import wrong_argument
from lrlab.system import disk
from lrlab.training.metrics import find


def compare(
    *what: Any,
    schedule: str | None = None,
    lr: str | None = None,
    seed: str | None = None,
    metric: str | None = None,
    step: str | None = None,
    better: str | None = None,
    reference: str | None = None,
    target: float | None = None,
    stopped_early: bool = False,
    together: bool = False,
) -> Compared | ComparedStudy:
    """What `what` showed: runs of `lrlab.train` and `lrlab.sweep`, folders, or a table of another program.

    Runs and folders may come in a list too. A folder may hold TensorBoard's files of other programs. A table is a CSV
    file, a pandas DataFrame, a dict of columns or a list of rows, with a row a run, or a row a step of a run; W&B's and
    MLflow's exports are such tables.
    `schedule`, `lr`, `seed`, `metric` and `step` name its columns where their names do not tell, and `better` says
    "higher" or "lower". For lrlab's own runs `metric` is one of those that they measured, "val_accuracy" by default.

    Each schedule is judged at its own best LR, and every pair is tested together. `reference` is what the sentences
    compare with, and `target` a value of the metric whose reaching is timed. Runs that were `stopped_early` are left
    out unless they are asked for, and budgets (epochs, updates, times) are compared each by itself unless `together`.
    Raises ValueError where nothing can be compared.

    >>> table = {"schedule": ["a"] * 4 + ["b"] * 4, "lr": [0.1] * 8, "seed": [0, 1, 2, 3] * 2,
    ...          "accuracy": [0.90, 0.91, 0.92, 0.91, 0.80, 0.81, 0.80, 0.82]}
    >>> compare(table).sentences
    ['a looks better than b by 10.25 points (8.62 to 11.88), 4 seeds each']
    """
    columns = Columns(schedule=schedule, lr=lr, seed=seed, metric=metric, step=step, better=better)
    with of_arguments():
        if better is not None:
            checks.choice("compare.better", better, ("higher", "lower"))
        paths = _paths(what)
        if paths is None:
            return _of_table(what, columns, reference=reference, target=target)
        if len(paths) == 1 and design.is_study(paths[0]):
            return ComparedStudy(verdict.read(paths[0]))
        found = gathered(paths, metric, columns)
        compared = comparison_of(
            found,
            reference=reference,
            target=target,
            paths=paths,
            stopped_early=stopped_early,
            together=together,
        )
        return Compared(compared, found.runs)


def _paths(what: Sequence[Any]) -> list[Path] | None:
    """The folders and files that were given; None where it is a table."""
    paths: list[Path] = []
    for one in _unpacked(what):
        if isinstance(one, Run):
            paths.append(one.folder)
        elif isinstance(one, Runs):
            paths += [one.folder] if one.folder is not None else [run.folder for run in one]
        elif isinstance(one, str | Path):
            paths.append(disk.expanded(str(one), "compare"))
        else:
            return None
    if not paths:
        do = 'lrlab.compare("outputs/sweeps/NAME")'
        raise wrong_argument("compare", got="nothing", allowed="runs, folders or a table", do=do)
    return paths


def _unpacked(what: Sequence[Any]) -> list[Any]:
    """What was given, with the parts of a list of runs and folders in its place; other lists are tables."""
    found: list[Any] = []
    for one in what:
        is_list = isinstance(one, list | tuple) and all(isinstance(part, Run | Runs | str | Path) for part in one)
        found += one if is_list and one else [one]
    return found


def _of_table(what: Sequence[Any], columns: Columns, *, reference: str | None, target: float | None) -> Compared:
    if len(what) > 1:
        got = f"{len(what)} arguments, of which one is a table"
        raise wrong_argument(
            "compare", got=got, allowed="one table, or runs and folders", do="join them into one table"
        )
    found = foreign.from_rows(foreign.rows_of(what[0]), columns, place="table")
    gathered_runs = Gathered(found.results, found.metric, [], found.unknown)
    if target is not None and find(found.metric).is_share and not 0 <= target <= 1:
        raise wrong_argument("target", got=target, allowed="0 to 1", do="target=0.95")
    return Compared(comparison_of(gathered_runs, reference=reference, target=target), found.results)
