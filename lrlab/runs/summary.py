"""What a run has reached, and `summary.json`, which says it."""

import json
import platform
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lrlab.system.disk import write_whole

FILE = "summary.json"


@dataclass
class Progress:
    """What a run has reached so far; part of every checkpoint."""

    epochs: int = 0  # complete
    seconds: float = 0.0
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    best_val_loss: float | None = None
    best_val_accuracy: float | None = None
    best_epoch: int | None = None  # index of the epoch that best.pt holds
    best_monitored: float | None = None  # what the monitored metric was then
    extended_from: int | None = None  # epochs that were planned at first, where the run was extended

    def add(self, epoch: int, seconds: float, metrics: dict[str, float], monitor: str) -> bool:
        """Count a complete epoch with the `metrics` it measured; returns whether it is the best yet by `monitor`.

        Metrics are named train_loss, train_accuracy, val_loss and val_accuracy. Of equal epochs the first is best.
        """
        self.epochs, self.seconds = epoch + 1, self.seconds + seconds
        for name, value in metrics.items():
            setattr(self, name, value)
        if "val_loss" in metrics:
            self.best_val_loss = _better(min, self.best_val_loss, metrics["val_loss"])
            self.best_val_accuracy = _better(max, self.best_val_accuracy, metrics["val_accuracy"])
        if monitor not in metrics:
            return False
        best = _better(min if monitor.endswith("loss") else max, self.best_monitored, metrics[monitor])
        is_best = best != self.best_monitored
        if is_best:
            self.best_epoch, self.best_monitored = epoch, best
        return is_best


def _better(choose: Any, best: float | None, value: float) -> float:
    return value if best is None else choose(best, value)


@lru_cache
def versions() -> dict[str, str]:
    """What computed the run, as far as it decides the last bits of its result."""
    packages = ("lrlab", "torch", "torchvision")
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def write(folder: Path, *, status: str, progress: Progress, **facts: Any) -> None:
    """Write `summary.json` into `folder`; `facts` are anything JSON can say."""
    text = json.dumps({"status": status, **asdict(progress), **facts}, indent=2, allow_nan=False)
    write_whole(folder / FILE, text + "\n")


def read(folder: Path, file: str = FILE) -> dict[str, Any]:
    """What `summary.json`, or another `file` of its kind, in `folder` says; nothing where it cannot be read."""
    try:
        said = json.loads((folder / file).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def amend(folder: Path, **facts: Any) -> None:
    """Change `facts` in the summary in `folder`, for a run that could not do so itself."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, json.dumps({**read(folder), **facts}, indent=2, allow_nan=False) + "\n")
