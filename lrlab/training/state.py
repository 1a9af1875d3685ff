"""The training state: everything that training changes, and so everything that resuming needs."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from lrlab.errors import wrong
from lrlab.lr.hyperparameters import Scheduler, count_as_stepped
from lrlab.system import randomness
from lrlab.training.precision import Precision
from lrlab.training.sums import Sums

_PROGRESS = ("epoch", "batch", "step", "applied", "seconds")
_WAYS = ("fused", "foreach", "capturable")  # how torch's optimizers compute, which they keep in their groups


@dataclass
class TrainState:
    """Model, optimizer and scheduler, and how far training is."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    device: torch.device
    precision: Precision = field(default_factory=Precision)
    wrapped: nn.Module | None = None  # the model as training calls it, where it is compiled or one of several ranks'
    epoch: int = 0  # completed epochs
    batch: int = 0  # completed updates of the epoch under way
    step: int = 0  # completed updates
    applied: dict[str, float] = field(default_factory=dict)  # hyperparameters that the last update used
    seconds: float = 0.0  # spent in the epoch under way
    sums: Sums = field(init=False)  # of what is measured in the training of the epoch under way

    def __post_init__(self) -> None:
        self.sums = Sums(self.device)

    @property
    def network(self) -> nn.Module:
        """The model as training calls it."""
        return self.model if self.wrapped is None else self.wrapped

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them only."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.precision.state_dict(),
            "progress": {name: getattr(self, name) for name in _PROGRESS},
            "sums": self.sums.state_dict(),
            "random": randomness.get_state(self.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the scheduler must have been built with the same settings."""
        count_as_stepped(self.optimizer)
        self.model.load_state_dict(state["model"])
        self._load_optimizer(state["optimizer"])
        self.precision.load_state_dict(state.get("precision", {}))
        self.scheduler.load_state_dict(state["scheduler"])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.sums.load_state_dict(state["sums"])
        randomness.set_state(state["random"], self.device)
        self._require_one_lr()

    def _load_optimizer(self, saved: dict[str, Any]) -> None:
        """Load what the optimizer has gathered. How it computes is this device's business, and stays."""
        # The ways are put in first: by them torch decides on which device Adam counts its steps.
        groups = []
        for theirs, own in zip(saved["param_groups"], self.optimizer.param_groups, strict=True):
            ways = {way: own[way] for way in _WAYS if way in own}
            groups.append({**theirs, **ways})
        self.optimizer.load_state_dict({**saved, "param_groups": groups})

    def _require_one_lr(self) -> None:
        """Raise UserError where optimizer and scheduler do not agree on the LR.

        Loading a scheduler's state does not set the optimizer's LR, and an optimizer's state may hold another one.
        """
        in_force = [float(group["lr"]) for group in self.optimizer.param_groups]
        planned = [float(lr) for lr in self.scheduler.get_last_lr()]
        if in_force != planned:
            raise wrong(
                "resume",
                got=f"a checkpoint whose optimizer has LR {in_force} and whose scheduler {planned}",
                allowed="equal ones",
                do="save the LR that get_last_lr() returns in the scheduler's state_dict()",
            )
