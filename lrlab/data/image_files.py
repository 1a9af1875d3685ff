"""Folders of image files: what counts as data, which classes there are, and which split a file belongs to."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from lrlab.data import contents
from lrlab.data.held_out import place_of
from lrlab.data.samples import as_tensor
from lrlab.errors import wrong

# What PIL reads without help from other programs. Files with other endings are counted and named.
ENDINGS = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg"),
    *(".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
)
_DECODING = 2  # changes whenever the same file becomes other pixels


class ImageFiles(Dataset):
    """Image files in folders by class, decoded as RGB when asked for; an error names the file.

    `image_size` n scales the shorter side to n pixels and cuts the middle n x n out; None keeps every image as it is.
    """

    def __init__(
        self, samples: Sequence[tuple[str, int]], homes: Sequence[Path], classes: Sequence[str], image_size: int | None
    ):
        self.samples = list(samples)  # path and label
        self.homes, self.classes = list(homes), list(classes)  # the folder and the name of each class
        self.image_size = image_size
        self.shape = None if image_size is None else (3, image_size, image_size)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        return as_tensor(self._decode(path)), label

    def fingerprint(self) -> str:
        """A hash of what decides the pixels: the files, without reading them, their size, and who decodes them."""
        import PIL

        digest = hashlib.blake2b(repr((_DECODING, self.image_size, PIL.__version__)).encode(), digest_size=32)
        for path, label in self.samples:
            status = os.stat(path)
            place = os.path.join(self.classes[label], os.path.relpath(path, self.homes[label]))
            digest.update(repr((place, status.st_size, status.st_mtime_ns, label)).encode())
        return digest.hexdigest()

    def known_by(self) -> dict[str, Any]:
        """What a run remembers of these files, wherever and whenever they were copied."""
        return contents.of_files(self.homes, self.samples, self.classes)

    def first_of_each_class(self) -> list[str]:
        """The path of one image of every class."""
        return list({label: path for path, label in reversed(self.samples)}.values())

    def _decode(self, path: str) -> Any:
        from PIL import Image, ImageOps

        from lrlab.data import pixels

        try:
            image = pixels.decode(path)
        except pixels.NotAnImage as error:
            raise wrong(
                "data.root",
                got=f"{path}, which does not decode ({error})",
                allowed="image files that PIL can read",
                do="replace or remove that file, or data.skip_bad=1% to leave such files out",
            ) from error
        if self.image_size is None:
            return image
        return ImageOps.fit(image, (self.image_size, self.image_size), Image.Resampling.BILINEAR)


def classes_in(folder: Path) -> dict[str, Path]:
    """The folders of classes in `folder`, by name in one form of Unicode and in its order."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return dict(sorted((normal(path.name), path) for path in inside))


def normal(name: str) -> str:
    """A name in the one form of Unicode in which the same names are equal: macOS and Linux write them in two."""
    return unicodedata.normalize("NFC", name)


def files_below(folder: Path) -> Iterator[str]:
    """The paths of the files in and below a folder, each file once, whatever links lead to it.

    Names that begin with a dot are no data: editors, notebooks and macOS leave such files.
    """
    places: set[str] = {os.path.realpath(folder)}
    found: list[tuple[str, list[str]]] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if _is_data(name) and _is_new(os.path.join(place, name), places)]
        found.append((place, sorted(filter(_is_data, names))))
    files: set[str] = set()
    for place, names in sorted(found):
        real_place = os.path.realpath(place)
        for name in names:
            path = os.path.join(place, name)
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_place, name)
            if real not in files:
                files.add(real)
                yield path


def _is_data(name: str) -> bool:
    return not name.startswith(".")


def _is_new(folder: str, places: set[str]) -> bool:
    """Whether the real place of a folder was not met yet; it counts as met from now on."""
    real = os.path.realpath(folder)
    is_new = real not in places
    places.add(real)
    return is_new


def images_below(folder: Path, left_out: Counter[str]) -> list[str]:
    """The paths of the image files in and below a folder; the endings of all others are counted in `left_out`."""
    paths = []
    for path in files_below(folder):
        ending = os.path.splitext(path)[1].lower()
        if ending in ENDINGS:
            paths.append(path)
        else:
            left_out[ending or "no ending"] += 1
    return paths


@dataclass(frozen=True)
class Listing:
    """The image files of one split, by class."""

    homes: dict[str, Path]  # the folder of each class, by the class's name
    images: dict[str, list[str]]  # the paths in it
    left_out: Counter[str]  # how many files have which other ending

    def split(self, image_size: int | None, classes: Sequence[str]) -> ImageFiles:
        """The data set of these files, with the labels that `classes` give."""
        samples = []
        for label, name in enumerate(classes):
            samples += [(path, label) for path in self.images.get(name, ())]
        homes = [self.homes.get(name, Path(name)) for name in classes]
        return ImageFiles(samples, homes, classes, image_size)

    def keep(self, *, validation: bool, share: float, seed: int) -> "Listing":
        """The files of one of two splits; each has at least one file of every class that has two."""
        kept = {}
        for name, paths in self.images.items():
            places = {path: place_of(normal(os.path.relpath(path, self.homes[name])), seed) for path in paths}
            chosen = {path for path in paths if places[path] < share}
            by_place = sorted(paths, key=places.__getitem__)
            if len(paths) > 1:
                chosen = (chosen | {by_place[0]}) - {by_place[-1]}
            kept[name] = [path for path in paths if (path in chosen) == validation]
        return Listing(self.homes, kept, self.left_out)


def listing(folder: Path) -> Listing:
    """The image files in `folder`, in a folder for each class."""
    left_out: Counter[str] = Counter()
    homes = classes_in(folder)
    return Listing(homes, {name: images_below(home, left_out) for name, home in homes.items()}, left_out)


def read(folder: Path, image_size: int | None) -> ImageFiles:
    """All image files in `folder`, in a folder for each class."""
    found = listing(folder)
    return found.split(image_size, list(found.homes))
