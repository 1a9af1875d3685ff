"""The `scheduler` group, and what the `optimizer` group says about schedules, checked and ready to be built."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lrlab import schedules
from lrlab.config import checks, durations
from lrlab.config.build import make
from lrlab.config.checks import Node
from lrlab.config.identity import flatten
from lrlab.errors import UserError, wrong
from lrlab.lr import hyperparameters
from lrlab.lr.declared import lengths_of
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.lr.hyperparameters import HyperparameterScheduler, Scheduler, follows_metric
from lrlab.training.metrics import Metric, known, lower_is_better, monitors


@dataclass(frozen=True)
class SchedulerSettings:
    """The `scheduler` group, checked: how to build one on an optimizer, what steps it and what it follows."""

    build: Callable[[torch.optim.Optimizer], Scheduler]
    interval: str
    monitor: str
    resolved: Node  # what it is built from, with every duration as a count of the interval


def scheduler_settings(
    node: Node, horizon: Horizon, schedule: Any = None, metrics: Sequence[Metric] | None = None
) -> SchedulerSettings:
    """The checked settings of the `scheduler` group. Raises UserError for the first mistake in it.

    `schedule` is the optimizer's: what else follows the same clock, momentum and weight decay. `metrics` are the
    task's, by default all of the table.
    """
    node = dict(node)
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", "val_loss")
    checks.choice("scheduler.interval", interval, INTERVALS)
    checks.choice("scheduler.monitor", monitor, monitors(metrics or known()))
    resolved = _as_partials(durations.resolve(node, horizon, interval, "scheduler"))
    taken = checks.check_target(resolved, "scheduler", given=(checks.taker(resolved, "scheduler", "optimizer"),))
    schedule = {} if schedule is None else schedule
    _hyperparameter_curves(schedule, horizon, interval)

    def build(optimizer: torch.optim.Optimizer) -> Scheduler:
        # Made anew for each scheduler: an object of the user's may count its calls.
        factory = make(resolved | {"_partial_": True}, "scheduler")
        curves = _hyperparameter_curves(schedule, horizon, interval)
        make_it = checks.handing(factory, taken, "optimizer", optimizer)
        scheduler = checks.call("scheduler", node["_target_"], make_it)
        _require_protocol(scheduler, node["_target_"])
        if follows_metric(scheduler):
            _check_metric(scheduler, interval, monitor, metrics)
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            _check_plateau(scheduler)
        return _with_hyperparameters(scheduler, optimizer, curves, horizon, interval)

    return SchedulerSettings(build, interval, monitor, resolved)


def _require_protocol(scheduler: Any, target: str) -> None:
    for name in ("step", "get_last_lr", "state_dict", "load_state_dict"):
        if not hasattr(scheduler, name):
            raise wrong(
                "scheduler._target_",
                got=f"{target}, whose object has no {name}()",
                allowed="a class with step(), get_last_lr(), state_dict() and load_state_dict()",
                do="derive it from torch.optim.lr_scheduler.LRScheduler",
            )


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
        resolved = _as_partials(durations.resolve({"total": "100%", **settings}, horizon, interval, key))
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


def _as_partials(node: Any) -> Any:
    """`node` with `_partial_` set in every schedule of lrlab's inside of it: they are functions to be called later."""
    if isinstance(node, list):
        return [_as_partials(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {name: _as_partials(part) for name, part in node.items()}
    if str(node.get("_target_", "")).startswith("lrlab.schedules."):
        parts["_partial_"] = True
    return parts


def _with_hyperparameters(
    scheduler: Scheduler, optimizer: torch.optim.Optimizer, curves: Mapping[str, Any], horizon: Horizon, interval: str
) -> Scheduler:
    """`scheduler`, or one around it where groups have scales or delays, or momentum and weight decay schedules."""
    groups = optimizer.param_groups
    for name in curves:
        _require_drivable(name, scheduler, optimizer)
    if not curves and not any(map(hyperparameters.is_driven_apart, groups)):
        return scheduler
    scales = [hyperparameters.scale_of(group) for group in groups]
    delays = [_delay(group, horizon, interval) for group in groups]
    build = partial(HyperparameterScheduler, scheduler, optimizer, scales=scales, delays=delays, curves=curves)
    return checks.call("optimizer.schedule", "it", build)


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


def _delay(group: hyperparameters.ParameterGroup, horizon: Horizon, interval: str) -> int:
    """The delay of a parameter group in counts of the interval."""
    delay = hyperparameters.delay_of(group)
    key = f"optimizer.groups.{hyperparameters.setting_of(str(group.get('name', '')))}.delay"
    return horizon.count(delay, interval, key) if isinstance(delay, str) else delay


def _check_metric(scheduler: Any, interval: str, monitor: str, metrics: Sequence[Metric] | None) -> None:
    if interval != "epoch":
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


@contextmanager
def naming_settings(node: Node, key: str = "scheduler") -> Iterator[None]:
    """In this block an error about an argument of a schedule inside of `node` names the setting, by its whole path.

    A schedule knows its arguments, and not where a config has them. One of a name that the node has twice stays as it
    is.
    """
    try:
        yield
    except UserError as error:
        places = _places(node, key)
        about = (error.key or "").removeprefix(f"{key}: ")
        if about not in places or error.do is None:
            raise
        do = re.sub(r"\b(\w+)=", lambda match: f"{places.get(match[1], match[1])}=", error.do)
        raise wrong(places[about], got=error.got, allowed=str(error.allowed), do=do) from error


def _places(node: Node, key: str) -> dict[str, str]:
    """The paths of the settings inside of a node by their names, of those names that occur once."""
    paths = [f"{key}.{path}" for path in flatten(node)]
    names = [path.rpartition(".")[2] for path in paths]
    counts = Counter(names)
    return {name: path for name, path in zip(names, paths, strict=True) if counts[name] == 1}


def check_rhythm(scheduler: Any, monitor: str, eval_every: int) -> None:
    """Raise UserError where a scheduler follows a metric that is not measured every epoch, its unit of time."""
    if follows_metric(scheduler) and monitor.startswith("val") and eval_every != 1:
        raise wrong(
            "trainer.eval_every",
            got=f"{eval_every} with a scheduler that follows {monitor} and counts epochs",
            allowed="1",
            do="trainer.eval_every=1, or scheduler.monitor=train_loss",
        )
