"""Runs of other programs, read from a table or from TensorBoard's files, as runs that can be compared.

A table has a row a run, or a row a step of a run, as CSV files, data frames, W&B's and MLflow's exports do. Which of
its columns are the schedule, the LR, the seed and the metric is said, or told by their names. A folder of TensorBoard's
files has a run in each folder below it; its schedule, LR and seed are in its hyperparameters, or in its name as
`KEY=VALUE`.

What such data does not say, nobody can check: see `cautions`.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from lrlab.comparison import cells, event_files
from lrlab.comparison.results import A_TABLE, HistoryRow, Result
from lrlab.comparison.sound import is_number
from lrlab.comparison.table_columns import Columns, bare, chosen_of, way_of
from lrlab.errors import wrong
from lrlab.system import disk
from lrlab.training.metrics import Metric, declare
from lrlab.words import kind_of, printable

SUFFIXES = (".csv", ".tsv")
_MOST_BYTES = 1_000_000_000

_FINISHED = {"finished", "completed", "complete", "success", "succeeded", "done"}
_FAILED = {"failed", "fail", "crashed", "error", "killed", "diverged"}
_AFTER_THE_OTHERS = 10**6  # the first seed of rows that have none beside rows that have one


@dataclass(frozen=True)
class Found:
    """The runs of another program, what they are judged by, and what nobody can check."""

    results: list[Result]
    metric: str  # as lrlab writes it, `val_perplexity` say
    unknown: list[str]


def is_foreign(path: Path) -> bool:
    """Whether `path` holds runs of another program: a table, or TensorBoard's files without one of lrlab's runs."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir() or any(path.rglob("summary.json")) or any(path.rglob("history.csv")):
        return False
    files = [file.name for file in path.rglob(event_files.PATTERN)]
    return bool(files) and not any(name.endswith(".lrlab") for name in files)


def read(path: Path, columns: Columns, key: str = "compare.") -> Found:
    """The runs in a table or in a folder of TensorBoard's files. Raises UserError, naming settings by `key`."""
    if path.is_dir():
        rows = event_files.rows(path)
        return from_rows(rows, columns, place=str(path), key=key)
    return from_rows(read_rows(path), columns, place=str(path), key=key)


def from_rows(rows: Sequence[Mapping[str, Any]], columns: Columns, *, place: str, key: str = "compare.") -> Found:
    """The runs in the `rows` of a table, each a mapping from a column's name to a value."""
    if not rows:
        raise wrong(place, got="no rows", allowed="a row a run, or a row a step of a run", do="export it again")
    rows = [{str(name): value for name, value in row.items()} for row in rows]
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    chosen = chosen_of(columns, names, rows, key)
    runs = _by_run(rows, chosen, place, key)
    _require_told_apart(runs, chosen, key)
    metric = _metric(chosen["metric"], columns.better, runs, key)
    results = [_result(run, chosen, metric, place) for run in runs]
    unknown = [*_unknown(chosen, place), *_of_other_lengths(runs, chosen, place)]
    if columns.better is None:
        way = "lower" if metric.lower_is_better else "higher"
        unknown.append(f"{place}: {way} is taken for better, by the name of {chosen['metric']} ({key}better says it)")
    return Found(results, f"val_{metric.name}", unknown)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file. Raises UserError for one that is none."""
    try:
        text = disk.read_regular(path, _MOST_BYTES).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except UnicodeDecodeError as error:
        raise wrong(
            str(path), got=f"no text in UTF-8 ({error.reason})", allowed="a CSV file", do="export it again"
        ) from error
    except csv.Error as error:
        raise wrong(str(path), got=f"no table ({error})", allowed="a CSV file", do="export it again") from error
    return [{str(name): value for name, value in row.items() if name is not None} for row in rows]


def _delimiter(text: str) -> str:
    """What separates the columns, by the first line: a comma, a semicolon or a tab."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


@dataclass(frozen=True)
class _Run:
    """The rows of one run, in order."""

    name: str
    schedule: str
    lr: float | None
    seed: int
    rows: list[Mapping[str, Any]]


