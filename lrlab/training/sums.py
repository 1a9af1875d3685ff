"""Exact sums of what is measured over the batches of a pass."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrlab.errors import UserError, first_line, wrong
from lrlab.system import distributed
from lrlab.training.metrics import Means, Metric

Amount = float | list[float]  # a sum, or one of each output of a model
Counted = Mapping[str, Tensor | Amount]  # what was measured in a batch

_BATCHES_AT_ONCE = 50  # are read from a device, so that it is not waited for all the time


@dataclass
class Sums:
    """Running sums over the samples of a pass. Reading from a device takes waiting for it, and so is done in bulk.

    Counts are summed up as floats too, which is exact below 2^53.
    """

    device: torch.device
    samples: int = 0
    _sums: dict[str, Amount] = field(default_factory=dict)  # over the samples that were read
    _unread: list[tuple[Counted, int]] = field(default_factory=list, init=False, repr=False, compare=False)

    def reset(self) -> None:
        self._sums, self.samples = {}, 0
        self._unread.clear()

    def count(self, measured: Counted, samples: int) -> None:
        """Count a batch: its mean loss () as `loss`, and the sum () or (K,) of everything else over its samples.

        They are tensors, or numbers where the device was waited for already.
        """
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
                self._sums[name] = _added(self._sums.get(name, 0.0), value)

    def over_all_ranks(self, metrics: Sequence[Metric]) -> "Sums":
        """The sums of every rank's own, in place. All name the same `metrics`: a rank may have had no batch."""
        self._read()
        if distributed.ranks() > 1:
            for name in _summed(metrics):
                self._sums[name] = self._over_ranks(name)
            self.samples = round(distributed.add_up(self._as_tensor([self.samples])).item())
        return self

    def _over_ranks(self, name: str) -> Amount:
        """A sum over all ranks. One that had no batch does not know of how many outputs."""
        own = self._sums.get(name, 0.0)
        outputs = distributed.largest(len(own) if isinstance(own, list) else 0)
        if not outputs:
            return distributed.add_up(self._as_tensor([own])).item()
        return distributed.add_up(self._as_tensor(own if isinstance(own, list) else [0.0] * outputs)).tolist()

    def _as_tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def means(self, metrics: Sequence[Metric]) -> Means:
        """The mean of each of `metrics` that was counted, or that is derived from what was; waits for the device."""
        self._read()
        amounts: dict[str, Any] = {name: _shared(total, self.samples) for name, total in self._sums.items()}
        means = {}
        for metric in metrics:
            if metric.derived is not None or metric.name in amounts:
                means[metric.name] = _value_of(metric, amounts)
        return means

    def state_dict(self) -> dict[str, Any]:
        self._read()
        return {"samples": self.samples, "sums": dict(self._sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. Earlier versions wrote `loss` and `correct`, which counts what `accuracy` does."""
        self.reset()
        sums = state.get("sums")
        if sums is None:
            sums = {"loss": state["loss"], "accuracy": state["correct"]}
        self._sums = {name: _as_amount(total) for name, total in sums.items()}
        self.samples = state["samples"]


def _value_of(metric: Metric, amounts: Mapping[str, Any]) -> float:
    """A metric's mean, or what it is derived from means. Raises UserError for one of the user's that is no number.

    A loss that is not finite is divergence, which others look for.
    """
    try:
        value = float(amounts[metric.name] if metric.derived is None else metric.derived(amounts))
    except Exception as error:
        raise _no_number(metric, f"which fails ({first_line(error)})") from error
    if metric.name != "loss" and not math.isfinite(value):
        raise _no_number(metric, f"which is {value}")
    return value


def _no_number(metric: Metric, why: str) -> UserError:
    got = f"{metric.name}, {why}"
    return wrong("task.metrics", got=got, allowed="metrics that are finite numbers", do=f"correct {metric.name}")


def _summed(metrics: Sequence[Metric]) -> list[str]:
    """What is summed up for `metrics`."""
    names = dict.fromkeys(metric.name for metric in metrics if metric.derived is None)
    for metric in metrics:
        names |= dict.fromkeys(name for name, _ in metric.sums)
    return list(names)


def _added(one: Amount, other: Amount) -> Amount:
    """The sum of two amounts, output by output; 0 has as many outputs as the other."""
    if isinstance(one, list) and isinstance(other, list):
        return [first + second for first, second in zip(one, other, strict=True)]
    return other if isinstance(other, list) else one + other  # type: ignore[operator]  # a list is added to 0 alone


def _shared(total: Amount, samples: int) -> Amount:
    return [value / samples for value in total] if isinstance(total, list) else total / samples


def _as_amount(total: Any) -> Amount:
    return [float(value) for value in total] if isinstance(total, list) else float(total)


def _values(numbers: Sequence[Tensor | Amount]) -> list[Any]:
    """Tensors () as Python's numbers, and tensors (K,) as lists of them."""
    tensors = [one for one in numbers if isinstance(one, Tensor)]
    if not tensors:
        return list(numbers)
    return [tensors[0].tolist()] if len(tensors) == 1 else torch.stack(tensors).tolist()
