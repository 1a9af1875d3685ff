"""The metrics: one table of what each is called, which way is better and how it is written.

A run measures each of its task's metrics on both splits, under the names `train_loss`, `val_loss`, `best_val_loss`.
Where it averages its weights, `average_val_loss` is what the averaged ones measure. Whoever must know which way is
better, how a value is written or which names there are asks here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor  # which a command that only shows numbers does not import

Means = dict[str, float]  # over all samples of a pass, by the metric's name
Amounts = Mapping[str, float | list[float]]  # likewise, of metrics and of what metrics are derived from
Total = Callable[["Tensor", "Tensor"], "Tensor"]  # of outputs and targets: a sum over the batch, () or (K,)


@dataclass(frozen=True)
class Metric:
    """What is measured of a model on a split: a mean over the samples, or what is derived from means."""

    name: str
    total: Total | None = None  # () over the batch; None: the loss, or a metric that is derived
    lower_is_better: bool = False
    is_share: bool = False  # 0..1, written in percent, and differences in points
    short: str = ""  # its name in the line of an epoch, where that is another one
    guessing: Callable[[int], float] | None = None  # what a guess among so many classes gets; None: not known
    derived: Callable[[Amounts], float] | None = None  # from the means of other metrics, and of `sums`
    sums: tuple[tuple[str, Total], ...] = ()  # by names, that nothing but `derived` sees

    @property
    def label(self) -> str:
        return self.short or self.name

    @property
    def in_words(self) -> str:
        """Its name in a sentence.

        >>> METRICS["accuracy"].in_words, METRICS["bits_per_byte"].in_words, Metric("flags_right").in_words
        ('accuracy', 'bits/byte', 'flags right')
        """
        return self.short if self.short and "_" in self.name else self.name.replace("_", " ")

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
        if self.is_share:
            return f"{value:{width}.2%}"
        return f"{value:{width}.4f}" if abs(value) < _LARGE else f"{value:{width}.3e}"

    def column(self, value: float) -> str:
        """A value in the line of an epoch: all of them are as wide, so that they stand under each other."""
        return f"{self.label} {self.written(value, width=7 if self.is_share else 8)}"


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many () int64 of the logits (B, classes) are largest at their label (B,)."""
    return (logits.argmax(1) == labels).sum()  # which torch 2.11 can compute in rows too


def absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum () over the batch of each sample's mean absolute error; outputs and targets (B, ...)."""
    return _per_sample((outputs.reshape(targets.shape) - targets).abs()).sum()


