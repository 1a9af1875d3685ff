"""What a run has reached so far, and `summary.json`, the file that says it."""

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lrlab import __version__
from lrlab.system import disk
from lrlab.system.disk import write_whole
from lrlab.training.metrics import (
    AVERAGE,
    METRICS,
    Metric,
    lower_is_better,
    measured_names,
    split_and_metric,
    usual,
)
from lrlab.words import printable

FILE = "summary.json"


@dataclass
class Tally:
    """What a run has reached so far; part of every checkpoint."""

    metrics: Sequence[Metric] = field(default_factory=usual)  # of the task
    averaged: bool = False  # whether averaged weights are measured beside the others
    epochs: int = 0  # complete
    seconds: float = 0.0
    measured: dict[str, float | None] = field(init=False)  # train_loss, val_loss, best_val_loss and the like
    best_epoch: int | None = None  # index of the epoch that best.pt holds
    best_monitored: float | None = None  # what the monitored metric was then
    extended_from: int | float | None = None  # epochs that were planned at first, where the run was extended

    def __post_init__(self) -> None:
        of_average = (f"{AVERAGE}val", f"best_{AVERAGE}val") if self.averaged else ()
        self.measured = dict.fromkeys(measured_names(self.metrics, "train", "val", "best_val", *of_average))

    @property
    def val_loss(self) -> float | None:
        return self.measured["val_loss"]

    def add(self, epoch: int, seconds: float, measured: Mapping[str, float], monitor: str) -> bool:
        """Count a complete epoch with what it `measured`; returns whether it is the best yet by `monitor`.

        The names in `measured` are train_loss, val_loss and so on. Of equal epochs the first is best.
        """
        self.epochs = epoch + 1
        self.seconds += seconds

        # The latest and the best of each metric.
        for name, value in measured.items():
            self.measured[name] = value
            if split_and_metric(name)[0] == "val":
                self.measured[f"best_{name}"] = self._better(name, self.measured[f"best_{name}"], value)

        # The best epoch.
        if monitor not in measured:
            return False
        best = self._better(monitor, self.best_monitored, measured[monitor])
        if best == self.best_monitored:
            return False
        self.best_epoch = epoch
        self.best_monitored = best
        return True

    def _better(self, name: str, best: float | None, value: float) -> float:
        if best is None:
            return value
        return min(best, value) if lower_is_better(name, self.metrics) else max(best, value)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers by name, as `summary.json` and checkpoints have them."""
        spent = {name: getattr(self, name) for name in _SPENT}
        best = {name: getattr(self, name) for name in _BEST}
        return {**spent, **self.measured, **best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in (*_SPENT, *_BEST):
            setattr(self, name, state[name])
        self.measured = {name: state[name] for name in self.measured}


_SPENT, _BEST = ("epochs", "seconds"), ("best_epoch", "best_monitored", "extended_from")


@lru_cache
def versions() -> dict[str, str]:
    """The versions that decide the last bits of a run's result."""
    own = {"python": platform.python_version(), "lrlab": __version__}  # not that of an installation elsewhere
    return own | {name: _version(name) for name in ("torch", "torchvision")}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def write(folder: Path, *, status: str, tally: Tally, **facts: Any) -> None:
    """Write `summary.json` into `folder`. `facts` are anything that JSON can hold."""
    text = json.dumps({"status": status, **tally.state_dict(), **facts}, indent=2, allow_nan=False)
    write_whole(folder / FILE, text + "\n")


def own_metrics(metrics: Sequence[Metric]) -> dict[str, Any]:
    """What a summary says of a task's metrics where lrlab's table does not know them all, for who reads it."""
    if all(metric.name in METRICS for metric in metrics):
        return {}
    facts = ("name", "lower_is_better", "is_share", "short")
    return {"metrics": [{fact: getattr(metric, fact) for fact in facts} for metric in metrics]}


def own_by_name(folder: Path) -> dict[str, Metric]:
    """The metrics of a task of the user's own, as far as the summary in `folder` tells them as it should."""
    found = {}
    told = read(folder).get("metrics")
    for one in told if isinstance(told, list) else ():
        with suppress(TypeError, KeyError, AttributeError):
            name, short, is_share = str(one["name"]), str(one.get("short", "")), bool(one["is_share"])
            found[name] = Metric(printable(name), is_share=is_share, short=printable(short))
    return found


MOST_BYTES = 100_000_000  # of a summary; longer ones are none of lrlab's


def read(folder: Path, file: str = FILE) -> dict[str, Any]:
    """What `summary.json` in `folder` says, or another `file` like it; nothing where it cannot be read."""
    try:
        said = json.loads(disk.read_regular(folder / file, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def amend(folder: Path, **facts: Any) -> None:
    """Change `facts` in the summary in `folder`, on behalf of a run that could not."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, json.dumps({**read(folder), **facts}, indent=2, allow_nan=False) + "\n")
