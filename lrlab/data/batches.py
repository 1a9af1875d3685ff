"""Batches of a split: their order and their augmentation.

Everything random is a pure function of (seed, epoch, index of the sample). So memory and any number of loader workers
give the same batches, and an epoch that is entered in its middle gives those that it would have given.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lrlab.data import room, store
from lrlab.data.augmentation import Augmentation
from lrlab.data.decoding import nothing
from lrlab.data.kinds import kind_of
from lrlab.data.loader import as_raised
from lrlab.data.map_datasets import MapDataset
from lrlab.data.readers import Arriving, Kept, Loaded, Source, joined
from lrlab.data.samples import given_as, image_shape
from lrlab.data.targets import as_given
from lrlab.errors import DataError, UserError
from lrlab.system import disk, randomness

_ALIGNMENT_BYTES = 512  # of torch's memory on a GPU; on a CPU it is 64
_BYTES_AT_ONCE = 3 << 20  # of finished images: it costs less to finish several small batches at a time


@dataclass(frozen=True)
class Batching:
    """How batches are made from a data set: the settings that every data set shares."""

    batch_size: int = 128  # images in one update, whatever computes it
    drop_last: bool = False  # leave out the last, smaller training batch of an epoch
    cache: str = "auto"  # where images are kept once they are decoded, one of room.CACHES
    cache_bytes: int | None = None  # room for them; None: half of what is free
    cache_dir: str = "~/.cache/lrlab"  # the folder of those that are kept on disk
    workers: int = 0  # processes that decode images: at least so many once, exactly so many in each epoch without cache
    prefetch: int = 2  # batches that each of them makes ahead, without cache
    timeout: float = 600  # seconds without a batch from them, without cache, after which the run ends; 0: never
    shift: int = 0  # pixels: training images are moved by up to this much, edges filled with black
    flip: bool = False  # mirror half of the training images
    cutout: int = 0  # pixels: side of the black square in each training image
    resized_crop: float | None = None  # smallest share of a training image's area that is cut out and scaled up
    mean: Sequence[float] | None = None  # a value a channel, of pixels scaled to 0..1
    std: Sequence[float] | None = None  # likewise

    @property
    def cache_folder(self) -> Path:
        """Raises UserError where it is in the home of a user who has none."""
        return disk.expanded(self.cache_dir, "data.cache_dir")


class Batches:
    """The batches of one split, on `device`: images (B, C, H, W) float32, normalized, and labels (B,) int64.

    Other samples are tensors (B, ...) of float32, or int64 where they are tokens. Other targets are tensors (B, ...) of
    int64, float32 or bool.

    Images that are kept are read here, and `progress` is told how many: a mistake in them shows before training starts.
    Only the training images that one process keeps in memory or on the device are read while the first epoch trains,
    in its order: a mistake in one shows when its turn comes.
    A place that `batching` names is taken as it is; `room.choose` says whether it has room. While images do not come,
    `waiting` is called again and again, and may raise.
    """

    def __init__(
        self,
        dataset: MapDataset,
        batching: Batching,
        *,
        num_classes: int | None,
        seed: int,
        device: torch.device,
        train: bool,
        rank: int = 0,
        ranks: int = 1,
        progress: store.Progress | None = None,
        waiting: Callable[[], None] = nothing,
        each: str = "image",
    ):
        self._waiting = waiting
        self.each = each  # what a sample is called
        self.batching = batching
        self.seed = seed  # may be changed between two passes
        self._is_copy = False  # whose samples are another one's
        self._finished: list[tuple[Tensor, Tensor]] = []  # all batches, where they are few and never change
        self.device, self.train = device, train
        self.rank, self.ranks = rank, ranks
        self.samples = len(dataset)
        self._augmentation = Augmentation()
        if train:
            self._augmentation = Augmentation(batching.shift, batching.flip, batching.cutout, batching.resized_crop)
        self._mean, self._std = self._channels(batching.mean), self._channels(batching.std)
        with randomness.undisturbed():
            self._shape = image_shape(dataset, num_classes)
        self.source = self._source(dataset, num_classes, progress)

    def at(self, seed: int) -> "Batches":
        """The batches of another seed, from the same samples, which are there once for both."""
        other = copy.copy(self)
        other.seed = seed
        other._is_copy = True
        return other

    def _source(self, dataset: MapDataset, num_classes: int | None, progress: store.Progress | None) -> Source:
        batching = self.batching
        device = self.device
        place = self._place(dataset)
        if place == "none":
            return Loaded(
                dataset,
                num_classes=num_classes,
                device=device,
                workers=batching.workers,
                prefetch=batching.prefetch,
                timeout_seconds=batching.timeout,
                waiting=self._waiting,
            )
        alone_in_memory = self.ranks == 1 and place != "disk"
        if self.train and alone_in_memory and not kind_of(dataset).at_once:
            return Arriving(
                dataset,
                place=place,
                shape=self._shape,
                num_classes=num_classes,
                device=device,
                workers=batching.workers,
                waiting=self._waiting,
            )
        images, labels = store.keep(
            dataset,
            place,
            shape=self._shape,
            num_classes=num_classes,
            folder=batching.cache_folder if place == "disk" else None,
            device=device,
            workers=batching.workers,
            progress=progress,
        )
        return Kept(images, labels, device)

    def _place(self, dataset: MapDataset) -> str:
        batching = self.batching
        if batching.cache != "auto":
            return batching.cache
        return room.choose(
            [dataset],
            self._shape,
            cache="auto",
            budget_bytes=batching.cache_bytes,
            folder=lambda: batching.cache_folder,
            device=self.device,
        ).place

    def __len__(self) -> int:
        """Batches in an epoch."""
        return batches_per_epoch(self.samples, self.batching, train=self.train)

    def size(self, batch: int) -> int:
        """Images in the batch of that index, over all ranks."""
        return min(self.batching.batch_size, self.samples - batch * self.batching.batch_size)

    def epoch(self, epoch: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's part of the batches of one pass, from batch `start` to before `stop`.

        Of each batch a rank has every `ranks`-th sample.

        Raises DataError where an image or a label is not what it should be.
        """
        if self._finished and start == 0 and stop is None:
            yield from self._copies()
            return
        batches = self._order(epoch).split(self.batching.batch_size)[start : min(len(self), stop or len(self))]
        parts = [batch[self.rank :: self.ranks] for batch in batches if len(batch) > self.rank]
        groups = self._groups(parts)
        wholes = [joined(group) for group in groups]
        read = self.source.read(wholes, seed=self.seed, epoch=epoch)
        try:
            for group, draws, (images, labels) in zip(groups, self._draws(epoch, wholes), read, strict=True):
                sizes = [len(part) for part in group]
                finished = self._finish(images, draws)
                given = as_given(labels)
                made = zip(map(_aligned, finished.split(sizes)), map(_aligned, given.split(sizes)), strict=True)
                if self._stays_the_same and len(groups) == 1 and len(parts) == len(self):
                    self._finished.extend(made)
                    yield from self._copies()
                else:
                    yield from made
        except UserError as error:
            raise as_raised(error, DataError) from error

    def shares_samples_with(self, others: Sequence["Batches"]) -> bool:
        """Whether `of_each` can read for all of these: they share the samples, which are there."""
        return self.source.ready and self.ranks == 1 and all(one.source is self.source for one in others)

    def of_each(
        self, others: Sequence["Batches"], epoch: int, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What `epoch` of each of `others` gives, made at once: samples (K, B, ...) and targets (K, B, ...).

        They are copies of this one for several seeds.
        """
        size = self.batching.batch_size
        orders = torch.stack([one._order(epoch) for one in others])  # (K, N)
        draws = [one._draws_of_all(epoch) for one in others]
        for group in self._groups(orders.split(size, 1)[start : min(len(self), stop or len(self))]):
            chosen = torch.cat([*group], 1)
            own = [drawn.index_select(0, row) for drawn, row in zip(draws, chosen, strict=True) if drawn is not None]
            images, labels = next(self.source.read([chosen.flatten()], seed=self.seed, epoch=epoch))
            finished = self._finish(images, torch.cat(own).to(self.device) if own else None)
            made = [one.view(*chosen.shape, *one.shape[1:]) for one in (finished, as_given(labels))]
            sizes = [part.shape[1] for part in group]
            for samples, targets in zip(*(one.split(sizes, 1) for one in made), strict=True):
                yield samples.contiguous(), targets.contiguous()

    @property
    def _stays_the_same(self) -> bool:
        """Whether every pass gives the same batches."""
        return not self.train and self.source.ready

    def _copies(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Copies of the finished batches, which a model may write into."""
        for images, labels in self._finished:
            yield images.clone(), labels.clone()

    def _order(self, epoch: int) -> Tensor:
        """The indices (N,) of the samples in the order of that epoch."""
        if not self.train:
            return torch.arange(self.samples)
        return torch.randperm(self.samples, generator=randomness.generator(self.seed, "order", epoch))

    def close(self) -> None:
        """End all processes that read; without it they would hold up the end of this one."""
        if not self._is_copy:
            self.source.close()

    def _groups(self, parts: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The `parts` in groups that are read and finished at once."""
        count = 1
        if self.source.ready:
            largest = max((part.numel() for part in parts), default=1)
            size_bytes = 4 * math.prod(self._shape) * largest  # of float32
            count = max(1, _BYTES_AT_ONCE // size_bytes)
        return [parts[first : first + count] for first in range(0, len(parts), count)]

    def _draws(self, epoch: int, parts: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """What decides the augmentation of each of `parts`, a row for each of its samples; None for no augmentation."""
        draws = self._draws_of_all(epoch)
        if draws is None:
            return [None] * len(parts)
        chosen = draws.index_select(0, joined(parts)).to(self.device)
        return chosen.split([len(part) for part in parts])

    def _draws_of_all(self, epoch: int) -> Tensor | None:
        """The same for all samples, in the order of their indices."""
        if not self._augmentation:
            return None
        return self._augmentation.draws(self.samples, seed=self.seed, epoch=epoch)

    def _finish(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Augment and normalize images (B, C, H, W) of uint8, or of floats, which are not scaled; may be in place.

        Whole numbers of other types are tokens, say, and stay whole.
        """
        are_bytes = images.dtype == torch.uint8
        if draws is not None:
            images = self._augmentation(images, draws)
        if given_as(images.dtype) == torch.int64:
            return images.long()
        images = images / 255 if are_bytes else images.float()
        if self._mean is not None and self._std is not None:
            images.sub_(self._mean).div_(self._std)
        return images

    def _channels(self, values: Sequence[float] | None) -> Tensor | None:
        """A value a channel, in the shape (C, 1, 1) that images are computed with."""
        if values is None:
            return None
        return torch.tensor(values, device=self.device).view(-1, 1, 1)


def _aligned(part: Tensor) -> Tensor:
    """`part` of a tensor, at an address like that of a tensor of its own.

    Some kernels add up in another order where the address is no multiple of a vector's size, and a batch must train
    the same wherever in a group it comes.
    """
    offset_bytes = part.storage_offset() * part.element_size()
    return part if offset_bytes % _ALIGNMENT_BYTES == 0 else part.clone()


def batches_per_epoch(samples: int, batching: Batching, *, train: bool) -> int:
    """How many batches one pass over `samples` has; the last may be smaller, or be dropped in training."""
    if train and batching.drop_last:
        return samples // batching.batch_size
    return -(-samples // batching.batch_size)
