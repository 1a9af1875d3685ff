"""The updates of torch's SGD, Adam, AdamW and RMSprop, on rows of parameters, each with hyperparameters of its own.

The formulas are those of torch's classes, in their order. Every row is computed for itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from lrlab.stacking.rows import ByName, StackedModels

_EPSILON = 1e-6  # as in torch.nn.utils.clip_grad_norm_
STEP = "step"  # of the updates that a parameter has had; a number for each row, on the CPU


class Updates:
    """The optimizers of the models in `rows`, stepped together.

    Each stays the run's own: its scheduler sets its groups, which are read before every update, and what it has
    gathered are views of rows.
    """

    def __init__(self, rows: StackedModels, optimizers: Sequence[Optimizer]):
        self.rows = rows
        self.optimizers = list(optimizers)
        self.update, self.kept = _KNOWN[type(optimizers[0])]
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
            keys = [STEP, *self.kept(self.optimizers[0].param_groups[index])]
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
        for index, names in enumerate(self.groups):
            settings = _GroupSettings([one.param_groups[index] for one in self.optimizers], self.fresh, len(self.rows))
            for name in names:
                if name in gradients:
                    self.state[name][STEP] += 1
                    settings.fit(self.rows.parameters[name], self.state[name][STEP])
                    self.update(self.rows.parameters[name], gradients[name], self.state[name], settings)
        if any(self.fresh):
            self.fresh = [False] * len(self.optimizers)
            self._hand_out()


class _GroupSettings:
    """The hyperparameters of one group, of every row, as tensors that fit one parameter after another.

    They are always tensors, also where all rows have one value: the arithmetic must not depend on the others.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], fresh: Sequence[bool], rows: int):
        self.groups, self.fresh, self.rows = groups, fresh, rows
        self.flag = groups[0]  # what is true of one is true of all: nesterov, amsgrad, centered
        self.made: dict[tuple[Any, ...], Tensor] = {}

    def fit(self, parameter: Tensor, steps: Tensor) -> None:
        """What is asked for from now on fits `parameter` (K, ...), whose rows make their update `steps` (K,)."""
        self.shape = (-1, *[1] * (parameter.dim() - 1))
        self.like = parameter
        self.steps = tuple(steps.tolist())

    def rows_of(self, key: str, value: Callable[[Mapping[str, Any], float, bool], float]) -> Tensor:
        """A number for each row, of its group, its count of updates, and whether this is the first."""
        about = (key, self.steps, self.shape)
        if about not in self.made:
            each = zip(self.groups, self.steps, self.fresh, strict=False)
            numbers = [value(group, step, fresh) for group, step, fresh in each]
            numbers += numbers[:1] * (self.rows - len(numbers))
            made = torch.tensor(numbers, dtype=self.like.dtype, device=self.like.device)
            self.made[about] = made.view(self.shape)
        return self.made[about]

    def __getitem__(self, name: str) -> Tensor:
        return self.rows_of(name, lambda group, _step, _fresh: group[name])


def clipped(gradients: ByName, most: float) -> ByName:
    """The gradients (K, ...) with those of each row scaled down to at most the total norm `most`."""
    norms = torch.stack([value.reshape(len(value), -1).norm(dim=1) for value in gradients.values()])
    shares = (most / (norms.norm(dim=0) + _EPSILON)).clamp(max=1.0)
    return {name: value * shares.view(-1, *[1] * (value.dim() - 1)) for name, value in gradients.items()}


def _sgd(parameter: Tensor, gradient: Tensor, state: ByName, settings: _GroupSettings) -> None:
    gradient = gradient + parameter * settings["weight_decay"]
    momentum = settings["momentum"]
    weight = settings.rows_of("undamped", lambda group, _, fresh: 1.0 if fresh else 1 - group["dampening"])
    buffer = state["momentum_buffer"].mul_(momentum).add_(gradient * weight)
    direction = gradient + buffer * momentum if settings.flag["nesterov"] else buffer
    direction = torch.where(momentum == 0, gradient, direction)  # undamped
    parameter.sub_(direction * settings["lr"])


def _adam(parameter: Tensor, gradient: Tensor, state: ByName, settings: _GroupSettings) -> None:
    gradient = gradient + parameter * settings["weight_decay"]
    _adaptive(parameter, gradient, state, settings)


def _adamw(parameter: Tensor, gradient: Tensor, state: ByName, settings: _GroupSettings) -> None:
    parameter.mul_(settings.rows_of("decay", lambda group, _, __: 1 - group["lr"] * group["weight_decay"]))
    _adaptive(parameter, gradient, state, settings)


def _adaptive(parameter: Tensor, gradient: Tensor, state: ByName, settings: _GroupSettings) -> None:
    """Adam's step (Kingma and Ba, 2014, algorithm 1, with the order of operations of torch)."""
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.add_((gradient - mean) * settings.rows_of("1 - beta1", lambda group, _, __: 1 - group["betas"][0]))
    square.mul_(settings.rows_of("beta2", lambda group, _, __: group["betas"][1]))
    square.add_(gradient * gradient * settings.rows_of("1 - beta2", lambda group, _, __: 1 - group["betas"][1]))
    if settings.flag["amsgrad"]:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    scale = settings.rows_of("root of bias 2", lambda group, step, _: (1 - group["betas"][1] ** step) ** 0.5)
    size = settings.rows_of("size", lambda group, step, _: group["lr"] / (1 - group["betas"][0] ** step))
    parameter.sub_(mean / ((square.sqrt() / scale) + settings["eps"]) * size)


def _rmsprop(parameter: Tensor, gradient: Tensor, state: ByName, settings: _GroupSettings) -> None:
    gradient = gradient + parameter * settings["weight_decay"]
    alpha, rest = settings["alpha"], settings.rows_of("1 - alpha", lambda group, _, __: 1 - group["alpha"])
    square = state["square_avg"].mul_(alpha).add_(gradient * gradient * rest)
    if settings.flag["centered"]:
        mean = state["grad_avg"]
        mean.add_((gradient - mean) * rest)
        square = square - mean * mean
    buffer = state["momentum_buffer"].mul_(settings["momentum"])
    buffer.add_(gradient / (square.sqrt() + settings["eps"]))
    parameter.sub_(buffer * settings["lr"])


def _kept_by_sgd(_group: Mapping[str, Any]) -> list[str]:
    return ["momentum_buffer"]


def _kept_by_adam(group: Mapping[str, Any]) -> list[str]:
    return ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]


def _kept_by_rmsprop(group: Mapping[str, Any]) -> list[str]:
    return ["square_avg", "momentum_buffer", *(["grad_avg"] if group["centered"] else [])]


# How each class makes an update, and the names under which it keeps what it gathers.
_KNOWN: dict[type[Optimizer], tuple[Callable[..., None], Callable[[Mapping[str, Any]], list[str]]]] = {
    SGD: (_sgd, _kept_by_sgd),
    Adam: (_adam, _kept_by_adam),
    AdamW: (_adamw, _kept_by_adam),
    RMSprop: (_rmsprop, _kept_by_rmsprop),
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
