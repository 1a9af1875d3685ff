"""What a data set is to lrlab: splits of samples and targets, described before they are read.

A sample is an image for most, and may be a tensor of any shape. Its target is a class for most, and may be a tensor of
any shape too: numbers to be predicted, flags, or a class for every place of the sample.

Sizes, shapes and classes are known when `Splits` is returned, images are read when they are first asked for. So a
mistake in any setting is found before anything is read or downloaded.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lrlab.data import contents
from lrlab.data.map_datasets import MapDataset, Tensors
from lrlab.data.samples import as_tensor, given_as, image_shape
from lrlab.data.targets import as_given, as_target
from lrlab.models import Interface
from lrlab.system import randomness


@dataclass(frozen=True)
class Splits:
    """What a data set offers: `train`, `val` and perhaps `test`, any map-style data sets of (sample, target).

    A model learns from `train`, everything is chosen by `val`, and `test` decides nothing. An image is a PIL image, a
    uint8 tensor (C, H, W), or a float tensor (C, H, W) that is ready for the model. Any other sample is a tensor. All
    have the same shape. A label is an integer in [0, num_classes). Targets that are no classes leave `num_classes` out:
    numbers, or flags, in one shape for all.
    """

    train: MapDataset
    val: MapDataset
    num_classes: int | None = None  # of every value of a target; None: the values are no classes
    notes: tuple[str, ...] = ()  # what the user should know of how it is read
    test: MapDataset | None = None
    noun: str = ""  # what a sample is called; by default image or sample, by its shape
    vocabulary: tuple[str, ...] = ()  # of a text: each of its classes as it is written

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample, (C, H, W) of an image; reads the first one unless the data set says it."""
        return image_shape(self.train, self.num_classes)

    @functools.cached_property
    def target_shape(self) -> tuple[int, ...]:
        """The shape of a target, () of a label; of what are no classes it reads the first."""
        known = getattr(self.train, "target_shape", None)
        if known is not None or self.num_classes is not None:
            return tuple(known or ())
        with randomness.undisturbed():
            return tuple(as_target(self.train[0][1], 0, None).shape)

    @functools.cached_property
    def sample_dtype(self) -> torch.dtype:
        """What the model is given: float32, or int64 where samples are whole numbers and no pixels."""
        if self.are_images:  # which need not be read for it
            return torch.float32
        if isinstance(self.train, Tensors):
            return given_as(self.train.tensors[0].dtype)
        with randomness.undisturbed():
            return given_as(as_tensor(self.train[0][0]).dtype)

    @property
    def num_outputs(self) -> int:
        """The values that a model predicts for each place of a target: a score a class, or every number of it."""
        return math.prod(self.target_shape) if self.num_classes is None else self.num_classes

    def blank_targets(self, count: int) -> Tensor:
        """So many targets, of the shape and type that a loss is given: class 0, or else the first target."""
        if self.num_classes is not None:
            return torch.zeros(count, *self.target_shape, dtype=torch.int64)
        with randomness.undisturbed():
            first = as_target(self.train[0][1], 0, None)
        return as_given(first.expand(count, *first.shape).clone())

    @functools.cached_property
    def interface(self) -> Interface:
        """What a model of these splits is given, and what it is to return."""
        return Interface(
            self.shape, self.num_outputs, self.sample_dtype, self.num_classes, self.target_shape, self.each
        )

    @property
    def are_images(self) -> bool:
        return len(self.shape) == 3

    @property
    def each(self) -> str:
        """What one sample is called."""
        return self.noun or ("image" if self.are_images else "sample")

    @functools.cached_property
    def parts(self) -> dict[str, MapDataset]:
        """The splits that there are, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def sizes(self) -> dict[str, int]:
        """How many images each of them has."""
        return {name: len(part) for name, part in self.parts.items()}

    @property
    def counts(self) -> dict[str, int]:
        """The sizes, and how many classes there are, if any."""
        return self.sizes if self.num_classes is None else {**self.sizes, "classes": self.num_classes}

    @functools.cached_property
    def contents(self) -> dict[str, Any] | None:
        """What a run remembers of its splits, to know its data again; None where they do not say."""
        known = {name: contents.of(part) for name, part in self.parts.items()}
        return {name: one for name, one in known.items() if one is not None} or None
