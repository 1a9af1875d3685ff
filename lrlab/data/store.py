"""Images that are kept: decoded once, in parallel, into memory or a file that later runs find.

Those in memory can be used while they are still being decoded, in the order in which they are needed.

A cache holds labels (N,) int64 and then images (N, C, H, W) uint8 in one piece, mapped from a file on disk or from
memory without a name, into which all decoding processes write; no pixel goes through a pipe and none is held twice.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import loader
from lrlab.data.room import file_on_disk, is_fixed, is_whole, size_on_disk
from lrlab.data.splits import Images, MapDataset, as_tensor, check_labels, describe_error, other_shape
from lrlab.errors import UserError, wrong
from lrlab.system import process, randomness
from lrlab.system.lock import held

_CHUNK = 32  # images that a process decodes at a time
_IMAGES_WORTH_A_PROCESS = 256

Progress = Callable[[int, int], None]  # is told how many images are read, of how many


def keep(
    dataset: MapDataset,
    place: str,
    *,
    shape: tuple[int, ...],
    num_classes: int,
    folder: Path,
    device: torch.device,
    workers: int,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """All images (N, C, H, W) and labels (N,) of `dataset`, read by as many processes as help, `workers` or more.

    They are on `device`, in memory, or memory-mapped from below `folder`, as `place` says. Raises UserError where an
    image or label is not what it should be.
    """
    shape = tuple(shape)
    if isinstance(dataset, Images) and place != "disk":
        images, labels = dataset.tensors
    else:
        reading = _Reading(dataset, shape, num_classes, workers, progress or (lambda _done, _total: None))
        images, labels = _mapped(reading, folder) if place == "disk" else _in_memory(reading)
    if place == "device":
        images, labels = images.to(device), labels.to(device)
    if isinstance(dataset, Images) and (place == "disk" or images.device.type != "cpu"):
        dataset.forget()
    return images, labels


class Arrivals:
    """Images (N, C, H, W) uint8 and labels (N,) int64 that are read into memory while they are used, in `order` (N,).

    Those at some indices are there once `wait` has returned. `close` ends the reading, whether or not it is done.
    """

    def __init__(self, dataset: MapDataset, order: Tensor, *, shape: tuple[int, ...], num_classes: int, workers: int):
        reading = _Reading(dataset, tuple(shape), num_classes, workers, _unheard)
        self._open = ExitStack()
        path = self._open.enter_context(_sized(reading, None))
        self.images, self.labels = reading.views(path, shared=True)
        self._arrivals = reading.arrivals(path, order, beside=True)
        self._open.callback(self._arrivals.close)
        self._turn = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))  # of each index
        self._there = 0

    @property
    def all_there(self) -> bool:
        return self._there == len(self._turn)

    def wait(self, indices: Tensor) -> None:
        """Wait for those at `indices` (B,). Raises UserError where one that comes before is not what it should be."""
        while self._there <= int(self._turn[indices].max()):
            self._there = next(self._arrivals)

    def close(self) -> None:
        self._open.close()


class _Reading(NamedTuple):
    """A data set that is to be read whole, and how."""

    dataset: MapDataset
    shape: tuple[int, ...]
    num_classes: int
    workers: int
    progress: Progress

    @property
    def size_bytes(self) -> int:
        return size_on_disk(self.dataset, self.shape)

    def views(self, path: Path, *, shared: bool) -> tuple[Tensor, Tensor]:
        """The images and labels in the file `path`, mapped: to be written if they are `shared`, or else only read."""
        whole = torch.from_file(str(path), shared=shared, size=self.size_bytes, dtype=torch.uint8)
        count = len(self.dataset)
        return whole[8 * count :].view(count, *self.shape), whole[: 8 * count].view(torch.int64)

    def into(self, path: Path) -> tuple[Tensor, Tensor]:
        """Read the data set into the file `path`, which has its size; the images and labels there."""
        images, labels = self.views(path, shared=True)
        if isinstance(self.dataset, Images):
            source = self.dataset.tensors
            _require_uint8(source[0], 0)
            images.copy_(source[0])
            labels.copy_(source[1])
        else:
            for done in self.arrivals(path, torch.arange(len(self.dataset))):
                self.progress(done, len(self.dataset))
        return images, labels

    def arrivals(self, path: Path, order: Tensor, *, beside: bool = False) -> Generator[int, None, None]:
        """Decode into the file `path`; of the images and labels in `order` (N,), how many are there, again and again.

        The processes go on by themselves, however slowly this is iterated over; if they work `beside` training, they
        leave it the cores that it uses.
        """
        workers = min(max(self.workers, process.cores()), len(order) // _IMAGES_WORTH_A_PROCESS)
        work = _Chunks(self, path, order)
        ahead = len(work)  # all of it: an item is a number, the pixels are in the file
        chunks = iter(loader.start(work, workers=workers, ahead=ahead, in_background=beside, batch_size=None))
        done = 0
        try:
            for read in chunks:
                done += read
                yield done
        except UserError as error:
            raise UserError(describe_error(error)) from error
        finally:
            loader.end(chunks)


class _Chunks(Dataset):
    """The work of decoding in pieces; each item that is asked for is done, and is the number of images in it."""

    def __init__(self, reading: _Reading, path: Path, order: Tensor):
        self.dataset = reading.dataset
        self.order = order.numpy()  # tensors would take a file descriptor each on their way to another process
        self.fixed = is_fixed(self.dataset)  # or else it may draw, and does so by index, whoever reads it
        self.reading, self.path = reading._replace(progress=_unheard), path
        self.views: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return (len(self.order) + _CHUNK - 1) // _CHUNK

    def __getitem__(self, chunk: int) -> int:
        if self.views is None:
            self.views = self.reading.views(self.path, shared=True)
        images, labels = (view.numpy() for view in self.views)  # small writes cost a third of what a tensor's do
        indices = self.order[chunk * _CHUNK : (chunk + 1) * _CHUNK].tolist()
        with randomness.undisturbed():
            for index in indices:
                if not self.fixed:
                    randomness.seed_sample(0, 0, index)
                image, label = self.dataset[index]
                pixels = as_tensor(image)
                _require_uint8(pixels, index)
                if tuple(pixels.shape) != self.reading.shape:
                    raise other_shape(self.reading.dataset, (0, self.reading.shape), (index, pixels.shape))
                images[index], labels[index] = pixels.numpy(), int(label)
        check_labels(torch.from_numpy(labels[indices]), self.reading.num_classes, indices)
        return len(indices)


def _unheard(_done: int, _total: int) -> None:
    pass


def require_bytes(dataset: MapDataset) -> None:
    """Raise UserError unless the first image has a byte a value, as those that are kept must."""
    with randomness.undisturbed():
        _require_uint8(as_tensor(dataset[0][0]), 0)


def _require_uint8(pixels: Tensor, index: int) -> None:
    if pixels.dtype != torch.uint8:
        raise wrong(
            "data.cache",
            got=f"an image of {str(pixels.dtype).removeprefix('torch.')} at index {index}",
            allowed="images of uint8, which can be kept",
            do="data.cache=none",
        )


def _in_memory(reading: _Reading, folder: Path | None = None) -> tuple[Tensor, Tensor]:
    """The images and labels, read into a file without a name: in memory, or on the disk of `folder`."""
    with _sized(reading, folder) as path:
        return reading.into(path)


@contextmanager
def _sized(reading: _Reading, folder: Path | None) -> Iterator[Path]:
    """A file as of `_nameless` that has room for what is to be read."""
    with _nameless(folder) as path:
        with path.open("r+b") as handle:
            (os.ftruncate if folder is None else _reserve)(handle.fileno(), reading.size_bytes)
        yield path


@contextmanager
def _nameless(folder: Path | None) -> Iterator[Path]:
    """A file that is gone when nothing maps it any more, in memory where `folder` is None.

    Not in /dev/shm, which is as small as 64 MB in a container.
    """
    if sys.platform == "linux":
        memory: Any = os.fdopen(os.memfd_create("lrlab"), "wb") if folder is None else None
        with memory or tempfile.TemporaryFile(dir=folder) as file:
            yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            yield Path(file.name)


def _mapped(reading: _Reading, folder: Path) -> tuple[Tensor, Tensor]:
    """The images and labels from the file under `folder` that holds this very content, made now if there is none."""
    if not is_fixed(reading.dataset):  # whoever asked for the disk says that it is, but not what it holds
        folder.mkdir(parents=True, exist_ok=True)
        return _in_memory(reading, folder)
    file = file_on_disk(reading.dataset, reading.shape, folder)
    home = file.parent
    home.mkdir(parents=True, exist_ok=True)
    if not is_whole(reading.dataset, reading.shape, file):
        with ExitStack() as stack:
            _hold(stack, home, reading)
            if not is_whole(reading.dataset, reading.shape, file):
                _write(file, reading)
    images, labels = reading.views(file, shared=False)
    check_labels(labels, reading.num_classes)
    return images, labels


def _hold(stack: ExitStack, home: Path, reading: _Reading) -> None:
    """Hold `home` against other processes until `stack` ends, after those that fill it now, if any."""
    while True:
        try:
            stack.enter_context(held(home, what="reading images", patience_seconds=0.5))
            return
        except UserError:
            reading.progress(0, len(reading.dataset))  # it may want to stop


def _write(file: Path, reading: _Reading) -> None:
    """Read the data set into `file`: whole, or not at all."""
    for left_behind in file.parent.glob("*.part"):  # by a process that was killed
        left_behind.unlink(missing_ok=True)
    part = file.with_name(f"{os.getpid()}.part")
    try:
        with part.open("wb") as handle:
            _reserve(handle.fileno(), reading.size_bytes)
            reading.into(part)
            os.fsync(handle.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _reserve(handle: int, size_bytes: int) -> None:
    """Give a file its size and its room on the disk, the lack of which would kill whoever writes to the mapping."""
    os.ftruncate(handle, size_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size_bytes)
