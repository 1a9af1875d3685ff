"""What a sample is: an image, or a tensor of any shape; and in what form a model is given it."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from lrlab.data.map_datasets import MapDataset
from lrlab.data.targets import WHOLE, as_class
from lrlab.errors import UserError, wrong


def other_shape(dataset: MapDataset, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]]) -> UserError:
    """The error about two images, each an index and a shape, that cannot be in one batch."""
    return wrong(
        "data",
        got=f"images of two shapes ({_shown(dataset, *one)}; {_shown(dataset, *other)})",
        allowed="one shape (C, H, W) for all images",
        do="data.image_size=N where the data set has it, or resize in the data set",
    )


def _shown(dataset: MapDataset, index: int, shape: Sequence[int]) -> str:
    """An image's index and shape, after its file where the data set tells it."""
    files = getattr(dataset, "samples", None)  # as torchvision's folders of images name theirs: (path, label)
    file = f"{files[index][0]}, " if isinstance(files, list) else ""
    return f"{file}index {index}: {tuple(shape)}"


def given_as(dtype: torch.dtype) -> torch.dtype:
    """What a model is given for samples of this type: float32, but for whole numbers that are no pixels."""
    is_token = dtype in WHOLE and dtype not in (torch.uint8, torch.bool)
    return torch.int64 if is_token else torch.float32


def image_shape(dataset: MapDataset, num_classes: int | None = 1) -> tuple[int, ...]:
    """The shape of a sample; reads the first one unless the data set says it in an attribute `shape`."""
    known = getattr(dataset, "shape", None)
    if known:
        return known
    image, target = dataset[0]
    if num_classes is not None and not getattr(dataset, "target_shape", ()):
        as_class(target, 0)
    return tuple(as_tensor(image).shape)


def as_tensor(image: Any) -> Tensor:
    """An image (C, H, W) from a tensor, a PIL image or an array (H, W) or (H, W, C)."""
    if isinstance(image, Tensor):
        return image
    pixels = numpy.array(image)
    channels_first = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(channels_first)
