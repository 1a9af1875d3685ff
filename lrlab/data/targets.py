"""What a target is: the class of a sample, or whatever is to be predicted; and what is wrong with one."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from lrlab.errors import UserError, wrong

WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)  # types of labels


def as_given(targets: Tensor) -> Tensor:
    """Targets as a loss is given them: int64, float32, or bool."""
    if targets.dtype == torch.bool:
        return targets
    return targets.float() if targets.is_floating_point() else targets.long()


def as_target(target: Any, index: int, num_classes: int | None, shape: Sequence[int] = ()) -> Tensor:
    """The target of the sample at `index`: a class int64 (), or whatever is to be predicted, as the data set has it.

    Raises UserError for what is no tensor of numbers.
    """
    if num_classes is not None and not shape:
        return torch.tensor(as_class(target, index))
    try:
        values = target if isinstance(target, Tensor) else torch.from_numpy(numpy.asarray(target))
    except (TypeError, ValueError) as error:
        got = f"a target of {type(target).__name__} at index {index}"
        raise wrong("data", got=got, allowed="numbers, in one shape for all", do="return a tensor of them") from error
    if num_classes is not None and (values.dtype not in WHOLE or tuple(values.shape) != tuple(shape)):
        got = f"targets of {described(values)} at index {index}"
        raise wrong("data", got=got, allowed=f"whole numbers {tuple(shape)}", do="correct the data set")
    return values


def as_class(label: Any, index: int) -> int:
    """The label of the image at `index` as the number of its class.

    Raises UserError for a label that is none, such as a number to be predicted, or several.

    >>> as_class(numpy.int64(3), index=0)
    3
    """
    if type(label) is int:  # of most data sets; the rest takes longer
        return label
    if isinstance(label, Tensor):
        if label.numel() != 1 or label.dtype not in WHOLE:
            raise no_class(f"label {described(label)} at index {index}")
        return int(label)
    try:
        values = numpy.asarray(label)
    except (TypeError, ValueError) as error:  # lists of several lengths, say
        raise no_class(f"a label of {type(label).__name__} at index {index}") from error
    if values.size != 1 or values.dtype.kind not in "biu":
        raise no_class(f"label {described(values)} at index {index}")
    return int(values.reshape(()))


def described(values: Any) -> str:
    """A label or several by value where it is one, and by shape where there are more."""
    kind = str(values.dtype).removeprefix("torch.")
    return f"{values.item()} ({kind})" if values.ndim == 0 else f"{kind} {tuple(values.shape)}"


def no_class(got: str) -> UserError:
    return wrong(
        "data",
        got=got,
        allowed="one whole number for each image, the index of its class",
        do="return int(label) from the data set where the label is a class; leave num_classes out where it is none",
    )


def check_labels(labels: Tensor, num_classes: int | None, indices: Sequence[int] | None = None) -> None:
    """Raise UserError naming the first of `labels` (N, ...) outside [0, num_classes); `indices` are their places.

    Where `num_classes` is None they are no classes, and anything goes.
    """
    if num_classes is None:
        return
    outside = ((labels < 0) | (labels >= num_classes)).nonzero()
    if len(outside):
        place = int(outside[0][0])
        value = int(labels[tuple(outside[0].tolist())])
        index = indices[place] if indices else place
        raise wrong(
            "data",
            got=f"label {value} at index {index}",
            allowed=f"0 to {num_classes - 1} for {num_classes} classes",
            do="correct the label, or the number of classes",
        )
