"""Where there is room for the images of a data set while it is trained on, known before more than the first is read."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from lrlab.data import files
from lrlab.data.kinds import kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.errors import UserError, wrong
from lrlab.system import distributed, memory

_SHARED = Path("/dev/shm")  # where Linux has the memory that processes share
KEPT = ("device", "memory", "disk")
CACHES = ("auto", *KEPT, "none")


class Choice(NamedTuple):
    """Where the images are kept, and how large they are there."""

    place: str
    size_bytes: int


def choose(
    datasets: Sequence[MapDataset],
    shape: tuple[int, ...],
    *,
    cache: str,
    budget_bytes: int | None,
    folder: Callable[[], Path],
    device: torch.device,
) -> Choice:
    """Where to keep `datasets`, with images of `shape`: in `cache`, or the first place with room if that is "auto".

    A place has room for `budget_bytes`, or if that is None for half of what is free there. Raises UserError where the
    place that was asked for has too little. For "auto" it reads the first image, or else none. `folder` says
    where they are kept on disk. It is asked only where that comes into question: the default is in a home, and some
    users have none.
    """
    size = sum(len(dataset) * kind_of(dataset).bytes_each(shape) for dataset in datasets)
    if cache == "none":
        return Choice("none", size)
    if cache == "auto" and not all(kind_of(dataset).can_be_kept() for dataset in datasets):
        return Choice("none", size)
    fits_files = all(kind_of(dataset).can_be_on_disk() for dataset in datasets)
    if cache == "disk" and not fits_files:
        got = "disk, for samples that are no images of bytes with labels"
        raise wrong("data.cache", got=got, allowed="auto, device, memory or none", do="data.cache=auto")
    if cache == "disk" and not _is_writable(folder()) and not _are_there(datasets, shape, folder()):
        raise wrong(
            "data.cache_dir",
            got=f"{folder()}, which cannot be written to",
            allowed="a folder that can be made and written to",
            do="data.cache_dir=FOLDER, or data.cache=auto",
        )
    places: tuple[str, ...] = (cache,)
    if cache == "auto":
        places = KEPT if fits_files else tuple(place for place in KEPT if place != "disk")
    for place in places:
        try:
            room = _half_of_free_bytes(place, folder, device) if budget_bytes is None else budget_bytes
            fits = size <= room or (place == "disk" and _are_there(datasets, shape, folder()))
        except UserError:  # nobody knows where the folder is
            if cache != "auto":
                raise
            fits = False
        if fits:
            return Choice(_as_the_device_sees_it(place, device), size)
    if cache == "auto":
        return Choice("none", size)
    raise _too_small(cache, size, room, budget_bytes)


def require_shared_memory(batch_bytes: int, *, workers: int, prefetch: int) -> None:
    """Raise UserError where the batches that `workers` make ahead do not fit where processes share memory.

    Containers often have 64 MB there, and a process that has no room stops or is killed without a word.
    """
    needed = batch_bytes * (workers * prefetch + 1)  # and the one that is trained on
    free = _free_shared_bytes()
    if workers and free is not None and needed > free:
        raise wrong(
            "data.workers",
            got=f"{workers} that make {prefetch} batches each ahead, {in_words(needed)} of shared memory",
            allowed=f"what {_SHARED} has free, {in_words(free)}",
            do="data.workers=0, or more of it (docker run --shm-size=1g)",
        )


def _free_shared_bytes() -> int | None:
    """What is free where torch's processes share memory on Linux; None elsewhere."""
    return shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else None


def _are_there(datasets: Sequence[MapDataset], shape: tuple[int, ...], folder: Path) -> bool:
    """Whether an earlier run left all of them on disk, so that they need no room; asked late, for it looks at files."""
    return all(files.is_there(dataset, shape, folder) for dataset in datasets)


def _as_the_device_sees_it(place: str, device: torch.device) -> str:
    """The memory of the CPU is memory, under whichever name it was chosen."""
    return "memory" if place == "device" and device.type == "cpu" else place


def _too_small(place: str, size_bytes: int, room_bytes: int, budget_bytes: int | None) -> UserError:
    why = "half of what is free there" if budget_bytes is None else "what data.cache_bytes allows"
    return wrong(
        "data.cache",
        got=f"{place}, for images of {in_words(size_bytes)}",
        allowed=f"at most {in_words(room_bytes)}, {why}",
        do="data.cache=auto, or data.cache_bytes=BYTES",
    )


def in_words(size_bytes: int) -> str:
    """
    >>> in_words(54_880_000), in_words(1797)
    ('54.9 MB', '1.8 kB')
    """
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    if size_bytes >= 1e6:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{size_bytes / 1e3:.1f} kB"


def _half_of_free_bytes(place: str, folder: Callable[[], Path], device: torch.device) -> int:
    """This rank's share of half of what is free: each rank keeps its own copy in memory, not on its GPU or on disk."""
    in_memory = _as_the_device_sees_it(place, device) == "memory"
    copies = distributed.local_ranks() if in_memory else 1
    return _free_bytes(place, folder, device) // (2 * copies)


def _free_bytes(place: str, folder: Callable[[], Path], device: torch.device) -> int:
    if place == "disk":
        existing = _nearest_existing(folder())
        return shutil.disk_usage(existing).free if os.access(existing, os.W_OK) else 0
    return memory.free_bytes(device if place == "device" else torch.device("cpu"))


def _nearest_existing(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())


def _is_writable(folder: Path) -> bool:
    existing = _nearest_existing(folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) and _makes_files(existing)


def _makes_files(folder: Path) -> bool:
    """Whether a file can be made there: root may write everywhere, by the permissions, and yet not to /proc."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
