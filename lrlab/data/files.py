"""The file that holds all images of a data set: its layout, its name, and how it is made.

Several processes write into one file at a time, through mappings of it: no pixel goes through a pipe.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrlab.data.kinds import kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.system import disk

_VERSION = 1  # of the layout


class Layout(NamedTuple):
    """Labels (N,) int64, and then images (N, C, H, W) uint8, with N = `samples` and (C, H, W) = `shape`."""

    samples: int
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return self.samples * (8 + prod(self.shape))

    def is_whole(self, file: Path) -> bool:
        """Whether `file` is there and complete: it gets its name when it is whole, so another size is damage."""
        return file.exists() and file.stat().st_size == self.size_bytes

    def views(self, file: Path, *, shared: bool) -> tuple[Tensor, Tensor]:
        """The images and labels in `file`, mapped: to be written if they are `shared`, or else only read."""
        whole = torch.from_file(str(file), shared=shared, size=self.size_bytes, dtype=torch.uint8)
        labels_end = 8 * self.samples
        return whole[labels_end:].view(self.samples, *self.shape), whole[:labels_end].view(torch.int64)


def layout(dataset: MapDataset, shape: tuple[int, ...]) -> Layout:
    return Layout(len(dataset), tuple(shape))


def path_of(dataset: MapDataset, shape: tuple[int, ...], folder: Path) -> Path:
    """The file below `folder` for this very content of a data set that is fixed."""
    content = (_VERSION, len(dataset), tuple(shape), kind_of(dataset).fingerprint())
    return folder / hashlib.sha256(repr(content).encode()).hexdigest()[:32] / "images"


def is_there(dataset: MapDataset, shape: tuple[int, ...], folder: Path) -> bool:
    """Whether an earlier run left the images of `dataset` below `folder`.

    `Images` have a name only once they are loaded, so any file of their size is taken for theirs.
    """
    kind = kind_of(dataset)
    if not kind.is_fixed or not folder.is_dir():
        return False
    whole = layout(dataset, shape).is_whole
    if kind.at_once:
        return any(whole(file) for file in folder.glob("*/images"))
    return whole(path_of(dataset, shape, folder))


@contextmanager
def nameless(size_bytes: int, folder: Path | None) -> Iterator[Path]:
    """A file of that size, in memory or on the disk of `folder`; it is gone when nothing maps it any more."""
    with _nameless(folder) as path:
        with path.open("r+b") as handle:
            if folder is None:
                os.ftruncate(handle.fileno(), size_bytes)
            else:
                _reserve(handle.fileno(), size_bytes)
        yield path


@contextmanager
def _nameless(folder: Path | None) -> Iterator[Path]:
    """An empty file without a name; not in /dev/shm, which is as small as 64 MB in a container."""
    if sys.platform != "linux":
        with tempfile.NamedTemporaryFile(dir=folder) as named:
            yield Path(named.name)
        return
    in_memory: Any = os.fdopen(os.memfd_create("lrlab"), "wb") if folder is None else None
    with in_memory or tempfile.TemporaryFile(dir=folder) as file:
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def write(file: Path, size_bytes: int, fill: Callable[[Path], Any]) -> None:
    """Let `fill` write to a file of that size, which then becomes `file`: whole, or not at all.

    The caller holds the folder against other processes.
    """
    for left_behind in file.parent.glob("*.part"):  # by a process that was killed
        left_behind.unlink(missing_ok=True)
    part = file.with_name(f"{os.getpid()}.part")
    try:
        with disk.new_file(part) as handle:
            _reserve(handle.fileno(), size_bytes)
            fill(part)
            os.fsync(handle.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _reserve(handle: int, size_bytes: int) -> None:
    """Give a file its size and its room on the disk: a process that writes to a mapping is killed where room lacks."""
    os.ftruncate(handle, size_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size_bytes)
