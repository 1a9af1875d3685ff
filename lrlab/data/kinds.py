"""The two kinds of data sets, with one answer each to what the other rooms ask: the only room that tells them apart.

`Images` come at once, as two tensors. Any other data set is read one image at a time.
"""

from typing import Any, Protocol

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.data import parts
from lrlab.data.parts import Choose
from lrlab.data.splits import Images, MapDataset, as_class, as_tensor
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
        """Whether it is fixed and its images have a byte a value."""
        ...

    def fingerprint(self) -> str:
        """A text that names the content of a data set that is fixed."""
        ...

    def load(self) -> tuple[Tensor, Tensor] | None:
        """All images (N, C, H, W) uint8 and labels (N,) int64 where they come at once, else None."""
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
    return AtOnce(dataset) if isinstance(dataset, Images) else OneByOne(dataset)


class AtOnce:
    """`Images`: fixed, and in memory once the first is needed."""

    at_once = True
    is_fixed = True

    def __init__(self, dataset: Images):
        self._dataset = dataset

    def can_be_kept(self) -> bool:
        return True

    def fingerprint(self) -> str:
        return self._dataset.fingerprint()

    def load(self) -> tuple[Tensor, Tensor]:
        return self._dataset.tensors

    def forget(self) -> None:
        self._dataset.forget()

    def labels(self) -> NDArray[Any]:
        return self._dataset.tensors[1].numpy()

    def parts(self, count: int, choose: Choose) -> tuple[MapDataset, MapDataset]:
        return parts.of_images(self._dataset, count, choose)


class OneByOne:
    """Any other map-style data set."""

    at_once = False

    def __init__(self, dataset: MapDataset):
        self._dataset = dataset
        self.is_fixed = hasattr(dataset, "fingerprint")

    def can_be_kept(self) -> bool:
        return self.is_fixed and first_image(self._dataset).dtype == torch.uint8

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
