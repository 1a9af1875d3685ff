"""The data sets that there are: each function returns its `Splits` and is the `_target_` of a file in conf/data."""

import functools
import hashlib
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import contents
from lrlab.data import digits as digits_file
from lrlab.data.splits import Fixed, Images, Splits, as_tensor
from lrlab.errors import first_line, wrong


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
    folder = Path(root).expanduser()
    if not download and not folder.is_dir():
        raise wrong(
            "data.root",
            got=f"{folder.absolute()}, which does not exist",
            allowed=f"a folder that holds torchvision's {name} files",
            do="data.root=FOLDER, or data.download=true",
        )

    def load(train: bool) -> tuple[Tensor, Tensor]:
        import torchvision.datasets

        try:
            source = getattr(torchvision.datasets, name)(folder, train=train, download=download)
        except (RuntimeError, OSError) as error:
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


class ImageFiles(Dataset):
    """Image files in folders by class, decoded as RGB when asked for; an error names the file.

    `image_size` n scales the shorter side to n pixels and cuts the middle n x n out; None keeps every image as it is.
    """

    def __init__(self, folder: Path, image_size: int | None):
        from torchvision.datasets import ImageFolder

        try:
            listing = ImageFolder(folder)
        except FileNotFoundError as error:
            raise wrong(
                "data.root",
                got=f"{folder.absolute()}: {first_line(error)}",
                allowed="one folder a class, each with at least one image file",
                do="add images to that folder, or remove it",
            ) from error
        self.samples, self.classes, self.image_size = listing.samples, listing.classes, image_size
        self.shape = None if image_size is None else (3, image_size, image_size)
        self.folder = folder

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        return as_tensor(self._decode(path)), label

    def fingerprint(self) -> str:
        """A hash of what decides the pixels: the files, without reading them, their size, and who decodes them."""
        import PIL

        digest = hashlib.blake2b(repr((self.image_size, PIL.__version__)).encode(), digest_size=32)
        for path, label in self.samples:
            status = os.stat(path)
            place = os.path.relpath(path, self.folder)
            digest.update(repr((place, status.st_size, status.st_mtime_ns, label)).encode())
        return digest.hexdigest()

    def known_by(self) -> dict[str, Any]:
        """What a run remembers of these files, wherever and whenever they were copied."""
        return contents.of_files(self.folder, self.samples, self.classes)

    def first_of_each_class(self) -> list[str]:
        """The path of one image of every class."""
        return list({label: path for path, label in reversed(self.samples)}.values())

    def _decode(self, path: str) -> Any:
        from PIL import Image, ImageOps

        try:
            # Whole, because PIL asks for a few bytes at a time and seeks between, each time a call of the system.
            with Image.open(io.BytesIO(Path(path).read_bytes())) as file:
                image = file.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise wrong(
                "data.root",
                got=f"{path}, which does not decode ({first_line(error)})",
                allowed="image files that PIL can read",
                do="replace or remove that file",
            ) from error
        if self.image_size is None:
            return image
        return ImageOps.fit(image, (self.image_size, self.image_size), Image.Resampling.BILINEAR)


def image_folder(root: str, image_size: int | None = None) -> Splits:
    """Any folder `root` with `train/<class>/*` and `val/<class>/*` (or `test/<class>/*`).

    Raises UserError where a folder is missing, a class is empty, or the two splits have different classes.
    """
    folder = Path(root).expanduser()
    train = ImageFiles(_split_folder(folder, ["train"]), image_size)
    val = ImageFiles(_split_folder(folder, ["val", "test"]), image_size)
    if train.classes != val.classes:
        only_one = sorted(set(train.classes) ^ set(val.classes))
        raise wrong(
            "data.root",
            got=f"classes that are in only one of the splits: {', '.join(only_one[:5])}",
            allowed="the same class folders for training and validation",
            do="add what is missing",
        )
    if image_size is None:
        _require_one_size(train.first_of_each_class() + val.first_of_each_class())
    return Splits(train, val, num_classes=len(train.classes))


def _require_one_size(paths: list[str]) -> None:
    """Raise UserError where the headers of the image files tell of different sizes."""
    from PIL import Image

    sizes = {}
    for path in paths:
        try:
            with Image.open(path) as file:
                sizes[file.size] = path
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


def _split_folder(root: Path, names: list[str]) -> Path:
    """The first of the folders `names` that exists in `root`."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise wrong(
        "data.root",
        got=f"{root.absolute()}, which has no folder {' or '.join(names)}",
        allowed="a folder with train/<class>/* and val/<class>/* (or test/<class>/*)",
        do="data.root=FOLDER",
    )


def fake(
    train_images: int = 512, val_images: int = 128, channels: int = 3, image_size: int = 32, num_classes: int = 10
) -> Splits:
    """torchvision's FakeData: noise with random labels, for smoke tests; nothing can be learned from it."""
    from torchvision.datasets import FakeData

    shape = (channels, image_size, image_size)
    train = FakeData(train_images, shape, num_classes)
    val = FakeData(val_images, shape, num_classes, random_offset=train_images)
    name = f"FakeData of torch {torch.__version__}, {num_classes} classes"
    return Splits(_Noise(train, f"{name}, from 0"), _Noise(val, f"{name}, from {train_images}"), num_classes)


class _Noise(Fixed):
    """A data set whose settings say all: another torch may draw it otherwise, and is no reason to refuse a run."""

    def known_by(self) -> None:
        return None
