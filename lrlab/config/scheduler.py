"""The `scheduler` group, and what the `optimizer` group says about schedules, checked and ready to be built."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from lrlab import schedules
from lrlab.config import checks, durations
from lrlab.config.build import make
from lrlab.config.checks import Node
from lrlab.config.group_schedules import GroupSchedule, group_schedules
from lrlab.config.scheduler_nodes import as_partials, maker
from lrlab.errors import wrong
from lrlab.lr import hyperparameters, lint
from lrlab.lr.declared import lengths_of
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.lr.hyperparameters import HyperparameterScheduler, Scheduler, follows_metric, metric_argument
from lrlab.lr.own_schedule import OwnSchedule
from lrlab.lr.plan import Plan
from lrlab.training.metrics import Metric, lower_is_better, monitors, usual


@dataclass(frozen=True)
class SchedulerSettings:
    """The `scheduler` group, checked: how to build one on an optimizer, what steps it and what it follows."""

    build: Callable[[torch.optim.Optimizer], Scheduler]
    interval: str  # what is built is stepped after each: the shorter one of its own and those of groups
    monitor: str
    resolved: Node  # what it is built from, with every duration as a count of its own interval
    own_interval: str = "epoch"
    groups: Mapping[str, GroupSchedule] = field(default_factory=dict)  # by the names of groups

    def warnings(self, plan: Plan, optimizer: Mapping[str, Any]) -> list[str]:
        """What is probably a mistake in the plan, and in the schedules that it came from; a line each."""
        found = lint.warnings(plan.on(self.own_interval), self.resolved, optimizer)
        for name, group in self.groups.items():
            curves = (plan.curves[one] for one in plan.curves if re.match(rf"lr/{re.escape(name)}(_|$)", one))
            curve = next(curves, ())
            if curve:
                found += group.warnings(curve, plan.horizon, plan.interval)
        return list(dict.fromkeys(found))


def scheduler_settings(
    node: Node, horizon: Horizon, optimizer: Mapping[str, Any] | None = None, metrics: Sequence[Metric] | None = None
) -> SchedulerSettings:
    """The checked settings of the `scheduler` group. Raises UserError for the first mistake in it.

    `optimizer` is that group, as far as it says what is scheduled: momentum and weight decay, on the same clock, and
    groups that have a schedule of their own. `metrics` are the task's, by default all of the table.
    """
    node, optimizer = dict(node), optimizer or {}
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", "val_loss")
    checks.choice("scheduler.interval", interval, INTERVALS)
    checks.choice("scheduler.monitor", monitor, monitors(metrics or usual()))
    resolved = as_partials(durations.resolve(node, horizon, interval, "scheduler"))
    make_scheduler = maker(resolved, "scheduler")
    schedule = optimizer.get("schedule", {})
    schedule = {} if schedule is None else schedule
    _hyperparameter_curves(schedule, horizon, interval)
    groups = group_schedules(optimizer, horizon, interval)
    _check_delays(optimizer, horizon, interval)
    is_by_step = "step" in (interval, *(group.interval for group in groups.values()))
    clocks = _Clocks(horizon, interval, "step" if is_by_step else "epoch")

    def build(optimizer: torch.optim.Optimizer) -> Scheduler:
        bases = [float(group["lr"]) for group in optimizer.param_groups]  # before the scheduler changes them
        curves = _hyperparameter_curves(schedule, horizon, interval)
        scheduler = make_scheduler(optimizer)
        if follows_metric(scheduler):
            _check_metric(scheduler, interval, monitor, metrics)
        plateau = getattr(scheduler, "plateau", scheduler)
        if isinstance(plateau, torch.optim.lr_scheduler.ReduceLROnPlateau):
            _check_plateau(plateau)
        own = _own_schedules(optimizer.param_groups, bases, groups, clocks)
        return _with_hyperparameters(scheduler, optimizer, curves, clocks, own)

    return SchedulerSettings(build, clocks.loop, monitor, resolved, interval, groups)


@dataclass(frozen=True)
class _Clocks:
    """The intervals of a run's schedulers: that of the `scheduler`, and the shortest of all, which the loop steps."""

    horizon: Horizon
    scheduler: str
    loop: str

    def per(self, interval: str) -> int:
        """How many counts of the loop's clock one of `interval` is."""
        return self.horizon.steps_per_epoch if interval != self.loop else 1


