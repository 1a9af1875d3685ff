"""What the user sees of a sweep: a live table on a terminal, elsewhere a line a run, or for each hundredth of many."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.text import Text

from lrlab.drawing.terminal import aligned
from lrlab.runs import summary
from lrlab.runs.display import columns, duration
from lrlab.sweeps.job import Job, Outcome, Seen
from lrlab.system import streams
from lrlab.training.metrics import METRICS, Means, Metric, usual
from lrlab.words import counted

_STYLES = {"finished": "green", "running": "cyan", "waiting": "dim", "interrupted": "yellow"}
_SECONDS_TO_JUDGE = 5.0  # after the first report, before the rest is judged by it
_LAST_LINES = 4  # of the log of a run that failed
_MANY = 500  # runs: of more, those that finish are told of together, a hundred times in all
_FAILURES = 20  # of so many runs that are told at length
_REFRESHES, _OF_MANY = 4, 1  # of the live table a second


@dataclass
class Row:
    """What the table knows about one run."""

    job: Job
    state: str = "waiting"  # waiting, running, or how it ended
    first: int | None = None  # updates that were complete when this sweep began to train it
    step: int = 0
    epoch: int = 0
    lr: float | None = None
    val: Means = field(default_factory=dict)  # of the latest epoch that was validated
    own: dict[str, Metric] = field(default_factory=dict)  # that its task brings, by name
    started: float = 0.0
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """The updates that it has still to train."""
        shared = self.job.sharing.begins_at if self.job.sharing is not None else 0
        return self.job.updates - max(self.step, shared)

    @property
    def has_ended(self) -> bool:
        return self.state not in ("waiting", "running")

    @property
    def has_failed(self) -> bool:
        return self.has_ended and self.state not in ("finished", "interrupted")


class Board:
    """Follows the runs of a sweep. `seen` may be called from any thread."""

    def __init__(self, jobs: Sequence[Job], done: Sequence[Job], *, live: bool | None = None):
        self.console = streams.console()
        self.rows = {job.name: Row(job) for job in jobs}
        self.already = len(done)
        self.started: float | None = None  # when the first run began to report
        self.lock = threading.Lock()
        self._estimated = False
        self._width = max(map(len, self.rows), default=0)
        self._ended, self._failed = 0, 0
        self._best: tuple[float, str] | None = None  # by what its task is judged by, and how that is told
        self.live = Live(
            console=self.console,
            get_renderable=self.table,
            refresh_per_second=_OF_MANY if len(jobs) > _MANY else _REFRESHES,
            transient=True,
            vertical_overflow="crop",
        )
        self.is_live = self.console.is_terminal if live is None else live and self.console.is_terminal

    def __enter__(self) -> "Board":
        if self.is_live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_live:
            self.live.stop()

    def say(self, *lines: str) -> None:
        """Print `lines`, above the table."""
        for line in lines:
            self.console.print(line)

    def seen(self, job: Job, report: Seen) -> None:
        """Note what a run reports."""
        with self.lock:
            row = self.rows[job.name]
            self.started = self.started or time.monotonic()
            if row.first is None:
                row.first = report.step
                row.started = time.monotonic()
                row.state = "running"
                row.own = summary.own_by_name(job.folder)  # which is written when the run starts
            row.step = report.step
            row.epoch = job.epochs if report.step == job.updates else report.step // job.updates_per_epoch
            row.lr = report.lr
            row.val = report.val or row.val
            long_enough = report.epoch is not None and time.monotonic() - self.started > _SECONDS_TO_JUDGE
        if long_enough:
            self._estimate()

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Note how a run ended. A failure is reported at once, with the run's folder and the last lines of its log."""
        # Note it.
        with self.lock:
            row = self.rows[job.name]
            row.state, row.job = outcome.status, job
            row.seconds = time.monotonic() - row.started if row.first is not None else 0.0
            if outcome.status == "finished":
                row.step = job.updates
                if job.stack is not None:  # its share of the time of all
                    row.seconds = summary.read(job.folder).get("seconds") or row.seconds
                self._note_best(row)
            self._ended += 1
            self._failed += row.has_failed
            is_many = len(self.rows) > _MANY

        # Say it.
        is_told = not is_many or (row.has_failed and self._failed <= _FAILURES)
        if is_told and (not self.is_live or outcome.status != "finished"):
            self.say(self._line(row))
        if is_told and row.has_failed:
            self.say(f"  {outcome.error}", f"  folder: {job.folder}", *_last_lines(job.folder, outcome.error))
        if is_many and row.has_failed and self._failed == _FAILURES:
            self.say("  from here on failures are counted; the run's folder has each, and results.csv has all of them")
        if is_many and not self.is_live and self._ended % (len(self.rows) // 100) == 0:
            self.say(self._so_far())
        if outcome.status != "interrupted":
            self._estimate()

    def _note_best(self, row: Row) -> None:
        """Remember the best run so far, by the last metric of its task."""
        metric = _metrics([row])[-1]
        if metric.name not in row.val:
            return
        sign = 1 if metric.lower_is_better else -1
        value = sign * row.val[metric.name]
        if self._best is None or value < self._best[0]:
            self._best = value, f"{metric.label} {metric.written(row.val[metric.name])} of {row.job.name}"

    def _so_far(self) -> str:
        """How far a sweep of many runs is, in a line."""
        with self.lock:
            told = self._totals(list(self.rows.values()))
        return f"{told}; best: val {self._best[1]}" if self._best is not None else told

    def _estimate(self) -> None:
        """Say once how long the sweep will take, unless a table shows it."""
        if self._estimated or self.is_live:
            return
        if left := self.seconds_left():
            self._estimated = True
            self.say(f"to go      about {duration(left)}")

    def seconds_left(self) -> float | None:
        """How long the sweep will take from now on, judged by its updates so far; None before there are any."""
        rows = self.rows.values()
        made = sum(row.step - (row.first or 0) for row in rows)
        left = sum(row.left for row in rows if not row.has_ended)
        if not made or not self.started:
            return None
        return (time.monotonic() - self.started) * left / made

    def table(self) -> Group:
        """As many runs as the screen has room for: those under way or failed, then the latest and the next ones."""
        with self.lock:
            rows = list(self.rows.values())
            chosen = _chosen(rows, room=max(self.console.height - 4, 3))

            # On a narrow screen columns are left out, and how the whole sweep is doing stays below.
            metrics = _metrics(rows)
            measured = ["val loss" if metric.name == "loss" else metric.name for metric in metrics]
            headings = ["run", "epoch", "LR", *measured, "state", "time left"]
            cells = [_cells(row, metrics) for row in chosen]
            spare = ["LR", *measured[1:], "time left", *measured[:1], "state"]
            header, *lines = aligned([headings, *cells], self.console.width, spare)
            styles = [_STYLES.get(row.state, "red") for row in chosen]
            shown = [Text(line, style=style) for line, style in zip(lines, styles, strict=True)]
            return Group(Text(header, style="bold"), *shown, Text(self._totals(rows)))

    def _totals(self, rows: Sequence[Row]) -> str:
        """How far the whole sweep is."""
        parts = [f"{self.already + self._ended:,} of {counted(self.already + len(rows), 'run')} done"]
        if running := sum(row.state == "running" for row in rows):
            parts.append(f"{running} running")
        if self._failed:
            parts.append(f"{self._failed} failed")
        if left := self.seconds_left():
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _line(self, row: Row) -> str:
        """The line of a run that ended."""
        total = self.already + len(self.rows)
        number = self.already + self._ended
        count = f"[{number:>{len(str(total))}}/{total}]"
        result = f"  val {columns(row.val, _metrics([row]))}" if row.val else ""
        took = f"  {duration(row.seconds):>6}" if row.seconds else ""
        often = f"  after {counted(row.job.restarts, 'restart')}" if row.job.restarts else ""
        return f"{count} {row.job.name:<{self._width}}  {row.state:<11}{result}{took}{often}".rstrip()


def _metrics(rows: Sequence[Row]) -> list[Metric]:
    """The metrics that the runs report; before they do, those of a classification.

    A run reports names and values only, and its summary says how the metrics of a user's own task are written.
    """
    reported: dict[str, float] = {}
    own: dict[str, Metric] = {}
    for row in rows:
        reported |= row.val
        own |= row.own
    return [METRICS.get(name) or own.get(name, Metric(name)) for name in reported or [one.name for one in usual()]]


def _cells(row: Row, metrics: Sequence[Metric]) -> list[str]:
    """What the table shows of a run."""
    epoch = f"{row.epoch}/{row.job.epochs}" if row.step else ""
    if row.job.budget_seconds is not None:
        epoch = f"{row.step / row.job.updates:.0%}"
    lr = f"{row.lr:.4g}" if row.lr is not None else ""
    means = [metric.written(row.val[metric.name]) if metric.name in row.val else "" for metric in metrics]
    return [row.job.name, epoch, lr, *means, row.state, _time_left(row)]


def _time_left(row: Row) -> str:
    """How long a run will take from now on, judged by its updates so far."""
    if row.state != "running" or row.first is None or row.step <= row.first:
        return ""
    spent = time.monotonic() - row.started
    return duration(spent * (row.job.updates - row.step) / (row.step - row.first))


def _chosen(rows: Sequence[Row], room: int) -> list[Row]:
    """At most `room` of the rows, in their order.

    Those under way come first, then those that failed. The waiting ones may have half of what is left, then the latest
    finished ones the rest, and what they leave goes to the waiting ones again.
    """
    if len(rows) <= room:
        return list(rows)
    running = [row for row in rows if row.state == "running"]
    failed = [row for row in rows if row.state not in ("running", "waiting", "finished")]
    finished = [row for row in rows if row.state == "finished"]
    waiting = [row for row in rows if row.state == "waiting"]
    kept = running[:room]
    kept += failed[::-1][: room - len(kept)]
    half = (room - len(kept) + 1) // 2
    next_ones, later_ones = waiting[:half], waiting[half:]
    kept += next_ones
    kept += finished[::-1][: room - len(kept)]
    kept += later_ones[: room - len(kept)]
    chosen = set(map(id, kept))
    return [row for row in rows if id(row) in chosen]


def _last_lines(folder: Path, error: str) -> list[str]:
    """The last lines of a run's log, without those that only repeat `error`."""
    file = folder / "train.log"
    if not file.exists():
        return []
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    return [f"  | {line}" for line in lines[-_LAST_LINES:] if error not in line]
