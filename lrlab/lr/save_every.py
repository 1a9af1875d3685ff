"""How often a run is saved: `checkpoint.every`, a length of training or of time."""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_LEAST_BETWEEN = 20  # times as long as the latest checkpoint took to write


@dataclass
class Rhythm:
    """When the next checkpoint is due: so many `updates` or so many `seconds` after the one before, where given.

    Without `seconds` one is due after every epoch too. With them, checkpoints take a twentieth of the time at most: the
    next one waits for longer where the one before took long.
    """

    updates: int | None = None
    seconds: float | None = None
    beside: int = 1  # how many runs this process trains and saves, which share that twentieth
    _saved: tuple[int, float] = (0, -math.inf)  # the updates that were complete, and when
    _took_seconds: float = 0.0

    def due(self, updates: int, *, ends_epoch: bool = False) -> bool:
        """Whether to save now that so many `updates` are complete, and with them an epoch if it `ends_epoch`."""
        step, at_seconds = self._saved
        if self.seconds is not None:
            return time.monotonic() - at_seconds >= max(self.seconds, _LEAST_BETWEEN * self.beside * self._took_seconds)
        return ends_epoch or (self.updates is not None and updates - step >= self.updates)

    @property
    def last(self) -> int:
        """The updates that were complete at the last checkpoint."""
        return self._saved[0]

    def saved(self, updates: int, took_seconds: float = 0.0) -> None:
        """Note that a checkpoint of so many `updates` was written."""
        self._saved = (updates, time.monotonic())
        self._took_seconds = took_seconds


def rhythm(every: Any, horizon: Horizon) -> Rhythm:
    """The `Rhythm` that `every` means: a duration (counts are updates), a time such as `10s`, or None for none.

    Raises UserError where it is nothing of that kind.

    >>> rhythm("10min", Horizon(10, 100)).seconds, rhythm("5%", Horizon(10, 100)).updates
    (600.0, 50)
    """
    key = "checkpoint.every"
    if every is None:
        return Rhythm()
    if timed := re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)(s|min|h)", str(every)):
        seconds = _SECONDS[timed[2]] * float(timed[1])
        if seconds > 0:
            return Rhythm(seconds=seconds)
    elif re.fullmatch(r"[\d._]+(st|ep|im|%)?", str(every)) and not isinstance(every, float):
        updates = horizon.count(str(every), "step", key)
        if updates > 0:
            return Rhythm(updates=updates)
    raise wrong(key, got=every, allowed="a time (10s, 10min), a duration (500st, 25%, 2ep) or null", do=f"{key}=10s")
