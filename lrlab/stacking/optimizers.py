"""The updates of torch's SGD, Adam, AdamW and RMSprop, on rows of parameters, each with hyperparameters of its own.

The formulas are those of torch's classes, in their order. Every row is computed for itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from lrlab.lr.hyperparameters import ParameterGroup
from lrlab.stacking import is_compiled
from lrlab.stacking.passes import ByName
from lrlab.stacking.rows import StackedModels

Flags = Mapping[str, bool]

_FLAGS = "nesterov", "amsgrad", "centered"  # that are true of all runs or of none
_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_
STEP = "step"  # of the updates that a parameter has had; a number for each row, on the CPU

# How a parameter (K, ...) is changed: with its gradient, what is gathered for it, the numbers (K,) of its rows.
_Change = tuple[Tensor, Tensor, ByName, ByName, Flags]
_Formula = Callable[[Tensor, Tensor, ByName, ByName, Flags], None]


class Updates:
    """The optimizers of the models in `rows`, stepped together.

    Each stays the run's own: its scheduler sets its groups, which are read before every update, and what it has
    gathered are views of rows.
    """

    def __init__(self, rows: StackedModels, optimizers: Sequence[Optimizer]):
        self.rows = rows
        self.optimizers = list(optimizers)
        self.rule = _KNOWN[type(optimizers[0])]
        self.make = _make
        if is_compiled(rows.computed.form):
            self.make = torch.compile(_make, dynamic=False, fullgraph=True)
        self._gather()

    def _gather(self) -> None:
        """Put what the optimizers have gathered into rows."""
        self.groups = self._groups()
        self.group_of: dict[str, int] = {}  # by the name of a parameter
        for index, names in enumerate(self.groups):
            self.group_of |= dict.fromkeys(names, index)
        self.state: dict[str, ByName] = {}
        self.fresh = [not optimizer.state for optimizer in self.optimizers]
        for name, index in self.group_of.items():
            own = [optimizer.state.get(self._parameter(k, name), {}) for k, optimizer in enumerate(self.optimizers)]
            keys = [STEP, *self.rule.kept(self.optimizers[0].param_groups[index])]
            self.state[name] = self._rows_of(self.rows.parameters[name], keys, own)
        self._hand_out()

    def _groups(self) -> list[list[str]]:
        """The names of the parameters of each group."""
        by_identity = {id(one): name for name, one in self.rows.models[0].named_parameters()}
        groups = self.optimizers[0].param_groups
        return [list(map(by_identity.__getitem__, map(id, group["params"]))) for group in groups]

    def _parameter(self, row: int, name: str) -> Tensor:
        return self.rows.models[row].get_parameter(name)

    def _rows_of(self, parameter: Tensor, names: Sequence[str], own: Sequence[Mapping[str, Any]]) -> ByName:
        """What is kept for a parameter under these `names`; zeros where an optimizer has not gathered anything yet."""
        state = {}
        for name in names:
            rows = torch.zeros(len(parameter)) if name == STEP else torch.zeros_like(parameter, requires_grad=False)
            for row, kept in enumerate(own):
                if kept.get(name) is not None:
                    rows[row] = kept[name]
            state[name] = rows
        return state

    def _hand_out(self) -> None:
        """Let each optimizer that has made an update have views of its row."""
        for row, optimizer in enumerate(self.optimizers):
            if self.fresh[row]:
                continue
            for name in self.group_of:
                kept = {key: rows[row] for key, rows in self.state[name].items()}
                if isinstance(optimizer, SGD):
                    del kept[STEP]  # torch's does not count
                optimizer.state[self._parameter(row, name)] = kept

    def without(self, index: int) -> None:
        """Let an optimizer go, with a state of its own; the model has left `rows` before."""
        optimizer = self.optimizers.pop(index)
        for kept in optimizer.state.values():
            for name, value in kept.items():
                kept[name] = value.clone()
        if self.optimizers:
            self._gather()

    @torch.no_grad()
    def step(self, gradients: ByName, clip_grad_norm: float | None = None) -> None:
        """Make the update of every row from `gradients` (K, ...); those of a row are clipped to a total norm."""
        if clip_grad_norm is not None:
            gradients = clipped(gradients, clip_grad_norm)
        each: list[_Change] = []
        for index, names in enumerate(self.groups):
            groups = [one.param_groups[index] for one in self.optimizers]
            flags = {name: bool(groups[0].get(name)) for name in _FLAGS}
            made: dict[tuple[float, ...], ByName] = {}  # the numbers, by how many updates the rows have had
            for name in names:
                if name in gradients:
                    kept, parameter = self.state[name], self.rows.parameters[name]
                    kept[STEP] += 1
                    steps = tuple(kept[STEP].tolist())
                    if steps not in made:
                        made[steps] = self._numbers(groups, steps, parameter)
                    gathered = {key: value for key, value in kept.items() if key != STEP}
                    each.append((parameter.detach(), gradients[name].contiguous(), gathered, made[steps], flags))
        self.make(self.rule.update, each)
        if any(self.fresh):
            self.fresh = [False] * len(self.optimizers)
            self._hand_out()

    def _numbers(self, groups: Sequence[ParameterGroup], steps: Sequence[float], like: Tensor) -> ByName:
        """What the formula takes, by its name: a number for each row (K,).

        They are tensors also where all rows have one value: the arithmetic must not depend on the others.
        """
        each = [self.rule.numbers(*about) for about in zip(groups, steps, self.fresh, strict=False)]
        each += each[:1] * (len(self.rows) - len(each))
        rows = torch.tensor([list(one.values()) for one in each], dtype=like.dtype, device=like.device)
        return dict(zip(each[0], rows.t().contiguous(), strict=True))


def clipped(gradients: ByName, most: float) -> ByName:
    """The gradients (K, ...) with those of each row scaled down to at most the total norm `most`."""
    norms = torch.stack([value.reshape(len(value), -1).norm(dim=1) for value in gradients.values()])
    shares = (most / (norms.norm(dim=0) + _EPSILON)).clamp(max=1.0)
    return {name: value * shares.view(-1, *[1] * (value.dim() - 1)) for name, value in gradients.items()}


def _make(update: _Formula, changes: Sequence[_Change]) -> None:
    """Make all `changes`."""
    for parameter, gradient, gathered, numbers, flags in changes:
        shape = -1, *[1] * (parameter.dim() - 1)
        update(parameter, gradient, gathered, {name: one.view(shape) for name, one in numbers.items()}, flags)


@dataclass(frozen=True)
class _Rule:
    """How a class of optimizers makes an update of a parameter (K, ...)."""

    numbers: Callable[
        [ParameterGroup, float, bool], dict[str, float]
    ]  # of a row: of its group, its count, whether it is fresh
    update: _Formula  # in place, with the numbers in its shape
    kept: Callable[[ParameterGroup], list[str]]  # the names under which the class keeps what it gathers


def _sgd_numbers(group: ParameterGroup, _step: float, fresh: bool) -> dict[str, float]:
    undamped = 1.0 if fresh else 1 - group["dampening"]
    return {name: group[name] for name in ("lr", "momentum", "weight_decay")} | {"undamped": undamped}


def _sgd(parameter: Tensor, gradient: Tensor, state: ByName, numbers: ByName, flags: Flags) -> None:
    gradient = gradient + parameter * numbers["weight_decay"]
    momentum = numbers["momentum"]
    buffer = state["momentum_buffer"].mul_(momentum).add_(gradient * numbers["undamped"])
    direction = gradient + buffer * momentum if flags["nesterov"] else buffer
    direction = torch.where(momentum == 0, gradient, direction)  # undamped
    parameter.sub_(direction * numbers["lr"])


def _adam_numbers(group: ParameterGroup, step: float, _fresh: bool) -> dict[str, float]:
    first, second = group["betas"]
    return {
        "weight_decay": group["weight_decay"],
        "decay": 1 - group["lr"] * group["weight_decay"],
        "1 - beta1": 1 - first,
        "beta2": second,
        "1 - beta2": 1 - second,
        "root of bias 2": (1 - second**step) ** 0.5,
        "size": group["lr"] / (1 - first**step),
        "eps": group["eps"],
    }


def _adam(parameter: Tensor, gradient: Tensor, state: ByName, numbers: ByName, flags: Flags) -> None:
    _adaptive(parameter, gradient + parameter * numbers["weight_decay"], state, numbers, flags)


def _adamw(parameter: Tensor, gradient: Tensor, state: ByName, numbers: ByName, flags: Flags) -> None:
    parameter.mul_(numbers["decay"])
    _adaptive(parameter, gradient, state, numbers, flags)


def _adaptive(parameter: Tensor, gradient: Tensor, state: ByName, numbers: ByName, flags: Flags) -> None:
    """Adam's step (Kingma and Ba, 2014, algorithm 1, with the order of operations of torch)."""
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.add_((gradient - mean) * numbers["1 - beta1"])
    square.mul_(numbers["beta2"]).add_(gradient * gradient * numbers["1 - beta2"])
    if flags["amsgrad"]:
        square = state["max_exp_avg_sq"].copy_(torch.maximum(state["max_exp_avg_sq"], square))
    parameter.sub_(mean / ((square.sqrt() / numbers["root of bias 2"]) + numbers["eps"]) * numbers["size"])


