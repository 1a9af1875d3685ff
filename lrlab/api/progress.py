"""One bar: in a notebook, in a terminal that somebody looks at, and nowhere else."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from types import TracebackType
from typing import Any, Self

from lrlab.api import warned
from lrlab.data import store
from lrlab.lr.horizon import Horizon
from lrlab.runs.foretelling import Foretold
from lrlab.system import streams
from lrlab.training.loop import Epoch, Event, Update

_SECONDS_BETWEEN_MOVES = 0.3


class Bar:
    """How far something is, and a few words. It moves a few times a second and goes away at the end."""

    def __init__(self, total: int):
        self.total = total
        self._move, self._close = _nowhere()
        self._moved = 0.0

    def __enter__(self) -> Self:
        self._move, self._close = _in_a_notebook(self.total) or _on_a_terminal(self.total) or _nowhere()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def move(self, done: int, words: str) -> None:
        """Move to `done` of the total, unless that was a moment ago."""
        now = time.monotonic()
        if now - self._moved > _SECONDS_BETWEEN_MOVES or done >= self.total:
            self._moved = now
            self._move(done, words)


Shown = tuple[Callable[[int, str], None], Callable[[], None]]  # moves it, takes it away


def _nowhere() -> Shown:
    return (lambda _done, _words: None), (lambda: None)


def _in_a_notebook(total: int) -> Shown | None:
    """A bar in the cell's output, changed in place; None outside of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display

    def drawn(done: int, words: str) -> Any:
        return HTML(f'<progress value="{done}" max="{total}"></progress> {escape(words)}')

    handle = display(drawn(0, ""), display_id=True)
    return (lambda done, words: handle.update(drawn(done, words))), (lambda: handle.update(HTML("")))


def _on_a_terminal(total: int) -> Shown | None:
    if not streams.is_watched():
        return None
    from rich import progress as rich_progress

    columns = ("{task.description}", rich_progress.BarColumn(), rich_progress.TimeRemainingColumn())
    bar = rich_progress.Progress(*columns, console=streams.console(stderr=True), transient=True)
    task = bar.add_task("", total=total)
    bar.start()
    return (lambda done, words: bar.update(task, completed=done, description=words)), bar.stop


class RunBar(Bar):
    """A run as one bar. What the run says is in its log; its warnings are Python's."""

    def __init__(self, horizon: Horizon):
        self.epochs, self.steps_per_epoch = horizon.known_epochs, horizon.steps_per_epoch
        super().__init__(horizon.planned.steps)
        self._words = ""
        self._foretold = ""  # how it will end

    def say(self, *lines: str) -> None:
        for line in lines:
            logging.getLogger(__name__).info(line)
            if line.startswith("warning: "):
                warned.warn(line.removeprefix("warning: "))

    def show(self, event: Event | Foretold) -> None:
        if isinstance(event, Foretold):
            self._foretold = f", {event.words}"
        if isinstance(event, Epoch):
            shown = event.val or event.train
            self._words = "".join(f", {one.name} {one.written(shown[one.name])}" for one in event.metrics)
        if isinstance(event, Update):
            epoch = event.step // self.steps_per_epoch + 1
            done = event.step + 1 if event.position is None else event.position
            of_all = f" of {self.epochs}" if self.epochs is not None else ""
            self.move(done, f"epoch {epoch}{of_all}{self._words}{self._foretold}")

    @contextmanager
    def reading(self, _what: str) -> Iterator[store.Progress]:
        yield lambda _done, _total: None


class SweepBar(Bar):
    """All runs of a sweep as one bar."""

    def __init__(self, jobs: Sequence[Any], done: Sequence[Any], *, live: bool = True):  # noqa: ARG002
        self._updates = {job.name: 0 for job in jobs}
        self._ended = len(done)
        self._runs = len(jobs) + len(done)
        super().__init__(max(sum(job.updates for job in jobs), 1))

    def say(self, *lines: str) -> None:
        for line in lines:
            warned.warn(line)

    def seen(self, job: Any, report: Any) -> None:
        self._updates[job.name] = report.step
        self._show()

    def ended(self, job: Any, _outcome: Any) -> None:
        self._ended += 1
        self._updates[job.name] = job.updates
        self._show()

    def _show(self) -> None:
        self.move(sum(self._updates.values()), f"{self._ended} of {self._runs} runs")
