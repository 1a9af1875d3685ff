"""A schedule as torch's scheduler: what a training loop of somebody's own steps and saves."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlab.api import warned
from lrlab.api.simulated import is_stand_in
from lrlab.config import checks
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.schedules.law import wrong_argument
from lrlab.words import counted, kind_of


class LRCurve(Protocol):
    """What this room asks of a `Schedule`."""

    @property
    def lr(self) -> float: ...
    @property
    def horizon(self) -> Horizon: ...
    @property
    def interval(self) -> str: ...
    @property
    def is_relative(self) -> bool: ...
    def __call__(self, t: int, /) -> float: ...
    def factor(self, t: int, /) -> float: ...
    def tell_what_stays_behind(self) -> None: ...
    @property
    def sha256(self) -> str: ...


class ScheduledLR(LRScheduler):
    """Gives each parameter group its own base LR times the factor of a `Schedule`.

    The base LR of a group is the `lr` that it was built with (torch's `initial_lr`). `step()` is called once an
    `interval`; past the end of the run the LR is what the schedule says there.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: LRCurve,
        *,
        groups: Mapping[str | int, LRCurve] | None = None,
        interval: str | None = None,
        last_epoch: int = -1,
    ):
        if not isinstance(optimizer, Optimizer):
            got = kind_of(optimizer)
            raise wrong_argument("optimizer", got=got, allowed="an optimizer of torch's", do="s.scheduler(optimizer)")
        for one in (schedule, *(groups or {}).values()):
            one.tell_what_stays_behind()
        if interval is not None:
            checks.choice("interval", interval, INTERVALS)
        self.schedule = schedule
        self.interval = interval or schedule.interval
        self.schedules = _by_group(optimizer, schedule, groups or {})
        super().__init__(optimizer, last_epoch)
        self._warn_of_another_lr()

    def _warn_of_another_lr(self) -> None:
        """Warn where a group's LR is not the one that its schedule was made with.

        Groups that differ in their LRs follow the common schedule in proportion, as they are meant to.
        """
        if is_stand_in(self.optimizer):
            return
        are_alike = len({float(base) for base in self.base_lrs}) == 1
        for index, (base, own) in enumerate(zip(self.base_lrs, self.schedules, strict=True)):
            in_proportion = own is self.schedule and not are_alike
            if own.is_relative or in_proportion or math.isclose(base, own.lr, rel_tol=1e-6):  # one may be a float32
                continue
            of_group = (
                "" if own is self.schedule else f" of group {self.optimizer.param_groups[index].get('name', index)}"
            )
            warned.warn(
                f"the schedule{of_group} was made with LR {own.lr:g}, and the optimizer has {base:g} there, which is "
                "what counts: the curve is scaled (give both the same LR)"
            )
            return

    def get_lr(self) -> list[Any]:
        """The LR of every parameter group after the steps that were made."""
        lrs = []
        for base, schedule in zip(self.base_lrs, self.schedules, strict=True):
            updates = self.last_epoch
            if self.interval == "epoch":
                updates *= schedule.horizon.steps_per_epoch
            same = float(base) == schedule.lr  # then the LR is the planned one to the last bit
            lrs.append(schedule(updates) if same else base * schedule.factor(updates))
        return lrs

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: plain numbers, and the hash of each group's curve."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": [float(base) for base in self.base_lrs],
            "sha256": [schedule.sha256 for schedule in self.schedules],
            "interval": self.interval,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`, and give the optimizer the LR of that moment.

        Raises ValueError where it is the state of another schedule.
        """
        now = self.state_dict()
        for name in ("sha256", "interval"):
            if state_dict.get(name) != now[name]:
                raise wrong_argument(
                    "state_dict",
                    got="the state of another schedule" if name == "sha256" else f"steps by {state_dict.get(name)}",
                    allowed="that of the same LR at every update" if name == "sha256" else f"steps by {now[name]}",
                    do="build the schedule with the arguments of the run that was saved",
                )
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = self.last_epoch + 1
        self.base_lrs = list(state_dict["base_lrs"])
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            _set(group, lr)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


def _set(group: dict[str, Any], lr: float) -> None:
    """Set the LR of a group, in place where it is a tensor, which a captured graph reads."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _by_group(optimizer: Optimizer, schedule: LRCurve, own: Mapping[str | int, LRCurve]) -> list[LRCurve]:
    """The schedule of every parameter group. Raises ValueError for a name that no group has, and another length."""
    names: list[str | int] = []
    for index, group in enumerate(optimizer.param_groups):
        names.append(group.get("name", index))
    for name in own:
        if name not in names and not (isinstance(name, int) and 0 <= name < len(names)):
            allowed = ", ".join(map(repr, names))
            raise wrong_argument("groups", got=repr(name), allowed=allowed, do=f"groups={{{names[-1]!r}: ...}}")
    for name, one in own.items():
        if one.horizon.steps != schedule.horizon.steps:
            got = f"{counted(one.horizon.steps, 'update')} for {name!r}, beside {schedule.horizon.steps:,}"
            do = f"total_steps={schedule.horizon.steps}"
            raise wrong_argument("groups", got=got, allowed="schedules of one length", do=do)
    return [own.get(name, own.get(index, schedule)) for index, name in enumerate(names)]
