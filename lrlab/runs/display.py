"""What the user sees of a run: the start, a live bar, a line for each epoch, and where to look afterwards."""

import json
import logging
import shlex
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich import progress as rich_progress

from lrlab.data import store
from lrlab.lr.horizon import Horizon
from lrlab.runs.foretelling import Foretold
from lrlab.runs.summary import Tally
from lrlab.system import disk, streams
from lrlab.training.loop import Epoch, Event, Update
from lrlab.training.metrics import AVERAGE, Means, Metric, find, in_words
from lrlab.words import counted, printable

log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOSSES = 0.5  # reading the loss waits for the device
_MOVES_A_SECOND = 2  # of the bar; each takes 2 ms from training


class View(Protocol):
    """What a run shows itself through."""

    def __enter__(self) -> Any: ...
    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def say(self, *lines: str) -> None: ...
    def show(self, event: Event | Foretold) -> None: ...
    def reading(self, what: str) -> AbstractContextManager[store.Progress]: ...


class Display:
    """Prints to the terminal and to the run's log; shows a live bar only where the output is a terminal."""

    def __init__(self, horizon: Horizon):
        self.epochs, self.steps_per_epoch = horizon.known_epochs, horizon.steps_per_epoch
        self.console = streams.console()
        self.bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("updates{task.fields[loss]}"),
            rich_progress.TimeRemainingColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=_MOVES_A_SECOND,
            disable=not self.console.is_terminal,
        )
        self._task = self.bar.add_task("", total=horizon.planned.steps, loss="")
        self._loss_shown = 0.0  # when
        self._moved = 0.0  # when
        self._foretold = ""  # how the run will end

    def __enter__(self) -> "Display":
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def say(self, *lines: str) -> None:
        """Print `lines`, above the bar, and log them."""
        for line in map(printable, lines):
            self.console.print(line)
            log.info(line)

    def show(self, event: Event | Foretold) -> None:
        """Move the bar, and print the line of an epoch that is complete."""
        if isinstance(event, Foretold):
            self._foretold = f"  {event.words}"
        elif isinstance(event, Update):
            self._move(event)
        elif isinstance(event, Epoch):
            width = self.console.width if self.console.is_terminal else None
            self.console.print(epoch_line(event, self.epochs, width))
            log.info(epoch_line(event, self.epochs))

    @contextmanager
    def reading(self, what: str) -> Iterator[store.Progress]:
        """Show how far the images of `what` are read, in a bar of its own that goes away at the end."""
        bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("images"),
            rich_progress.TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        task = bar.add_task(f"reading {what}", total=None)
        with bar:
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _move(self, update: Update) -> None:
        """Move the bar, but not too often."""
        if self.bar.disable or time.monotonic() - self._moved <= 1 / _MOVES_A_SECOND:
            return
        self._moved = time.monotonic()
        shown: dict[str, Any] = {}
        if time.monotonic() - self._loss_shown > _SECONDS_BETWEEN_LOSSES:
            self._loss_shown = time.monotonic()
            shown = {"loss": f"  loss {update.loss.item():.4f}  lr {update.applied['lr']:.4g}{self._foretold}"}
        epoch = update.step // self.steps_per_epoch + 1
        told = f"epoch {epoch}/{self.epochs}" if self.epochs is not None else f"epoch {epoch}"
        done = update.step + 1 if update.position is None else update.position
        self.bar.update(self._task, completed=done, description=told, **shown)


