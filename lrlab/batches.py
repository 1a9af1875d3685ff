"""Batches of a split: their order, their augmentation, and where they are put together.

Everything random is a pure function of (seed, epoch, index of the sample): the same batches come from memory or
from any number of loader workers, and from the middle of an epoch as from its start.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lrlab import cache, placement, randomness
from lrlab.augmentation import Augmentation
from lrlab.data import Images, MapDataset, as_tensor, check_labels, describe_error, image_shape
from lrlab.errors import UserError, wrong
from lrlab.signals import leave_to_the_parent


@dataclass(frozen=True)
class Batching:
    """How batches are made from a data set: the settings that every data set shares."""

    batch_size: int = 128  # images in one update, whatever computes it
    drop_last: bool = False  # leave out the last, smaller training batch of an epoch
    cache: str = "auto"  # where images are kept once they are decoded, one of placement.CACHES
    cache_bytes: int | None = None  # room for them; None: half of what is free
    cache_dir: str = "~/.cache/lrlab"  # the folder of those that are kept on disk
    workers: int = 0  # processes that decode images: at least so many once, exactly so many in each epoch without cache
    prefetch: int = 2  # batches that each of them makes ahead, without cache
    shift: int = 0  # pixels: training images are moved by up to this much, edges filled with black
    flip: bool = False  # mirror half of the training images
    cutout: int = 0  # pixels: side of the black square in each training image
    resized_crop: float | None = None  # smallest share of a training image's area that is cut out and scaled up
    mean: Sequence[float] | None = None  # a value a channel, of pixels scaled to 0..1
    std: Sequence[float] | None = None  # likewise

    @property
    def cache_folder(self) -> Path:
        return Path(self.cache_dir).expanduser()


class Batches:
    """The batches of one split, on `device`: images (B, C, H, W) float32, normalized, and labels (B,) int64.

    Images that are kept are read here, so that a mistake in them shows before training starts, and `progress` is told
    how many are; but training images that one process keeps in memory or on the device are read while the first epoch
    trains, in its order, and what is wrong with one shows when its turn comes.
    A place that `batching` names is taken without asking for its room, which `placement.choose` does.
    """

    def __init__(
        self,
        dataset: MapDataset,
        batching: Batching,
        *,
        num_classes: int,
        seed: int,
        device: torch.device,
        train: bool,
        rank: int = 0,
        ranks: int = 1,
        progress: cache.Progress | None = None,
    ):
        self.dataset, self.batching, self.num_classes = dataset, batching, num_classes
        self.seed, self.device, self.train = seed, device, train
        self.rank, self.ranks = rank, ranks
        self.samples = len(dataset)
        self._augmentation = Augmentation()
        if train:
            self._augmentation = Augmentation(batching.shift, batching.flip, batching.cutout, batching.resized_crop)
        self._mean, self._std = self._channels(batching.mean), self._channels(batching.std)
        self._places = _Places()
        self._loader: DataLoader | None = None
        self._arriving: cache.Arriving | None = None
        self._reserved: tuple[Tensor, Tensor] | None = None  # room on the device for those that arrive
        with randomness.undisturbed():
            self._shape = image_shape(dataset)
        self._place = self._chosen_place()
        self._kept: tuple[Tensor, Tensor] | None = None  # all, on the device, in memory or mapped from the disk
        if self._place == "none":
            if isinstance(dataset, Images):
                _ = dataset.tensors  # so that all workers share what is loaded now
        elif not train or ranks > 1 or self._place == "disk" or isinstance(dataset, Images):
            self._kept = self._keep(progress)
        else:
            cache.require_bytes(dataset)

    def _chosen_place(self) -> str:
        batching, place = self.batching, self.batching.cache
        if place == "auto":
            place = placement.choose(
                [self.dataset],
                self._shape,
                cache=place,
                budget_bytes=batching.cache_bytes,
                folder=batching.cache_folder,
                device=self.device,
            ).place
        return place

    def _keep(self, progress: cache.Progress | None) -> tuple[Tensor, Tensor]:
        return cache.keep(
            self.dataset,
            self._place,
            shape=self._shape,
            num_classes=self.num_classes,
            folder=self.batching.cache_folder,
            device=self.device,
            workers=self.batching.workers,
            progress=progress,
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return batches_per_epoch(self.samples, self.batching, train=self.train)

    def size(self, batch: int) -> int:
        """Images in the batch of that index, over all ranks."""
        return min(self.batching.batch_size, self.samples - batch * self.batching.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's part of the batches of one pass, from batch `start` on: every `ranks`-th sample of each."""
        order = torch.arange(self.samples)
        if self.train:
            order = torch.randperm(self.samples, generator=randomness.generator(self.seed, "order", epoch))
        batches = order.split(self.batching.batch_size)[start : len(self)]
        parts = [batch[self.rank :: self.ranks] for batch in batches if len(batch) > self.rank]
        for draws, (images, labels) in zip(self._draws(epoch, parts), self._raw(epoch, parts), strict=True):
            yield self._finish(images, draws), labels

    def reseed(self, seed: int) -> None:
        """Make the batches of another seed from now on; images that are kept, or on their way, are not read anew."""
        self._end_loader()
        self.seed = seed

    def close(self) -> None:
        """End all processes that read; without it they would hold up the end of this one."""
        if self._arriving is not None:
            self._arriving.close()
        self._arriving = self._reserved = None
        self._end_loader()

    def _end_loader(self) -> None:
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
        self._loader = None

    def _draws(self, epoch: int, parts: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """What decides the augmentation of each of `parts`, a row for each of its samples; None for no augmentation."""
        if not self._augmentation:
            return [None] * len(parts)
        draws = self._augmentation.draws(self.samples, seed=self.seed, epoch=epoch)
        return draws.index_select(0, _joined(parts)).to(self.device).split([len(part) for part in parts])

    def _finish(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Augment and normalize a batch (B, C, H, W) of uint8, or of floats, which are not scaled; in place."""
        scaled = images.dtype != torch.uint8
        if draws is not None:
            images = self._augmentation(images, draws)
        images = images.float()
        if not scaled:
            images.div_(255)
        if self._mean is not None and self._std is not None:
            images.sub_(self._mean).div_(self._std)
        return images

    def _channels(self, values: Sequence[float] | None) -> Tensor | None:
        return None if values is None else torch.tensor(values, device=self.device).view(-1, 1, 1)

    def _raw(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images as the data set stores them and labels, on the device, for each of the index lists `parts`."""
        if self._kept is None:
            yield from self._loaded(epoch, parts) if self._place == "none" else self._arrived(parts)
            return
        images, labels = self._kept
        near = _joined(parts).to(images.device).split([len(part) for part in parts])  # one transfer, not one a batch
        for part in near:
            yield self._on_device(images.index_select(0, part)), self._on_device(labels.index_select(0, part))

    def _arrived(self, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `_raw`, while the images are being read, those of the first `parts` first; once all are, they are kept."""
        arriving = self._arriving = self._arriving or self._begin_to_read(_joined(parts))
        for part in parts:
            arriving.wait(part)
            images, labels = (source.index_select(0, part) for source in (arriving.images, arriving.labels))
            yield self._on_device(images), self._on_device(labels)
        if arriving.all_there:
            images, labels = arriving.images, arriving.labels
            if self._reserved is not None:
                images, labels = self._reserved[0].copy_(images), self._reserved[1].copy_(labels)
            self._kept = images, labels
            arriving.close()
            self._arriving = self._reserved = None

    def _begin_to_read(self, first: Tensor) -> cache.Arriving:
        """Images that are read from now on, at the indices `first` before all others."""
        later = torch.ones(self.samples, dtype=torch.bool).index_fill_(0, first, False).nonzero().flatten()
        arriving = cache.Arriving(
            self.dataset,
            torch.cat([first, later]),
            shape=self._shape,
            num_classes=self.num_classes,
            workers=self.batching.workers,
        )
        if self._place == "device" and self.device.type != "cpu":  # now, while there is room
            self._reserved = (
                torch.empty_like(arriving.images, device=self.device),
                torch.empty_like(arriving.labels, device=self.device),
            )
        return arriving

    def _on_device(self, batch: Tensor) -> Tensor:
        """`batch` copied to the device while the device computes; a pinned source is what lets it do both."""
        if batch.device.type == "cpu" and self.device.type == "cuda" and not batch.is_pinned():
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=True)

    def _loaded(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `_raw`, read by the loader."""
        self._places.batches = [[(epoch, index) for index in part.tolist()] for part in parts]
        if self._loader is None:
            self._loader = self._make_loader()
        try:
            for part, (images, labels) in zip(parts, self._loader, strict=True):
                check_labels(labels, self.num_classes, part.tolist())
                yield self._on_device(images), self._on_device(labels)
        except UserError as error:
            raise UserError(describe_error(error)) from error

    def _make_loader(self) -> DataLoader:
        workers = self.batching.workers
        return DataLoader(
            _Addressed(self.dataset, self.seed),
            batch_sampler=self._places,
            num_workers=workers,
            prefetch_factor=self.batching.prefetch if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=leave_to_the_parent,
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # otherwise the loader draws from the generator that dropout uses
        )


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.empty(0, dtype=torch.int64), *parts])


def batches_per_epoch(samples: int, batching: Batching, *, train: bool) -> int:
    """How many batches one pass over `samples` has; the last may be smaller, or be dropped in training."""
    if train and batching.drop_last:
        return samples // batching.batch_size
    return -(-samples // batching.batch_size)


class _Places(Sampler):
    """The (epoch, index) pairs of the batches to come; set before each pass, so that workers can be kept."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Addressed(Dataset):
    """A data set whose own random transforms draw the same for (seed, epoch, index), whatever was drawn before."""

    def __init__(self, dataset: MapDataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __getitems__(self, places: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """The images and labels at (epoch, index), one batch."""
        samples = []
        with randomness.undisturbed():
            for epoch, index in places:
                randomness.seed_sample(self.seed, epoch, index)
                image, label = self.dataset[index]
                samples.append((as_tensor(image), int(label), index))
        return _stacked(samples)


def _stacked(samples: list[tuple[Tensor, int, int]]) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and labels (B,) int64 of (image, label, index); all images must have one shape."""
    first, _, first_index = samples[0]
    for image, _, index in samples:
        if image.shape != first.shape:
            raise wrong(
                "data",
                got=f"images of shapes {tuple(first.shape)} (index {first_index}) and {tuple(image.shape)} ({index})",
                allowed="one shape (C, H, W) for all images",
                do="data.image_size=N where the data set has it, or resize in the data set",
            )
    return torch.stack([image for image, _, _ in samples]), torch.tensor([label for _, label, _ in samples])


def _as_it_is(batch: Any) -> tuple[Tensor, Tensor]:
    return batch
