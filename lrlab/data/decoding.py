"""Reading a whole data set into a file, in parallel: each process decodes some images at a time into its mapping."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import files, loader
from lrlab.data.kinds import first_image, kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.data.samples import as_tensor, other_shape
from lrlab.data.targets import as_class, check_labels
from lrlab.errors import UserError, wrong
from lrlab.system import process, randomness

_CHUNK = 32  # images that a process decodes at a time
_IMAGES_WORTH_A_PROCESS = 256

Progress = Callable[[int, int], None]  # is told how many images are read, of how many


def unheard(_done: int, _total: int) -> None:
    """The progress of reading that nobody follows."""


def nothing() -> None:
    """What is to be done while images do not come, where there is nothing to do."""


class WholeReading(NamedTuple):
    """A data set that is to be read whole, and how."""

    dataset: MapDataset
    shape: tuple[int, ...]
    num_classes: int | None
    workers: int
    progress: Progress = unheard
    waiting: Callable[[], None] = nothing  # is called while no more images come

    @property
    def layout(self) -> files.Layout:
        return files.layout(self.dataset, self.shape)

    def into(self, file: Path) -> tuple[Tensor, Tensor]:
        """Read the data set into `file`, which has its size; returns the images and labels there."""
        images, labels = self.layout.views(file, shared=True)
        loaded = kind_of(self.dataset).load()
        if loaded is not None:
            require_uint8(loaded[0], 0)
            images.copy_(loaded[0])
            labels.copy_(loaded[1])
            return images, labels
        for done in self.arrivals(file, torch.arange(len(self.dataset))):
            self.progress(done, len(self.dataset))
        return images, labels

    def arrivals(self, file: Path, order: Tensor, *, beside: bool = False) -> Generator[int, None, None]:
        """Decode into `file`; yields again and again how many of the images in `order` (N,) are there.

        The processes go on by themselves, however slowly this is iterated over. If they work `beside` training, they
        leave it the cores that it uses.
        """
        workers = min(max(self.workers, process.cores()), len(order) // _IMAGES_WORTH_A_PROCESS)
        work = _Chunks(self, file, order)
        ahead = len(work)  # all of it: an item is a number, the pixels are in the file
        chunks = iter(loader.start(work, workers=workers, ahead=ahead, in_background=beside, batch_size=None))
        done = 0
        try:
            for read in loader.each(chunks, waiting=self.waiting):
                done += read
                yield done
        except UserError as error:
            raise loader.as_raised(error) from error
        finally:
            loader.end(chunks)


class _Chunks(Dataset):
    """The work of decoding, in pieces: to ask for an item does that piece, and the item is its number of images."""

    def __init__(self, reading: WholeReading, file: Path, order: Tensor):
        self.reading = reading._replace(progress=unheard, waiting=nothing)  # another process cannot have the caller's
        self.file = file
        self.order = order.numpy()  # tensors would take a file descriptor each on their way to another process
        self.is_fixed = kind_of(reading.dataset).is_fixed
        self.views: tuple[Tensor, Tensor] | None = None  # of each process

    def __len__(self) -> int:
        return (len(self.order) + _CHUNK - 1) // _CHUNK

    def __getitem__(self, chunk: int) -> int:
        if self.views is None:
            self.views = self.reading.layout.views(self.file, shared=True)
        images, labels = (view.numpy() for view in self.views)  # small writes cost a third of what a tensor's do
        indices = self.order[chunk * _CHUNK : (chunk + 1) * _CHUNK].tolist()
        with randomness.undisturbed():
            for index in indices:
                pixels, labels[index] = self._read(index)
                images[index] = pixels.numpy()
        check_labels(torch.from_numpy(labels[indices]), self.reading.num_classes, indices)
        return len(indices)

    def _read(self, index: int) -> tuple[Tensor, int]:
        """The image, checked, and its label."""
        if not self.is_fixed:  # it may draw, and then draws the same whichever process reads it
            randomness.seed_sample(0, 0, index)
        image, label = self.reading.dataset[index]
        pixels = as_tensor(image)
        require_uint8(pixels, index)
        if tuple(pixels.shape) != self.reading.shape:
            raise other_shape(self.reading.dataset, (0, self.reading.shape), (index, pixels.shape))
        return pixels, as_class(label, index)


def require_bytes(dataset: MapDataset) -> None:
    """Raise UserError unless the first image has a byte a value, as those that are kept must."""
    require_uint8(first_image(dataset), 0)


def require_uint8(pixels: Tensor, index: int) -> None:
    if pixels.dtype != torch.uint8:
        raise wrong(
            "data.cache",
            got=f"an image of {str(pixels.dtype).removeprefix('torch.')} at index {index}",
            allowed="images of uint8, which can be kept",
            do="data.cache=none",
        )
