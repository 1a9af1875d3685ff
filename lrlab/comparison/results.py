"""What runs left in their folders: settings, summary and history, read back. TensorBoard's files are never read."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from lrlab.comparison.sound import AVERAGED, MOST_COUNTED, SPLITS, all_printable, is_number, own_metrics, sound_summary
from lrlab.config.earlier import in_todays_words
from lrlab.config.identity import GROUPS, TUNED, Identity, comparable, identity
from lrlab.errors import wrong
from lrlab.moved import current
from lrlab.runs import summary
from lrlab.system import disk, spelling
from lrlab.training.metrics import JUDGE, Metric, judge, known, measured_names, usual
from lrlab.training.metrics import find as metric_of
from lrlab.words import printable

TABLE = "results.csv"  # in a folder of runs: a row a run
SWEEP = "sweep.json"  # in a sweep's folder: the command that goes on with it, and the names of its runs
A_TABLE = "a table"  # trained those runs of which nothing but a table is known
_NOT_MEASURED = ("epoch", "step", "lr", "seconds")  # of the columns of history.csv
_MOST_HISTORY_BYTES = 1_000_000_000
_ALIAS = re.compile(r"[&*]\w")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class HistoryRow:
    """A row of history.csv."""

    epoch: int  # from 0
    step: int  # updates completed
    lr: float  # of the epoch's last update
    seconds: float
    measured: dict[str, float | None]  # train_loss, val_loss and the like


@dataclass(frozen=True)
class Result:
    """What the folder of a run tells about it."""

    name: str
    folder: Path
    settings: dict[str, Any]  # flattened
    summary: dict[str, Any]
    history: list[HistoryRow]

    @property
    def status(self) -> str:
        return self.summary.get("status", "not run")

    @property
    def logged_by(self) -> str | None:
        """The program that trained it, where that is another one."""
        return self.summary.get("logged_by")

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that it measured, of lrlab's table and its own; of another program's run, what that was said to.

        The last is what its task is judged by.
        """
        if not self.history:
            return []
        columns = self.history[0].measured.keys()
        if self.logged_by is not None and not columns >= {"train_loss", "val_loss"}:
            return [metric_of(name) for name in columns if name.startswith("val_")]
        metrics = [*known(), *own_metrics(self.summary)]
        listed = [one["name"] for one in self.summary.get("metrics", [])]
        if listed:  # in the order of its task
            metrics.sort(key=lambda metric: listed.index(metric.name) if metric.name in listed else -1)
        return [metric for metric in metrics if columns >= {*measured_names([metric], "train", "val")}]

    def epochs_at(self, row: HistoryRow) -> int | float:
        """The epochs that were trained when a row was written. The last one may have been cut short."""
        plan = self.summary.get("plan") or {}
        per_epoch = plan.get("steps_per_epoch")
        if self.logged_by is None and per_epoch and 0 < row.step < (row.epoch + 1) * per_epoch:
            return row.step / per_epoch
        return row.epoch + 1

    def images(self, split: str) -> int | None:
        """How many images a split has; None where an earlier version did not write that down."""
        return (self.summary.get("data") or {}).get(split)

    def choice(self, group: str) -> str:
        """The name that was chosen in a group; where the summary has none, the class in the settings."""
        chosen = (self.summary.get("choices") or {}).get(group)
        if chosen and group == "scheduler" and self.logged_by not in (None, A_TABLE):
            return f"{chosen} ({self.logged_by})"
        if chosen:
            return current(chosen)
        return str(self.settings.get(f"{group}._target_", "?")).rpartition(".")[2]


def config_of(folder: Path) -> dict[str, Any] | None:
    """What a run's config.yaml holds; None where there is no such file or it cannot be read."""
    try:
        text = disk.read_regular(folder / "config.yaml", summary.MOST_BYTES).decode()
        if _ALIAS.search(text) and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)
        ):
            return None  # no run writes one, and a few lines of them stand for a config that has no end
        saved = yaml.load(text, Loader=_Loader)
        return in_todays_words(saved) if isinstance(saved, dict) else None
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError):
        return None


def settings_of(folder: Path) -> dict[str, Any] | None:
    """The flattened settings in a run's config.yaml; None where there is no such file or it cannot be read.

    Settings that only say where the run reads and computes are left out.
    """
    config = config_of(folder)
    try:
        return None if config is None else identity(config)
    except (ValueError, TypeError, RecursionError):
        return None


def read_result(folder: Path, name: str) -> Result:
    """The run in `folder`. What is missing or cannot be read is empty."""
    said = sound_summary(summary.read(folder))
    run = Identity(settings_of(folder) or {}, said.get("contents"))
    return Result(
        name=printable(name),
        folder=folder,
        settings=all_printable(run.telling()),
        summary=said,
        history=history_of(folder),
    )


def measured_of_runs(found: Iterable[Result], *, averaged: bool = False) -> list[str]:
    """The names under which summaries have the metrics: a classification's, and what else these runs measured.

    With `averaged`, those of averaged weights too.
    """
    metrics = {metric.name: metric for metric in usual()}
    for result in found:
        metrics |= {metric.name: metric for metric in result.metrics if result.logged_by is None}
    return measured_names([*metrics.values()], *SPLITS, *(AVERAGED if averaged else ()))


