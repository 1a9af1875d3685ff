"""`lrlab.watch`: whether the LR that a training loop applies is the one that was planned, without a change of the loop.

Its clock is the optimizer: an update is a call of `step()` that had gradients and that mixed precision did not skip.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

from lrlab.api import explanations, pictures, warned, watch_shown, watch_words
from lrlab.api.explanations import Explanation
from lrlab.api.optimizer_clock import OptimizerClock
from lrlab.api.schedule_value import Schedule, require_schedule
from lrlab.api.skipped_updates import unwrapped
from lrlab.api.watch_explained import explain
from lrlab.api.watched_groups import WatchedGroup, bases_of, noted_base, require_groups
from lrlab.schedules.law import wrong_argument
from lrlab.words import counted


class ScheduleWarning(UserWarning):
    """The LR that was applied is not the planned one."""


class Watch:
    """What `lrlab.watch` returns: it looks on from `with` to its end, or from `begin()` to `end()`.

    `updates` are those seen, `equal` is whether all had the planned LR (None before the first), `verdict` says it in a
    line, and `explanation` names the mistake that fits, where one does. It shows itself in a notebook.
    """

    def __init__(
        self,
        optimizer: Any,
        schedule: Schedule,
        *,
        start: int | None = None,
        groups: Mapping[str | int, Schedule] | None = None,
        warn: Callable[[str], None] | None = None,
    ):
        self.optimizer = unwrapped(optimizer)
        for one in (schedule, *(groups or {}).values()):
            require_schedule(one)
        self.schedule = schedule
        self.start = _require_start(start)
        self.updates = 0
        self.skipped = 0
        self.differing = 0
        self.first_difference: dict[str, Any] | None = None
        self.notes: list[str] = []
        self.before: dict[str, Any] | None = None  # what a watch found that this one goes on from
        self._start_was_given = start is not None
        self._own = dict(groups or {})
        self._warn = warn or partial(warned.warn, kind=ScheduleWarning)
        self._counts_skipped = False
        self._said = ""  # latest, of why the LR differs
        self._tell_at = 0  # updates at which an explanation is sought again
        self._groups: list[WatchedGroup] = []
        self._clock = OptimizerClock(self.optimizer, count=self._count, skip=self._skip)
        self._lrs_at_begin: list[float] = []
        require_groups(self._own, self.optimizer.param_groups)

    # From beginning to end.

    def begin(self) -> "Watch":
        """Look on from here."""
        if not self._clock.is_running:
            self._lrs_at_begin = [float(group["lr"]) for group in self.optimizer.param_groups]
            self._clock.begin()
        return self

    def end(self) -> None:
        """Look on no more; what is pending is settled, and an explanation found late is told."""
        self._clock.end()
        if self.differing and self.updates:
            self._tell(final=True)
        elif self.updates and self.step > len(self.schedule):
            self._note(self._said_of_the_end().removeprefix("; "))

    def __enter__(self) -> "Watch":
        return self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # What was seen.

    @property
    def equal(self) -> bool | None:
        """Whether every update seen had the planned LR; None before the first.

        False too where the loop makes more than twice the updates that are planned: it is the plan of another loop.
        """
        self._clock.settle(wait=True)
        if self.before is not None and self.before["differing"]:
            return False
        if not self.updates:
            return None
        return self.differing == 0 and not self._is_mostly_past_the_end

    @property
    def step(self) -> int:
        """The update that comes next."""
        return self.start + self.updates

    @property
    def explanations(self) -> list[Explanation]:
        """The mistakes that fit every LR seen, the simplest first; empty where nothing differs."""
        self._clock.settle(wait=True)
        return self._explained() if self.updates else []

    @property
    def explanation(self) -> str | None:
        """The name of the mistake that fits, "twice as fast" say; None where none does, or more than one."""
        names = {one.name for one in self.explanations}
        return names.pop() if len(names) == 1 else None

    @property
    def verdict(self) -> str:
        """What was seen, in a line."""
        self._clock.settle(wait=True)
        if not self.updates:
            begun = "" if self._lrs_at_begin else ": the watch was not begun (`with lrlab.watch(...) as w:`)"
            return f"no update was seen{begun}{self._said_of_before()}"
        seen = f"{counted(self.updates, 'update')}, from {self.start} to {self.step - 1}"
        if self.first_difference is None:
            flat = all(group.is_flat() for group in self._groups)
            what = " (on a flat stretch, which cannot tell how the scheduler is stepped)" if flat else ""
            also = watch_words.said_of_skips(self.skipped) + self._said_of_the_end() + self._said_of_before()
            begin = "not as planned" if self._is_mostly_past_the_end else "as planned"
            return f"{begin}: {seen}{what}{also}"
        said = explanations.in_words(self.explanations, self.updates)
        differing = f"{self.differing:,} of {seen}, not as planned{watch_words.said_of_skips(self.skipped)}"
        return f"{differing}; {self._difference()}; {said}{self._said_of_before()}"

    @property
    def latest(self) -> tuple[float, float] | None:
        """The planned and the applied LR of the update made last, of the first group; None before there is one."""
        self._clock.settle(wait=False)
        if not self.updates:
            return None
        first = self._groups[0]
        return first.at(self.step - 1 + self._offset), first.applied[-1]

    def applied(self, group: int = 0) -> list[float]:
        """The LR of every update seen, of the parameter group with this index."""
        self._clock.settle(wait=True)
        return list(self._groups[group].applied) if self._groups else []

    def applied_by_group(self) -> list[tuple[str, list[float]]]:
        """A pair for each parameter group: its name or index, and the LR of every update seen."""
        self._clock.settle(wait=True)
        return [(group.name, list(group.applied)) for group in self._groups]

    def to_frame(self) -> Any:
        """A row an update: `step`, and for every group `planned` and `applied` LR, with its name where it has one."""
        self._clock.settle(wait=True)
        return watch_shown.table(self._groups, start=self.start, step=self.step, offset=self._offset)

    def plot(self) -> pictures.Picture:
        """Planned and applied LR, side by side."""
        self._clock.settle(wait=True)
        return watch_shown.picture(self._groups, start=self.start, step=self.step, length=len(self.schedule))

    def __repr__(self) -> str:
        return f"<lrlab.watch: {self.verdict}>"

    def _repr_html_(self) -> str:
        drawn = self.plot()._repr_html_() if self.updates else ""
        skips = [note for note in self.notes if self._counts_skipped and "skipped" in note]
        return drawn + pictures.notes([self.verdict, *skips])

    # For a loop that goes on another day.

    def state_dict(self) -> dict[str, Any]:
        """The update that comes next and what was found so far: plain numbers and texts."""
        self._clock.settle(wait=True)
        earlier = self.before or {"differing": 0, "first_difference": None}
        return {
            "step": self.step,
            "skipped": self.skipped,
            "differing": earlier["differing"] + self.differing,
            "first_difference": earlier["first_difference"] or self.first_difference,
            "counts_skipped": self._counts_skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the watch whose `state_dict()` this is. Raises ValueError once updates were seen."""
        if self.updates:
            got = f"a watch that has seen {counted(self.updates, 'update')}"
            raise wrong_argument("state", got=got, allowed="one that has seen none", do="load it before the loop")
        names = ("step", "skipped", "differing", "first_difference", "counts_skipped")
        missing = [name for name in names if name not in state]
        if missing:
            allowed = "what state_dict() of a watch returned"
            raise wrong_argument("state", got=f"one without {missing[0]}", allowed=allowed, do="save w.state_dict()")
        self.start, self._start_was_given = _require_start(state["step"]), True
        self.skipped, self._counts_skipped = state["skipped"], state["counts_skipped"]
        self.before = {name: state[name] for name in ("differing", "first_difference")}

    # What the clock calls.

    def _skip(self) -> None:
        self.skipped += 1

    @property
    def _offset(self) -> int:
        return self.skipped if self._counts_skipped else 0

    def _count(self, lrs: list[Any]) -> None:
        if len(lrs) > len(self._groups):
            self._meet(len(lrs))
        update = self.start + self.updates
        place = update + (self.skipped if self._counts_skipped else 0)
        differs = None
        for index, lr in enumerate(lrs):
            group = self._groups[index]
            applied = lr if type(lr) is float else float(lr)
            group.applied.append(applied)
            planned = group.planned
            expected = planned[place] if place < len(planned) else group.at(place)
            if not -group.tolerance <= applied - expected <= group.tolerance and differs is None:
                differs = index
        for group in self._groups[len(lrs) :]:  # a group was taken out
            group.applied.append(float("nan"))
        self.updates += 1
        if differs is not None:
            self._differs(differs, update)
        if self.updates == self._tell_at:
            self._tell()

    def _differs(self, index: int, update: int) -> None:
        group = self._groups[index]
        lr = group.applied[-1]
        if self.skipped and not self._counts_skipped and not self.differing:
            counted_too = group.at(update + self.skipped)
            if abs(lr - counted_too) <= group.tolerance:
                self._counts_skipped = True
                self._note(
                    f"the scheduler counts updates that mixed precision skipped too ({self.skipped} so far), so its LR "
                    "is that much ahead of the updates made"
                )
                return
        self.differing += 1
        if self.first_difference is None:
            planned = group.at(update + self._offset)
            self.first_difference = {
                "update": update,
                "index": index,
                "group": group.name,
                "planned": planned,
                "applied": lr,
            }
            self._tell()

    # What is said.

    def _note(self, line: str) -> None:
        self.notes.append(line)
        self._warn(line)

    def _tell(self, *, final: bool = False) -> None:
        """Say the first difference, and again when the mistake is known that could not be told then, or another one."""
        assert self.first_difference is not None
        self._tell_at = 2 * self.updates
        fitting = self._explained()
        said = explanations.in_words(fitting, self.updates)
        is_known = len(fitting) == 1 and self.updates > 1
        if not self._said:
            self._note(f"{self._difference()}; {said}")
        elif said != self._said and (is_known or final):
            what = f"one mistake fits: {said.removeprefix('it is ')}" if is_known else said
            self._note(f"{self._difference()}: after {counted(self.updates, 'update')} {what}")
        elif said != self._said:
            return  # fewer mistakes fit than before, and still more than one
        self._said = said

    def _explained(self) -> list[Explanation]:
        """The mistakes that fit what was seen of the group that differed first; none where nothing differs."""
        first = self.first_difference
        if first is None:
            return []
        group = self._groups[first["index"]]
        return explain(group, self._groups, start=self.start, first_difference=first["update"])

    def _difference(self) -> str:
        assert self.first_difference is not None
        return watch_words.difference(self.first_difference, several=len(self._groups) > 1)

    def _said_of_before(self) -> str:
        return watch_words.said_of_before(self.before, self.start)

    @property
    def _is_mostly_past_the_end(self) -> bool:
        """Whether most of the loop's updates are none that the plan has, so that it is the plan of another loop."""
        return self.step > 2 * len(self.schedule)

    def _said_of_the_end(self) -> str:
        return watch_words.said_of_the_end(self.step, planned=len(self.schedule), start=self.start)

    # The parameter groups.

    def _meet(self, count: int) -> None:
        """Take up the parameter groups from the first update on, and those that are added later."""
        groups = self.optimizer.param_groups
        bases = bases_of(groups, self.schedule, at_begin=self._lrs_at_begin, start=self.start)
        for index in range(len(self._groups), count):
            name = groups[index].get("name", index)
            schedule = self._own.get(name, self._own.get(index, self.schedule))
            has_own = schedule is not self.schedule
            base = schedule.lr if has_own and not schedule.is_relative else bases[index]
            group = WatchedGroup(str(name), schedule, base, noted=noted_base(groups[index]))
            group.applied.extend([float("nan")] * self.updates)
            self._groups.append(group)