def _hyperparameter_curves(node: Any, horizon: Horizon, interval: str) -> dict[str, Callable[[int], float]]:
    """The schedules in `optimizer.schedule`: the name of one in lrlab.schedules, or a node with any `_target_`."""
    example = "optimizer.schedule.weight_decay=cosine"
    if not isinstance(node, dict):
        raise wrong("optimizer.schedule", got=repr(node), allowed="a mapping", do=example)
    checks.require_names(node, "optimizer.schedule", ("momentum", "weight_decay"))
    curves = {}
    for name, entry in node.items():
        key = f"optimizer.schedule.{name}"
        if isinstance(entry, str):
            checks.choice(key, entry, schedules.__all__)
        settings = {"_target_": f"lrlab.schedules.{entry}"} if isinstance(entry, str) else entry
        if not isinstance(settings, dict) or "_target_" not in settings:
            raise wrong(key, got=repr(entry), allowed="a schedule's name, or a node with a _target_", do=example)
        resolved = as_partials(durations.resolve({"total": "100%", **settings}, horizon, interval, key))
        if isinstance(entry, str):
            _require_nothing_more(entry, key)
        checks.check_target({**resolved, "_partial_": False}, key, given=("t",))
        curves[name] = make({**resolved, "_partial_": True}, key)
    return curves


def _require_nothing_more(name: str, key: str) -> None:
    """The schedule of that name can do with the length of the run alone."""
    parameters = checks.parameters_of(getattr(schedules, name)).values()
    needed = [one.name for one in parameters if one.default is one.empty and one.name not in ("t", "total")]
    if needed:
        lengths = lengths_of(getattr(schedules, name))
        settings = ",".join(f"{one}:{'10%' if one in lengths else '...'}" for one in needed)
        raise wrong(
            key,
            got=f"{name}, which needs {', '.join(needed)}",
            allowed="a schedule that needs nothing but the run's length, or a node",
            do=f"'{key}={{_target_:lrlab.schedules.{name},{settings}}}'",
        )


def _with_hyperparameters(
    scheduler: Scheduler,
    optimizer: torch.optim.Optimizer,
    curves: Mapping[str, Any],
    clocks: _Clocks,
    own: Sequence[OwnSchedule | None],
) -> Scheduler:
    """`scheduler`, or one around it where groups are driven apart, and momentum and weight decay scheduled."""
    groups = optimizer.param_groups
    for name in curves:
        _require_drivable(name, scheduler, optimizer)
    if not curves and not any(map(hyperparameters.is_driven_apart, groups)):
        return scheduler
    every = clocks.per(clocks.scheduler)
    delays = []
    for group, one in zip(groups, own, strict=True):
        delays.append(one.delay * one.every if one is not None else every * _delay(group, clocks))
    build = partial(
        HyperparameterScheduler,
        scheduler,
        optimizer,
        scales=[hyperparameters.scale_of(group) for group in groups],
        delays=delays,
        curves=curves,
        own=own,
        every=every,
        tells_apart=clocks.scheduler != clocks.loop,
    )
    return checks.call("optimizer.schedule", "it", build)


def _own_schedules(
    groups: Sequence[hyperparameters.ParameterGroup],
    bases: Sequence[float],
    schedules: Mapping[str, GroupSchedule],
    clocks: _Clocks,
) -> list[OwnSchedule | None]:
    """The schedule of each parameter group that has its own; groups of one name and one base LR share it."""
    built: dict[tuple[str, float], OwnSchedule] = {}
    own: list[OwnSchedule | None] = []
    for group, lr in zip(groups, bases, strict=True):
        name = hyperparameters.schedule_of(group)
        if name is None:
            own.append(None)
            continue
        settings = schedules[name]
        if (name, lr) not in built:
            scheduler, stand_in = settings.build(lr)
            every = clocks.per(settings.interval)
            built[name, lr] = OwnSchedule(scheduler, stand_in, every=every, delay=settings.delay, key=settings.key)
        own.append(built[name, lr])
    return own


