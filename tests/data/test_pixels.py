"""Pixels as a person sees them: upright, 8 bits, on white; and what is no image is told by its file."""

import numpy
import PIL
import pytest
from PIL import Image

from lrlab.data import datasets, pixels
from lrlab.errors import UserError

RAMP = numpy.array([[0, 64, 128, 192, 248]] * 5)
EIGHT_BITS = numpy.rint(RAMP.astype(float)).astype(numpy.uint8)


def seen(path) -> numpy.ndarray:
    return numpy.asarray(pixels.decode(str(path)))


def grey16(path, kind: str):
    """The ramp in 16 bits, floats or integers."""
    values = RAMP * 65535 / 255
    if kind == "pgm":
        path = path.with_suffix(".pgm")
        path.write_bytes(b"P5\n5 5\n65535\n" + numpy.rint(values).astype(">u2").tobytes())
        return path
    path = path.with_suffix(".png" if kind == "png" else ".tif")
    kinds = {"png": "uint16", "tif": "uint16", "int32": "int32", "float": "float32"}
    made = values / 65535 if kind == "float" else numpy.rint(values)
    Image.fromarray(made.astype(kinds[kind])).save(path)
    return path


@pytest.mark.parametrize("kind", ["png", "tif", "int32", "float", "pgm"])
def test_a_ramp_of_any_depth_is_the_ramp_of_eight_bits(tmp_path, kind):
    path = grey16(tmp_path / "ramp", kind)
    assert numpy.array_equal(seen(path), numpy.repeat(EIGHT_BITS[..., None], 3, axis=2))
    assert pixels.unusual(str(path)) != []


@pytest.mark.parametrize(
    ("values", "kind"), [((-0.1, 1), "float32"), ((0, 1.5), "float32"), ((0, 70000), "int32"), ((-1, 5), "int32")]
)
def test_numbers_that_are_no_shares_of_white_are_refused(tmp_path, values, kind):
    Image.fromarray(numpy.array([values, values], dtype=kind)).save(tmp_path / "x.tif")
    with pytest.raises(pixels.NotAnImage, match=r"values from .* to .*, where an image of this kind has 0 to"):
        seen(tmp_path / "x.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_photos_are_upright_whatever_their_tag_says(tmp_path, orientation, ending):
    upright = numpy.zeros((16, 24, 3), dtype=numpy.uint8)
    upright[:8] = 250  # bright above
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(upright)
    if orientation in turns:
        stored = stored.transpose(turns[orientation])
    tags = Image.Exif()
    tags[0x0112] = orientation
    path = tmp_path / f"photo.{ending}"
    stored.save(path, exif=tags, **({"quality": 95} if ending in ("jpg", "webp") else {}))
    found = seen(path)
    assert found.shape == upright.shape
    assert numpy.abs(found.astype(int) - upright).max() < 40  # of a lossy format
    assert pixels.size_as_seen(str(path)) == (24, 16)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_drawing_in_the_alpha_channel_alone_is_seen_on_white(tmp_path, mode):
    alpha = numpy.zeros((8, 8, 4), dtype=numpy.uint8)
    alpha[2:4, :, 3] = 255
    image = Image.fromarray(alpha)
    image = image.convert("LA") if mode == "LA" else image
    image = image.quantize(4) if mode == "P" else image
    image.save(tmp_path / "x.png")
    found = seen(tmp_path / "x.png")
    assert found[2:4].max() == 0
    assert found[4:].min() == 255
    assert "what is transparent becomes white" in pixels.unusual(str(tmp_path / "x.png"))


# Pillow before 13 cannot read what it wrote.
YCBCR = pytest.param("YCbCr", marks=pytest.mark.skipif(PIL.__version__ < "13", reason="Pillow before 13"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", YCBCR, "HSV"])
def test_other_kinds_are_converted_without_a_word(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode in ("CMYK", "YCbCr", "HSV") else "x.png")
    image = Image.new("RGB", (4, 4), (250, 0, 0)).convert(mode)
    if mode == "HSV":
        image = image.convert("RGB")
    image.save(path)
    assert seen(path).shape == (4, 4, 3)
    assert pixels.unusual(str(path)) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>404", "no format that is known; it begins with <!DOCTYPE html><"),
        (b"\x00\x01", r"no format that is known; it begins with \x00\x01"),
    ],
)
def test_what_is_no_image_is_told_by_what_it_is(tmp_path, data, said):
    for name in ("a", "b"):
        for split in ("train", "val"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / split / name / "0.png")
    (tmp_path / "train" / "b" / "0.png").write_bytes(data)
    with pytest.raises(UserError) as refused:
        datasets.image_folder(str(tmp_path)).train[1]
    assert refused.value.got == f"{tmp_path}/train/b/0.png, which does not decode ({said})"
    assert "BytesIO" not in str(refused.value)
