"""What looks at the test split of a trained run left in its folder, read back.

test.json  what the weights of the last epoch measure, and how often the split was looked at;  test.npz  every image
test_best.json, test_best.npz  the same of the best epoch's
test_average.json, test_average.npz  the same of the averaged weights of the last epoch
"""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy
from numpy.typing import NDArray

from lrlab.runs import summary
from lrlab.system import disk

NAMES = {"last": "test", "best": "test_best", "average": "test_average"}  # of the files, by the weights
_MOST_BYTES = 1_000_000_000  # of test.npz; longer ones are none of lrlab's


@dataclass(frozen=True)
class TestScore:
    """What a look at the test split showed."""

    weights: str  # one of NAMES: of the last epoch, of the best by what the run monitors on val, or averaged ones
    step: int  # updates that they were trained for
    images: int
    looks: int  # how often the test split of this run was looked at, by any weights
    measured: dict[str, float]  # test_loss and the like; nothing where the loss is not finite
    each: str = "image"  # what a sample is called


def write(folder: Path, found: TestScore, each: Mapping[str, NDArray[Any]]) -> None:
    """Write both files; the values of images first, so that a look which is counted has them."""
    said = json.dumps(asdict(found), indent=2, allow_nan=False) + "\n"
    packed = io.BytesIO()
    numpy.savez_compressed(packed, looks=numpy.array(found.looks), **each)  # type: ignore[arg-type]  # of arrays
    name = NAMES[found.weights]
    disk.write_whole(folder / f"{name}.npz", packed.getvalue())
    disk.write_whole(folder / f"{name}.json", said)


def read(folder: Path, weights: str = "last") -> TestScore | None:
    """The score of these weights of the run in `folder`; None where there is none, or where it cannot be read."""
    said = summary.read(folder, f"{NAMES[weights]}.json")
    try:
        measured = {str(name): float(value) for name, value in said["measured"].items()}
        step, images, looks = (int(said[name]) for name in ("step", "images", "looks"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if said.get("weights") != weights or not all(map(math.isfinite, measured.values())):
        return None
    each = said.get("each", "image")  # which earlier versions did not say
    return TestScore(weights, step, images, looks, measured, each if str(each).isalpha() else "sample")


def each_image(folder: Path, metric: str) -> NDArray[Any] | None:
    """A metric (N,) of every test image by the last weights, in the order of the test split.

    None where it cannot be read, or is of another look than the score.
    """
    score = read(folder)
    try:
        packed = io.BytesIO(disk.read_regular(folder / f"{NAMES['last']}.npz", _MOST_BYTES))
        with numpy.load(packed, allow_pickle=False) as arrays:
            values, looks = arrays[metric], arrays["looks"]
    except (OSError, ValueError, KeyError, EOFError, MemoryError, BadZipFile):
        return None
    is_list = values.ndim == 1 and values.dtype.kind in "fiub" and len(values) > 0
    is_of_the_score = score is not None and looks.shape == () and int(looks) == score.looks
    return values if is_list and is_of_the_score and numpy.isfinite(values).all() else None
