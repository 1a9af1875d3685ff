"""What a data set is to lrlab: splits of images and labels, described before they are read.

Sizes, shapes and classes are known when `Splits` is returned, images are read when they are first asked for. So a
mistake in any setting is found before anything is read or downloaded.
"""

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import contents
from lrlab.errors import UserError, wrong

_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)  # types of labels


class MapDataset(Protocol):
    """What training reads from: torch's map-style `Dataset`, with a length.

    It may say its images' (C, H, W) in an attribute `shape`. Where an index always gives the same image, it may have
    a method `fingerprint`: it returns a text that names the content, and then images are kept instead of read again.
    A run whose data has another fingerprint than before is not gone on with.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class Images(Dataset):
    """Images that fit in memory, all read by `load` when the first is needed.

    `load` returns images (N, C, H, W) uint8 and labels (N,) int64, with N = `count`, (C, H, W) = `shape` and labels
    below `num_classes`.
    """

    def __init__(
        self, count: int, shape: tuple[int, int, int], num_classes: int, load: Callable[[], tuple[Tensor, Tensor]]
    ):
        self.count, self.shape, self.num_classes, self.load = count, shape, num_classes, load

    def __getstate__(self) -> dict[str, Any]:
        """What a process gets that is started and not forked (macOS, Windows, Python 3.14): the images, not `load`."""
        return {**self.__dict__, "tensors": self.tensors, "load": None}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.tensors
        return images[index], int(labels[index])

    @functools.cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N,) int64, checked."""
        images, labels = self.load()
        if len(images) != self.count or len(labels) != self.count:
            raise wrong(
                "data",
                got=f"{len(images)} images and {len(labels)} labels",
                allowed=f"{self.count} of each",
                do="remove the folder's damaged files, so that they are fetched again",
            )
        if labels.ndim != 1 or labels.dtype not in _WHOLE:
            raise _no_class(f"labels of {_described(labels)}")
        check_labels(labels, self.num_classes)
        return images, labels.long()

    def forget(self) -> None:
        """Let go of the tensors; they are loaded again should they be asked for."""
        self.__dict__.pop("tensors", None)

    def known_by(self) -> None:
        """Nothing: to know images in memory by their fingerprint, a run would have to load them before it starts."""

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=32)
        for tensor in self.tensors:
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """What a data set offers: `train`, `val` and perhaps `test`, any map-style data sets of (image, label).

    A model learns from `train`, everything is chosen by `val`, and `test` decides nothing. An image is a PIL image, a
    uint8 tensor (C, H, W), or a float tensor (C, H, W) that is ready for the model; all have the same shape. A label
    is an integer in [0, num_classes).
    """

    train: MapDataset
    val: MapDataset
    num_classes: int
    notes: tuple[str, ...] = ()  # what the user should know of how it is read
    test: MapDataset | None = None

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image; reads the first one unless the data set says it."""
        return image_shape(self.train)

    @functools.cached_property
    def parts(self) -> dict[str, MapDataset]:
        """The splits that there are, by name."""
        parts = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def sizes(self) -> dict[str, int]:
        """How many images each of them has."""
        return {name: len(part) for name, part in self.parts.items()}

    @functools.cached_property
    def contents(self) -> dict[str, Any] | None:
        """What a run remembers of its splits, to know its data again; None where they do not say."""
        known = {name: contents.of(part) for name, part in self.parts.items()}
        return {name: one for name, one in known.items() if one is not None} or None


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


def image_shape(dataset: MapDataset) -> tuple[int, int, int]:
    """(C, H, W) of an image; reads the first one unless the data set says it in an attribute `shape`."""
    known = getattr(dataset, "shape", None)
    if known:
        return known
    image, label = dataset[0]
    as_class(label, 0)
    return tuple(as_tensor(image).shape)  # type: ignore[return-value]  # a wrong one is told by check_splits


class Fixed(Dataset):
    """`dataset`, where it is known that an index always gives the same image; `name` tells its content."""

    def __init__(self, dataset: MapDataset, name: str):
        self.dataset, self.name = dataset, name

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def fingerprint(self) -> str:
        return self.name


def as_tensor(image: Any) -> Tensor:
    """An image (C, H, W) from a tensor, a PIL image or an array (H, W) or (H, W, C)."""
    if isinstance(image, Tensor):
        return image
    pixels = numpy.array(image)
    channels_first = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(channels_first)


def as_class(label: Any, index: int) -> int:
    """The label of the image at `index` as the number of its class.

    Raises UserError for a label that is none, such as a number to be predicted, or several.

    >>> as_class(numpy.int64(3), index=0)
    3
    """
    if type(label) is int:  # of most data sets; the rest takes longer
        return label
    if isinstance(label, Tensor):
        if label.numel() != 1 or label.dtype not in _WHOLE:
            raise _no_class(f"label {_described(label)} at index {index}")
        return int(label)
    try:
        values = numpy.asarray(label)
    except (TypeError, ValueError) as error:  # lists of several lengths, say
        raise _no_class(f"a label of {type(label).__name__} at index {index}") from error
    if values.size != 1 or values.dtype.kind not in "biu":
        raise _no_class(f"label {_described(values)} at index {index}")
    return int(values.reshape(()))


def _described(values: Any) -> str:
    """A label or several by value where it is one, and by shape where there are more."""
    kind = str(values.dtype).removeprefix("torch.")
    return f"{values.item()} ({kind})" if values.ndim == 0 else f"{kind} {tuple(values.shape)}"


def _no_class(got: str) -> UserError:
    return wrong(
        "data",
        got=got,
        allowed="one whole number for each image, the index of its class",
        do="return int(label) from the data set where the label is a class",
    )


def check_labels(labels: Tensor, num_classes: int, indices: Sequence[int] | None = None) -> None:
    """Raise UserError naming the first of `labels` (N,) outside [0, num_classes); `indices` are their places."""
    outside = ((labels < 0) | (labels >= num_classes)).nonzero()
    if len(outside):
        place = int(outside[0])
        index = indices[place] if indices else place
        raise wrong(
            "data",
            got=f"label {int(labels[place])} at index {index}",
            allowed=f"0 to {num_classes - 1} for {num_classes} classes",
            do="correct the label, or the number of classes",
        )


def as_raised(error: UserError, kind: type[UserError] = UserError) -> UserError:
    """`error` as an error of `kind`, and as a loader's worker raised it, without the worker's traceback around it.

    A loader hands on the traceback's text, which ends in the name of the error and its message; the parts are lost.
    """
    if error.key is not None:
        return error.of_kind(kind)
    name = rf"^(?:\w+\.)*{type(error).__name__}: "  # at the beginning of a line, for a message may hold it too
    return kind(re.split(name, str(error), flags=re.MULTILINE)[-1].strip())
