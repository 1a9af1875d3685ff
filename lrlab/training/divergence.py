"""The guard against losses, gradients and weights that are no longer finite numbers."""

import math
from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lrlab.errors import UserError, wrong
from lrlab.training.state import TrainState

UPDATES_BETWEEN_CHECKS = 50  # on devices where reading a number takes waiting


class Diverged(UserError):
    """The loss, a gradient or a weight is no longer a finite number."""


class Taken(NamedTuple):
    """What one update of a run gave the guard to look at."""

    step: int
    lr: float
    loss: Tensor  # ()
    size: Tensor  # () not finite where a gradient is not


class Guard:
    """Looks at the loss and the gradients of every update, and stops a run at the first that is not finite.

    On the CPU it looks before the optimizer uses them. Elsewhere it would wait for the device each time, so it takes in
    a number of updates and looks at all of them together.
    """

    def __init__(self, device: torch.device):
        self.most = 1 if device.type == "cpu" else UPDATES_BETWEEN_CHECKS
        self.waiting: list[Taken] = []

    def check(self, state: TrainState, loss: Tensor, *, last: bool) -> None:
        """Take in the `loss` () and the gradients of an update, which may be the `last` of its epoch.

        Raises Diverged where one of those taken in is not finite. fp16's gradients are left to `Precision`.
        """
        size = loss if state.precision.name == "fp16" else _size(state.optimizer, loss)
        self.waiting.append(Taken(state.step, state.applied["lr"], loss, size))
        if len(self.waiting) < self.most and not last:
            return
        for taken, finite in zip(self.waiting, self._finite(), strict=True):
            if not finite:
                look_closer(state, taken)
        self.waiting.clear()

    def _finite(self) -> list[bool]:
        """Whether loss and gradients are finite, of each update taken in; waits for the device once."""
        sums = [taken.loss + taken.size for taken in self.waiting]  # one that is not finite makes the sum so
        if len(sums) == 1:
            return [math.isfinite(sums[0].item())]
        return [math.isfinite(value) for value in torch.stack(sums).tolist()]


def look_closer(state: TrainState, taken: Taken) -> None:
    """Raise Diverged, unless all numbers of an update are finite and only their sum is too large."""
    loss = taken.loss.item()
    if not math.isfinite(loss):
        raise diverged(state, "train/loss", loss, taken.step, taken.lr)
    if _first_not_finite(state.model):
        raise diverged(state, "gradients", "a value that is not finite", taken.step, taken.lr)


def _size(optimizer: torch.optim.Optimizer, none: Tensor) -> Tensor:
    """A number () that is not finite where a gradient is not; `none` where there are no gradients."""
    gradients: list[Tensor] = []
    for group in optimizer.param_groups:
        gradients += [weight.grad for weight in group["params"] if weight.grad is not None]
    if not gradients:
        return none
    if none.device.type == "cpu":  # where a call costs more than a pass over few numbers
        return reduce(add, [gradient.sum() for gradient in gradients])
    return nn.utils.get_total_norm(gradients, float("inf"))


def require_finite_weights(state: TrainState) -> None:
    """Raise Diverged where a parameter or a buffer is not finite, so that it is never saved."""
    if not all(map(_is_finite, state.model.state_dict().values())):
        raise diverged(state, "weights", "a value that is not finite")


def _is_finite(value: Tensor) -> bool:
    """Whether all numbers are; their sum says it, unless it alone is too large."""
    return math.isfinite(value.sum().item()) or bool(torch.isfinite(value).all())


def diverged(state: TrainState, tag: str, value: object, step: int | None = None, lr: float | None = None) -> Diverged:
    """The error about the update `step` and its `lr`, by default those of the update under way."""
    if step is None or lr is None:
        step, lr = state.step, state.applied["lr"]
    first = _first_not_finite(state.model)
    where = f", first in {first}" if first else ""
    return wrong(
        tag,
        got=f"{value} at update {step}, LR {lr:g}{where}",
        allowed="finite numbers",
        do="lower optimizer.lr, warm up (scheduler=warmup_cosine) or set trainer.clip_grad_norm=1",
        kind=Diverged,
    )


def _first_not_finite(model: nn.Module) -> str:
    """The first thing in the model that is not finite, gradients before weights and buffers; empty if all are."""
    gradients = [(name, weight.grad) for name, weight in model.named_parameters() if weight.grad is not None]
    for name, value in [*gradients, *model.state_dict().items()]:
        if not torch.isfinite(value).all():
            return name
    return ""
