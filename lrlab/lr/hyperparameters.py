"""What a run changes while it trains: the LR of every parameter group, momentum and weight decay.

`read` is the one way to look at them; planning, recording and auditing all go through it.

What lrlab itself has to know of a parameter group is in keys of its own among those of torch's `param_groups`, for two
reasons. A group and what is said of it stay together wherever torch sorts, copies, saves or loads groups. And a resumed
run finds it there: checkpoints hold these keys in the optimizer's state, so they keep their names. Only the functions
of this room read and write them.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch.optim import Optimizer

from lrlab.lr.own_schedule import OwnSchedule
from lrlab.schedules.lengths import parameters_of


class Scheduler(Protocol):
    """All that lrlab asks of a scheduler: torch's protocol.

    One that follows a metric takes it as step(metrics); where step() has another clock, as tell(metric).
    """

    def step(self) -> None: ...
    def get_last_lr(self) -> list[float]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


_SCALE, _DELAY = "lr_scale", "delay"  # what a group does with the LR that the scheduler gives it
_UNSCALED = "unscaled_lr"  # that LR, while the optimizer has the group's own
_OWN_SCHEDULE = "own_schedule"  # the name of the schedule that a group follows in place of the run's
_OWN_WEIGHT_DECAY = "own_weight_decay"  # whether a weight decay that only this group has is worth recording

EFFECTIVE = "lr/effective"

ParameterGroup = dict[str, Any]  # one of an optimizer's `param_groups`


def drive_apart(group: ParameterGroup, *, scale: float, delay: int | str) -> None:
    """Let `group` have `scale` times the scheduler's LR, and none until a `delay`, a duration, is over."""
    group[_SCALE], group[_DELAY] = scale, delay


def follow_own(group: ParameterGroup, name: str) -> None:
    """Let `group`, which is driven apart, follow the schedule of that name in place of the run's."""
    group[_OWN_SCHEDULE] = name


def schedule_of(group: ParameterGroup) -> str | None:
    """The name of the schedule that `group` follows; None for the run's."""
    return group.get(_OWN_SCHEDULE)


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


_ADDED = re.compile(r"(_layer_\d+)?(_adamw)?(_no_decay)?$")  # to a group's name, where it is split


def setting_of(name: str) -> str:
    """The name under which the user's settings have the group that is called `name`, or of which it is a part.

    >>> setting_of("head"), setting_of("head_no_decay"), setting_of("head_layer_2_adamw_no_decay")
    ('head', 'head', 'head')
    """
    return _ADDED.sub("", name)


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
            values[_name(group, index)] = float(group["lr"])
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


def by_curve(optimizer: Optimizer, of_groups: Sequence[float]) -> dict[str, float]:
    """What each group has, by the name under which `read` gives its LR: `lr`, `lr/NAME`."""
    found = {"lr": of_groups[0]}
    for index, (group, value) in enumerate(zip(optimizer.param_groups, of_groups, strict=True)):
        if index or "name" in group:
            found[_name(group, index)] = value
    return found


def _name(group: ParameterGroup, index: int) -> str:
    return f"lr/{group.get('name', index)}"


def metric_argument(scheduler: Any) -> str | None:
    """The name of the argument under which step() must be told a metric, as ReduceLROnPlateau's must; None without one.

    An argument that has a default is not needed: GradualWarmupScheduler's step(epoch=None, metrics=None) has two.
    """
    inner = scheduler
    if isinstance(scheduler, HyperparameterScheduler):
        if scheduler.tells_apart:
            return None
        inner = scheduler.scheduler
    for name, parameter in parameters_of(inner.step).items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name != "epoch":
            return name
    return None


def follows_metric(scheduler: Any) -> bool:
    """Whether the scheduler is told a metric, as ReduceLROnPlateau is."""
    if isinstance(scheduler, HyperparameterScheduler):
        return follows_metric(scheduler.scheduler)
    return metric_argument(scheduler) is not None or callable(getattr(scheduler, "tell", None))


def tell(scheduler: Any, metric: float) -> None:
    """Let a scheduler follow a metric: as the argument that its step() needs, or as tell(metric)."""
    if argument := metric_argument(scheduler):
        scheduler.step(**{argument: metric})
    else:
        scheduler.tell(metric)


def foreseen(scheduler: Any, optimizer: Optimizer, total: int) -> dict[str, int]:
    """For how many of `total` counts each hyperparameter is known in advance; those that are not are left out.

    An LR that follows a metric is known as long as its scheduler heeds none, which says so as `certain`. What is
    scheduled beside it is known throughout.
    """
    names = list(read(optimizer))
    if not follows_metric(scheduler):
        return dict.fromkeys(names, total)
    known: dict[str, int] = {}
    if isinstance(scheduler, HyperparameterScheduler):
        known = {name: total for name in names if not name.startswith("lr")}
        inner, every, own = scheduler.scheduler, scheduler.every, scheduler.own
    else:
        inner, every, own = scheduler, 1, [None] * len(optimizer.param_groups)
    certain = min(getattr(inner, "certain", 0) * every, total)
    apart = {_name(group, index) for index, group in enumerate(optimizer.param_groups) if own[index] is not None}
    for name in names:
        length = total if name in apart else certain
        if name.startswith("lr") and length:
            known[name] = length
    return {name: known[name] for name in names if name in known}