def epoch_line(result: Epoch, epochs: int | None, width: int | None = None) -> str:
    """The line of an epoch. The columns of several lines stand under each other.

    In less `width` than it takes, what matters least is left out: first the speed, last what validation measured.
    """
    # Its parts, from the left to the right. How many epochs a time budget has is not known.
    told = f"epoch {result.epoch + 1:>{len(str(epochs))}}/{epochs}"
    train = columns(result.train, result.metrics)
    shown = result.metrics
    if width is not None and len(f"val {train}") > width // 2:
        shown = shown[:1]
    val = "not validated".ljust(len(f"val {columns(result.train, shown)}"))
    if result.val is not None:
        val = f"val {columns(result.val, shown)}"
    average = ""
    if result.is_averaged:
        average = "   no average yet".ljust(len(f"   average {columns(result.train, shown)}"))
    if result.average is not None:
        average = f"   average {columns(result.average, shown)}"
    parts = {
        "epoch": f"epoch {result.epoch + 1:>4}  " if epochs is None else f"{told}  ",
        "lr": f"lr {result.lr:<10.4g}",
        "train": f"train {train}   ",
        "val": val,
        "average": average,
        "seconds": f"   {duration(result.seconds):>6}",
        "speed": f"  {result.images_per_second:8,.0f} {result.each}s/s",
    }

    # Those for which there is room, the most important first.
    kept: list[str] = []
    for name in ("epoch", "val", "average", "lr", "train", "seconds", "speed"):
        if width is None or sum(len(parts[one]) for one in [*kept, name]) <= width:
            kept.append(name)
    return "".join(text for name, text in parts.items() if name in kept)


def columns(means: Means, metrics: Sequence[Metric]) -> str:
    """The means of a split in a row. Each is equally wide in every line."""
    return "  ".join(metric.column(means[metric.name]) for metric in metrics)


class LogFile(logging.FileHandler):
    """A log that a full disk does not stop: what is logged is shown elsewhere too, and nothing depends on it."""

    def _open(self) -> Any:
        return disk.growing_file(Path(self.baseFilename), text=True)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to(folder: Path) -> logging.Handler:
    """Send the log to the `train.log` of the run in `folder`, and nowhere else; returns the handler."""
    handler = _log_file(folder)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return handler


def run_log(folder: Path) -> logging.Logger:
    """A log of its own for one of several runs in this process, the `train.log` in `folder`."""
    log = logging.Logger(folder.name, logging.INFO)
    log.addHandler(_log_file(folder))
    return log


def _log_file(folder: Path) -> LogFile:
    handler = LogFile(folder / "train.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


def duration(seconds: float) -> str:
    """A duration in words.

    >>> duration(3.14), duration(75), duration(3725)
    ('3.1s', '1m15s', '1h02m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def result_line(tally: Tally, updates: int, monitor: str, used: str = "") -> str:
    """The outcome of a finished run. Its last epoch is always validated. `used` is what it used of a time budget."""
    last = _reached(tally, "val")
    if averaged := _reached(tally, f"{AVERAGE}val"):
        last += f"; {averaged}"
    best = ""
    if tally.best_epoch is not None and tally.best_monitored is not None:
        shown = find(monitor, tally.metrics).written(tally.best_monitored)
        best = f"; best {in_words(monitor, tally.metrics)} {shown} in epoch {tally.best_epoch + 1} (best.pt)"
    return f"finished: {last}{best}; {counted(updates, 'update')} in {used or duration(tally.seconds)}"


def _reached(tally: Tally, split: str) -> str:
    """What a run measured last on a split, or of its averaged weights: `val loss 0.1234, val accuracy 98.76%`."""
    values = {metric: tally.measured.get(f"{split}_{metric.name}") for metric in tally.metrics}
    words = split.replace("_", " ")
    return ", ".join(
        f"{words} {one.in_words} {one.written(value)}" for one, value in values.items() if value is not None
    )


def tensorboard_hint(folder: Path, *, colour_by: str = "") -> list[str]:
    """The command and the link that show `lr` beside `val/loss` of all runs under `folder`, not smoothed.

    Unless told otherwise, TensorBoard smooths by 0.6 and keeps 1000 points of a curve, so a staircase looks like a
    ramp. `colour_by` names a part of the runs' names, such as `scheduler`. Each of its values gets a colour.
    """
    cards = [{"plugin": "scalars", "tag": tag} for tag in ("lr", "val/loss")]
    query = {"smoothing": "0", "pinnedCards": json.dumps(cards, separators=(",", ":"))}
    if colour_by:
        query["runColorGroup"] = f"regex:{colour_by}=([^,]+)"
    link = f"http://localhost:6006/?{urllib.parse.urlencode(query)}#timeseries"
    return [
        f"tensorboard --logdir {shlex.quote(str(folder))} --samples_per_plugin scalars=1000000",
        link,
    ]
