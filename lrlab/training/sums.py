"""Exact sums of what is measured over the batches of a pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrlab.system import distributed
from lrlab.training.metrics import Means, Metric

_BATCHES_AT_ONCE = 50  # are read from a device, so that it is not waited for all the time


@dataclass
class Sums:
    """Running sums over the samples of a pass. Reading from a device takes waiting for it, and so is done in bulk.

    Counts are summed up as floats too, which is exact below 2^53.
    """

    device: torch.device
    samples: int = 0
    _sums: dict[str, float] = field(default_factory=dict)  # over the samples that were read
    _unread: list[tuple[Mapping[str, Tensor], int]] = field(default_factory=list, init=False, repr=False, compare=False)

    def reset(self) -> None:
        self._sums, self.samples = {}, 0
        self._unread.clear()

    def count(self, measured: Mapping[str, Tensor], samples: int) -> None:
        """Count a batch: its mean loss () as `loss`, and the sum () of every other metric over its samples."""
        self.samples += samples
        self._unread.append((measured, samples))
        if self.device.type == "cpu" or len(self._unread) == _BATCHES_AT_ONCE:
            self._read()

    def _read(self) -> None:
        if not self._unread:
            return
        batches, counts = zip(*self._unread, strict=True)
        self._unread.clear()
        for name in batches[0]:
            values = _values([batch[name] for batch in batches])
            if name == "loss":
                values = [mean * samples for mean, samples in zip(values, counts, strict=True)]
            # One after another, so that the sums are the same wherever they were last read.
            for value in values:
                self._sums[name] = self._sums.get(name, 0.0) + value

    def over_all_ranks(self, metrics: Sequence[Metric]) -> "Sums":
        """The sums of every rank's own, in place. All name the same `metrics`: a rank may have had no batch."""
        self._read()
        if distributed.ranks() > 1:
            names = [metric.name for metric in metrics]
            own = [*(self._sums.get(name, 0.0) for name in names), self.samples]
            *sums, samples = distributed.add_up(torch.tensor(own, dtype=torch.float64, device=self.device)).tolist()
            self._sums, self.samples = dict(zip(names, sums, strict=True)), round(samples)
        return self

    def means(self) -> Means:
        """The means; waits for the device."""
        self._read()
        return {name: total / self.samples for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        self._read()
        return {"samples": self.samples, "sums": dict(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Earlier versions wrote `loss` and `correct`, which counts what `accuracy` does."""
        self.reset()
        sums = state.get("sums")
        if sums is None:
            sums = {"loss": state["loss"], "accuracy": state["correct"]}
        self._sums = {name: float(total) for name, total in sums.items()}
        self.samples = state["samples"]


def _values(numbers: Sequence[Tensor]) -> list[Any]:
    """Tensors () as Python's numbers."""
    return [numbers[0].item()] if len(numbers) == 1 else torch.stack(list(numbers)).tolist()
