"""Schedules of named parameter groups, `optimizer.groups.NAME.schedule`, in place of the run's scheduler."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lrlab.config import catalogue, checks, durations
from lrlab.config.checks import Node
from lrlab.config.nodes import with_settings
from lrlab.config.scheduler_nodes import as_partials, maker, naming_settings
from lrlab.errors import UserError, wrong
from lrlab.lr import lint
from lrlab.lr.horizon import INTERVALS, Horizon, RestOfRun
from lrlab.lr.hyperparameters import Scheduler, count_as_stepped, follows_metric
from lrlab.lr.plan import Plan

EXAMPLE = "optimizer.groups.head.schedule=linear"
_MOMENTUM = 0.9  # of the stand-in, so that a scheduler that drives momentum can be told by it


@dataclass(frozen=True)
class GroupSchedule:
    """One group's schedule, checked. Its time begins when the group's delay is over, and 100% of it is what is left."""

    key: str
    interval: str
    delay: int  # in counts of the interval
    rest: RestOfRun
    resolved: Node  # what it is built from, with every duration as a count of the interval
    name: str | None = None  # of the option that it is

    def build(self, lr: float) -> tuple[Scheduler, torch.optim.Optimizer]:
        """The scheduler at a base LR, with the stand-in of an optimizer that it drives.

        Raises UserError where it follows a metric, or drives more than an LR.
        """
        stand_in = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=lr, momentum=_MOMENTUM)
        count_as_stepped(stand_in)
        with naming_settings(self.resolved, self.key):
            scheduler = maker(self.resolved, self.key)(stand_in)
        if follows_metric(scheduler):
            raise wrong(
                self.key,
                got=f"{type(scheduler).__name__}, which follows a metric",
                allowed="a schedule that is known before; the run's scheduler may follow a metric",
                do=f"{self.key}=linear, or scheduler=plateau for the whole run",
            )
        drives_momentum = stand_in.param_groups[0]["momentum"] != _MOMENTUM
        if drives_momentum or getattr(scheduler, "cycle_momentum", False):
            raise wrong(
                self.key,
                got=f"{type(scheduler).__name__} with cycle_momentum, and momentum is one for all groups",
                allowed="a schedule of the LR alone",
                do=f"'{self.key}={{name:{self.name or 'onecycle'},cycle_momentum:false}}'",
            )
        return scheduler, stand_in

    def warnings(self, curve: tuple[float, ...], horizon: Horizon, clock: str) -> list[str]:
        """What is probably a mistake in the LRs of the group, which are planned by the counts of `clock`."""
        whole = Plan(horizon, clock, {"lr": curve}).on(self.interval)
        plan = Plan(self.rest, self.interval, {"lr": whole.curves["lr"][self.delay :]})
        found = lint.warnings(plan, self.resolved, {}) if max(curve) > 0 else []
        return [re.sub(r"(?<![\w.])scheduler(?=[.:=])", self.key, line) for line in found]


def group_schedules(optimizer: Mapping[str, Any], horizon: Horizon, interval: str) -> dict[str, GroupSchedule]:
    """The groups of an `optimizer` node that have a schedule of their own, by name.

    `interval` is that of the run's scheduler. Raises UserError for the first mistake in a schedule; what else is said
    of groups is checked where they are made.
    """
    groups = optimizer.get("groups")
    found = {}
    for name, settings in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(settings, Mapping) and settings.get("schedule") is not None:
            found[str(name)] = _read(f"optimizer.groups.{name}", settings, optimizer, horizon, interval)
    return found


def _read(
    group: str, settings: Mapping[str, Any], optimizer: Mapping[str, Any], horizon: Horizon, interval: str
) -> GroupSchedule:
    key, entry = f"{group}.schedule", settings["schedule"]
    if isinstance(entry, str):
        entry = {"name": entry}
    node = _as_node(entry, key, optimizer.get("lr"), interval)
    interval = node.pop("interval", "epoch")
    node.pop("monitor", None)  # of one that follows a metric, which is refused by what it is
    checks.choice(f"{key}.interval", interval, INTERVALS)

    # When it begins. A delay that is no duration is refused where groups are read.
    delay = settings.get("delay", 0)
    if isinstance(delay, str):
        delay = horizon.count(delay, interval, f"{group}.delay")
    if not isinstance(delay, int):
        delay = 0
    if delay >= horizon.total(interval):
        raise wrong(
            f"{group}.delay",
            got=f"{settings['delay']}, which leaves nothing of the run to its schedule",
            allowed="shorter than the run",
            do=f"{group}.delay=25%, or no {key}",
        )
    rest = horizon.rest(delay, interval)
    resolved = as_partials(durations.resolve(node, rest, interval, key))
    maker(resolved, key)  # checks it
    return GroupSchedule(key, interval, delay, rest, resolved, name=None if "_target_" in entry else entry["name"])


def _as_node(entry: Any, key: str, lr: Any, interval: str) -> Node:
    """The node that a schedule's `entry` means: an option of conf/scheduler by its name, with settings or without."""
    if not isinstance(entry, Mapping) or not {"name", "_target_"} & entry.keys():
        allowed = "an option of conf/scheduler by its name, {name: wsd, decay: 30%}, or a node with a _target_"
        raise wrong(key, got=repr(entry), allowed=allowed, do=f"{key}=linear")
    if "_target_" not in entry:
        return _of_an_option(dict(entry), key, lr)
    if not str(entry["_target_"]).startswith("lrlab.schedules."):
        return dict(entry)
    # A function of time, as `optimizer.schedule` takes it.
    function = {"total": "100%", **entry}
    clock = function.pop("interval", interval)
    return {"_target_": "torch.optim.lr_scheduler.LambdaLR", "interval": clock, "lr_lambda": function}


def _of_an_option(settings: dict[str, Any], key: str, lr: Any) -> Node:
    name = settings.pop("name")
    checks.choice(key if not settings else f"{key}.name", name, catalogue.options("scheduler"))
    node = catalogue.option("scheduler", name, {"optimizer.lr": lr})
    try:
        return with_settings(name, node, settings)
    except UserError as error:  # it speaks of arguments, as Python code has them
        got = str(error.got).replace("an argument", "a setting")
        do = re.sub(r"^(leave )?(\w+)", rf"\1{key}.\2", str(error.do)).replace("=...", "=VALUE")
        do = re.sub(r"=(['\"])(.*)\1$", r"=\2", do)
        do += f" in place of {error.key}" if "did you mean" in got else ""
        raise wrong(f"{key}.{error.key}", got=got, allowed=str(error.allowed), do=do) from error
