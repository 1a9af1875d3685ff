"""The number format of forward and backward passes: float32, or 16 bits with weights kept in float32."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.errors import UserError, first_line, wrong

FORMATS = ("fp32", "bf16", "fp16")


class StepFailed(UserError):
    """An optimizer's step() failed, as SparseAdam's does on dense gradients, and Prodigy's at two LRs."""


def _failed(optimizer: torch.optim.Optimizer, error: Exception) -> StepFailed:
    return wrong(
        "optimizer",
        got=f"{type(optimizer).__name__}, whose step() fails ({type(error).__name__}: {first_line(error)})",
        allowed="an optimizer that makes an update from the gradients of one backward pass, in the groups that it has",
        do="optimizer=adamw, or settings that it can be stepped with; LRLAB_DEBUG=1 shows where",
        kind=StepFailed,
    )


class Precision:
    """Autocast in one of `FORMATS` on `device`, and for fp16 the loss scale that keeps small gradients from vanishing.

    bf16 has float32's range and needs no scale. Source: Micikevicius et al., Mixed Precision Training, 2018,
    arXiv:1710.03740.
    """

    def __init__(self, name: str = "fp32", device: str = "cpu"):
        self.name, self.device = name, device
        self._scaler = torch.amp.GradScaler(device, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device, torch.bfloat16 if self.name == "bf16" else torch.float16)

    @property
    def scale(self) -> float:
        """What the loss is multiplied by before the backward pass; waits for the device where that is not 1."""
        return self._scaler.get_scale()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` (), scaled."""
        self._scaler.scale(loss).backward()

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, clip_grad_norm: float | None) -> bool:
        """optimizer.step() with gradients brought back to scale and clipped; whether it was made.

        It is not where a gradient is too large for fp16; the next scale is then half as large. Raises StepFailed where
        the optimizer fails.
        """
        if clip_grad_norm is not None:
            self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip_grad_norm)
        before = self.scale
        try:
            self._scaler.step(optimizer)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise _failed(optimizer, error) from error
        self._scaler.update()
        return self.scale >= before

    def state_dict(self) -> dict[str, Any]:
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state and self._scaler.is_enabled():
            self._scaler.load_state_dict(state)
