"""A folder held against other processes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lrlab.errors import wrong

_SECONDS_BETWEEN_TRIES = 0.1


@contextmanager
def held(folder: Path, *, what: str = "training", patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold `folder` against other processes, until the end of the block or of this process, however it ends.

    Raises UserError where another one still holds it after `patience_seconds`. Does nothing where the
    system or its file system has no flock.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _taken(lambda: fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB), patience_seconds):
            raise wrong(
                "folder",
                got=f"{folder}, in which another process is {what}",
                allowed="one process at a time",
                do="wait for it, or stop it",
            )
        yield
    finally:
        os.close(handle)  # the system lets go of the lock too


def _taken(take: Callable[[], None], patience_seconds: float) -> bool:
    """Try to `take` a lock until it is taken or patience is over; whether this process may go on."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            take()
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_SECONDS_BETWEEN_TRIES)
        except OSError:  # some network file systems lock no folders
            return True
