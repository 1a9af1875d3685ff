"""Signals as a request that a run heeds when its state is complete.

SIGINT is Ctrl-C, SIGTERM what ends a process, SIGHUP a terminal that was closed or a connection that was lost. SIGUSR1
and SIGUSR2 are what Slurm and others send some time before they end a job.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from lrlab.system import process


class Request:
    """Which signal asked the run to stop, and when; 0 while none has."""

    number = 0
    at_seconds = 0.0
    heeded = False  # the run has left its loop, and saves

    def note(self, number: int) -> None:
        """A signal asks, to this process or to another rank; the first one stays."""
        if not self.number:
            self.number, self.at_seconds = number, time.monotonic()

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name


ENDING = (signal.SIGINT, signal.SIGTERM)  # the second of these ends a run at once
_NAMES = ("SIGHUP", "SIGUSR1", "SIGUSR2")  # Windows has none of them
SAVING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
SECONDS_OF_ONE_REQUEST = 0.5
_SECONDS_TO_SAVE = 30
_active: list[Request] = []  # that of the run in this process, if there is one


def unheeded_seconds() -> float:
    """For how long a signal has asked the run in this process to stop; 0 where none has."""
    for request in _active:
        if request.number and not request.heeded:
            return time.monotonic() - request.at_seconds
    return 0.0


@contextmanager
def stop_request() -> Iterator[Request]:
    """Note the first signal of ENDING and SAVING instead of dying of it; a second one of ENDING ends the process.

    What follows within half a second is the same request: a terminal or `timeout` may send a signal to every process
    of a group, and the parent sends it once more to its child.

    One of SAVING that is ignored, as nohup has it for SIGHUP, stays ignored. Where somebody handles one already, as
    submitit does, that handler is called first.

    Inside of another such block, this is that block's request: the runs of a sweep may share its process.
    """
    if _active:
        yield _active[0]
        return
    request = Request()
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if number in SAVING and callable(before[number]):
            before[number](number, frame)
        if not request.number:
            request.note(number)
        elif number in ENDING and time.monotonic() - request.at_seconds > SECONDS_OF_ONE_REQUEST:
            _restore(before)
            os.kill(os.getpid(), number)

    if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
        found = {number: signal.getsignal(number) for number in (*ENDING, *SAVING)}
        # None is a handler that is not Python's, and cannot be put back.
        before = {number: one for number, one in found.items() if number in ENDING or one not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, note)
    _active.append(request)
    try:
        yield request
    finally:
        _active.remove(request)
        _restore(before)


def leave_to_the_parent(_worker: int = 0) -> None:
    """Called in a process that loads data: a signal to the whole group must not end it before the run has saved.

    The run ends such processes itself. The alarm ends them where the run is gone. torch tells the processes of a run
    that was killed, unless a server forked them (the default since Python 3.14): their parent is then the server.
    """
    for number in (signal.SIGINT, *SAVING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_TO_SAVE))
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """End this process when `parent` ends: its main thread may be stuck in the reading of a file."""
    parent.join()
    process.leave_at_once(1)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:
            signal.signal(number, handler)
