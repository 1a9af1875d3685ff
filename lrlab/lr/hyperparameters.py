"""What a run changes while it trains: the LR of every parameter group, momentum and weight decay.

`read` is the one way to look at them; planning, recording and auditing all go through it.

What lrlab itself has to know of a parameter group is in keys of its own among those of torch's `param_groups`, for two
reasons. A group and what is said of it stay together wherever torch sorts, copies, saves or loads groups. And a resumed
run finds it there: checkpoints hold these keys in the optimizer's state, so they keep their names. Only the functions
of this room read and write them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer


class Scheduler(Protocol):
    """All that lrlab asks of a scheduler: torch's protocol. One that follows a metric takes it as step(metrics)."""

    def step(self) -> None: ...
    def get_last_lr(self) -> list[float]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


_SCALE, _DELAY = "lr_scale", "delay"  # what a group does with the LR that the scheduler gives it
_UNSCALED = "unscaled_lr"  # that LR, while the optimizer has the group's own
_OWN_WEIGHT_DECAY = "own_weight_decay"  # whether a weight decay that only this group has is worth recording

EFFECTIVE = "lr/effective"

ParameterGroup = dict[str, Any]  # one of an optimizer's `param_groups`


def drive_apart(group: ParameterGroup, *, scale: float, delay: int | str) -> None:
    """Let `group` have `scale` times the scheduler's LR, and none until a `delay`, a duration, is over."""
    group[_SCALE], group[_DELAY] = scale, delay


def is_driven_apart(group: ParameterGroup) -> bool:
    """Whether the LR of `group` is another one than the scheduler's."""
    return _SCALE in group


def scale_of(group: ParameterGroup) -> float:
    """How many times the scheduler's LR `group` has."""
    return group.get(_SCALE, 1.0)


def delay_of(group: ParameterGroup) -> int | str:
    """The duration in which the LR of `group` is 0."""
    return group.get(_DELAY, 0)


def give_weight_decay(group: ParameterGroup, value: float, *, record: bool) -> None:
    """Give `group` a weight decay of its own, to be recorded under its name or not at all."""
    group["weight_decay"], group[_OWN_WEIGHT_DECAY] = value, record


def setting_of(name: str) -> str:
    """The name under which the user's settings have the group that is called `name`, or of which it is a part.

    >>> setting_of("head"), setting_of("head_no_decay"), setting_of("head_adamw_no_decay")
    ('head', 'head', 'head')
    """
    return name.removesuffix("_no_decay").removesuffix("_adamw")


def adapts_its_lr(optimizer: Optimizer) -> bool:
    """Whether the optimizer finds a step size `d` by itself, and keeps it in its groups: Prodigy and D-Adaptation do.

    Adafactor's `d` is a setting, which its class takes as an argument.
    """
    is_setting = "d" in inspect.signature(type(optimizer).__init__).parameters
    return not is_setting and all("d" in group and "lr" in group for group in optimizer.param_groups)


def effective(optimizer: Optimizer) -> dict[str, float]:
    """d x LR of each group of an optimizer that `adapts_its_lr`: `lr/effective`, of further groups `lr/effective/NAME`.

    Before `optimizer.step()` it is what the update will use. Waits for the device where d is kept there.
    """
    values = {}
    for index, group in enumerate(optimizer.param_groups):
        suffix = f"/{group.get('name', index)}" if index or "name" in group else ""
        values[f"{EFFECTIVE}{suffix}"] = float(group["d"]) * float(group["lr"])
    return values


