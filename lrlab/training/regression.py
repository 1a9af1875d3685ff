"""Regression: numbers are predicted, and how far they are off is learned and measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab.data.splits import Splits
from lrlab.errors import closest, wrong
from lrlab.training.metrics import METRICS, Metric
from lrlab.training.task import Loss

_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,  # the mean of squares
    "l1": F.l1_loss,  # the mean of absolute values
    "smooth_l1": F.smooth_l1_loss,  # squares below 1, absolute values beyond: one outlier counts less
}


@dataclass(frozen=True)
class Regression:
    """Numbers are predicted: their mean squared error, mean absolute error and R squared.

    `loss` is mse, l1 or smooth_l1, or one of one's own, called with outputs and targets of one shape.
    """

    loss: str | Loss = "mse"
    metrics: ClassVar[tuple[Metric, ...]] = (METRICS["loss"], METRICS["mae"], METRICS["r2"])

    def __post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in _LOSSES:
            guess = closest(self.loss, list(_LOSSES)) or "mse"
            allowed = f"{', '.join(_LOSSES)}, or a node with a _target_"
            raise wrong("task.loss", got=f"'{self.loss}'", allowed=allowed, do=f"task.loss={guess}")

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """() float32, the mean over the batch and the numbers of each target."""
        function = _LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        return function(_alike(outputs, targets), targets.float())

    def validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The same."""
        return self.training_loss(outputs, targets)

    def to(self, device: torch.device) -> "Regression":
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)
        return self

    def for_data(self, splits: Splits) -> "Regression":
        """The task itself. Raises UserError for targets that are classes."""
        if splits.num_classes is not None:
            got = f"regression, for targets that are {splits.num_classes} classes"
            do = "task=classification, or data.classes=false where the data set has it"
            raise wrong("task", got=got, allowed="numbers", do=do)
        if splits.blank_targets(1).dtype == torch.bool:
            got = "regression, for targets that are flags"
            raise wrong("task", got=got, allowed="numbers", do="a task of your own, as docs/tasks.md has one")
        return self


def _alike(outputs: Tensor, targets: Tensor) -> Tensor:
    """The outputs in the shape of the targets: a model predicts one number as (B, 1). Raises UserError.

    Of other shapes torch would compute every pair of them.
    """
    if outputs.shape == targets.shape:
        return outputs
    if outputs.numel() != targets.numel():
        raise wrong(
            "model",
            got=f"outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}",
            allowed="a number for each of a target's",
            do="let the model take `num_outputs`, how many those are",
        )
    return outputs.view(targets.shape)
