"""The data sets that there are: each function returns its `Splits` and is the `_target_` of a file in conf/data."""

import functools
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lrlab.data import contents, image_files
from lrlab.data import digits as digits_file
from lrlab.data.batches import Batching
from lrlab.data.held_out import OFFICIAL, share
from lrlab.data.map_datasets import Fixed, Images
from lrlab.data.splits import Splits
from lrlab.errors import UserError, closest, first_line, wrong
from lrlab.system import disk

# Folders of a split, in any letters.
_TRAIN, _VAL, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test",)
AUTO = "auto"  # the folder for validation where there is one, or else a share of the training images
_HELD_OUT = "10%"
_LOOKED_AT = 200  # images whose headers say what is unusual about them


def digits() -> Splits:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey, in a fixed stratified 80/20 split; nothing to download.

    Pixels 0..16 become 0..255. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    load = functools.cache(digits_file.splits)  # one reading for both splits
    train = Images(digits_file.TRAIN, digits_file.SHAPE, digits_file.NUM_CLASSES, lambda: load()[0])
    val = Images(digits_file.VAL, digits_file.SHAPE, digits_file.NUM_CLASSES, lambda: load()[1])
    return Splits(train, val, digits_file.NUM_CLASSES)


class _Known(NamedTuple):
    """What is known of a torchvision data set without opening it."""

    train: int
    val: int
    shape: tuple[int, int, int]
    num_classes: int


_TORCHVISION = {
    "MNIST": _Known(60_000, 10_000, (1, 28, 28), 10),
    "FashionMNIST": _Known(60_000, 10_000, (1, 28, 28), 10),
    "KMNIST": _Known(60_000, 10_000, (1, 28, 28), 10),
    "CIFAR10": _Known(50_000, 10_000, (3, 32, 32), 10),
    "CIFAR100": _Known(50_000, 10_000, (3, 32, 32), 100),
}


