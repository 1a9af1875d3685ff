"""Training time as the budget of a run: what moves its scheduler, and what ends it."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lrlab.lr.shares import position_at
from lrlab.system import distributed

_LATEST_UPDATES, _LATEST_ENDINGS = 10, 3  # of which the longest counts
_FORWARD = 0.5  # of an update's time that a batch of validation takes, before one was seen


class Recorded(Protocol):
    """What an earlier run did with its time."""

    @property
    def updates(self) -> int: ...
    @property
    def stopped_early(self) -> bool: ...
    def position(self, step: int) -> int: ...
    def validates(self, epoch: int) -> bool: ...


@dataclass
class Pace:
    """How far a run with a time budget is, in time and in its plan; part of every checkpoint.

    The clock starts with the first update, and stands still while the run is stopped. It counts validation and
    checkpoints. Of several ranks the first one's clock decides.
    """

    seconds: float  # the budget
    clock: Callable[[], float] = time.monotonic
    recorded: Recorded | None = None  # is repeated, where it is given, and no clock is asked
    position: int = 0  # in the plan, of the latest update
    is_last: bool = False  # whether the latest update is the last one
    is_over: bool = False  # whether the run is at its end, validated
    updates: list[float] = field(default_factory=list)  # seconds that the latest ones took
    endings: list[float] = field(default_factory=list)  # seconds that the latest ends of epochs with validation took
    closings: list[float] = field(default_factory=list)  # the part of it after validation, in which the run is saved
    _expected: float = 0.0  # seconds of an end of an epoch, before one was seen
    _used: float = 0.0  # before this start of the run
    _started: float | None = None  # when this start made its first update
    _closed: float = 0.0  # when the latest epoch was done, but for what is written of it
    _latest: tuple[str, float] | None = None  # what began last, an update or the end of an epoch, and when

    @property
    def used(self) -> float:
        """The seconds of the budget that are used."""
        return self._used if self._started is None else self._used + self.clock() - self._started

    def move(self, step: int, val_batches: int, *, ends_epoch: bool) -> int:
        """Decide on the position of update `step`, which begins now; returns the steps that the scheduler has to make.

        Where it `ends_epoch`, the next one begins after what is written then. An end of an epoch that was not seen yet
        is thought to take half an update for each batch of validation.
        """
        if self.recorded is not None:
            position, is_last = self.recorded.position(step), step + 1 >= self.recorded.updates
        else:
            position, is_last = self._by_the_clock(val_batches, self._closing if ends_epoch else 0.0)
        decided = _of_the_first(2 * max(position, self.position) + is_last)
        steps = decided // 2 - self.position
        self.position, self.is_last = decided // 2, bool(decided % 2)
        return steps

    def _by_the_clock(self, val_batches: int, between: float) -> tuple[int, bool]:
        now = self.clock()
        if self._started is None:
            self._started = now
        self._note(now)
        self._latest = ("update", now)
        each = max(self.updates, default=0.0)
        if not self.endings:
            self._expected = _FORWARD * val_batches * each
        return position_at(self._used_at(now), self.seconds - self._ending, each, between)

    def _used_at(self, now: float) -> float:
        assert self._started is not None
        return self._used + now - self._started

    @property
    def _closing(self) -> float:
        return max(self.closings, default=0.0)

    @property
    def _ending(self) -> float:
        return max(self.endings, default=self._expected)

    def _note(self, now: float) -> None:
        """Note how long what came before took."""
        if self._latest is None:
            return
        what, began = self._latest
        if what != "update":
            self.closings = [*self.closings, now - self._closed][-_LATEST_ENDINGS:]
        if what == "update":
            self.updates = [*self.updates, now - began][-_LATEST_UPDATES:]
        elif what == "validated end":
            self.endings = [*self.endings, now - began][-_LATEST_ENDINGS:]

    def end_epoch(self, epoch: int, wants_validation: bool) -> bool:
        """Note that the training of an epoch is done; returns whether it is validated.

        The last always is. Another one that is due is left out where there would be no time for an update after it.
        """
        now = self.clock()
        if self.recorded is not None:
            is_due = self.recorded.validates(epoch)
        else:
            self._note(now)
            room = self.seconds - self._used_at(now) if self._started is not None else 0.0
            is_due = wants_validation and room >= 2 * self._ending + 2 * max(self.updates, default=0.0)
        validates = self.is_last or bool(_of_the_first(int(is_due)))
        self._latest = ("validated end" if validates else "end", now)
        return validates

    def close_epoch(self) -> None:
        """Note that an epoch is done, but for what the run writes of it, and whether the run is at its end."""
        self._closed = self.clock()
        self.is_over = self.is_last

    @property
    def repeats_an_early_stop(self) -> bool:
        """Whether what ended the run that is repeated was no budget."""
        return self.recorded is not None and self.recorded.stopped_early

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "used": self.used,
            "position": self.position,
            "is_last": self.is_last,
            "is_over": self.is_over,
            "updates": list(self.updates),
            "endings": list(self.endings),
            "closings": list(self.closings),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Raises ValueError where it is none."""
        self._used = float(state["used"])
        self.position, self.is_last, self.is_over = state["position"], state["is_last"], state["is_over"]
        self.updates, self.endings, self.closings = (list(state[name]) for name in ("updates", "endings", "closings"))
        times = (self._used, *self.updates, *self.endings, *self.closings)
        if not all(math.isfinite(one) and one >= 0 for one in times):
            raise ValueError("a time that is none")


def _of_the_first(value: int) -> int:
    """Rank 0's `value`, which is not negative, on every rank."""
    return distributed.largest(value if distributed.rank() == 0 else -1)
