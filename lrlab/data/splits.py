"""What a data set is to lrlab: splits of samples and targets, described before they are read.

A sample is an image for most, and may be a tensor of any shape. Its target is a class for most, and may be a tensor of
any shape too: numbers to be predicted, flags, or a class for every place of the sample.

Sizes, shapes and classes are known when `Splits` is returned, images are read when they are first asked for. So a
mistake in any setting is found before anything is read or downloaded.
"""

import functools
import hashlib
import math
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
from lrlab.models import Interface
from lrlab.system import randomness

_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)  # types of labels


class MapDataset(Protocol):
    """What training reads from: torch's map-style `Dataset`, with a length.

    It may say its images' (C, H, W) in an attribute `shape`. Where an index always gives the same image, it may have
    a method `fingerprint`: it returns a text that names the content, and then images are kept instead of read again.
    A run whose data has another fingerprint than before is not gone on with.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class Tensors(Dataset):
    """Samples that fit in memory, all read by `load` when the first is needed.

    `load` returns inputs (N, *shape) and targets (N, *target_shape), with N = `count`, of any type. Inputs of uint8 are
    pixels, which the loop divides by 255; other whole numbers stay what they are, such as the tokens of a text. With
    `num_classes`, targets are whole numbers below it.
    """

    def __init__(
        self,
        count: int,
        shape: tuple[int, ...],
        load: Callable[[], tuple[Tensor, Tensor]],
        *,
        num_classes: int | None = None,
        target_shape: tuple[int, ...] = (),
        fingerprint: str | None = None,
    ):
        self.count, self.shape, self.load = count, tuple(shape), load
        self.num_classes, self.target_shape = num_classes, tuple(target_shape)
        self._fingerprint = fingerprint  # where it is known without loading

    def __getstate__(self) -> dict[str, Any]:
        """What a process gets that is started and not forked (macOS, Windows, Python 3.14): the data, not `load`."""
        return {**self.__dict__, "tensors": self.tensors, "load": None}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        inputs, targets = self.tensors
        return inputs[index], targets[index]

    @functools.cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Inputs (N, *shape) and targets (N, *target_shape), checked."""
        return self._checked(*self.load())

    def _checked(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        for what, tensor, shape in (("inputs", inputs, self.shape), ("targets", targets, self.target_shape)):
            if tuple(tensor.shape) != (self.count, *shape):
                got = f"{what} of {tuple(tensor.shape)}"
                allowed = f"{(self.count, *shape)}, as the data set says of itself"
                raise wrong("data", got=got, allowed=allowed, do="correct the data set")
        if self.num_classes is not None:
            if targets.dtype not in _WHOLE:
                raise _no_class(f"labels of {_described(targets)}")
            check_labels(targets, self.num_classes)
        return inputs, targets

    def part(self, count: int, load: Callable[[], tuple[Tensor, Tensor]], *, name: str) -> "Tensors":
        """Some of these samples, `count` that `load` returns; `name` tells them from the others."""
        known = None if self._fingerprint is None else f"{self._fingerprint}, {name}"
        return Tensors(
            count,
            self.shape,
            load,
            num_classes=self.num_classes,
            target_shape=self.target_shape,
            fingerprint=known,
        )

    def forget(self) -> None:
        """Let go of the tensors; they are loaded again should they be asked for."""
        self.__dict__.pop("tensors", None)

    def known_by(self) -> dict[str, Any] | None:
        """What tells the data without loading it, where that is known: a run would have to load it before it starts."""
        return {"fingerprint": self._fingerprint} if self._fingerprint is not None else None

    def fingerprint(self) -> str:
        if self._fingerprint is not None:
            return self._fingerprint
        digest = hashlib.blake2b(digest_size=32)
        for tensor in self.tensors:
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


class Images(Tensors):
    """Images that fit in memory, all read by `load` when the first is needed.

    `load` returns images (N, C, H, W) uint8 and labels (N,) int64, with N = `count`, (C, H, W) = `shape` and labels
    below `num_classes`.
    """

    def __init__(
        self, count: int, shape: tuple[int, int, int], num_classes: int, load: Callable[[], tuple[Tensor, Tensor]]
    ):
        super().__init__(count, shape, load, num_classes=num_classes)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.tensors
        return images[index], int(labels[index])

    def _checked(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N,) int64, checked."""
        if len(images) != self.count or len(labels) != self.count:
            raise wrong(
                "data",
                got=f"{len(images)} images and {len(labels)} labels",
                allowed=f"{self.count} of each",
                do="remove the folder's damaged files, so that they are fetched again",
            )
        if labels.ndim != 1 or labels.dtype not in _WHOLE:
            raise _no_class(f"labels of {_described(labels)}")
        assert self.num_classes is not None
        check_labels(labels, self.num_classes)
        return images, labels.long()

    def part(self, count: int, load: Callable[[], tuple[Tensor, Tensor]], *, name: str) -> "Images":  # noqa: ARG002
        assert self.num_classes is not None
        channels, height, width = self.shape
        return Images(count, (channels, height, width), self.num_classes, load)

    def known_by(self) -> None:
        """Nothing: to know images in memory by their fingerprint, a run would have to load them before it starts."""


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
    is_token = dtype in _WHOLE and dtype not in (torch.uint8, torch.bool)
    return torch.int64 if is_token else torch.float32


def as_given(targets: Tensor) -> Tensor:
    """Targets as a loss is given them: int64, float32, or bool."""
    if targets.dtype == torch.bool:
        return targets
    return targets.float() if targets.is_floating_point() else targets.long()


def image_shape(dataset: MapDataset, num_classes: int | None = 1) -> tuple[int, ...]:
    """The shape of a sample; reads the first one unless the data set says it in an attribute `shape`."""
    known = getattr(dataset, "shape", None)
    if known:
        return known
    image, target = dataset[0]
    if num_classes is not None and not getattr(dataset, "target_shape", ()):
        as_class(target, 0)
    return tuple(as_tensor(image).shape)


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
    if num_classes is not None and (values.dtype not in _WHOLE or tuple(values.shape) != tuple(shape)):
        got = f"targets of {_described(values)} at index {index}"
        raise wrong("data", got=got, allowed=f"whole numbers {tuple(shape)}", do="correct the data set")
    return values


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


def as_raised(error: UserError, kind: type[UserError] = UserError) -> UserError:
    """`error` as an error of `kind`, and as a loader's worker raised it, without the worker's traceback around it.

    A loader hands on the traceback's text, which ends in the name of the error and its message; the parts are lost.
    """
    if error.key is not None:
        return error.of_kind(kind)
    name = rf"^(?:\w+\.)*{type(error).__name__}: "  # at the beginning of a line, for a message may hold it too
    return kind(re.split(name, str(error), flags=re.MULTILINE)[-1].strip())
