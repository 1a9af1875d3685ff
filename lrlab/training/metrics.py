"""Loss and accuracy as exact sums over samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrlab.system import distributed

_BATCHES_AT_ONCE = 50  # are read from a device, so that it is not waited for all the time


@dataclass(frozen=True)
class Result:
    """Means over all samples of a pass."""

    loss: float
    accuracy: float  # fraction of samples, 0..1


@dataclass
class Sums:
    """Running sums over the samples of a pass. Reading from a device takes waiting for it, and so is done in bulk."""

    device: torch.device
    samples: int = 0
    _loss: float = 0.0  # sum over the samples that were read
    _correct: int = 0  # of those
    _unread: list[tuple[Tensor, Tensor, int]] = field(default_factory=list, init=False, repr=False, compare=False)

    def reset(self) -> None:
        self._loss, self._correct, self.samples = 0.0, 0, 0
        self._unread.clear()

    def count(self, mean_loss: Tensor, correct: Tensor, samples: int) -> None:
        """Count a batch: its mean loss (), and how many () of its samples were classified correctly."""
        self.samples += samples
        self._unread.append((mean_loss, correct, samples))
        if self.device.type == "cpu" or len(self._unread) == _BATCHES_AT_ONCE:
            self._read()

    def _read(self) -> None:
        if not self._unread:
            return
        losses, corrects, counts = zip(*self._unread, strict=True)
        self._unread.clear()
        # One after another, so that the sums are the same wherever they were last read.
        for loss, correct, samples in zip(_values(losses), _values(corrects), counts, strict=True):
            self._loss += loss * samples
            self._correct += correct

    def over_all_ranks(self) -> "Sums":
        """The sums of every rank's own, in place."""
        self._read()
        if distributed.ranks() > 1:
            own = torch.tensor([self._loss, self._correct, self.samples], dtype=torch.float64, device=self.device)
            self._loss, correct, samples = distributed.add_up(own).tolist()
            self._correct, self.samples = round(correct), round(samples)
        return self

    def result(self) -> Result:
        """The means; waits for the device."""
        self._read()
        return Result(self._loss / self.samples, self._correct / self.samples)

    def state_dict(self) -> dict[str, Any]:
        self._read()
        return {"loss": self._loss, "correct": self._correct, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reset()
        self._loss, self._correct, self.samples = float(state["loss"]), int(state["correct"]), state["samples"]


def _values(numbers: Sequence[Tensor]) -> list[Any]:
    """Tensors () as Python's numbers."""
    return [numbers[0].item()] if len(numbers) == 1 else torch.stack(list(numbers)).tolist()


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many () int64 of the logits (B, classes) are largest at their label (B,)."""
    return torch.count_nonzero(logits.argmax(1) == labels)
