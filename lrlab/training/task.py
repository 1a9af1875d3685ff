"""What is learned: a task is one object that has the loss and the metrics, and is handed to the loop.

Classification is the first. Another one needs the four members of `Task` and nothing else: what a run shows, records
and compares follows its `metrics`. It may have a method `for_data(splits)` too, which returns the task for that data,
or raises UserError where it is for other data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab.data.splits import Splits
from lrlab.errors import UserError, first_line, wrong
from lrlab.training.metrics import METRICS, Metric
from lrlab.words import kind_of

Loss = Callable[[Tensor, Tensor], Tensor]  # of outputs and targets: () float32, mean over the batch


@runtime_checkable
class Task(Protocol):
    """What the loop asks of a task."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is measured on both splits. The first is the loss; each of the others says how it is summed up."""
        ...

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the gradients are computed of: (), the mean over the batch."""
        ...

    def validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is recorded as the loss of the validation split: (), the mean over the batch."""
        ...

    def to(self, device: torch.device) -> Any:
        """The task with its tensors, if it has any, on `device`."""
        ...


@dataclass(frozen=True)
class Classification:
    """One class of several an image: cross entropy, and the share of images that are classified correctly.

    `label_smoothing` (0..1) is the share of a label's weight that is spread over all classes, in training only. A
    `loss` of one's own, called with logits (B, classes) and labels (B,), takes the place of the cross entropy in both.
    """

    label_smoothing: float = 0.0
    loss: Loss | None = None
    metrics: ClassVar[tuple[Metric, ...]] = (METRICS["loss"], METRICS["accuracy"])

    def training_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.loss is not None:
            return self.loss(logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def validation_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.loss is not None:
            return self.loss(logits, labels)
        return F.cross_entropy(logits, labels)

    def to(self, device: torch.device) -> "Classification":
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)
        return self

    def for_data(self, splits: Splits) -> "Classification":
        """The task itself. Raises UserError for targets that are not a class each."""
        if type(self) is not Classification or self.loss is not None:
            return self  # whose loss knows what it is called with
        if splits.num_classes is None:
            got = "classification, for targets that are no classes"
            raise wrong("task", got=got, allowed="a class each", do="task=regression, or a task of your own")
        if splits.target_shape != ():
            got = f"classification, for targets {splits.target_shape} of {splits.num_classes} classes"
            raise wrong("task", got=got, allowed="a class each", do="task=language")
        return self


CLASSIFICATION = Classification()


def for_data(task: Task, splits: Splits) -> Task:
    """The task for these splits. Raises UserError where it cannot learn them."""
    adapt = getattr(task, "for_data", None)
    return task if adapt is None else adapt(splits)


def measure(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The sums over the batch of every metric but the loss, and of what metrics are derived from, without a graph."""
    sums = {}
    for metric in task.metrics:
        if metric.total is not None:
            total = metric.total(outputs, targets)
            sums[metric.name] = total.detach() if total.requires_grad else total  # counts have none: a call saved
        for name, function in metric.sums:
            sums[name] = function(outputs, targets).detach()
    return sums


def check_metrics(task: Task) -> None:
    """Raise UserError unless the metrics of `task` are entries of the table or like them, the loss first."""
    metrics = task.metrics
    is_sequence = isinstance(metrics, tuple | list) and all(isinstance(one, Metric) for one in metrics)
    if not is_sequence or not metrics or metrics[0].name != "loss":
        raise wrong(
            "task.metrics",
            got=getattr(metrics, "name", metrics),
            allowed="a tuple of lrlab.training.metrics.Metric, the loss first",
            do='metrics = (METRICS["loss"], METRICS["accuracy"]) in the task',
        )


def check_loss(task: Task, output_shape: Sequence[int], splits: Splits) -> None:
    """Raise UserError unless the losses of `task` turn outputs and targets into a number () that has a gradient.

    `output_shape` is that of the model's outputs for two samples.
    """
    outputs = torch.zeros(*output_shape, requires_grad=True)
    targets = splits.blank_targets(len(outputs))
    is_usual = len(output_shape) == 2 and splits.target_shape == () and splits.num_classes is not None
    names = ("logits", "labels") if is_usual else ("outputs", "targets")
    has_own_loss = callable(getattr(task, "loss", None))
    key, or_else = ("task.loss", "task.loss=null for cross entropy, or ") if has_own_loss else ("task", "")
    for name in ("training_loss", "validation_loss"):
        try:
            value = getattr(task, name)(outputs, targets)
        except UserError:
            raise
        except Exception as error:
            shapes = f"{names[0]} {tuple(outputs.shape)} and {names[1]} {tuple(targets.shape)}"
            called = "logits (B, classes) and labels (B,)" if is_usual else "the model's outputs and the data's targets"
            raise wrong(
                key,
                got=f"an error on {shapes}: {first_line(error)}",
                allowed=f"a loss that is called with {called}",
                do=f"{or_else}correct the {'loss' if has_own_loss else name}",
            ) from error
        _check_value(value, key, name, splits.each)
    _check_totals(task, outputs, targets)


def _check_totals(task: Task, outputs: Tensor, targets: Tensor) -> None:
    """Raise UserError where a metric fails on a batch: it would end the run after its first update."""
    for metric in task.metrics:
        try:
            total = metric.total(outputs, targets) if metric.total is not None else None
            for _, function in metric.sums:
                function(outputs, targets)
        except Exception as error:
            raise wrong(
                "task.metrics",
                got=f"{metric.name}, which fails on outputs {tuple(outputs.shape)}: {first_line(error)}",
                allowed="metrics of the model's outputs and the data's targets",
                do=f"correct {metric.name}",
            ) from error
        if total is not None and (not isinstance(total, Tensor) or total.shape != ()):
            shape = tuple(total.shape) if isinstance(total, Tensor) else type(total).__name__
            got = f"{metric.name}, which returns {shape}"
            raise wrong(
                "task.metrics", got=got, allowed="the sum over the batch, a tensor ()", do="return values.sum()"
            )


def _check_value(value: Any, key: str, name: str, each: str) -> None:
    """Raise UserError unless `value`, which a loss returned, is a number () that has a gradient."""
    if not isinstance(value, Tensor):
        got = kind_of(value)
    elif not value.requires_grad:
        got = f"a tensor {tuple(value.shape)} without a gradient"
    elif value.shape != ():
        got = f"a tensor {tuple(value.shape)}"
    else:
        return
    raise wrong(
        key,
        got=got + ("" if key == "task.loss" else f" from {name}") + f", for 2 {each}s",
        allowed="the mean over the batch, a tensor () with a gradient",
        do="return loss.mean() from the loss",
    )