def _require_drivable(name: str, scheduler: Scheduler, optimizer: torch.optim.Optimizer) -> None:
    """Raise UserError where the optimizer has no `name` to be scheduled, or the scheduler itself drives it."""
    key, group = f"optimizer.schedule.{name}", optimizer.param_groups[0]
    is_there = name in group or (name == "momentum" and "betas" in group)
    if not is_there:
        got = f"a schedule, but {type(optimizer).__name__} has no {name}"
        raise wrong(key, got=got, allowed="what the optimizer has", do=f"leave {key} out")
    if name == "momentum" and getattr(scheduler, "cycle_momentum", False):
        raise wrong(
            key,
            got="a schedule beside the scheduler's own",
            allowed="one of them",
            do=f"scheduler.cycle_momentum=false, or leave {key} out",
        )


def _check_delays(optimizer: Mapping[str, Any], horizon: Horizon, interval: str) -> None:
    """Raise UserError where the delay of a group is no duration."""
    groups = optimizer.get("groups")
    for name, settings in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(settings, Mapping) and isinstance(settings.get("delay"), str):
            horizon.count(settings["delay"], interval, f"optimizer.groups.{name}.delay")


def _delay(group: hyperparameters.ParameterGroup, clocks: _Clocks) -> int:
    """The delay of a parameter group in counts of the scheduler's interval."""
    delay = hyperparameters.delay_of(group)
    key = f"optimizer.groups.{hyperparameters.setting_of(str(group.get('name', '')))}.delay"
    return clocks.horizon.count(delay, clocks.scheduler, key) if isinstance(delay, str) else delay


def _check_metric(scheduler: Any, interval: str, monitor: str, metrics: Sequence[Metric] | None) -> None:
    if interval != "epoch" and metric_argument(scheduler) is not None:
        raise wrong(
            "scheduler.interval",
            got=interval,
            allowed="epoch, for a scheduler that follows a metric",
            do="scheduler.interval=epoch",
        )
    better = "min" if lower_is_better(monitor, metrics) else "max"
    if getattr(scheduler, "mode", better) != better:
        raise wrong(
            "scheduler.mode",
            got=f"{scheduler.mode} with monitor={monitor}",
            allowed=better,
            do=f"scheduler.mode={better}",
        )


def _check_plateau(scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau) -> None:
    """Raise UserError for what torch's class takes without a word, though no LR can be trained with it."""
    lowest = min(scheduler.min_lrs)
    for name, got, is_right, allowed, default in (
        ("factor", scheduler.factor, 0 < scheduler.factor < 1, "between 0 and 1", 0.1),
        ("threshold", scheduler.threshold, 0 <= scheduler.threshold < math.inf, "a number from 0", 1e-4),
        ("eps", scheduler.eps, 0 <= scheduler.eps < math.inf, "a number from 0", 1e-8),
        ("min_lr", scheduler.min_lrs, 0 <= lowest <= max(scheduler.min_lrs) < math.inf, "numbers from 0", 0),
    ):
        if not is_right:
            raise wrong(f"scheduler.{name}", got=got, allowed=allowed, do=f"scheduler.{name}={default}")


def check_rhythm(scheduler: Any, monitor: str, eval_every: int) -> None:
    """Raise UserError where a scheduler follows a metric that is not measured every epoch, its unit of time."""
    if follows_metric(scheduler) and monitor.startswith("val") and eval_every != 1:
        raise wrong(
            "trainer.eval_every",
            got=f"{eval_every} with a scheduler that follows {monitor} and counts epochs",
            allowed="1",
            do="trainer.eval_every=1, or scheduler.monitor=train_loss",
        )
