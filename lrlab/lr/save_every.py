"""How often a run is saved: `checkpoint.every`, a length of training or of time."""

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_LEAST_BETWEEN = 20  # times as long as the latest checkpoint took to write


@dataclass
class _Clock:
    """When checkpoints were last written, and how long that took."""

    at_seconds: float = -math.inf
    took_seconds: float = 0.0
    saved_updates: int = -1
    asked_updates: int = -1  # about which it has decided
    decided: bool = False
    is_shared: bool = False  # by several runs, who all ask after each update

    def is_due(self, updates: int, seconds: float) -> bool:
        """Whether it is time; all who share the clock hear the same after an update."""
        if not self.is_shared or updates != self.asked_updates:
            self.asked_updates = updates
            self.decided = time.monotonic() - self.at_seconds >= max(seconds, _LEAST_BETWEEN * self.took_seconds)
        return self.decided

    def saved(self, updates: int, took_seconds: float) -> None:
        self.took_seconds = took_seconds + (self.took_seconds if updates == self.saved_updates else 0.0)
        self.saved_updates = updates
        self.at_seconds = time.monotonic()


@dataclass
class Rhythm:
    """When the next checkpoint is due: so many `updates` or so many `seconds` after the one before, where given.

    Without `seconds` one is due after every epoch too. With them, checkpoints take a twentieth of the time at most: the
    next one waits for longer where the one before took long. Runs that train in one step share a clock, so that they
    are saved at the same updates, and that twentieth.
    """

    updates: int | None = None
    seconds: float | None = None
    last: int = 0  # the updates that were complete at the last checkpoint
    _clock: _Clock = field(default_factory=_Clock)

    def share_with(self, all_of_them: Sequence["Rhythm"]) -> None:
        """Have one clock with these, of which this is one."""
        self._clock = all_of_them[0]._clock
        self._clock.is_shared = len(all_of_them) > 1

    def due(self, updates: int, *, ends_epoch: bool = False) -> bool:
        """Whether to save now that so many `updates` are complete, and with them an epoch if it `ends_epoch`."""
        if self.seconds is not None:
            return self._clock.is_due(updates, self.seconds)
        return ends_epoch or (self.updates is not None and updates - self.last >= self.updates)

    def saved(self, updates: int, took_seconds: float = 0.0) -> None:
        """Note that a checkpoint of so many `updates` was written."""
        self.last = updates
        self._clock.saved(updates, took_seconds)


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