def read(optimizer: Optimizer) -> dict[str, float]:
    """The values in force: `lr`, `lr/NAME` of named and further groups, `momentum`, `weight_decay`.

    `lr` is the scheduler's own curve: the first group's LR, before a scale or a delay of that group. Momentum is
    Adam's beta1 where there are betas, as for torch's CyclicLR, and is the same in all groups. A group with a weight
    decay of its own has it as `weight_decay/NAME`.
    """
    groups = optimizer.param_groups
    first = groups[0]
    values = {"lr": float(first.get(_UNSCALED, first["lr"]))}
    for index, group in enumerate(groups):
        if index or "name" in group:
            values[f"lr/{group.get('name', index)}"] = float(group["lr"])
    if "momentum" in first:
        values["momentum"] = float(first["momentum"])
    elif "betas" in first:
        values["momentum"] = float(first["betas"][0])
    for group in groups:
        if _OWN_WEIGHT_DECAY not in group and "weight_decay" in group:
            values.setdefault("weight_decay", float(group["weight_decay"]))
        elif group.get(_OWN_WEIGHT_DECAY):
            values[f"weight_decay/{group['name']}"] = float(group["weight_decay"])
    return values


def metric_argument(scheduler: Any) -> str | None:
    """The name of the argument under which step() must be told a metric, as ReduceLROnPlateau's must; None without one.

    An argument that has a default is not needed: GradualWarmupScheduler's step(epoch=None, metrics=None) has two.
    """
    inner = scheduler.scheduler if isinstance(scheduler, HyperparameterScheduler) else scheduler
    for name, parameter in inspect.signature(inner.step).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name != "epoch":
            return name
    return None


def follows_metric(scheduler: Any) -> bool:
    """Whether the scheduler's step() is told a metric, as ReduceLROnPlateau's is."""
    return metric_argument(scheduler) is not None


def count_as_stepped(optimizer: Optimizer) -> None:
    """Let a scheduler of torch's step before `optimizer` has made an update in this process, and not warn of it.

    torch looks at an attribute that it sets itself when step() is called (torch/optim/lr_scheduler.py, seen in torch
    2.11 to 2.15). A step without gradients would set it too, but it changes the weights of optimizers that decay or
    average them, and the state of those that count.
    """
    optimizer._opt_called = True  # type: ignore[attr-defined]


class HyperparameterScheduler:
    """A scheduler and, on its clock, what it does not drive: LR scales and delays of groups, momentum, weight decay.

    Group i has `scales[i]` times the LR that `scheduler` gives it, and 0 until `delays[i]` steps are done: its
    parameters rest, though momentum and Adam's averages take notice of their gradients. `curves` maps `momentum` and
    `weight_decay` to schedules t -> factor of the value that each group was built with.
    """

    def __init__(
        self,
        scheduler: Any,
        optimizer: Optimizer,
        *,
        scales: Sequence[float],
        delays: Sequence[int],
        curves: Mapping[str, Callable[[int], float]],
    ):
        self.scheduler, self.optimizer = scheduler, optimizer
        self.scales, self.delays, self.curves = scales, delays, curves
        self.count = 0
        self._bases = [{name: _get(group, name) for name in curves} for group in optimizer.param_groups]
        self._apply()

    def step(self, **metrics: float) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = lr  # torch's schedulers compute the next LR from the one that they left there
        self.scheduler.step(**metrics)
        self.advance()

    def advance(self) -> None:
        """Go on by one step in all that `scheduler` does not drive."""
        self.count += 1
        self._apply()

    def _apply(self) -> None:
        unscaled = self.scheduler.get_last_lr()
        for group, lr, given in zip(self.optimizer.param_groups, self.get_last_lr(), unscaled, strict=True):
            group["lr"], group[_UNSCALED] = lr, float(given)
        for name, curve in self.curves.items():
            factor = curve(self.count)
            for group, bases in zip(self.optimizer.param_groups, self._bases, strict=True):
                _set(group, name, bases[name] * factor)

    def get_last_lr(self) -> list[float]:
        """The LR in force, a value a parameter group."""
        lrs = self.scheduler.get_last_lr()
        return [
            float(lr) * scale if self.count >= delay else 0.0
            for lr, scale, delay in zip(lrs, self.scales, self.delays, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict(), "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self.count = state_dict["count"]
        self._apply()  # the curves may be another run's, longer than the one that the optimizer's state is from


def _get(group: Mapping[str, Any], name: str) -> float:
    return float(group["betas"][0] if name == "momentum" and "betas" in group else group[name])


def _set(group: dict[str, Any], name: str, value: float) -> None:
    if name == "momentum" and "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group[name] = value