def _by_run(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, str | None], place: str, key: str) -> list[_Run]:
    """The rows run by run: those of a name, or else of a schedule, an LR and a seed. Without steps a row is a run."""
    grouped: dict[Any, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(rows):
        schedule = cells.text(row.get(str(chosen["schedule"])))
        if schedule:  # others are rows of another kind, as in exports of several projects
            name = cells.text(row.get(str(chosen["run"]))) if chosen["run"] else ""
            own = (schedule, _seed(row, chosen, key), name, None if chosen["step"] else number)
            grouped.setdefault(own, []).append(row)
    if not grouped:
        got = f"{place}, whose {chosen['schedule']} is empty in every row"
        raise wrong(f"{key}schedule", got=got, allowed="the column that says the schedule", do=f"{key}schedule=COLUMN")

    found: list[_Run] = []
    unnamed: dict[Any, int] = {}
    for count, ((schedule, seed, name, _), several) in enumerate(grouped.items()):
        for lr, own_rows in _by_lr(several, chosen):
            number = seed
            if number is None:  # each run of a schedule and an LR is a seed of its own
                number = unnamed.get((schedule, lr), 0)
                unnamed[schedule, lr] = number + 1
                number += _AFTER_THE_OTHERS if chosen["seed"] else 0
            shown = printable(f"{place}: {name or f'row {count + 1}'}")
            found.append(_Run(shown, printable(schedule), lr, number, own_rows))
    return _each_named_once(found)


def _by_lr(
    rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, str | None]
) -> list[tuple[float | None, list[Mapping[str, Any]]]]:
    """The rows of one schedule and seed, by base LR.

    Where no step occurs twice they are one run, and an LR that changes in it is the one in force, whose highest is the
    base LR.
    """
    step = chosen["step"]
    ordered = sorted(rows, key=lambda row: cells.number(row.get(str(step))) or 0.0) if step else list(rows)
    lrs = [cells.number(row.get(str(chosen["lr"]))) if chosen["lr"] else None for row in ordered]
    steps = [cells.text(row.get(str(step))) for row in ordered]
    if len(set(steps)) == len(steps):
        return [(max((lr for lr in lrs if lr is not None), default=None), ordered)]
    parts: dict[tuple[float | None, int], list[Mapping[str, Any]]] = {}
    seen: dict[tuple[float | None, str], int] = {}
    for lr, at, row in zip(lrs, steps, ordered, strict=True):
        times = seen[lr, at] = seen.get((lr, at), 0) + 1  # a step that comes again is one of another run
        parts.setdefault((lr, times), []).append(row)
    return [(lr, own) for (lr, _), own in parts.items()]


def _require_told_apart(runs: Sequence[_Run], chosen: Mapping[str, str | None], key: str) -> None:
    """Raise UserError where runs have the schedule, the LR and the seed of others, and are not the same."""
    seen: dict[Any, _Run] = {}
    for run in runs:
        first = seen.setdefault((run.schedule, run.lr, run.seed), run)
        known = {str(chosen[what]) for what in ("run", "step") if chosen[what]}
        columns = [name for name in run.rows[-1] if name not in known]
        differing = [
            name for name in columns if cells.text(run.rows[-1].get(name)) != cells.text(first.rows[-1].get(name))
        ]
        if first is not run and differing:
            got = f"several runs of {run.schedule} with one LR and seed, which differ in {', '.join(differing[:4])}"
            do = f"leave the rows of the others out, or {key}seed=COLUMN that tells the runs apart"
            raise wrong(f"{key}seed", got=got, allowed="one run for a schedule, an LR and a seed", do=do)


def _of_other_lengths(runs: Sequence[_Run], chosen: Mapping[str, str | None], place: str) -> list[str]:
    """A warning where runs do not end at the same step."""
    if not chosen["step"]:
        return []
    lasts = sorted({cells.number(run.rows[-1].get(str(chosen["step"]))) or 0.0 for run in runs})
    if len(lasts) == 1:
        return []
    return [
        f"{place}: its runs end at {len(lasts)} different steps, from {lasts[0]:g} to {lasts[-1]:g}; budgets differ"
    ]


def _each_named_once(runs: Sequence[_Run]) -> list[_Run]:
    taken: dict[str, int] = {}
    named = []
    for run in runs:
        count = taken[run.name] = taken.get(run.name, 0) + 1
        named.append(run if count == 1 else replace(run, name=f"{run.name} ({count})"))
    return named


def _seed(row: Mapping[str, Any], chosen: Mapping[str, str | None], key: str) -> int | None:
    """The seed of a row; None where no column says it."""
    if chosen["seed"] is None:
        return None
    value = cells.number(row.get(str(chosen["seed"])))
    if value is None:
        return None
    if value != int(value):
        do = f"{key}seed=COLUMN"
        raise wrong(f"{key}seed", got=f"{value} in {chosen['seed']}", allowed="whole numbers", do=do)
    return int(value)


