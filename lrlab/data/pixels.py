"""The pixels of an image file as a person sees them: upright, in 8 bits, on a white ground.

`as_seen` gives what is trained on, and `unusual` says in words what that took, by a file's header alone.
"""

import io
import os
import warnings
from typing import Any

import numpy
from PIL import Image, ImageOps

from lrlab.errors import first_line
from lrlab.system import disk

GROUND = (255, 255, 255)  # behind what is transparent, as most viewers have it
_ORIENTATION = 0x0112  # the tag of EXIF
_TURNED = (5, 6, 7, 8)  # of its values, those with which width and height are exchanged
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_MOST_BYTES = 2_000_000_000  # of a file
_BEGINNING_SHOWN = 16  # bytes of a file that is no image


class NotAnImage(Exception):
    """A file that cannot be decoded, or whose values have no meaning as an image; the text says why."""


def decode(path: str) -> Image.Image:
    """The image in a file, as RGB. Raises NotAnImage."""
    # Whole, because PIL asks for a few bytes at a time and seeks between, each time a call of the system.
    try:
        data = disk.read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise NotAnImage(error.strerror or first_line(error)) from error
    if not data:
        raise NotAnImage("an empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's name no file
        try:
            with Image.open(io.BytesIO(data)) as image:
                return as_seen(image)
        except Image.UnidentifiedImageError as error:
            shown = data[:_BEGINNING_SHOWN].decode("latin-1").encode("unicode_escape").decode()
            raise NotAnImage(f"no format that is known; it begins with {shown}") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise NotAnImage(first_line(error)) from error


def as_seen(image: Image.Image) -> Image.Image:
    """An open image as RGB. Raises NotAnImage where its numbers are no shares of white."""
    image.load()  # some formats are turned while they are loaded, and lose their tag
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BITS:
        return _scaled(numpy.asarray(image), 65535)
    if image.mode == "F":
        return _scaled(numpy.asarray(image), 1.0)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, (*GROUND, 255))
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image.convert("RGB")


def _scaled(values: Any, white: float) -> Image.Image:
    """Grey values (H, W) from 0 to `white` in 8 bits."""
    low, high = float(values.min()), float(values.max())
    if not 0 <= low <= high <= white:
        raise NotAnImage(f"values from {low:g} to {high:g}, where an image of this kind has 0 to {white:g}")
    grey = numpy.rint(values.astype(numpy.float64) * (255 / white)).astype(numpy.uint8)
    return Image.fromarray(grey).convert("RGB")


def size_as_seen(path: str) -> tuple[int, int]:
    """The width and height of an image, by its header. Raises OSError where that cannot be read."""
    if not os.path.isfile(path):  # a pipe would be waited for
        raise OSError(f"{path} is no file")
    with Image.open(path) as image:
        width, height = image.size
        # TIFF files say the size that they have when they are turned.
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _TURNED:
            return height, width
        return width, height


def unusual(path: str) -> list[str]:
    """What is done to an image before it is trained on, by its header; nothing where that cannot be read."""
    if not os.path.isfile(path):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                said = []
                if image.mode in _SIXTEEN_BITS:
                    said.append("16 bits are scaled to 8")
                if image.mode == "F":
                    said.append("0 to 1 is scaled to 0 to 255")
                if image.mode in _WITH_ALPHA or "transparency" in image.info:
                    said.append("what is transparent becomes white")
                if image.getexif().get(_ORIENTATION, 1) != 1:
                    said.append("turned as its EXIF tag says")
                return said
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return []