def default_metric(found: Iterable[Result]) -> str:
    """What runs are compared by unless the user says: what the task of most is judged by.

    Runs of other programs say of no task: they are compared by accuracy where one measured it, and else by loss.
    """
    results = list(found)
    judged = Counter(judge(result.metrics) for result in results if result.metrics and result.logged_by is None)
    if judged:
        return judged.most_common(1)[0][0]
    measured = set(chain.from_iterable(result.summary for result in results))
    return "val_loss" if "val_loss" in measured and JUDGE not in measured else JUDGE


def cell(value: Any) -> Any:
    """A value for a CSV file. A text that a spreadsheet would compute gets a quote before it.

    >>> cell("=1+1"), cell("step"), cell(-0.5)
    ("'=1+1", 'step', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def find(folders: Sequence[Path], command: str = "compare") -> list[Result]:
    """All runs in and below `folders`, sorted by name. Raises UserError, for a `command`, where one has none.

    The name of a run is its path from the folder that all of `folders` lie in.
    """
    results: dict[Path, Result] = {}
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    for folder in folders:
        if not folder.is_dir():
            got = f"{folder}, which is no folder"
            raise wrong(command, got=got, allowed="folders of runs", do=_what_to_type(command))
        files = [*folder.rglob("config.yaml"), *folder.rglob("summary.json")]
        runs = sorted({file.parent for file in files})
        if not runs:
            got = f"{folder}, which holds no run"
            raise wrong(command, got=got, allowed="folders of runs", do=_what_to_type(command))
        for run in runs:
            name = run.absolute().relative_to(common)
            shown = str(name) if name.parts else run.absolute().name
            results.setdefault(run.resolve(), read_result(run, shown))  # once, whatever links lead to it
    return sorted(results.values(), key=lambda result: result.name)


def _what_to_type(command: str) -> str:
    place = "outputs/runs/NAME" if command == "predict" else "outputs/sweeps/NAME"
    return f"{spelling.command(command)} {place}"


def differing(results: Iterable[Result]) -> dict[str, list[Any]]:
    """The settings that are not the same in all of `results`, each with its values in order of appearance."""
    results = [result for result in results if result.settings]
    keys = sorted(set().union(*(result.settings for result in results)))
    found = {}
    for key in keys:
        by_text = {comparable(result.settings.get(key)): result.settings.get(key) for result in results}
        if len(by_text) > 1:
            found[key] = list(by_text.values())
    return found


def as_csv(results: Sequence[Result]) -> str:
    """A row for each run: how it ended, what was chosen, the settings that differ, and what was measured.

    Nothing in it depends on a clock, so the same sweep on the same machine gives the same bytes.
    """
    varying = [key for key in differing(results) if key not in TUNED]
    kept = [key for key in varying if not key.rpartition(".")[2].startswith("_")]
    averaged = any(result.settings.get("trainer.average") is not None for result in results)
    reached = ["epochs", "updates", *measured_of_runs(results, averaged=averaged), "best_epoch"]
    header = ["run", "status", *GROUPS, "optimizer.lr", "seed", *kept, *reached]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(map(cell, header))
    for result in results:
        settings = result.settings
        said = [result.summary.get(name) for name in reached]
        chosen = [result.choice(group) for group in GROUPS]
        own = [settings.get(key) for key in ("optimizer.lr", "seed", *kept)]
        rows.writerow(map(cell, [result.name, result.status, *chosen, *own, *said]))
    return text.getvalue()


def history_of(folder: Path) -> list[HistoryRow]:
    """The rows of history.csv; none where it cannot be read."""
    try:
        text = disk.read_regular(folder / "history.csv", _MOST_HISTORY_BYTES).decode()
        return [_history_row(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def _history_row(row: dict[str, str]) -> HistoryRow:
    measured = {name: float(text) if text else None for name, text in row.items() if name not in _NOT_MEASURED}
    for name, value in measured.items():
        if value is not None and not is_number(value):
            raise ValueError(f"{name}, which is not finite: a run ends before it writes one")
    if not measured.keys() >= {"train_loss", "val_loss"}:
        raise KeyError("a loss, which every task has")
    epoch, step, lr, seconds = int(row["epoch"]), int(row["step"]), float(row["lr"]), float(row["seconds"])
    if not all(0 <= count < MOST_COUNTED for count in (epoch, step)) or not is_number(lr) or not is_number(seconds):
        raise ValueError("a row that no run has written")
    return HistoryRow(epoch, step, lr, seconds, measured)


def not_begun(folders_of_sweeps: Sequence[Path], found: Sequence[Result]) -> list[tuple[str, str]]:
    """The runs that the sweeps in these folders name and that have no files yet, each with that reason."""
    there = {result.folder.absolute() for result in found}
    missing = []
    for folder in folders_of_sweeps:
        said = summary.read(folder, SWEEP)
        runs = said.get("runs")
        names = [name for name in runs if isinstance(name, str) and "\0" not in name] if isinstance(runs, list) else []
        missing += [(name, "not begun") for name in names if (folder / name).absolute() not in there]
    return missing


def write(folder: Path, found: Sequence[Result]) -> None:
    """Write `results.csv`, with a row for each run."""
    disk.write_whole(folder / TABLE, as_csv(found))
