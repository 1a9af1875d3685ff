"""Where there is room for the images of a data set while it is trained on, known before more than the first is read."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch

from lrlab.data.splits import Images, MapDataset, as_tensor
from lrlab.errors import wrong
from lrlab.system import distributed, randomness

KEPT = ("device", "memory", "disk")
_VERSION = 1  # of the file on disk
CACHES = ("auto", *KEPT, "none")


class Choice(NamedTuple):
    """Where the images are kept, and how large they are there."""

    place: str
    size_bytes: int


def is_fixed(dataset: MapDataset) -> bool:
    """Whether reading an index always gives the same image: only the data set can know, and then it has a name."""
    return hasattr(dataset, "fingerprint")


def _can_be_kept(dataset: MapDataset) -> bool:
    """Whether it is fixed, and stores a byte a value, which the first image tells; `Images` are in memory anyhow."""
    if isinstance(dataset, Images) or not is_fixed(dataset):
        return is_fixed(dataset)
    with randomness.undisturbed():
        return as_tensor(dataset[0][0]).dtype == torch.uint8


def choose(
    datasets: Sequence[MapDataset],
    shape: tuple[int, ...],
    *,
    cache: str,
    budget_bytes: int | None,
    folder: Path,
    device: torch.device,
) -> Choice:
    """Where to keep `datasets`, with images of `shape`: in `cache`, or the first place with room if that is "auto".

    A place has room for `budget_bytes`, or if that is None for half of what is free there. Raises UserError where the
    place that was asked for has too little. For "auto" it reads the first image, or else none.
    """
    size = sum(len(dataset) for dataset in datasets) * prod(shape)
    if cache == "none" or (cache == "auto" and not all(map(_can_be_kept, datasets))):
        return Choice("none", size)
    if cache == "disk" and not _is_writable(folder) and not _are_there(datasets, shape, folder):
        raise wrong(
            "data.cache_dir",
            got=f"{folder}, which cannot be written to",
            allowed="a folder that can be made and written to",
            do="data.cache_dir=FOLDER, or data.cache=auto",
        )
    for place in KEPT if cache == "auto" else [cache]:
        own = place == "memory" or (place == "device" and device.type == "cpu")
        copies = distributed.local_ranks() if own else 1  # each rank keeps its own; GPUs and files are not shared out
        room = budget_bytes if budget_bytes is not None else _free_bytes(place, folder, device) // (2 * copies)
        if size <= room or (place == "disk" and _are_there(datasets, shape, folder)):
            return Choice("memory" if device.type == "cpu" and place == "device" else place, size)
    if cache == "auto":
        return Choice("none", size)
    why = "what data.cache_bytes allows" if budget_bytes is not None else "half of what is free there"
    raise wrong(
        "data.cache",
        got=f"{cache}, for images of {in_words(size)}",
        allowed=f"at most {in_words(room)}, {why}",
        do="data.cache=auto, or data.cache_bytes=BYTES",
    )


def file_on_disk(dataset: MapDataset, shape: tuple[int, ...], folder: Path) -> Path:
    """The file below `folder` for this very content of a data set that has a fingerprint."""
    content = (_VERSION, len(dataset), tuple(shape), dataset.fingerprint())  # type: ignore[attr-defined]
    return folder / hashlib.sha256(repr(content).encode()).hexdigest()[:32] / "images"


def size_on_disk(dataset: MapDataset, shape: tuple[int, ...]) -> int:
    """Bytes of that file: labels (N,) int64 and images (N, C, H, W) uint8."""
    return len(dataset) * (8 + prod(shape))


def is_whole(dataset: MapDataset, shape: tuple[int, ...], file: Path) -> bool:
    """A file gets its name when it is whole; another size is damage."""
    return file.exists() and file.stat().st_size == size_on_disk(dataset, shape)


def _are_there(datasets: Sequence[MapDataset], shape: tuple[int, ...], folder: Path) -> bool:
    """Whether an earlier run left all of them on disk, so that they need no room.

    `Images` have a name only once they are read, so a file of their size is taken for theirs.
    """
    return folder.is_dir() and all(_is_there(dataset, shape, folder) for dataset in datasets)


def _is_there(dataset: MapDataset, shape: tuple[int, ...], folder: Path) -> bool:
    if not is_fixed(dataset):
        return False
    if isinstance(dataset, Images):
        return any(is_whole(dataset, shape, file) for file in folder.glob("*/images"))
    return is_whole(dataset, shape, file_on_disk(dataset, shape, folder))


def in_words(size_bytes: int) -> str:
    """
    >>> in_words(54_880_000), in_words(1797)
    ('54.9 MB', '1.8 kB')
    """
    unit, name = next(((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB")) if size_bytes >= unit), (1e3, "kB"))
    return f"{size_bytes / unit:.1f} {name}"


def _free_bytes(place: str, folder: Path, device: torch.device) -> int:
    if place == "disk":
        return shutil.disk_usage(_existing(folder)).free if os.access(_existing(folder), os.W_OK) else 0
    if place == "device" and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if place == "device" and device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return _free_memory_bytes()


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(path for path in [folder, *folder.absolute().parents] if path.exists())


def _is_writable(folder: Path) -> bool:
    existing = _existing(folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) and _makes_files(existing)


def _makes_files(folder: Path) -> bool:
    """Whether a file can be made there: root may write everywhere, by the permissions, and yet not to /proc."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _free_memory_bytes() -> int:
    """What Linux says it could still give, in this container too; elsewhere half of all there is."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # there is no such file, or it says "max"
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, max(limit - used, 0))
    return free