def _rmsprop_numbers(group: ParameterGroup, _step: float, _fresh: bool) -> dict[str, float]:
    own = {name: group[name] for name in ("lr", "momentum", "weight_decay", "alpha", "eps")}
    return own | {"1 - alpha": 1 - group["alpha"]}


def _rmsprop(parameter: Tensor, gradient: Tensor, state: ByName, numbers: ByName, flags: Flags) -> None:
    gradient = gradient + parameter * numbers["weight_decay"]
    square = state["square_avg"].mul_(numbers["alpha"]).add_(gradient * gradient * numbers["1 - alpha"])
    if flags["centered"]:
        mean = state["grad_avg"]
        mean.add_((gradient - mean) * numbers["1 - alpha"])
        square = square - mean * mean
    buffer = state["momentum_buffer"].mul_(numbers["momentum"])
    buffer.add_(gradient / (square.sqrt() + numbers["eps"]))
    parameter.sub_(buffer * numbers["lr"])


def _kept_by_sgd(_group: ParameterGroup) -> list[str]:
    return ["momentum_buffer"]


def _kept_by_adam(group: ParameterGroup) -> list[str]:
    return ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]


def _kept_by_rmsprop(group: ParameterGroup) -> list[str]:
    return ["square_avg", "momentum_buffer", *(["grad_avg"] if group["centered"] else [])]


_KNOWN: dict[type[Optimizer], _Rule] = {
    SGD: _Rule(_sgd_numbers, _sgd, _kept_by_sgd),
    Adam: _Rule(_adam_numbers, _adam, _kept_by_adam),
    AdamW: _Rule(_adam_numbers, _adamw, _kept_by_adam),
    RMSprop: _Rule(_rmsprop_numbers, _rmsprop, _kept_by_rmsprop),
}


def reason_against(optimizer: Optimizer) -> str | None:
    """Why the updates of `optimizer` cannot be made in rows; None where they can."""
    if type(optimizer) not in _KNOWN:
        return f"{type(optimizer).__name__} is none of {', '.join(known.__name__ for known in _KNOWN)}"
    for name in ("maximize", "decoupled_weight_decay", "differentiable"):
        decoupled = isinstance(optimizer, AdamW) and name == "decoupled_weight_decay"  # which it is by itself
        if not decoupled and any(group.get(name) for group in optimizer.param_groups):
            return f"optimizer.{name}=true"
    return None
