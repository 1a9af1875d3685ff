"""Some images of a data set: two parts of it, of which one is held out."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import contents
from lrlab.data.map_datasets import MapDataset, Tensors

Choose = Callable[[], NDArray[numpy.bool_]]  # which of all images (N,) are held out; it may read their labels


def of_tensors(whole: Tensors, count: int, choose: Choose) -> tuple[Tensors, Tensors]:
    """What is left of samples in memory, and the `count` of them that are held out.

    Once both are loaded, the whole is let go of.
    """
    loaded: set[bool] = set()

    def load(held_out: bool) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(choose())
        part = chosen if held_out else ~chosen
        inputs, targets = (tensor[part] for tensor in whole.tensors)
        loaded.add(held_out)
        if len(loaded) == 2:
            whole.forget()
        return inputs, targets

    return (
        whole.part(len(whole) - count, functools.partial(load, False), name="left"),
        whole.part(count, functools.partial(load, True), name="held out"),
    )


def of_any(dataset: MapDataset, count: int, choose: Choose) -> tuple["Part", "Part"]:
    """What is left of any data set, and the `count` of its images that are held out."""
    kind = FixedPart if hasattr(dataset, "fingerprint") else Part
    left = kind(dataset, len(dataset) - count, lambda: numpy.flatnonzero(~choose()))
    return left, kind(dataset, count, lambda: numpy.flatnonzero(choose()))


class Part(Dataset):
    """Some images of a data set. Their indices are asked for when the first image is."""

    def __init__(self, dataset: MapDataset, count: int, find: Callable[[], NDArray[Any]]):
        self.dataset, self.count = dataset, count
        self._find = find
        self.shape = getattr(dataset, "shape", None)

    def __getstate__(self) -> dict[str, Any]:
        """What a process gets that is started and not forked: the indices, not how to find them."""
        return {**self.__dict__, "indices": self.indices, "_find": None}

    @functools.cached_property
    def indices(self) -> NDArray[Any]:
        """Indices (count,) in the whole data set, in its order."""
        return self._find()

    @property
    def samples(self) -> Any:
        """The files of these images, for messages; None where the data set names none."""
        files = getattr(self.dataset, "samples", None)
        return [files[index] for index in self.indices] if isinstance(files, list) else None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


class FixedPart(Part):
    """A part of a data set whose indices always give the same images."""

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(self.dataset.fingerprint().encode(), digest_size=32)  # type: ignore[attr-defined]
        digest.update(self.indices.astype("<i8").tobytes())
        return digest.hexdigest()

    def known_by(self) -> dict[str, Any] | None:
        """What a run remembers of the whole data set; which part of it this is, the settings say."""
        return contents.of(self.dataset)
