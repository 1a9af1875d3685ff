"""Ctrl-C and SIGTERM as a request that a run heeds when its state is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Request:
    """Which signal asked the run to stop; 0 while none has."""

    number = 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name


_active: list[Request] = []


@contextmanager
def stop_request() -> Iterator[Request]:
    """Note the first SIGINT or SIGTERM instead of dying of it; the second acts as if nobody were listening.

    Inside of another such block, as in a sweep whose runs share its process, this is that block's request.
    """
    if _active:
        yield _active[0]
        return
    request = Request()
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        request.number = number
        _restore(before)

    if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    _active.append(request)
    try:
        yield request
    finally:
        _active.remove(request)
        _restore(before)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
