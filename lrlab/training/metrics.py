"""The metrics: one table of what each is called, which way is better and how it is written; and exact sums of them.

A run measures each of its task's metrics on both splits, under the names `train_loss`, `val_loss`, `best_val_loss`.
Whoever must know which way is better, how a value is written or which names there are asks here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lrlab.system import distributed

_BATCHES_AT_ONCE = 50  # are read from a device, so that it is not waited for all the time

Means = dict[str, float]  # over all samples of a pass, by the metric's name


@dataclass(frozen=True)
class Metric:
    """What is measured of a model on a split: a mean over the samples."""

    name: str
    total: Callable[[Tensor, Tensor], Tensor] | None = None  # of outputs and targets: () over the batch; None: the loss
    lower_is_better: bool = False
    is_share: bool = False  # 0..1, written in percent, and differences in points
    short: str = ""  # its name in the line of an epoch, where that is another one

    @property
    def label(self) -> str:
        return self.short or self.name

    @property
    def scale(self) -> int:
        """What a value is multiplied by before it is written."""
        return 100 if self.is_share else 1

    @property
    def decimals(self) -> int:
        return 2 if self.is_share else 4

    def written(self, value: float, width: int = 0) -> str:
        """A value as text, of at least `width` characters.

        >>> METRICS["accuracy"].written(0.9), METRICS["loss"].written(0.9, width=8)
        ('90.00%', '  0.9000')
        """
        return f"{value:{width}.2%}" if self.is_share else f"{value:{width}.4f}"

    def column(self, value: float) -> str:
        """A value in the line of an epoch: all of them are as wide, so that they stand under each other."""
        return f"{self.label} {self.written(value, width=7 if self.is_share else 8)}"


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many () int64 of the logits (B, classes) are largest at their label (B,)."""
    return torch.count_nonzero(logits.argmax(1) == labels)


# The table. A new metric is an entry here, and a name in the `metrics` of the tasks that measure it.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("loss", lower_is_better=True),
        Metric("accuracy", count_correct, is_share=True, short="acc"),
    )
}
JUDGE = "val_accuracy"  # what runs are compared by unless the user says otherwise


def known() -> tuple[Metric, ...]:
    """All metrics of the table, in its order; the loss is the first."""
    return tuple(METRICS.values())


def find(measured: str, metrics: Sequence[Metric] | None = None) -> Metric:
    """The metric, of these or else of the table, that `measured` is a value of: `val_loss` is one of `loss`."""
    name = measured.removeprefix("best_").partition("_")[2]
    return next(metric for metric in metrics or known() if metric.name == name)


def lower_is_better(measured: str, metrics: Sequence[Metric] | None = None) -> bool:
    """Which way is better for `val_loss` and its like."""
    return find(measured, metrics).lower_is_better


def measured_names(metrics: Sequence[Metric], *splits: str) -> list[str]:
    """What is measured of `splits` (train, val, best_val).

    >>> measured_names(known(), "train", "val")
    ['train_loss', 'train_accuracy', 'val_loss', 'val_accuracy']
    """
    return [f"{split}_{metric.name}" for split in splits for metric in metrics]


def monitors(metrics: Sequence[Metric]) -> list[str]:
    """What a scheduler or the choice of the best epoch may follow.

    >>> monitors(known())
    ['val_loss', 'val_accuracy', 'train_loss', 'train_accuracy']
    """
    return measured_names(metrics, "val", "train")


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
