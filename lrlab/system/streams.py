"""What is shown is not what is trained: output that nobody takes any more ends no training."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console  # takes its time, and most commands print without it

log = logging.getLogger(__name__)
# Jupyter's kernels have it. What `!command` starts there gets a terminal that nobody looks at.
_NOTEBOOK = "JPY_PARENT_PID"


def is_watched() -> bool:
    """Whether stdout is a terminal that somebody looks at, where a bar can move; not so in a notebook's output."""
    if _NOTEBOOK in os.environ or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    try:
        return sys.stdout.isatty()
    except ValueError:  # it is closed
        return False


def width() -> int | None:
    """The columns of the terminal that somebody looks at; None where there is none, and lines may be of any length."""
    return shutil.get_terminal_size().columns if is_watched() else None


def console(*, stderr: bool = False) -> "Console":
    """Where lines for people go: as they are, with colours and bars only where somebody looks at a terminal."""
    from rich.console import Console

    watched = None if is_watched() else False
    return Console(stderr=stderr, soft_wrap=True, markup=False, highlight=False, emoji=False, force_terminal=watched)


def renew() -> None:
    """Fresh streams for Python's output on those of the process: what was there may be closed, or somebody's own."""
    sys.stdout, sys.stderr = (
        os.fdopen(stream, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
        for stream in (1, 2)
    )


class Forgiving:
    """A text stream that never raises. Once its disk is full or its reader is gone, what is written goes nowhere."""

    def __init__(self, stream: Any, name: str):
        self._stream, self._name = stream, name
        self._is_lost = False

    def write(self, text: str) -> int:
        if not self._is_lost:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:  # ValueError: it is closed
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        if not self._is_lost:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: Exception) -> None:
        """Let what the stream still holds, what Python flushes at its end and what others write go nowhere too."""
        self._is_lost = True
        with suppress(OSError, ValueError):  # of a stream that is no file of the system, or closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        log.warning("warning: %s takes no more (%s); what is shown is lost, and training goes on", self._name, error)


@contextmanager
def forgiving() -> Iterator[None]:
    """In this block nothing that is printed raises."""
    before = sys.stdout, sys.stderr
    streams = Forgiving(before[0], "stdout"), Forgiving(before[1], "stderr")
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before
