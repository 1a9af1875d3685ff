"""What is learned: a task is one object that has the loss and the metrics, and is handed to the loop.

Classification is the first. Another one needs the four members of `Task` and nothing else: what a run shows, records
and compares follows its `metrics`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab.errors import first_line, wrong
from lrlab.training.metrics import METRICS, Metric

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


CLASSIFICATION = Classification()


def measure(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The sums () over the batch of every metric but the loss, without a graph."""
    sums = {}
    for metric in task.metrics:
        if metric.total is not None:
            total = metric.total(outputs, targets)
            sums[metric.name] = total.detach() if total.requires_grad else total  # counts have none: a call saved
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


def check_loss(task: Task, num_classes: int) -> None:
    """Raise UserError unless the losses of `task` turn logits and labels into a number () that has a gradient."""
    logits, labels = torch.zeros(2, num_classes, requires_grad=True), torch.zeros(2, dtype=torch.long)
    has_own_loss = getattr(task, "loss", None) is not None
    key, or_else = ("task.loss", "task.loss=null for cross entropy, or ") if has_own_loss else ("task", "")
    for name in ("training_loss", "validation_loss"):
        try:
            value = getattr(task, name)(logits, labels)
        except Exception as error:
            raise wrong(
                key,
                got=f"an error on logits (2, {num_classes}) and labels (2,): {first_line(error)}",
                allowed="a loss that is called with logits (B, classes) and labels (B,)",
                do=f"{or_else}correct the {'loss' if has_own_loss else name}",
            ) from error
        _check_value(value, key, name)


def _check_value(value: Any, key: str, name: str) -> None:
    """Raise UserError unless `value`, which a loss returned, is a number () that has a gradient."""
    if not isinstance(value, Tensor):
        got = f"a {type(value).__name__}"
    elif not value.requires_grad:
        got = f"a tensor {tuple(value.shape)} without a gradient"
    elif value.shape != ():
        got = f"a tensor {tuple(value.shape)}"
    else:
        return
    raise wrong(
        key,
        got=f"{got}, for 2 images" if key == "task.loss" else f"{got} from {name}, for 2 images",
        allowed="the mean over the batch, a tensor () with a gradient",
        do="return loss.mean() from the loss",
    )