def watch(
    optimizer: Any,
    schedule: Schedule,
    *,
    start: int | None = None,
    groups: Mapping[str | int, Schedule] | None = None,
) -> Watch:
    """Look on while a loop trains, and say whether every update has the LR that `schedule` plans for it.

    `with lrlab.watch(optimizer, schedule) as w: train()` changes nothing in the loop. `start` is the update at which
    the loop goes on, where it is resumed. `groups` are the schedules of parameter groups that have their own, by name
    or index; each group's base LR is its own (torch's `initial_lr`), a single group's that of the schedule. LRs are the
    same where they are 1e-6 of the largest planned one apart. At the first difference it warns (`ScheduleWarning`),
    with the mistake that fits the LRs seen.

    The optimizer may be torch's, or Accelerate's or Lightning's around it.

    >>> import torch
    >>> from lrlab.api.schedule import schedule
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> s = schedule("cosine", lr=0.1, total_steps=10)
    >>> scheduler = s.scheduler(optimizer)
    >>> with watch(optimizer, s) as w:
    ...     for _ in range(10):
    ...         optimizer.param_groups[0]["params"][0].sum().backward()
    ...         optimizer.step()
    ...         scheduler.step()
    >>> w.verdict
    'as planned: 10 updates, from 0 to 9'
    """
    return Watch(optimizer, schedule, start=start, groups=groups)


def _require_start(start: Any) -> int:
    if start is None:
        return 0
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        is_whole = isinstance(start, float) and start >= 0 and start.is_integer()
        do = f"start={int(start)}" if is_whole else "start=0"
        raise wrong_argument("start", got=repr(start), allowed="the updates made before, an integer from 0", do=do)
    return start