def count_as_stepped(optimizer: Optimizer) -> None:
    """Let a scheduler of torch's step before `optimizer` has made an update in this process, and not warn of it.

    torch looks at an attribute that it sets itself when step() is called (torch/optim/lr_scheduler.py, seen in torch
    2.11 to 2.15). A step without gradients would set it too, but it changes the weights of optimizers that decay or
    average them, and the state of those that count.
    """
    optimizer._opt_called = True  # type: ignore[attr-defined]


class HyperparameterScheduler:
    """A scheduler and what it does not drive: scales, delays and schedules of groups, momentum, weight decay.

    Group i has `scales[i]` times the LR that `scheduler` gives it, or that its `own[i]` does, and 0 until `delays[i]`
    steps are done: its parameters rest, though momentum and Adam's averages take notice of their gradients. `curves`
    maps `momentum` and `weight_decay` to schedules t -> factor of the value that each group was built with.

    Its clock is the fastest of all. `scheduler`, whose clock `curves` follow, is stepped after every `every` steps. One
    that takes a metric in step() can be told it apart from that (`tells_apart`), as tell(metric).
    """

    def __init__(
        self,
        scheduler: Any,
        optimizer: Optimizer,
        *,
        scales: Sequence[float],
        delays: Sequence[int],
        curves: Mapping[str, Callable[[int], float]],
        own: Sequence[OwnSchedule | None] | None = None,
        every: int = 1,
        tells_apart: bool = False,
    ):
        self.scheduler, self.optimizer = scheduler, optimizer
        self.scales, self.delays, self.curves = scales, delays, curves
        self.own = [None] * len(optimizer.param_groups) if own is None else list(own)
        self.every, self.tells_apart = every, tells_apart
        self.count = 0
        self._schedules = list(dict.fromkeys(one for one in self.own if one is not None))  # each of them once
        self._needs_metric = metric_argument(scheduler) is not None
        self._bases = [{name: _get(group, name) for name in curves} for group in optimizer.param_groups]
        self._apply()

    def step(self, **metrics: float) -> None:
        """Go on by one. Without the metric that `scheduler` needs, it alone stays where it is."""
        is_due = (self.count + 1) % self.every == 0
        if is_due and (metrics or not self._needs_metric):
            self._give_back()
            self.scheduler.step(**metrics)
        self.count += 1
        for one in self._schedules:
            one.advance(self.count)
        self._apply()

    def tell(self, metric: float) -> None:
        """Let `scheduler` follow a metric, between two steps of the clock."""
        self._give_back()
        tell(self.scheduler, metric)
        self._apply()

    def _give_back(self) -> None:
        """Put the LRs into the groups that `scheduler` left there: torch's compute the next LR from them."""
        for group, lr in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = lr

    def _apply(self) -> None:
        unscaled = self.scheduler.get_last_lr()
        for group, lr, given in zip(self.optimizer.param_groups, self.get_last_lr(), unscaled, strict=True):
            group["lr"], group[_UNSCALED] = lr, float(given)
        for name, curve in self.curves.items():
            factor = curve(self.count // self.every)
            for group, bases in zip(self.optimizer.param_groups, self._bases, strict=True):
                _set(group, name, bases[name] * factor)

    def get_last_lr(self) -> list[float]:
        """The LR in force, a value a parameter group."""
        lrs = []
        groups = zip(self.scheduler.get_last_lr(), self.own, self.scales, self.delays, strict=True)
        for lr, own, scale, delay in groups:
            unscaled = float(lr) if own is None else own.lr
            lrs.append(unscaled * scale if self.count >= delay else 0.0)
        return lrs

    def state_dict(self) -> dict[str, Any]:
        own = {"own": [one.state_dict() for one in self._schedules]} if self._schedules else {}
        return {"scheduler": self.scheduler.state_dict(), "count": self.count, **own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state_dict["scheduler"])
        self.count = state_dict["count"]
        for one, state in zip(self._schedules, state_dict.get("own", []), strict=True):
            one.load_state_dict(state)
        self._apply()  # the curves may be another run's, longer than the one that the optimizer's state is from


def _get(group: Mapping[str, Any], name: str) -> float:
    return float(group["betas"][0] if name == "momentum" and "betas" in group else group[name])


def _set(group: dict[str, Any], name: str, value: float) -> None:
    if name == "momentum" and "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group[name] = value
