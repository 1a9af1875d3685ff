"""Numbers in the scale of the training samples: mean 0 and deviation 1."""

from typing import Any

import numpy
from numpy.typing import NDArray

from lrlab.errors import wrong

_FAR = 100.0  # standard deviations of targets beyond this, or below its inverse, make most learning rates wrong


class Scale:
    """Means and deviations of each input over the samples `inputs` (N, ...)."""

    def __init__(self, inputs: NDArray[Any]):
        self.mean = inputs.mean(0, dtype=numpy.float64)
        deviation = inputs.std(0, dtype=numpy.float64)
        self.deviation = numpy.where(deviation > 0, deviation, 1.0)  # an input that is always the same becomes 0

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return ((inputs - self.mean) / self.deviation).astype(numpy.float32)


def scale_of_targets(targets: NDArray[Any], num_classes: int | None, where: str) -> Scale:
    """The scale of the training targets. Raises UserError for what are no numbers."""
    if num_classes is not None or targets.dtype.kind == "b":
        got = f"true, for targets of {where} that are no numbers"
        raise wrong("data.standardize_targets", got=got, allowed="false", do="data.standardize_targets=false")
    return Scale(targets)


def is_scaled(inputs: NDArray[Any]) -> bool:
    """Whether these are numbers to be scaled: not tokens, and not images of bytes, which the loop scales."""
    return inputs.dtype.kind == "f" or (inputs.dtype.kind in "biu" and inputs.ndim == 2)


def far_from_one(targets: NDArray[Any]) -> list[str]:
    """A note where the scale of targets to be predicted makes the usual learning rates wrong."""
    if targets.dtype.kind not in "fiu":
        return []
    deviation = float(targets.std())
    if deviation == 0 or 1 / _FAR < deviation < _FAR:
        return []
    spread = f"data: targets have a standard deviation of {deviation:.3g}"
    return [f"{spread}; data.standardize_targets=true makes the usual LRs work"]
