"""Images that are kept: decoded once, into memory or a file that later runs find.

Those in memory can be used while the others are still being decoded, in the order in which they are needed.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from lrlab.data import files
from lrlab.data.decoding import Progress, WholeReading, nothing, unheard
from lrlab.data.kinds import kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.data.targets import check_labels
from lrlab.errors import UserError
from lrlab.system.lock import held


def keep(
    dataset: MapDataset,
    place: str,
    *,
    shape: tuple[int, ...],
    num_classes: int | None,
    folder: Path | None,
    device: torch.device,
    workers: int,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """All images (N, C, H, W) and labels (N,) of `dataset`, read by as many processes as help, `workers` or more.

    They are on `device`, in memory, or memory-mapped from below `folder`, as `place` says; only "disk" needs one.
    Raises UserError where an image or label is not what it should be.
    """
    kind = kind_of(dataset)
    reading = WholeReading(dataset, tuple(shape), num_classes, workers, progress or unheard)
    loaded = kind.load() if place != "disk" else None
    if place == "disk":
        assert folder is not None
        images, labels = _mapped(reading, folder)
    elif loaded is not None:
        images, labels = loaded
    else:
        images, labels = _nameless(reading, None)
    if place == "device":
        images, labels = images.to(device), labels.to(device)
    if place == "disk" or images.device.type != "cpu":
        kind.forget()  # no second copy
    return images, labels


class Arrivals:
    """Images (N, C, H, W) uint8 and labels (N,) int64 that are read into memory while they are used, in `order` (N,).

    Those at some indices are there once `wait` has returned. `close` ends the reading, whether or not it is done.
    """

    def __init__(
        self,
        dataset: MapDataset,
        order: Tensor,
        *,
        shape: tuple[int, ...],
        num_classes: int | None,
        workers: int,
        waiting: Callable[[], None] = nothing,
    ):
        reading = WholeReading(dataset, tuple(shape), num_classes, workers, waiting=waiting)
        self._open = ExitStack()
        file = self._open.enter_context(files.nameless(reading.layout.size_bytes, None))
        self.images, self.labels = reading.layout.views(file, shared=True)
        self._arrivals = reading.arrivals(file, order, beside=True)
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


def _nameless(reading: WholeReading, folder: Path | None) -> tuple[Tensor, Tensor]:
    """The images and labels, read into a file without a name: in memory, or on the disk of `folder`."""
    with files.nameless(reading.layout.size_bytes, folder) as file:
        return reading.into(file)


def _mapped(reading: WholeReading, folder: Path) -> tuple[Tensor, Tensor]:
    """The images and labels from the file under `folder` that holds this very content, made now if there is none."""
    if not kind_of(reading.dataset).is_fixed:  # its content has no name, so nobody could find it again
        folder.mkdir(parents=True, exist_ok=True)
        return _nameless(reading, folder)
    file = files.path_of(reading.dataset, reading.shape, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not reading.layout.is_whole(file):
        with ExitStack() as stack:
            _hold(stack, file.parent, reading)
            if not reading.layout.is_whole(file):  # another process may have made it in the meantime
                files.write(file, reading.layout.size_bytes, reading.into)
    images, labels = reading.layout.views(file, shared=False)
    check_labels(labels, reading.num_classes)
    return images, labels


def _hold(stack: ExitStack, home: Path, reading: WholeReading) -> None:
    """Hold `home` against other processes until `stack` ends, after those that fill it now, if any."""
    while True:
        try:
            stack.enter_context(held(home, what="reading images", patience_seconds=0.5))
            return
        except UserError:
            reading.progress(0, len(reading.dataset))  # it may want to stop
