"""What the user sees of a sweep: one live table where the output is a terminal, and a line a run where it is not."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lrlab.runs.display import columns, duration
from lrlab.sweeps.job import Job, Outcome, Seen
from lrlab.training.metrics import METRICS, Means, Metric
from lrlab.words import counted

_STYLES = {"finished": "green", "running": "cyan", "waiting": "dim", "interrupted": "yellow"}
_SECONDS_TO_JUDGE = 5.0  # after the first report, before the rest is judged by it
_LAST_LINES = 4  # of the log of a run that failed


@dataclass
class Row:
    """One run, as the table shows it."""

    job: Job
    state: str = "waiting"  # waiting, running, or how it ended
    first: int | None = None  # updates that were complete when this sweep began to train it
    step: int = 0
    epoch: int = 0
    lr: float | None = None
    val: Means = field(default_factory=dict)  # of the latest epoch that was validated
    started: float = 0.0
    seconds: float = 0.0


class Board:
    """Follows the runs of a sweep. `seen` may be called from any thread."""

    def __init__(self, jobs: Sequence[Job], done: Sequence[Job], *, live: bool | None = None):
        self.console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
        self.rows = {job.name: Row(job) for job in jobs}
        self.already = len(done)
        self.started: float | None = None  # when the first run began to report
        self.lock = threading.Lock()
        self.live = Live(
            console=self.console,
            get_renderable=self.table,
            refresh_per_second=4,
            transient=True,
            vertical_overflow="crop",
        )
        self.is_live = self.console.is_terminal if live is None else live and self.console.is_terminal
        self._estimated = False

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
                row.first, row.started, row.state = report.step, time.monotonic(), "running"
            row.step, row.lr, row.epoch = report.step, report.lr, report.step // (job.updates // job.epochs)
            row.val = report.val or row.val
            long_enough = report.epoch is not None and time.monotonic() - self.started > _SECONDS_TO_JUDGE
        if long_enough:
            self._estimate()

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Note how a run ended, and report a failure at once, with its folder and the last lines of its log."""
        with self.lock:
            row = self.rows[job.name]
            row.state = outcome.status
            row.seconds = time.monotonic() - row.started if row.first is not None else 0.0
            if outcome.status == "finished":
                row.step = job.updates
        if not self.is_live or outcome.status != "finished":
            self.say(self._line(row))
        if outcome.status not in ("finished", "interrupted"):
            self.say(f"  {outcome.error}", f"  folder: {job.folder}", *_last_lines(job.folder, outcome.error))
        if outcome.status != "interrupted":
            self._estimate()

    def _estimate(self) -> None:
        """Say once, where there is no table that shows it, how long the sweep will take."""
        left = self.seconds_left()
        if left and not self._estimated and not self.is_live:
            self._estimated = True
            self.say(f"to go      about {duration(left)}")

    def seconds_left(self) -> float | None:
        """How long the sweep will take from now on, judged by its updates so far; None before there are any."""
        rows = self.rows.values()
        made = sum(row.step - (row.first or 0) for row in rows)
        ended = [row for row in rows if row.state not in ("waiting", "running")]
        left = sum(row.job.updates - row.step for row in rows if row not in ended)
        return (time.monotonic() - self.started) * left / made if made and self.started else None

    def table(self) -> Group:
        """The runs under way, those that ended badly, and the latest and next ones, as many as the screen has room."""
        with self.lock:
            rows = list(self.rows.values())
            room = max(self.console.height - 4, 3)
            table = Table(box=None, pad_edge=False, header_style="bold")
            metrics = _metrics(rows)
            headings = ["val loss" if metric.name == "loss" else metric.name for metric in metrics]
            for name in ("run", "epoch", "LR", *headings, "state", "time left"):
                table.add_column(name, justify="left" if name in ("run", "state") else "right", no_wrap=True)
            for row in _chosen(rows, room):
                table.add_row(*_cells(row, metrics), style=_STYLES.get(row.state, "red"))
            return Group(table, Text(self._totals(rows)))

    def _totals(self, rows: Sequence[Row]) -> str:
        ended = sum(row.state not in ("waiting", "running") for row in rows)
        failed = sum(row.state not in ("waiting", "running", "finished", "interrupted") for row in rows)
        left = self.seconds_left()
        parts = [
            f"{self.already + ended} of {counted(self.already + len(rows), 'run')} done",
            f"{failed} failed" if failed else "",
        ]
        parts.append(f"about {duration(left)} left" if left else "")
        return ", ".join(part for part in parts if part)

    def _line(self, row: Row) -> str:
        total = self.already + len(self.rows)
        number = self.already + sum(one.state not in ("waiting", "running") for one in self.rows.values())
        width = max(len(name) for name in self.rows)
        result = ""
        if row.val:
            result = f"  val {columns(row.val, _metrics([row]))}"
        took = f"  {duration(row.seconds):>6}" if row.seconds else ""
        return f"[{number:>{len(str(total))}}/{total}] {row.job.name:<{width}}  {row.state:<11}{result}{took}".rstrip()


def _metrics(rows: Sequence[Row]) -> list[Metric]:
    """The metrics that the runs report; before they do, those of the table.

    A run reports names and values only. A metric that a user's own task brings is written as a plain number.
    """
    reported = list(dict.fromkeys(name for row in rows for name in row.val))
    return [METRICS.get(name, Metric(name)) for name in reported or METRICS]


def _cells(row: Row, metrics: Sequence[Metric]) -> list[str]:
    left = ""
    if row.state == "running" and row.first is not None and row.step > row.first:
        spent = time.monotonic() - row.started
        left = duration(spent * (row.job.updates - row.step) / (row.step - row.first))
    return [
        row.job.name,
        f"{row.epoch}/{row.job.epochs}" if row.step else "",
        f"{row.lr:.4g}" if row.lr is not None else "",
        *(metric.written(row.val[metric.name]) if metric.name in row.val else "" for metric in metrics),
        row.state,
        left,
    ]


def _chosen(rows: Sequence[Row], room: int) -> list[Row]:
    """At most `room` of the rows, in their order: first what runs or failed, then the latest, then the next."""
    if len(rows) <= room:
        return list(rows)
    urgent = [row for row in rows if row.state not in ("waiting", "finished")]
    finished = [row for row in rows if row.state == "finished"]
    waiting = [row for row in rows if row.state == "waiting"]
    kept = urgent[-room:]
    kept += waiting[: max(0, (room - len(kept) + 1) // 2)]
    kept += finished[::-1][: max(0, room - len(kept))]
    kept += waiting[len([row for row in kept if row.state == "waiting"]) :][: max(0, room - len(kept))]
    return [row for row in rows if any(row is one for one in kept)]


def _last_lines(folder: Path, error: str) -> list[str]:
    """The end of a run's log, unless it only repeats `error`."""
    file = folder / "train.log"
    if not file.exists():
        return []
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()][-_LAST_LINES:]
    return [f"  | {line}" for line in lines if error not in line]
