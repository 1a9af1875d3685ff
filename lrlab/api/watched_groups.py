"""Parameter groups that are watched: their plans, computed as far as needed, their base LRs, and what was applied."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from lrlab.api.schedule_value import Schedule
from lrlab.schedules.law import wrong_argument

TOLERANCE = 1e-6  # of the largest planned LR: torch's recursions differ from closed forms in their last bits
_NOTE_THE_FIRST = ("OneCycleLR", "CyclicLR")  # of torch's schedulers: as the base LR, the LR at which they begin
_AHEAD = 1024  # planned LRs that are computed at a time
_MOST_STEPPED = 5000  # counts of a scheduler of torch's, to see whether a run of another length explains what was seen


class WatchedGroup:
    """A parameter group's plan, computed as far as it is needed, and the LRs that were applied."""

    def __init__(self, name: str, schedule: Schedule, base: float, *, noted: float | None = None):
        self.name, self.schedule, self.base = name, schedule, base
        self.noted = noted  # base LR that a scheduler of torch's found in the optimizer
        self.planned: list[float] = []
        self._longer: dict[float, Callable[[int], float] | None] = {}
        self.applied = array("d")
        largest = max(map(schedule.factor, _some(len(schedule))), default=1.0)
        self.tolerance = TOLERANCE * max(largest * base, 1e-300)

    @property
    def noted_share(self) -> float:
        """The base LR that a scheduler of torch's has noted, as a share of the planned one; 1 where it noted none."""
        own = self.base
        if str(self.schedule.settings.get("_target_")).endswith(_NOTE_THE_FIRST):
            own = self.at(0)
        if self.noted is None or own <= 0 or abs(self.noted - own) <= TOLERANCE * own:
            return 1.0
        return self.noted / own

    def at(self, update: int) -> float:
        """The planned LR of `update`; past the end of a plan it is the last."""
        while update >= len(self.planned):
            first = len(self.planned)
            self.planned += [self.base * self.schedule.factor(t) for t in range(first, first + _AHEAD)]
        return self.planned[update]

    def plan(self) -> Any:
        """The planned LR of every update of the run, and of those that were made past its end."""
        self.at(max(len(self.schedule) - 1, len(self.applied)))
        return numpy.array(self.planned)

    def planned_of(self, start: int, count: int, offset: int) -> list[float]:
        self.at(start + count + offset)
        return self.planned[start + offset : start + offset + count]

    def of_a_run(self, times: float) -> Callable[[int], float] | None:
        """The plan of a run that is so many times as long; None where there is no such, or it would take too long."""
        if times not in self._longer:
            self._longer[times] = self._planned_for(times)
        return self._longer[times]

    def _planned_for(self, times: float) -> Callable[[int], float] | None:
        own = self.schedule
        counts = own.horizon.total(own.interval) * times
        if counts != int(counts) or counts < 1 or (own.is_stepped_through and counts > _MOST_STEPPED):
            return None
        if own.interval == "step":
            lengths = {"total_steps": int(counts), "interval": "step"}
        else:
            lengths = {"epochs": int(counts), "steps_per_epoch": own.horizon.steps_per_epoch, "interval": "epoch"}
        try:
            other = own.replace(**lengths)
        except ValueError:  # its lengths do not fit such a run
            return None
        return lambda t: self.base * other.factor(t)

    def is_flat(self) -> bool:
        """Whether nothing that was applied changed, though the plan does change elsewhere."""
        lrs = numpy.array(self.applied)
        return len(lrs) > 1 and float(numpy.nanmax(lrs) - numpy.nanmin(lrs)) == 0 and not self._is_constant()

    def _is_constant(self) -> bool:
        factors = [self.schedule.factor(t) for t in _some(len(self.schedule))]
        return min(factors) == max(factors)


def bases_of(
    groups: Sequence[Mapping[str, Any]], schedule: Schedule, *, at_begin: Sequence[float], start: int
) -> list[float]:
    """The LR that each group's factors multiply: its own, where groups differ in it, and else the schedule's.

    torch's schedulers note it as `initial_lr`. Without one it is the LR at the beginning, `at_begin` of the groups that
    there were then, of a loop that is resumed at `start` as far as it tells how groups differ.
    """
    found = [noted_base(group) for group in groups]
    if any(base is None for base in found):
        now = [*at_begin, *(float(group["lr"]) for group in groups[len(at_begin) :])]
        share = schedule.factor(start) if start else 1.0
        found = [lr / share if base is None and share > 0 else base for base, lr in zip(found, now, strict=False)]
    bases = [schedule.lr if base is None else base for base in found]
    if not schedule.is_relative and len(set(bases)) == 1:
        return [schedule.lr] * len(groups)
    return bases


def noted_base(group: Mapping[str, Any]) -> float | None:
    """The LR that a group was built with, where torch has noted it."""
    return float(group["initial_lr"]) if "initial_lr" in group else None


def require_groups(own: Mapping[str | int, Schedule], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError where a schedule of its `own` is for a group that is not among `groups`."""
    names = [group.get("name", index) for index, group in enumerate(groups)]
    for name in own:
        if name not in names and not (isinstance(name, int) and 0 <= name < len(names)):
            allowed = ", ".join(map(repr, names))
            raise wrong_argument("groups", got=repr(name), allowed=allowed, do=f"groups={{{names[-1]!r}: ...}}")


def _some(count: int) -> list[int]:
    """Updates spread over a run, the first and the last among them."""
    return sorted({round(index * (count - 1) / 1000) for index in range(1001)})
