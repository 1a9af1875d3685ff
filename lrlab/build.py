"""Objects from the nodes of a resolved config; every mistake becomes one line."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from typing import Any

import torch
from hydra.utils import instantiate
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlab import checks
from lrlab.batches import Batching
from lrlab.errors import wrong
from lrlab.horizon import INTERVALS, Horizon
from lrlab.models import check_output
from lrlab.trainer import MONITORS, Scheduler

# What torch's schedulers need of their durations. With less, some raise late (StepLR), some train at a wrong LR
# (LinearLR stays at its first factor), some count from the wrong end (StepLR below 0).
_LEAST_COUNTS = {
    **dict.fromkeys(("step_size", "T_max", "T_0", "total_iters", "total_steps", "step_size_up", "step_size_down"), 1),
    **dict.fromkeys(("milestones", "patience", "cooldown"), 0),
}

Node = dict[str, Any]


def build_model(node: Node, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The model, told `num_classes` and `input_shape` if it asks for them, and tried on two blank images."""
    offered = {"num_classes": num_classes, "input_shape": shape}
    parameters = checks.check_target(node, "model", given=offered)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {
        name: value
        for name, value in offered.items()
        if name not in node and (name in parameters or (name == "num_classes" and takes_any))
    }
    model = make(node, "model", **given)
    check_output(model, shape, num_classes)
    return model


@lru_cache
def try_model(description: str, shape: tuple[int, int, int], num_classes: int) -> None:
    """Build the model that the JSON text describes and try it, once a process however many runs of a sweep use it."""
    build_model(json.loads(description), shape, num_classes)


def build_optimizer(node: Node, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the parameters of `model`; biases and normalization weights decay only if the node says so.

    `decay_bias_and_norm: false` puts every parameter of at most one dimension into a second group, `no_decay`.
    """
    node = dict(node)
    decay_all = node.pop("decay_bias_and_norm", True)
    checks.flag("optimizer.decay_bias_and_norm", decay_all)
    checks.check_target(node, "optimizer", given=("params",))
    if "lr" in node:
        checks.number("optimizer.lr", node["lr"], above=0, example=0.01)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if not decay_all:
        groups = [
            {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "name": "no_decay"},
        ]
    factory = make(node | {"_partial_": True}, "optimizer")
    optimizer = checks.attempt("optimizer", node["_target_"], factory, [group for group in groups if group["params"]])
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise wrong(
            "optimizer._target_",
            got=f"{node['_target_']}, which makes a {type(optimizer).__name__}",
            allowed="a class derived from torch.optim.Optimizer",
            do="optimizer=sgd",
        )
    try:
        optimizer.step()  # without gradients: changes nothing
    except TypeError as error:
        raise wrong(
            "optimizer._target_",
            got=f"{node['_target_']}, whose step() wants a closure",
            allowed="an optimizer that makes one update from one gradient",
            do="optimizer=sgd",
        ) from error
    return optimizer


@dataclass(frozen=True)
class SchedulerSettings:
    """The `scheduler` group, checked: how to build one on an optimizer, what steps it and what it follows."""

    build: Callable[[torch.optim.Optimizer], Scheduler]
    interval: str
    monitor: str


def scheduler_settings(node: Node, horizon: Horizon) -> SchedulerSettings:
    """Every duration in the node becomes a count of its interval; raises UserError for what is wrong in it."""
    node = dict(node)
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", "val_loss")
    checks.choice("scheduler.interval", interval, INTERVALS)
    checks.choice("scheduler.monitor", monitor, MONITORS)
    resolved = horizon.resolve(node, interval, "scheduler")
    for name, least in _LEAST_COUNTS.items():
        for count in resolved[name] if isinstance(resolved.get(name), list) else [resolved.get(name)]:
            if isinstance(count, int) and count < least:
                raise wrong(
                    f"scheduler.{name}",
                    got=f"{node[name]}, which is {count} {interval}s",
                    allowed=f"a duration of at least {least} {interval}{'' if least == 1 else 's'}",
                    do=f"scheduler.{name}={'[50%]' if isinstance(node[name], list) else '25%'}",
                )
    checks.check_target(resolved, "scheduler", given=("optimizer",))
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
        if isinstance(scheduler, ReduceLROnPlateau):
            _check_plateau(scheduler, interval, monitor)
        return scheduler

    return SchedulerSettings(build, interval, monitor)


def _check_plateau(scheduler: ReduceLROnPlateau, interval: str, monitor: str) -> None:
    if interval != "epoch":
        raise wrong(
            "scheduler.interval",
            got=interval,
            allowed="epoch, for a scheduler that follows a metric",
            do="scheduler.interval=epoch",
        )
    better = "min" if monitor.endswith("loss") else "max"
    if scheduler.mode != better:
        raise wrong(
            "scheduler.mode",
            got=f"{scheduler.mode} with monitor={monitor}",
            allowed=better,
            do=f"scheduler.mode={better}",
        )


def check_rhythm(scheduler: Any, monitor: str, eval_every: int) -> None:
    """Raise UserError where a scheduler follows a metric that is not measured every epoch, its unit of time."""
    if isinstance(scheduler, ReduceLROnPlateau) and monitor.startswith("val") and eval_every != 1:
        raise wrong(
            "trainer.eval_every",
            got=f"{eval_every} with a scheduler that follows {monitor} and counts epochs",
            allowed="1",
            do="trainer.eval_every=1, or scheduler.monitor=train_loss",
        )


def known_settings(group: str, node: Node) -> set[str]:
    """The settings that the node's `_target_` names as parameters, and those that lrlab reads itself."""
    ours = {
        "data": {field.name for field in fields(Batching)},
        "optimizer": {"decay_bias_and_norm"},
        "scheduler": {"interval", "monitor"},
    }
    return {*checks.parameters_of(checks.locate(node["_target_"], group)), *ours.get(group, set())}


def make(node: Node, key: str, **given: Any) -> Any:
    """What the node's `_target_` returns, called with the node's other keys and with `given`."""
    return _plain_partials(checks.attempt(key, node["_target_"], instantiate, node, _convert_="all", **given))


def _plain_partials(value: Any) -> Any:
    """Hydra's partials check their target anew at each call, 40 times the cost of a schedule; once is enough."""
    if not isinstance(value, partial):
        return value
    arguments = {name: _plain_partials(argument) for name, argument in value.keywords.items()}
    return partial(value.func, *map(_plain_partials, value.args), **arguments)
