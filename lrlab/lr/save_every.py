"""How often a run is saved within its epochs: `checkpoint.every`, a length of training or of time."""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon


@dataclass
class Rhythm:
    """When the next checkpoint is due: so many `updates` or so many `seconds` after the one before, where given."""

    updates: int | None = None
    seconds: float | None = None
    _saved: tuple[int, float] = (0, -math.inf)  # the updates that were complete, and when

    def due(self, updates: int) -> bool:
        """Whether to save now that so many `updates` are complete."""
        step, at_seconds = self._saved
        if self.updates is not None:
            return updates - step >= self.updates
        return self.seconds is not None and time.monotonic() - at_seconds >= self.seconds

    @property
    def last(self) -> int:
        """The updates that were complete at the last checkpoint."""
        return self._saved[0]

    def saved(self, updates: int) -> None:
        self._saved = (updates, time.monotonic())


def rhythm(every: Any, horizon: Horizon) -> Rhythm:
    """The `Rhythm` that `every` means: a duration (counts are updates), `10min`, or None for none.

    Raises UserError where it is nothing of that kind.

    >>> rhythm("10min", Horizon(10, 100)).seconds, rhythm("5%", Horizon(10, 100)).updates
    (600.0, 50)
    """
    key = "checkpoint.every"
    if every is None:
        return Rhythm()
    if minutes := re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)min", str(every)):
        seconds = 60 * float(minutes[1])
        if seconds > 0:
            return Rhythm(seconds=seconds)
    elif isinstance(every, str | int) and not isinstance(every, bool):
        updates = horizon.count(str(every), "step", key)
        if updates > 0:
            return Rhythm(updates=updates)
    raise wrong(key, got=every, allowed="minutes (10min), a duration (500st, 25%, 2ep) or null", do=f"{key}=10min")
