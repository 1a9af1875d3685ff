"""A folder held against other processes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrlab.errors import wrong


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
    handle, deadline = os.open(folder, os.O_RDONLY), time.monotonic() + patience_seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                raise wrong(
                    "folder",
                    got=f"{folder}, in which another process is {what}",
                    allowed="one process at a time",
                    do="wait for it, or stop it",
                ) from error
            except OSError:  # some network file systems lock no folders
                break
        yield
    finally:
        os.close(handle)
