"""Batches of a split: their order, their augmentation, and where they are put together.

Everything random is a pure function of (seed, epoch, index of the sample): the same batches come from memory or
from any number of loader workers, and from the middle of an epoch as from its start.
"""

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lrlab import randomness
from lrlab.data import Images, MapDataset, as_tensor, check_labels, describe_error
from lrlab.errors import UserError, wrong

_SECONDS_TO_SAVE = 30


@dataclass(frozen=True)
class Batching:
    """How batches are made from a data set: the settings that every data set shares."""

    batch_size: int = 128  # images in one update, whatever computes it
    drop_last: bool = False  # leave out the last, smaller training batch of an epoch
    workers: int = 0  # loader processes, for data that is read during training
    shift: int = 0  # pixels: training images are moved by up to this much, edges filled with black
    flip: bool = False  # mirror half of the training images
    mean: Sequence[float] | None = None  # a value a channel, of pixels scaled to 0..1
    std: Sequence[float] | None = None  # likewise


class Batches:
    """The batches of one split, on `device`: images (B, C, H, W) float32, normalized, and labels (B,) int64."""

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
    ):
        self.dataset, self.batching, self.num_classes = dataset, batching, num_classes
        self.seed, self.device, self.train = seed, device, train
        self.rank, self.ranks = rank, ranks
        self.samples = len(dataset)
        self._places = _Places()
        self._loader: DataLoader | None = None
        self._tensors: tuple[Tensor, Tensor] | None = None
        if isinstance(dataset, Images):  # read now, so that a mistake in the data shows before training starts
            images, labels = dataset.tensors
            self._tensors = images.to(device), labels.to(device)

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
        draws = self._draws(epoch)
        for part, (images, labels) in zip(parts, self._raw(epoch, parts), strict=True):
            yield self._finish(images, None if draws is None else draws[part.to(draws.device)]), labels

    def close(self) -> None:
        """End the loader's workers; without it they would hold up the end of the process."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
        self._loader = None

    def _draws(self, epoch: int) -> Tensor | None:
        """Uniform numbers (samples, 3) in [0, 1) that decide each sample's vertical and horizontal shift and flip."""
        if not self.train or not (self.batching.shift or self.batching.flip):
            return None
        draws = torch.rand(self.samples, 3, generator=randomness.generator(self.seed, "augment", epoch))
        return draws.to(self.device)

    def _finish(self, images: Tensor, draws: Tensor | None) -> Tensor:
        """Augment and normalize a batch (B, C, H, W) of uint8, or of floats, which only `mean` and `std` change."""
        if draws is not None:
            images = augment(images, draws, shift=self.batching.shift, flip=self.batching.flip)
        images = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
        if self.batching.mean is not None and self.batching.std is not None:
            images = (images - self._channels(self.batching.mean)).div_(self._channels(self.batching.std))
        return images

    def _channels(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=self.device).view(-1, 1, 1)

    def _raw(self, epoch: int, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images as the data set stores them and labels, on the device, for each of the index lists `parts`."""
        if self._tensors is not None:
            images, labels = self._tensors
            for part in parts:
                indices = part.to(self.device)
                yield images[indices], labels[indices]
        else:
            self._places.batches = [[(epoch, index) for index in part.tolist()] for part in parts]
            if self._loader is None:
                self._loader = self._make_loader()
            try:
                for part, (images, labels) in zip(parts, self._loader, strict=True):
                    check_labels(labels, self.num_classes, part.tolist())
                    yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            except UserError as error:
                raise UserError(describe_error(error)) from error

    def _make_loader(self) -> DataLoader:
        workers = self.batching.workers
        return DataLoader(
            _Addressed(self.dataset, self.seed),
            batch_sampler=self._places,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_signals_to_the_parent,
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # otherwise the loader draws from the generator that dropout uses
        )


def batches_per_epoch(samples: int, batching: Batching, *, train: bool) -> int:
    """How many batches one pass over `samples` has; the last may be smaller, or be dropped in training."""
    if train and batching.drop_last:
        return samples // batching.batch_size
    return -(-samples // batching.batch_size)


def augment(images: Tensor, draws: Tensor, *, shift: int, flip: bool) -> Tensor:
    """Move each image (of B, C, H, W) by up to `shift` pixels and mirror it or not, as its row of `draws` (B, 3) says.

    A shift is a crop of the image padded with black, as in He et al., 2015, arXiv:1512.03385, section 4.2.
    """
    if shift:
        height, width = images.shape[-2:]
        windows = F.pad(images, [shift] * 4).unfold(2, height, 1).unfold(3, width, 1)
        top, left = (draws[:, :2] * (2 * shift + 1)).long().unbind(1)
        images = windows[torch.arange(len(images), device=images.device), :, top, left]
    if flip:
        images = torch.where(draws[:, 2].view(-1, 1, 1, 1) < 0.5, images.flip(3), images)
    return images


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

    def __getitems__(self, places: list[tuple[int, int]]) -> list[tuple[Tensor, int, int]]:
        before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
        samples = []
        for epoch, index in places:
            randomness.seed_sample(self.seed, epoch, index)
            image, label = self.dataset[index]
            samples.append((as_tensor(image), int(label), index))
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        numpy.random.set_state(before[2])
        return samples


def _collate(samples: list[tuple[Tensor, int, int]]) -> tuple[Tensor, Tensor]:
    """Stack samples to images (B, C, H, W) and labels (B,) int64; all images must have one shape."""
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


def _leave_signals_to_the_parent(_: int) -> None:
    """A signal to the whole process group must not end a worker before the run has saved.

    The run shuts its workers down itself; should it be gone, the alarm ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_TO_SAVE))
