"""A schedule as a value: the LR of every update, its picture, its table, and torch's scheduler of it."""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lrlab.api import warned
from lrlab.api.axes import axis_or_default
from lrlab.api.frames import frame
from lrlab.api.lr_curves import FunctionCurve, TableCurve
from lrlab.api.wording import in_python, of_arguments
from lrlab.lr import hashes
from lrlab.lr.horizon import Horizon
from lrlab.schedules.law import wrong_argument
from lrlab.words import kind_of

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from lrlab.api.pictures import Picture
    from lrlab.lr.plan import Plan


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """The learning rate of a whole run, as a function of the updates that are completed.

    `s(t)` is the LR of update `t`, `s.factor(t)` its share of the base LR; a notebook draws it. Past the end of the run
    it is what the schedule says there, and for one that a class of torch's or a list defines, the last LR. `horizon` is
    how long the run is, `interval` which clock the LR follows, `settings` what was asked for.
    """

    name: str
    lr: float
    horizon: Horizon
    interval: str
    settings: Mapping[str, Any]
    _curve: "FunctionCurve | TableCurve" = field(repr=False)
    _asked: Mapping[str, Any] = field(repr=False)  # how `schedule` was called
    _again: "Callable[[Mapping[str, Any]], Schedule]" = field(repr=False)  # made with other arguments

    def __call__(self, t: int) -> float:
        """The LR of update `t`, an integer from 0. Raises ValueError for any other."""
        return self._curve.lr(self._count(t))

    def factor(self, t: int) -> float:
        """The LR of update `t` as a share of the base LR."""
        return self._curve.factor(self._count(t))

    @property
    def is_relative(self) -> bool:
        """Whether no base LR was given, so that the values are factors of an optimizer's own."""
        return "lr" not in self._asked

    @property
    def knows_epochs(self) -> bool:
        """Whether it is told how many updates an epoch has, or is planned by updates; else an epoch counts as one."""
        return "epochs" not in self._asked or bool({"steps_per_epoch", "total_steps"} & self._asked.keys())

    def tell_what_stays_behind(self) -> None:
        """Warn of what torch's class drives beside the LR, for whoever takes the LR alone."""
        others = self._curve.others if isinstance(self._curve, TableCurve) else ()
        if others:
            warned.warn(
                f"{self.name} also drives {', '.join(others)}, which stays behind: only the LR is taken "
                "(cycle_momentum=False leaves it as it is)"
            )

    @property
    def is_stepped_through(self) -> bool:
        """Whether a class of torch's defines it, whose every step had to be made, and no function."""
        return isinstance(self._curve, TableCurve)

    def __len__(self) -> int:
        """The updates of the run."""
        return self.horizon.steps

    def values(self) -> list[float]:
        """The LR of every update. Raises ValueError for the first that nothing can be trained with."""
        repeated = []
        for lr in self._counts:
            repeated += [lr] * self._updates_per_count
        return repeated[: self.horizon.steps]  # the last epoch may be cut short

    @property
    def sha256(self) -> str:
        """A hash of the LR of every update, as `summary.json` of a run has it: equal for equal curves."""
        return hashes.of_curve(self._counts, self._updates_per_count, self.horizon.steps)

    @property
    def lint(self) -> list[str]:
        """What is probably a mistake in this curve, a line each."""
        from lrlab.lr import lint

        return list(map(in_python, lint.warnings(self.plan, self.settings, {"lr": self.lr})))

    @property
    def plan(self) -> "Plan":
        """The curve as the rooms below have it: audits and previews take it."""
        from lrlab.lr.plan import Plan

        return Plan(self.horizon, self.interval, {"lr": self._counts})

    def replace(self, **changes: Any) -> "Schedule":
        """The same schedule with other arguments: `s.replace(lr=0.05)`."""
        return self._again(changes)

    def to_frame(self) -> Any:
        """Columns `step`, `epoch` and `lr`, a row an update: a pandas DataFrame, or a dict of lists without pandas."""
        steps = range(len(self))
        epochs = [step // self.horizon.steps_per_epoch for step in steps]
        return frame({"step": list(steps), "epoch": epochs, "lr": self.values()})

    def plot(self, *, x: str | None = None, log: bool = False) -> "Picture":
        """The curve as a picture, over `x`: "step", "epoch" or "percent" of the run; `log` for a logarithmic LR."""
        from lrlab.api.lines import line_of, picture

        with of_arguments():
            x = axis_or_default(x, self.horizon)
        return picture([line_of(self.name, self.plan, axis=x)], x=x, log=log)

    def scheduler(
        self,
        optimizer: "Optimizer",
        *,
        groups: "Mapping[str | int, Schedule] | None" = None,
        interval: str | None = None,
    ) -> "LRScheduler":
        """torch's scheduler of this curve, for `optimizer`: each parameter group's own `lr` is its base LR.

        `groups` gives groups, by name or index, a schedule of their own. Call `step()` once an `interval`, which is
        the schedule's own unless you say "step" or "epoch".
        """
        from lrlab.api.stepping import ScheduledLR

        for one in (groups or {}).values():
            require_schedule(one)
        return ScheduledLR(optimizer, self, groups=groups, interval=interval)

    @property
    def _updates_per_count(self) -> int:
        return 1 if self.interval == "step" else self.horizon.steps_per_epoch

    @cached_property
    def _counts(self) -> tuple[float, ...]:
        """The LR of every count of the interval, each checked."""
        lrs = []
        for count in range(self.horizon.total(self.interval)):
            lr = self._curve.lr(count)
            if not 0 <= lr < math.inf:
                got = f"{self.name}, whose LR is {lr:g} at {self.interval} {count}"
                raise wrong_argument("schedule", got=got, allowed="finite and not negative", do="change its settings")
            lrs.append(lr)
        return tuple(lrs)

    def _count(self, t: int) -> int:
        try:
            step = operator.index(t)
        except TypeError:
            raise wrong_argument("t", got=repr(t), allowed="an integer, the updates completed", do="t=0") from None
        if step < 0:
            raise wrong_argument("t", got=step, allowed="0 or more", do="t=0")
        return step // self._updates_per_count

    def __repr__(self) -> str:
        first, *others = self._asked.items()
        written = [_shown(first[1]), *(f"{name}={value!r}" for name, value in others)]
        if "interval" not in self._asked and "steps_per_epoch" in self._asked:
            written.append(f"interval={self.interval!r}")  # which is not the same for all schedules
        return f"lrlab.schedule({', '.join(written)})"

    def _repr_html_(self) -> str:
        return self.plot()._repr_html_()


def _shown(what: Any) -> str:
    """What a schedule was made of, as short as it can be."""
    if isinstance(what, str):
        return repr(what)
    if isinstance(what, list | tuple):
        return f"[{', '.join(f'{lr:g}' for lr in what[:3])}{', ...' if len(what) > 3 else ''}]"
    return getattr(what, "__name__", type(what).__name__)


def require_schedule(given: Any) -> None:
    """Raise ValueError for what is no `Schedule`."""
    if not isinstance(given, Schedule):
        refuse_made(given, "schedule")
        got = repr(given) if isinstance(given, str) else kind_of(given)
        allowed = "a Schedule: of a name, a function, a list, or of what makes a scheduler of torch's"
        raise wrong_argument("schedule", got=got, allowed=allowed, do='lrlab.schedule("cosine", ..., total_steps=1000)')


def refuse_made(given: Any, key: str) -> None:
    """Raise ValueError for a scheduler that belongs to an optimizer already: what makes one is a schedule."""
    if callable(getattr(given, "step", None)) and hasattr(given, "optimizer") and not callable(given):
        kind = type(given).__name__
        do = f"lrlab.schedule(lambda optimizer: {kind}(optimizer, ...), lr=0.1, total_steps=1000)"
        if kind == "ReduceLROnPlateau":
            do = 'lrlab.train("scheduler=plateau"), for its LR is known only once it was trained with'
        raise wrong_argument(key, got=f"{kind_of(given)}, which is made already", allowed="what makes one", do=do)
