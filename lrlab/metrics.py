"""Loss and accuracy as exact sums over samples, kept on the device until they are read."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrlab import distributed


@dataclass(frozen=True)
class Result:
    """Means over all samples of a pass."""

    loss: float
    accuracy: float  # fraction of samples, 0..1


@dataclass
class Sums:
    """Running sums over the samples of a pass."""

    device: torch.device
    loss: Tensor = field(init=False)  # () sum over samples
    correct: Tensor = field(init=False)  # () int64
    samples: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        widest = torch.float32 if self.device.type == "mps" else torch.float64  # MPS has no float64
        self.loss = torch.zeros((), dtype=widest, device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self.samples = 0

    @torch.no_grad()
    def count(self, mean_loss: Tensor, correct: Tensor, samples: int) -> None:
        """Count a batch: its mean loss (), and how many () of its samples were classified correctly."""
        self.loss.add_(mean_loss, alpha=samples)
        self.correct += correct
        self.samples += samples

    def over_all_ranks(self) -> "Sums":
        """The sums of every rank's own, in place."""
        if distributed.ranks() == 1:
            return self
        counts = torch.tensor([self.correct, self.samples], device=self.device)
        distributed.add_up(self.loss)
        self.correct, samples = distributed.add_up(counts)
        self.samples = int(samples)
        return self

    def result(self) -> Result:
        """The means; waits for the device."""
        return Result(self.loss.item() / self.samples, self.correct.item() / self.samples)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "correct": self.correct, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss = state["loss"].to(self.device, self.loss.dtype)
        self.correct = state["correct"].to(self.device)
        self.samples = state["samples"]


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many () int64 of the logits (B, classes) are largest at their label (B,)."""
    return (logits.argmax(1) == labels).sum()