def _per_sample(values: Tensor) -> Tensor:
    """The mean (B,) over each sample's values (B, ...)."""
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of each output (K,), over the batch."""
    return _by_output((outputs.reshape(targets.shape) - targets) ** 2)


def _target(_outputs: Tensor, targets: Tensor) -> Tensor:
    return _by_output(targets)


def _squared_target(_outputs: Tensor, targets: Tensor) -> Tensor:
    return _by_output(targets.double() ** 2)


def _by_output(values: Tensor) -> Tensor:
    """Sums (K,) over the batch of values (B, ...), in float64 so that a small variance is left of large squares."""
    return values.double().flatten(1).sum(0) if values.ndim > 1 else values.double().sum().view(1)


def explained(amounts: Amounts) -> float:
    """R squared, the mean over the outputs: 1 - the error's sum of squares / the targets' around their mean.

    An output whose target never varies counts 1 where it is predicted exactly, or else 0, as in scikit-learn.

    >>> explained({"_error": [0.5], "_target": [1.0], "_squared_target": [3.0]})
    0.75
    """
    values = []
    sums = (_each(amounts, name) for name in ("_error", "_target", "_squared_target"))
    for error, mean, square in zip(*sums, strict=True):
        variance = square - mean**2
        if variance > _ROUNDING * square:
            values.append(1 - error / variance)
        else:
            values.append(float(error == 0))
    return sum(values) / len(values)


def _each(amounts: Amounts, name: str) -> list[float]:
    value = amounts[name]
    return value if isinstance(value, list) else [value]


def perplexity(amounts: Amounts) -> float:
    """exp of the mean loss in nats: as many tokens are as good as equally likely."""
    loss = amounts["loss"]
    assert isinstance(loss, float)
    return math.exp(min(loss, _LARGEST_EXPONENT))


def bits_per_byte(amounts: Amounts) -> float:
    """The loss in bits, over the bytes of UTF-8 that a token stands for."""
    loss, size = amounts["loss"], amounts["_bytes"]
    assert isinstance(loss, float)
    assert isinstance(size, float)
    return loss / math.log(2) / size


_LARGE = 1e6  # from which on a number is written with an exponent
_ROUNDING = 1e-12  # a variance below this share of the mean square is none but rounding
_LARGEST_EXPONENT = 700.0  # of a number that is finite

# The table. A new metric is an entry here, and a name in the `metrics` of the tasks that measure it.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("loss", lower_is_better=True, guessing=math.log),
        Metric("accuracy", count_correct, is_share=True, short="acc", guessing=lambda classes: 1 / classes),
        Metric("mae", absolute_error, lower_is_better=True),
        Metric(
            "r2",
            derived=explained,
            sums=(("_error", _squared_error), ("_target", _target), ("_squared_target", _squared_target)),
        ),
        Metric("bits_per_byte", derived=bits_per_byte, lower_is_better=True, short="bits/byte", guessing=math.log2),
        Metric("perplexity", derived=perplexity, lower_is_better=True, guessing=float),
    )
}
_DECLARED: dict[str, Metric] = {}  # of tables of other programs, whose runs measure nothing that lrlab knows
AVERAGE = "average_"  # how the names of what averaged weights measure begin, but for `best_` before it
JUDGE = "val_accuracy"  # of a classification


def known() -> tuple[Metric, ...]:
    """All metrics of the table, in its order; the loss is the first."""
    return tuple(METRICS.values())


def usual() -> tuple[Metric, ...]:
    """Those of a classification, which is learned where nothing else is said."""
    return METRICS["loss"], METRICS["accuracy"]


def judge(metrics: Sequence[Metric]) -> str:
    """What runs of a task are compared by, and their best epoch chosen by, unless the user says otherwise: its last.

    >>> judge(usual())
    'val_accuracy'
    """
    return f"val_{metrics[-1].name}"


def declare(metric: Metric) -> Metric:
    """Let `find` know a metric of another program, under a name that means nothing else; returns it with that name."""
    same = (metric.lower_is_better, metric.is_share)
    ways = [metric.name, f"{metric.name}_{'lower' if metric.lower_is_better else 'higher'}", f"{metric.name}_number"]
    for name in ways:
        known_as = METRICS.get(name) or _DECLARED.setdefault(name, replace(metric, name=name))
        if (known_as.lower_is_better, known_as.is_share) == same:
            return known_as
    return _DECLARED.setdefault(f"{metric.name}_share", replace(metric, name=f"{metric.name}_share"))


def find(measured: str, metrics: Sequence[Metric] | None = None) -> Metric:
    """The metric, of these or else of the table, that `measured` is a value of: `val_loss` is one of `loss`."""
    name = split_and_metric(measured)[1]
    if metrics is None and name in _DECLARED and name not in METRICS:
        return _DECLARED[name]
    return next(metric for metric in metrics or known() if metric.name == name)


def in_words(measured: str, metrics: Sequence[Metric] | None = None) -> str:
    """A measured value's name in a sentence.

    >>> in_words("best_val_accuracy"), in_words("test_bits_per_byte")
    ('best val accuracy', 'test bits/byte')
    """
    kind = find(measured, metrics)
    return measured.removesuffix(kind.name).replace("_", " ") + kind.in_words


def split_and_metric(measured: str) -> tuple[str, str]:
    """The split that was measured and what of it, whichever weights measured it.

    >>> split_and_metric("train_loss"), split_and_metric("best_val_loss"), split_and_metric("average_val_loss")
    (('train', 'loss'), ('val', 'loss'), ('val', 'loss'))
    """
    split, _, name = measured.removeprefix("best_").removeprefix(AVERAGE).partition("_")
    return split, name


def is_of_average(measured: str) -> bool:
    """Whether averaged weights measured it.

    >>> is_of_average("val_loss"), is_of_average("average_val_loss"), is_of_average("best_average_val_loss")
    (False, True, True)
    """
    return measured.removeprefix("best_").startswith(AVERAGE)


def followed(measured: str) -> str:
    """The column of a history in which runs that are judged by `measured` are followed from epoch to epoch.

    >>> followed("best_val_loss"), followed("train_loss"), followed("average_val_loss")
    ('val_loss', 'val_loss', 'average_val_loss')
    """
    return f"{AVERAGE if is_of_average(measured) else ''}val_{split_and_metric(measured)[1]}"


def lower_is_better(measured: str, metrics: Sequence[Metric] | None = None) -> bool:
    """Which way is better for `val_loss` and its like."""
    return find(measured, metrics).lower_is_better


def measured_names(metrics: Sequence[Metric], *splits: str) -> list[str]:
    """What is measured of `splits` (train, val, best_val).

    >>> measured_names(usual(), "train", "val")
    ['train_loss', 'train_accuracy', 'val_loss', 'val_accuracy']
    """
    return [f"{split}_{metric.name}" for split, metric in product(splits, metrics)]


def monitors(metrics: Sequence[Metric], *, averaged: bool = False) -> list[str]:
    """What a scheduler or the choice of the best epoch may follow; the latter also what `averaged` weights measure.

    >>> monitors(usual())
    ['val_loss', 'val_accuracy', 'train_loss', 'train_accuracy']
    """
    of_average = measured_names(metrics, f"{AVERAGE}val") if averaged else []
    return [*measured_names(metrics, "val", "train"), *of_average]


def possible_metrics(metrics: Sequence[Metric] | None = None) -> list[str]:
    """What runs can be compared by.

    >>> possible_metrics(usual())[:6]
    ['val_accuracy', 'val_loss', 'best_val_accuracy', 'best_val_loss', 'train_accuracy', 'train_loss']
    >>> possible_metrics(usual())[6:]
    ['average_val_accuracy', 'average_val_loss', 'best_average_val_accuracy', 'best_average_val_loss']
    """
    splits = ("val", "best_val", "train", f"{AVERAGE}val", f"best_{AVERAGE}val")
    return measured_names([*reversed(known() if metrics is None else metrics)], *splits)
