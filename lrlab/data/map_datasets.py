"""What training reads from: data sets in torch's map style, of which lrlab has those that fit in memory."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data.targets import WHOLE, check_labels, described, no_class
from lrlab.errors import wrong


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
            if targets.dtype not in WHOLE:
                raise no_class(f"labels of {described(targets)}")
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
        if labels.ndim != 1 or labels.dtype not in WHOLE:
            raise no_class(f"labels of {described(labels)}")
        assert self.num_classes is not None
        check_labels(labels, self.num_classes)
        return images, labels.long()

    def part(self, count: int, load: Callable[[], tuple[Tensor, Tensor]], *, name: str) -> "Images":  # noqa: ARG002
        assert self.num_classes is not None
        channels, height, width = self.shape
        return Images(count, (channels, height, width), self.num_classes, load)

    def known_by(self) -> None:
        """Nothing: to know images in memory by their fingerprint, a run would have to load them before it starts."""


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