def torchvision_images(name: str, root: str, download: bool = True) -> Splits:
    """A data set of `torchvision.datasets` that fits in memory, with its own training and test split.

    `name` is MNIST, FashionMNIST, KMNIST, CIFAR10 or CIFAR100. `root` is the folder of torchvision's files; those that
    are missing are fetched to it. Raises UserError where they are missing and may not be fetched.
    """
    known = _TORCHVISION[name]
    folder = disk.expanded(root, "data.root")
    if not download and not folder.is_dir():
        raise wrong(
            "data.root",
            got=f"{folder.absolute()}, which does not exist",
            allowed=f"a folder that holds torchvision's {name} files",
            do="data.root=FOLDER, or data.download=true",
        )

    def load(train: bool) -> tuple[Tensor, Tensor]:
        import torchvision.datasets

        was_there = folder.exists()
        try:
            source = getattr(torchvision.datasets, name)(folder, train=train, download=download)
        except (RuntimeError, OSError) as error:
            if not was_there:
                _remove_empty(folder)
            raise wrong(
                "data.root",
                got=f"no usable {name} in {folder.absolute()} ({first_line(error)})",
                allowed="a folder with torchvision's files, or a network to fetch them from",
                do="data.root=FOLDER, or data=digits, which needs no download",
            ) from error
        pixels = torch.as_tensor(source.data)
        images = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
        return images, torch.as_tensor(source.targets).long()

    def part(train: bool) -> Images:
        count = known.train if train else known.val
        return Images(count, known.shape, known.num_classes, functools.partial(load, train))

    return Splits(train=part(True), val=part(False), num_classes=known.num_classes)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those inside of it, as far as they are empty: what a download made that failed."""
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # it holds something
            os.rmdir(place)


def image_folder(
    root: str,
    image_size: int | None = None,
    val: float | str | None = None,
    skip_bad: float | str | None = 0,
    split_seed: int = 0,
) -> Splits:
    """Any folder `root` with `train/<class>/*`, and `val/<class>/*`, `test/<class>/*` or both (also capitalized).

    With `val="auto"` the folder `val` (or valid, validation) is for validation and `test` for testing; where there is
    none for validation, a tenth of the training images is held out for it. With `val="official"`, or None, the first of
    these folders is for validation, and there is no test split. With a share, such as 0.1 or "10%", the validation
    images are taken from `train/<class>/*`, or from `<class>/*` where there is no folder `train`: by the names of the
    files and `split_seed`, so that others that are added move none.

    With `skip_bad`, a share too, all files are decoded once before training, and those that do not decode are left out.

    Raises UserError where a folder is missing, a class has no images, or there are fewer than two classes.
    """
    folder = disk.expanded(root, "data.root")
    may_be_bad = share("data.skip_bad", skip_bad) if skip_bad or skip_bad is False else 0.0
    found = _listings(folder, val, split_seed)
    classes = list(found.train.homes)
    judging = {"validation": found.val, "test": found.test}
    for name, listing in judging.items():
        if listing is not None:
            _require_classes(found.train, listing, folder, name)
    parts = [listing.split(image_size, classes) for listing in found if listing is not None]
    left_out: list[str] = []
    if may_be_bad:
        from lrlab.data import bad_files  # imports PIL, which most data sets do not need

        tried = [bad_files.without_bad(part, may_be_bad, Batching.cache_dir) for part in parts]
        parts = [good for good, _ in tried]
        left_out = [*chain.from_iterable(bad for _, bad in tried)]
    if image_size is None:
        _require_one_size([*chain.from_iterable(part.first_of_each_class() for part in parts)])
    train, held_out, *test = parts
    notes = (*_notes(found, train), *left_out)
    return Splits(train, held_out, num_classes=len(classes), notes=notes, test=test[0] if test else None)


class _Listings(NamedTuple):
    """The files of each split."""

    train: image_files.Listing
    val: image_files.Listing
    test: image_files.Listing | None


def _listings(folder: Path, val: float | str | None, seed: int) -> _Listings:
    """The files of a folder's splits, as `image_folder` says."""
    train, own, test = (_find(folder, names) for names in (_TRAIN, _VAL, _TEST))
    _require_apart(train, own, test)
    if val in (None, OFFICIAL):
        held_out = own or test
        if train is None or held_out is None:
            raise _no_splits(folder, train, held_out)
        return _Listings(image_files.listing(train), image_files.listing(held_out), None)
    if val == AUTO:
        if train is None or (own is None and test is None):
            raise _no_splits(folder, train, own)
        val = _HELD_OUT if own is None else None
    held = None if val is None else share("data.val", val, or_else=f", {AUTO} or {OFFICIAL}")
    tested = image_files.listing(test) if test is not None else None
    if held is None:
        assert train is not None
        assert own is not None
        return _Listings(image_files.listing(train), image_files.listing(own), tested)
    if own is not None:
        got = f"a share, for {folder.absolute()}, which has a folder {own.name}"
        raise wrong("data.val", got=got, allowed="one of them", do=f"data.val={AUTO}")
    if not folder.is_dir():
        raise _no_splits(folder, train, own)
    whole = image_files.listing(train or folder)
    left = whole.keep(validation=False, share=held, seed=seed)
    return _Listings(left, whole.keep(validation=True, share=held, seed=seed), tested)


