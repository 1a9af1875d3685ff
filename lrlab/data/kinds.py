"""The two kinds of data sets, with one answer each to what the other rooms ask: the only room that tells them apart.

`Tensors`, and `Images` among them, come at once, as two tensors. Any other data set is read one sample at a time.
"""

from math import prod
from typing import Any, Protocol

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.data import parts
from lrlab.data.map_datasets import Images, MapDataset, Tensors
from lrlab.data.parts import Choose
from lrlab.data.samples import as_tensor
from lrlab.data.targets import as_class
from lrlab.errors import UserError
from lrlab.system import randomness


class Kind(Protocol):
    """What is known of a data set's images before they are read, and how to get all of them where they come at once."""

    @property
    def at_once(self) -> bool:
        """Whether all images come at once, as tensors of bytes; else each is read when it is asked for."""
        ...

    @property
    def is_fixed(self) -> bool:
        """Whether an index always gives the same image. Only the data set can know, and then it has a fingerprint."""
        ...

    def can_be_kept(self) -> bool:
        """Whether it can be read once and kept: it is in memory anyway, or it is fixed and has images of bytes."""
        ...

    def can_be_on_disk(self) -> bool:
        """Whether the files of `data.cache=disk` can hold it: images with a byte a value, and labels."""
        ...

    def bytes_each(self, shape: tuple[int, ...]) -> int:
        """What a sample of this shape takes where it is kept."""
        ...

    def fingerprint(self) -> str:
        """A text that names the content of a data set that is fixed."""
        ...

    def load(self) -> tuple[Tensor, Tensor] | None:
        """All inputs (N, ...) and targets (N, ...) where they come at once, else None."""
        ...

    def forget(self) -> None:
        """Let go of what `load` returned."""
        ...

    def labels(self) -> NDArray[Any]:
        """The classes (N,) of all images."""
        ...

    def parts(self, count: int, choose: Choose) -> tuple[MapDataset, MapDataset]:
        """What is left, and the `count` images that `choose` holds out."""
        ...


def kind_of(dataset: MapDataset) -> Kind:
    """What `dataset` is, whatever class it has."""
    return AtOnce(dataset) if isinstance(dataset, Tensors) else OneByOne(dataset)


class AtOnce:
    """`Tensors`: fixed, and in memory once the first is needed."""

    at_once = True
    is_fixed = True

    def __init__(self, dataset: Tensors):
        self._dataset = dataset

    def can_be_kept(self) -> bool:
        return True

    def can_be_on_disk(self) -> bool:
        return isinstance(self._dataset, Images)

    def bytes_each(self, shape: tuple[int, ...]) -> int:
        if isinstance(self._dataset, Images):
            return prod(shape)
        return prod(shape) * self._dataset.tensors[0].element_size()

    def fingerprint(self) -> str:
        return self._dataset.fingerprint()

    def load(self) -> tuple[Tensor, Tensor]:
        return self._dataset.tensors

    def forget(self) -> None:
        self._dataset.forget()

    def labels(self) -> NDArray[Any]:
        return self._dataset.tensors[1].numpy()

    def parts(self, count: int, choose: Choose) -> tuple[MapDataset, MapDataset]:
        return parts.of_tensors(self._dataset, count, choose)


class OneByOne:
    """Any other map-style data set."""

    at_once = False

    def __init__(self, dataset: MapDataset):
        self._dataset = dataset
        self.is_fixed = hasattr(dataset, "fingerprint")

    def can_be_kept(self) -> bool:
        return self.is_fixed and first_image(self._dataset).dtype == torch.uint8 and self._has_labels()

    def can_be_on_disk(self) -> bool:
        return True  # or it is refused when it is read, with the first thing in the way

    def bytes_each(self, shape: tuple[int, ...]) -> int:
        return prod(shape)

    def _has_labels(self) -> bool:
        """Whether a target is one whole number, as far as the first tells."""
        with randomness.undisturbed():
            target = self._dataset[0][1]
        try:
            as_class(target, 0)
        except UserError:
            return False
        return True

    def fingerprint(self) -> str:
        return self._dataset.fingerprint()  # type: ignore[attr-defined]

    def load(self) -> None:
        return None

    def forget(self) -> None:
        pass

    def labels(self) -> NDArray[Any]:
        """Its `targets`, as torchvision's data sets have them; otherwise every image is read for its label."""
        targets = getattr(self._dataset, "targets", None)
        if targets is None or len(targets) != len(self._dataset):
            targets = [self._dataset[index][1] for index in range(len(self._dataset))]
        return numpy.array([as_class(label, index) for index, label in enumerate(targets)])

    def parts(self, count: int, choose: Choose) -> tuple[MapDataset, MapDataset]:
        return parts.of_any(self._dataset, count, choose)


def bytes_of_an_image(dataset: MapDataset) -> int:
    """What an image takes as the data set gives it; reads the first one."""
    return first_image(dataset).nbytes


def first_image(dataset: MapDataset) -> Tensor:
    """The first image, read without a trace in the global random generators."""
    with randomness.undisturbed():
        return as_tensor(dataset[0][0])
