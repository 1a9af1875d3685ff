"""The `scheduler` group, and what the `optimizer` group says about schedules, checked and ready to be built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lrlab import schedules
from lrlab.config import checks
from lrlab.config.build import Node, make
from lrlab.errors import wrong
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.lr.hyperparameters import HyperparameterScheduler, Scheduler, follows_metric
from lrlab.training.loop import MONITORS
from lrlab.words import counted

# What torch's schedulers need of their durations. With less, some raise late (StepLR), some train at a wrong LR
# (LinearLR stays at its first factor), some count from the wrong end (StepLR below 0).
_LEAST_COUNTS = {
    **dict.fromkeys(("step_size", "T_max", "T_0", "total_iters", "total_steps", "step_size_up", "step_size_down"), 1),
    **dict.fromkeys(("milestones", "patience", "cooldown", "warmup"), 0),
}


@dataclass(frozen=True)
class SchedulerSettings:
    """The `scheduler` group, checked: how to build one on an optimizer, what steps it and what it follows."""

    build: Callable[[torch.optim.Optimizer], Scheduler]
    interval: str
    monitor: str


def scheduler_settings(node: Node, horizon: Horizon, schedule: Any = None) -> SchedulerSettings:
    """Every duration in the node becomes a count of its interval; raises UserError for what is wrong in it.

    `schedule` is the optimizer's: what else follows the same clock, momentum and weight decay.
    """
    node = dict(node)
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", "val_loss")
    checks.choice("scheduler.interval", interval, INTERVALS)
    checks.choice("scheduler.monitor", monitor, MONITORS)
    resolved = _as_partials(horizon.resolve(node, interval, "scheduler"))
    for name, least in _LEAST_COUNTS.items():
        for count in resolved[name] if isinstance(resolved.get(name), list) else [resolved.get(name)]:
            if isinstance(count, int) and count < least:
                raise wrong(
                    f"scheduler.{name}",
                    got=f"{node[name]}, which is {counted(count, interval)}",
                    allowed=f"a duration of at least {counted(least, interval)}",
                    do=f"scheduler.{name}={'[50%]' if isinstance(node[name], list) else '25%'}",
                )
    milestones = resolved.get("milestones")
    if isinstance(milestones, list):
        twice = len({str(written) for written in node["milestones"]}) < len(milestones)
        if twice or milestones != sorted(milestones):  # two durations may fall together in a short run
            raise wrong(
                "scheduler.milestones",
                got=f"{node['milestones']}, which is {milestones} {interval}s",
                allowed="durations that rise, each of them once",
                do=f"scheduler.milestones={sorted(set(milestones))}".replace(" ", ""),
            )
    checks.check_target(resolved, "scheduler", given=("optimizer",))
    curves = _hyperparameter_curves(schedule or {}, horizon, interval)
    factory = make(resolved | {"_partial_": True}, "scheduler")

    def build(optimizer: torch.optim.Optimizer) -> Scheduler:
        scheduler = checks.attempt("scheduler", node["_target_"], factory, optimizer)
        lacking = [
            name for name in ("step", "get_last_lr", "state_dict", "load_state_dict") if not hasattr(scheduler, name)
        ]
        if lacking:
            raise wrong(
                "scheduler._target_",
                got=f"{node['_target_']}, whose object has no {lacking[0]}()",
                allowed="a class with step(), get_last_lr(), state_dict() and load_state_dict()",
                do="derive it from torch.optim.lr_scheduler.LRScheduler",
            )
        if follows_metric(scheduler):
            _check_metric(scheduler, interval, monitor)
        return _with_hyperparameters(scheduler, optimizer, curves, horizon, interval)

    return SchedulerSettings(build, interval, monitor)


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
        resolved = _as_partials(horizon.resolve({"total": "100%", **settings}, interval, key))
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
        settings = ",".join(f"{one}:..." for one in needed)
        raise wrong(
            key,
            got=f"{name}, which needs {', '.join(needed)}",
            allowed="a schedule that needs nothing but the run's length, or a node",
            do=f"'{key}={{_target_:lrlab.schedules.{name},{settings}}}'",
        )


def _as_partials(node: Any) -> Any:
    """`node` with `_partial_` set in every schedule of lrlab's inside of it: they are functions to be called later."""
    if isinstance(node, list):
        return [_as_partials(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {name: _as_partials(part) for name, part in node.items()}
    return parts | ({"_partial_": True} if str(node.get("_target_", "")).startswith("lrlab.schedules.") else {})


def _with_hyperparameters(
    scheduler: Scheduler, optimizer: torch.optim.Optimizer, curves: Mapping[str, Any], horizon: Horizon, interval: str
) -> Scheduler:
    """`scheduler`, or one around it where groups have scales or delays, or momentum and weight decay schedules."""
    groups = optimizer.param_groups
    for name in curves:
        key = f"optimizer.schedule.{name}"
        if not (name in groups[0] or (name == "momentum" and "betas" in groups[0])):
            got = f"a schedule, but {type(optimizer).__name__} has no {name}"
            raise wrong(key, got=got, allowed="what the optimizer has", do=f"leave {key} out")
        if name == "momentum" and getattr(scheduler, "cycle_momentum", False):
            raise wrong(
                key,
                got="a schedule beside the scheduler's own",
                allowed="one of them",
                do=f"scheduler.cycle_momentum=false, or leave {key} out",
            )
    if not curves and not any("lr_scale" in group for group in groups):
        return scheduler
    scales = [group.get("lr_scale", 1.0) for group in groups]
    delays = [_delay(group, horizon, interval) for group in groups]
    build = partial(HyperparameterScheduler, scheduler, optimizer, scales=scales, delays=delays, curves=curves)
    return checks.attempt("optimizer.schedule", "it", build)


def _delay(group: Mapping[str, Any], horizon: Horizon, interval: str) -> int:
    """The delay of a parameter group in counts of the interval."""
    delay = group.get("delay", 0)
    key = f"optimizer.groups.{str(group.get('name', '')).removesuffix('_no_decay')}.delay"
    return horizon.count(delay, interval, key) if isinstance(delay, str) else delay


def _check_metric(scheduler: Any, interval: str, monitor: str) -> None:
    if interval != "epoch":
        raise wrong(
            "scheduler.interval",
            got=interval,
            allowed="epoch, for a scheduler that follows a metric",
            do="scheduler.interval=epoch",
        )
    better = "min" if monitor.endswith("loss") else "max"
    if getattr(scheduler, "mode", better) != better:
        raise wrong(
            "scheduler.mode",
            got=f"{scheduler.mode} with monitor={monitor}",
            allowed=better,
            do=f"scheduler.mode={better}",
        )


def check_rhythm(scheduler: Any, monitor: str, eval_every: int) -> None:
    """Raise UserError where a scheduler follows a metric that is not measured every epoch, its unit of time."""
    if follows_metric(scheduler) and monitor.startswith("val") and eval_every != 1:
        raise wrong(
            "trainer.eval_every",
            got=f"{eval_every} with a scheduler that follows {monitor} and counts epochs",
            allowed="1",
            do="trainer.eval_every=1, or scheduler.monitor=train_loss",
        )
