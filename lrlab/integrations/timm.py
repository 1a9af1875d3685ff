"""timm: schedules there and back."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from lrlab.api.schedule_makers import of_table
from lrlab.api.schedule_value import Schedule, require_schedule
from lrlab.lr.horizon import Horizon
from lrlab.schedules.law import wrong_argument


class ScheduleOfTimm(Scheduler):
    """timm's interface around a `Schedule`: `step_update(num_updates)` sets the LR, or `step(epoch)` by epochs."""

    def __init__(self, optimizer: Optimizer, schedule: Schedule):
        by_epochs = schedule.interval == "epoch"
        super().__init__(optimizer, "lr", t_in_epochs=by_epochs)
        self.schedule = schedule
        self._updates = schedule.horizon.steps_per_epoch if by_epochs else 1
        self.update_groups(self._get_lr(0))

    def _get_lr(self, t: int) -> list[float]:
        factor = self.schedule.factor(t * self._updates)
        return [base * factor for base in self.base_values]


def to_timm(schedule: Schedule) -> Callable[[Optimizer], Scheduler]:
    """What makes the scheduler of a `Schedule` for an optimizer, with timm's interface: `step_update`, or `step`."""
    require_schedule(schedule)
    schedule.tell_what_stays_behind()
    return lambda optimizer: ScheduleOfTimm(optimizer, schedule)


def from_timm(
    scheduler: "str | Scheduler",
    *,
    lr: float | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    **arguments: Any,
) -> Schedule:
    """A schedule of timm as one of lrlab's, under its name there and with the same LR to the last bit, noise included.

    `scheduler` is a name that `timm.scheduler.create_scheduler_v2` takes as `sched`, with its other `arguments`, or
    what timm has made, with the `epochs` of the run (timm's own count with its cooldown, where they are not said) and
    its `steps_per_epoch`.

    Raises ValueError for `plateau`, which follows a metric.
    """
    is_relative = isinstance(scheduler, str) and lr is None
    if isinstance(scheduler, str):
        name = scheduler
        optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=1.0 if lr is None else lr)
        try:
            scheduler, own_epochs = create_scheduler_v2(
                optimizer,
                sched=name,
                num_epochs=epochs or 300,
                updates_per_epoch=steps_per_epoch or 0,
                **arguments,
            )
        except (TypeError, AssertionError, ValueError) as error:
            allowed = "what timm.scheduler.create_scheduler_v2 takes"
            raise wrong_argument("scheduler", got=f"{name!r} ({error})", allowed=allowed, do='"cosine"') from error
        epochs = epochs if epochs is not None and "cooldown_epochs" not in arguments else int(own_epochs)
    else:
        name = type(scheduler).__name__.removesuffix("LRScheduler").lower()
        if epochs is None:
            raise wrong_argument("epochs", got="nothing", allowed="the epochs of the run", do="epochs=300")
    if scheduler is None or not hasattr(scheduler, "_get_values") or name == "plateau":
        got = f"{name!r}, whose LR is no function of the update alone"
        raise wrong_argument("scheduler", got=got, allowed="one that follows no metric", do='"cosine"')
    return _by_asking(scheduler, name, lr, epochs, steps_per_epoch, is_relative=is_relative)


def _by_asking(
    scheduler: Any, name: str, lr: float | None, epochs: int, steps_per_epoch: int | None, *, is_relative: bool
) -> Schedule:
    """The LR of every epoch or update, as timm's scheduler sets it."""
    by_epochs = scheduler.t_in_epochs
    if not by_epochs and steps_per_epoch is None:
        do = "steps_per_epoch=100"
        raise wrong_argument("steps_per_epoch", got="nothing", allowed="the updates of an epoch", do=do)
    asked = copy.deepcopy(scheduler)
    group = asked.optimizer.param_groups[0]
    base = float(asked.base_values[0])
    set_it = asked.step if by_epochs else asked.step_update
    horizon = Horizon(epochs, steps_per_epoch or 1)
    interval = "epoch" if by_epochs else "step"
    # As it is before the first step, however often it was stepped since.
    warms_up = bool(getattr(asked, "warmup_t", 0))
    lrs = [float(asked.warmup_lr_init) if warms_up else base]
    for count in range(1, horizon.total(interval)):
        set_it(count)
        lrs.append(float(group["lr"]))
    if lr is not None and lr != base:
        lrs, base = [lr * (one / base) for one in lrs], lr
    return of_table(name, lrs, base, horizon, interval, is_relative=is_relative)