def _metric(column: str | None, better: str | None, runs: Sequence[_Run], key: str) -> Metric:
    """The metric that a column holds, known to lrlab from here on."""
    name = re.sub(r"\W+", "_", re.sub(r"^(?:best_)?(?:val|valid|validation|eval|test)[_/. ]", "", bare(str(column))))
    direction = better or way_of(str(column))
    if direction not in ("higher", "lower"):
        got = f"'{better}'" if better else f"{column}, whose name does not tell which way is better"
        raise wrong(f"{key}better", got=got, allowed="higher, lower", do=f"{key}better=higher")
    rows = chain.from_iterable(run.rows for run in runs)
    values = [value for row in rows if (value := cells.number(row.get(str(column)))) is not None]
    if not values:
        do = f"{key}metric=COLUMN"
        raise wrong(f"{key}metric", got=f"{column}, which holds no numbers", allowed="a column of numbers", do=do)
    is_share = "acc" in name and direction == "higher" and all(0 <= value <= 1 for value in values)
    return declare(Metric(name, lower_is_better=direction == "lower", is_share=is_share))


def _result(run: _Run, chosen: Mapping[str, str | None], metric: Metric, place: str) -> Result:
    """A run as lrlab's own are read."""
    column = str(chosen["metric"])
    history: list[HistoryRow] = []
    is_finite = True
    for index, row in enumerate(run.rows):
        value = cells.number(row.get(column))
        if value is None and cells.is_infinite(row.get(column)):
            is_finite = False
        if value is not None and is_number(value):
            is_finite = True
            step = cells.number(row.get(str(chosen["step"]))) if chosen["step"] else None
            count = int(step) if step is not None else index
            history.append(HistoryRow(len(history), count, math.nan, 0.0, {f"val_{metric.name}": value}))
    summary: dict[str, Any] = {
        "status": _status(run, chosen, has_value=bool(history) and is_finite),
        "choices": {"data": Path(place).stem, "model": "", "optimizer": "", "scheduler": run.schedule},
        "logged_by": A_TABLE,
    }
    if history:
        values = [float(row.measured[f"val_{metric.name}"] or 0.0) for row in history]
        best = min(values) if metric.lower_is_better else max(values)
        summary |= {f"val_{metric.name}": values[-1], f"best_val_{metric.name}": best, "seconds": 0.0}
    # A budget that all share: a table does not say how long its runs were.
    settings: dict[str, Any] = {"scheduler": run.schedule, "seed": run.seed, "trainer.epochs": 1}
    if run.lr is not None:
        settings["optimizer.lr"] = run.lr
    return Result(run.name, Path(place), settings, summary, history)


def _status(run: _Run, chosen: Mapping[str, str | None], *, has_value: bool) -> str:
    said = cells.text(run.rows[-1].get(str(chosen["status"]))).lower() if chosen["status"] else ""
    if said in _FAILED:
        return "failed"
    if run.lr is None and chosen["lr"]:
        return "without an LR"
    if not has_value:
        return "diverged"  # its metric is NaN, infinite or missing
    return "finished" if not said or said in _FINISHED else said


def _unknown(chosen: Mapping[str, str | None], place: str) -> list[str]:
    """What the data does not say, a line for each thing."""
    lines = [
        f"{place} does not say whether every update had the planned LR, nor which schedule settings were used",
        f"{place} does not say which images or texts the metric was measured on, nor whether they also chose the LR",
        f"{place} does not say whether data, model, budget, versions and devices were alike in all runs",
    ]
    if chosen["seed"] is None:
        lines.append(f"{place} has no seeds: every row of a schedule and LR counts as a seed of its own")
    else:
        lines.append(f"{place} does not say whether the seeds that judge are others than those that chose the LR")
    if chosen["lr"] is None:
        lines.append(f"{place} has no LR: that each schedule was run at its best one is taken for granted")
    if chosen["status"] is None:
        lines.append(f"{place} does not say which runs failed; those without a finite metric count as failed")
    return lines


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a data frame, of a dict of columns or of a list of mappings."""
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        return table.to_dict("records")
    if isinstance(table, Mapping):
        if not all(isinstance(values, Iterable) and not isinstance(values, str) for values in table.values()):
            allowed = "columns that are lists"
            raise wrong(
                "runs", got="columns that are single values", allowed=allowed, do='{"schedule": ["cosine", ...]}'
            )
        columns = {str(name): list(values) for name, values in table.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            got = f"columns of {' and '.join(map(str, sorted(lengths)))} rows"
            raise wrong("runs", got=got, allowed="columns of one length", do="give every run a value in every column")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = list(table) if isinstance(table, Iterable) and not isinstance(table, str) else []
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        allowed = "runs of lrlab, folders, a CSV file, a data frame, or rows that are mappings"
        raise wrong("runs", got=kind_of(table), allowed=allowed, do="lrlab.compare(runs)")
    return [dict(row) for row in rows]