def _require_apart(*folders: Path | None) -> None:
    """Raise UserError where links make one folder of two: what is trained on would also judge."""
    there = [folder for folder in folders if folder is not None]
    real = [folder.resolve() for folder in there]
    for folder, place in zip(there, real, strict=True):
        if real.count(place) > 1:
            got = f"{folder}, which leads to the same place as another split"
            raise wrong("data.root", got=got, allowed="a folder of its own for each split", do="remove the link")


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of the folders `names` in `folder`, in small letters or others."""
    if not folder.is_dir():
        return None
    there = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()}
    return next((there[name] for name in names if name in there), None)


def _no_splits(folder: Path, train: Path | None, val: Path | None) -> UserError:
    if not folder.is_dir():
        there = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        guess = closest(folder.name, there)
        hint = f" (did you mean {folder.parent / guess}?)" if guess else ""
        raise wrong(
            "data.root",
            got=f"{folder.absolute()}, which does not exist{hint}",
            allowed="a folder with train/<class>/* and val/<class>/* (or test/<class>/*)",
            do=f"data.root={folder.parent / guess}" if guess else "data.root=FOLDER",
        )
    missing = "train" if train is None else "val or test"
    has_classes = train is not None or len(image_files.classes_in(folder)) > 1
    do = "data.val=10% to hold out a tenth of its images" if has_classes and val is None else "data.root=FOLDER"
    return wrong(
        "data.root",
        got=f"{folder.absolute()}, which has no folder {missing}",
        allowed="a folder with train/<class>/* and val/<class>/* (or test/<class>/*)",
        do=do,
    )


def _require_classes(train: image_files.Listing, val: image_files.Listing, folder: Path, name: str) -> None:
    """Raise UserError where the classes of the splits are not such that a model can be trained and judged by `name`."""
    # Two classes at least: one that is found may be a folder that stands between.
    if len(train.homes) < 2:
        deeper = sorted(chain.from_iterable(map(image_files.classes_in, train.homes.values())))
        found = ", ".join(train.homes) or "none"
        holds = f", which holds {', '.join(deeper[:5])}" if deeper else ""
        raise wrong(
            "data.root",
            got=f"{folder.absolute()} with fewer than two class folders ({found}{holds})",
            allowed="at least two folders in train, one a class",
            do="move the folders of the classes up" if deeper else "add the images of a second class",
        )

    # Each with images.
    empty = [name for name, paths in train.images.items() if not paths]
    if empty:
        others = _counted_endings(train.left_out)
        there_are = f" (there are {others})" if others else ""
        raise wrong(
            "data.root",
            got=f"{folder.absolute()}, where train has no images of {', '.join(empty[:5])}{there_are}",
            allowed="one folder a class, each with at least one image file",
            do="add images to that folder, or remove it",
        )

    # Nothing is asked that was not taught.
    unknown = sorted(set(val.homes) - set(train.homes))
    if unknown or not any(val.images.values()):
        raise wrong(
            "data.root",
            got=f"classes that only {name} has: {', '.join(unknown[:5])}" if unknown else f"no images for {name}",
            allowed=f"images for {name}, of classes that training has too",
            do="add what is missing",
        )


def _notes(found: _Listings, dataset: image_files.ImageFiles) -> tuple[str, ...]:
    """What is not read, not there, or changed when it is read."""
    from lrlab.data import pixels

    notes = []
    listings = {"training": found.train, "validation": found.val}
    if found.test is not None:
        listings["test"] = found.test
    counts = {id(one.left_out): one.left_out for one in listings.values()}  # once where two are of one folder
    if others := _counted_endings(sum(counts.values(), Counter())):
        notes.append(f"data.root: not read, because of their endings: {others}")
    for split, listing in listings.items():
        missing = [name for name in found.train.homes if not listing.images.get(name)]
        if missing:
            notes.append(f"data.root: {split} has no images of {', '.join(missing[:5])}")
    places = contents.spread(len(dataset), _LOOKED_AT)
    done = dict.fromkeys(chain.from_iterable(pixels.unusual(dataset.samples[index][0]) for index in sorted(places)))
    if done:
        notes.append(f"data.root: images are changed as they are read: {', '.join(done)}")
    return tuple(notes)


def _counted_endings(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in left_out.most_common(5))


def _require_one_size(paths: list[str]) -> None:
    """Raise UserError where the headers of the image files tell of different sizes."""
    from lrlab.data import pixels

    sizes = {}
    for path in paths:
        try:
            sizes[pixels.size_as_seen(path)] = path
        except OSError:
            continue  # said with its path when it is decoded
    if len(sizes) > 1:
        two = [f"{path} is {width}x{height}" for (width, height), path in list(sizes.items())[:2]]
        raise wrong(
            "data.image_size",
            got=f"null for images of different sizes ({', '.join(two)})",
            allowed="a number of pixels to bring them to",
            do="data.image_size=64",
        )


def fake(
    train_images: int = 512, val_images: int = 128, channels: int = 3, image_size: int = 32, num_classes: int = 10
) -> Splits:
    """torchvision's FakeData: noise with random labels, for smoke tests; nothing can be learned from it."""
    from torchvision.datasets import FakeData

    counts = {"train_images": train_images, "val_images": val_images, "num_classes": num_classes}
    for name, value in {**counts, "channels": channels, "image_size": image_size}.items():
        least = 2 if name == "num_classes" else 1
        if not isinstance(value, int) or value < least:
            raise wrong(f"data.{name}", got=value, allowed=f"an integer >= {least}", do=f"data.{name}=10")
    shape = (channels, image_size, image_size)
    train = FakeData(train_images, shape, num_classes)
    val = FakeData(val_images, shape, num_classes, random_offset=train_images)
    name = f"FakeData of torch {torch.__version__}, {num_classes} classes"
    return Splits(_Noise(train, f"{name}, from 0"), _Noise(val, f"{name}, from {train_images}"), num_classes)


class _Noise(Fixed):
    """A data set whose settings say all: another torch may draw it otherwise, and is no reason to refuse a run."""

    def known_by(self) -> None:
        return None
