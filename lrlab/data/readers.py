"""Where the images of batches come from: kept ones, those that are just being decoded, or a loader.

A source reads each of the index lists `parts` (B,), in their order: samples (B, ...), such as images (B, C, H, W), as
the data set stores them, and targets (B, ...), such as labels (B,), on the device. (seed, epoch) matter to a data set's
own random transforms only.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lrlab.data import loader, store
from lrlab.data.decoding import require_bytes
from lrlab.data.kinds import kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.data.samples import as_tensor, other_shape
from lrlab.data.targets import as_target, check_labels
from lrlab.errors import Interrupted, wrong
from lrlab.system import randomness

Parts = Sequence[Tensor]
Read = Iterator[tuple[Tensor, Tensor]]


class Source(Protocol):
    """What batches are made from. Raises UserError where an image or a label is not what it should be."""

    @property
    def ready(self) -> bool:
        """Whether all images are there, so that it is quicker to ask for many at once."""
        ...

    def read(self, parts: Parts, *, seed: int, epoch: int) -> Read: ...

    def close(self) -> None:
        """End all processes that read; without it they would hold up the end of this one."""


class Kept:
    """All images (N, C, H, W) and labels (N,), on the device, in memory or mapped from the disk."""

    ready = True

    def __init__(self, images: Tensor, labels: Tensor, device: torch.device):
        self.images, self.labels, self.device = images, labels, device

    def read(self, parts: Parts, *, seed: int, epoch: int) -> Read:  # noqa: ARG002
        indices = joined(parts).to(self.images.device)  # one transfer for all
        for part in indices.split([len(part) for part in parts]):
            images = self.images.index_select(0, part)
            labels = self.labels.index_select(0, part)
            yield _to(self.device, images), _to(self.device, labels)

    def close(self) -> None:
        pass


class Arriving:
    """Images that other processes decode from the first pass on, in its order; once all are there, they are kept.

    The first pass waits for each of its images in turn, and for no other.
    """

    def __init__(
        self,
        dataset: MapDataset,
        *,
        place: str,
        shape: tuple[int, ...],
        num_classes: int | None,
        device: torch.device,
        workers: int,
        waiting: Callable[[], None],
    ):
        require_bytes(dataset)
        self.waiting = waiting
        self.dataset, self.shape = dataset, shape
        self.num_classes, self.workers = num_classes, workers
        self.device = device
        self.moves = place == "device" and device.type != "cpu"  # to the device, once all are there
        self._arrivals: store.Arrivals | None = None
        self._room: tuple[Tensor, Tensor] | None = None  # on the device, for when all are there
        self._kept: Kept | None = None

    @property
    def ready(self) -> bool:
        return self._kept is not None

    def read(self, parts: Parts, *, seed: int, epoch: int) -> Read:
        if self._kept is not None:
            yield from self._kept.read(parts, seed=seed, epoch=epoch)
            return
        if self._arrivals is None:
            self._arrivals = self._begin(joined(parts))
        arrivals = self._arrivals
        here = Kept(arrivals.images, arrivals.labels, self.device)
        for part in parts:
            try:
                arrivals.wait(part)
            except BaseException:
                self.close()  # the next pass begins to read anew
                raise
            yield from here.read([part], seed=seed, epoch=epoch)
        if arrivals.all_there:
            self._kept = self._settled(here)
            self.close()

    def _settled(self, here: Kept) -> Kept:
        """All images where they stay: those that are `here`, or a copy on the device."""
        if self._room is None:
            return here
        images, labels = self._room
        return Kept(images.copy_(here.images), labels.copy_(here.labels), self.device)

    def _begin(self, first: Tensor) -> store.Arrivals:
        """Have all images decoded from now on, those at the indices `first` before all others."""
        is_later = torch.ones(len(self.dataset), dtype=torch.bool).index_fill_(0, first, False)
        later = is_later.nonzero().flatten()
        arrivals = store.Arrivals(
            self.dataset,
            torch.cat([first, later]),
            shape=self.shape,
            num_classes=self.num_classes,
            workers=self.workers,
            waiting=self.waiting,
        )
        if self.moves:  # now, while there is room
            self._room = (
                torch.empty_like(arrivals.images, device=self.device),
                torch.empty_like(arrivals.labels, device=self.device),
            )
        return arrivals

    def close(self) -> None:
        if self._arrivals is not None:
            self._arrivals.close()
        self._arrivals = self._room = None


class Loaded:
    """Images that are decoded anew whenever they are needed, by `workers` processes, or by this one where it is 0.

    Each process makes `prefetch` parts ahead. One that makes none for `timeout_seconds` is given up (0: never); until
    then `waiting` is called, and may raise.
    """

    ready = False

    def __init__(
        self,
        dataset: MapDataset,
        *,
        num_classes: int | None,
        device: torch.device,
        workers: int,
        prefetch: int,
        timeout_seconds: float = 0,
        waiting: Callable[[], None],
    ):
        kind_of(dataset).load()  # now, so that all workers share it
        self.num_classes, self.device = num_classes, device
        self.timeout_seconds, self.waiting = timeout_seconds, waiting
        self._places = _Places()
        self._loader = loader.start(
            _Addressed(dataset, num_classes),
            batch_sampler=self._places,
            workers=workers,
            ahead=prefetch,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def read(self, parts: Parts, *, seed: int, epoch: int) -> Read:
        self._places.batches = [[(seed, epoch, index) for index in part.tolist()] for part in parts]
        batches = loader.each(iter(self._loader), most_seconds=self.timeout_seconds, waiting=self.waiting)
        try:
            for part, (images, labels) in zip(parts, batches, strict=True):
                check_labels(labels, self.num_classes, part.tolist())
                yield _to(self.device, images), _to(self.device, labels)
        except (loader.TimedOut, Interrupted):
            loader.kill_persistent(self._loader)  # it would be waited for
            raise

    def close(self) -> None:
        loader.end_persistent(self._loader)


def _together(targets: Sequence[tuple[Tensor, int]]) -> Tensor:
    """The targets of a batch, each with the index of its sample, as one tensor. Raises UserError for two shapes."""
    first, first_index = targets[0]
    for target, index in targets:
        if target.shape != first.shape:
            got = f"targets {tuple(first.shape)} at index {first_index} and {tuple(target.shape)} at index {index}"
            raise wrong("data", got=got, allowed="one shape for all targets", do="pad them in the data set")
    return torch.stack([target for target, _ in targets])


def joined(parts: Parts) -> Tensor:
    """The indices of all `parts` in one."""
    return torch.cat([torch.empty(0, dtype=torch.int64), *parts])


def _to(device: torch.device, batch: Tensor) -> Tensor:
    """`batch` copied to the device while the device computes; a pinned source is what lets it do both."""
    if batch.device.type == "cpu" and device.type == "cuda" and not batch.is_pinned():
        batch = batch.pin_memory()
    return batch.to(device, non_blocking=True)


class _Places(Sampler):
    """The (seed, epoch, index) of the samples to come; set before each pass, so that workers can stay."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Addressed(Dataset):
    """A data set whose own random transforms draw the same for (seed, epoch, index), whatever was drawn before."""

    def __init__(self, dataset: MapDataset, num_classes: int | None):
        self.dataset, self.num_classes = dataset, num_classes
        self.target_shape = getattr(dataset, "target_shape", ())

    def __getitems__(self, places: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
        """The images and labels at (seed, epoch, index), one batch."""
        samples = []
        with randomness.undisturbed():
            for seed, epoch, index in places:
                randomness.seed_sample(seed, epoch, index)
                image, label = self.dataset[index]
                target = as_target(label, index, self.num_classes, self.target_shape)
                samples.append((as_tensor(image), target, index))
        first, _, first_index = samples[0]
        for image, _, index in samples:
            if image.shape != first.shape:
                raise other_shape(self.dataset, (first_index, first.shape), (index, image.shape))
        images = torch.stack([image for image, _, _ in samples])
        labels = _together([(target, index) for _, target, index in samples])
        return images, labels
