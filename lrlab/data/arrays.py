"""Arrays of one's own: samples and targets from .npz, .npy or .csv files, and scikit-learn's diabetes study.

Inputs are numbers of any shape. Targets are classes, or numbers and flags of any shape.
"""

import gzip
import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.data import digits
from lrlab.data.array_files import ALLOWED, read_tables
from lrlab.data.held_out import OFFICIAL, chosen, share
from lrlab.data.map_datasets import Tensors
from lrlab.data.scaling import Scale, far_from_one, is_scaled, scale_of_targets
from lrlab.data.splits import Splits
from lrlab.data.tables import Table, in_one_column
from lrlab.errors import wrong
from lrlab.system import disk

_DIABETES = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")  # as scikit-learn ships them


def arrays(
    root: str | None = None,
    *,
    inputs: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    classes: bool | str = "auto",
    standardize: bool = True,
    standardize_targets: bool = False,
    val: float | str = "10%",
    test: float | str | None = "20%",
    split_seed: int = 0,
) -> Splits:
    """Samples and targets from `root`: a file, or a folder with inputs.npy and targets.npy.

    Of an .npz file `inputs` and `targets` name the arrays; with `x_train` and `y_train` it may have `x_test` and
    `y_test` too, which are the test split then. Of a .csv file with a header they are columns: by default the last is
    the target, and all others are inputs. `classes` says whether targets are classes; "auto" means that whole numbers
    and words are, one a sample. With `standardize`, inputs that are no images of bytes have mean 0 and deviation 1 over
    the training samples, each by itself. With `standardize_targets` targets have too, and losses are in such
    deviations. Which samples are held out follows from `split_seed`, each class in proportion. Raises UserError where a
    file has not what is asked for.
    """
    if root is None:
        raise wrong("data.root", got="nothing", allowed=ALLOWED, do="data.root=FILE.npz, or data=diabetes")
    path = disk.expanded(root, "data.root")
    found, tested = read_tables(path, inputs, targets)
    if classes is not False:
        found, tested = in_one_column(found) or found, in_one_column(tested)
    return _splits(
        found,
        tested,
        classes=classes,
        standardize=standardize,
        standardize_targets=standardize_targets,
        val=val,
        test=test,
        seed=split_seed,
        where=str(path),
    )


def diabetes(
    standardize: bool = True, val: float | str = "10%", test: float | str | None = "20%", split_seed: int = 0
) -> Splits:
    """442 patients, ten measurements of each, and how far their diabetes had gone a year later, in deviations of that.

    Source: Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, Annals of Statistics 32, 2004.
    """
    parts = []
    for name in _DIABETES:
        with gzip.open(digits.file_of_scikit_learn(name), "rt") as lines:
            parts.append(numpy.loadtxt(lines))
    inputs, targets = parts
    targets = (targets - targets.mean()) / targets.std()
    found = Table(inputs, targets)
    return _splits(
        found, None, classes=False, standardize=standardize, val=val, test=test, seed=split_seed, where="diabetes"
    )


def _splits(
    found: Table,
    tested: Table | None,
    *,
    classes: bool | str,
    standardize: bool,
    standardize_targets: bool = False,
    val: float | str,
    test: float | str | None,
    seed: int,
    where: str,
) -> Splits:
    """The splits of what a file holds."""
    num_classes = _num_classes(found, tested, classes, where)
    count = len(found.inputs)
    labels = found.targets if num_classes is not None and found.targets.ndim == 1 else numpy.zeros(count, dtype=int)

    # Which samples are for testing, for validation and for training.
    left = numpy.arange(count)
    parts: dict[str, NDArray[Any]] = {}
    places = numpy.random.RandomState(seed).permutation(count)
    for name, key, value in (("test", "data.test", test), ("val", "data.val", val)):
        if value is None or (name == "test" and tested is not None):
            continue
        if value == OFFICIAL:
            got = f"{OFFICIAL}, for a file without a split of its own"
            raise wrong(key, got=got, allowed="a share of the samples, such as 10%", do=f"{key}=10%")
        held = max(1, math.floor(share(key, value) * count + 0.5))
        if held >= len(left):
            got = f"{value} of {count} samples, which leaves none"
            raise wrong(key, got=got, allowed="a share that leaves some", do=f"{key}=10%")
        held_out = chosen(labels[left], held, places[left])
        parts[name], left = left[held_out], left[~held_out]
    if "val" not in parts:
        raise wrong("data.val", got="nothing", allowed="a share of the samples, such as 10%", do="data.val=10%")

    # As tensors, in the scale of the training samples.
    scale = Scale(found.inputs[left]) if standardize and is_scaled(found.inputs) else None
    tables = {"train": _rows(found, left)} | {name: _rows(found, rows) for name, rows in parts.items()}
    if tested is not None:
        tables["test"] = tested
    if standardize_targets:
        own = scale_of_targets(tables["train"].targets, num_classes, where)
        tables = {name: Table(table.inputs, own(table.targets), table.names) for name, table in tables.items()}
    splits = {name: _part(table, num_classes, scale) for name, table in tables.items()}
    notes = [] if num_classes is not None else far_from_one(tables["train"].targets)
    return Splits(
        splits["train"], splits["val"], num_classes=num_classes, notes=tuple(notes), test=splits.get("test"), noun=""
    )


def _rows(table: Table, rows: NDArray[Any]) -> Table:
    return Table(table.inputs[rows], table.targets[rows])


def _part(table: Table, num_classes: int | None, scale: Scale | None) -> Tensors:
    content = _Content(table, num_classes, scale)
    return Tensors(
        len(table.inputs),
        content.tensors[0].shape[1:],
        lambda: content.tensors,
        num_classes=num_classes,
        target_shape=content.tensors[1].shape[1:],
        fingerprint=content.fingerprint,
    )


class _Content:
    """The tensors of a split."""

    def __init__(self, table: Table, num_classes: int | None, scale: Scale | None):
        self.table, self.num_classes, self.scale = table, num_classes, scale

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor]:
        inputs = self.table.inputs if self.scale is None else self.scale(self.table.inputs)
        if inputs.dtype == numpy.uint8 and inputs.ndim == 3:  # grey images
            inputs = inputs[:, None]
        return _tensor(inputs), _tensor(self.table.targets)

    @cached_property
    def fingerprint(self) -> str:
        """Of what the file holds, not of how it is scaled, which is a setting."""
        digest = hashlib.blake2b(digest_size=32)
        for values in self.table[:2]:
            digest.update(repr((values.dtype.str, values.shape)).encode())
            digest.update(numpy.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def _tensor(values: NDArray[Any]) -> Tensor:
    """float32, int64, bool or uint8, as the array is."""
    if values.dtype.kind == "f":
        return torch.from_numpy(numpy.ascontiguousarray(values, dtype=numpy.float32))
    if values.dtype.kind in "iu" and values.dtype != numpy.uint8:
        return torch.from_numpy(numpy.ascontiguousarray(values, dtype=numpy.int64))
    return torch.from_numpy(numpy.ascontiguousarray(values))


def _num_classes(found: Table, tested: Table | None, classes: bool | str, where: str) -> int | None:
    """How many classes the targets tell apart; None where they are no classes. Raises UserError."""
    if classes not in ("auto", True, False):
        raise wrong("data.classes", got=repr(classes), allowed="auto, true or false", do="data.classes=auto")
    targets = found.targets
    is_whole = targets.dtype.kind in "iu"
    if classes is False or (classes == "auto" and not (is_whole and targets.ndim == 1)):
        return None
    if not is_whole:
        got = f"true, for targets of {targets.dtype} {targets.shape[1:]} in {where}"
        raise wrong("data.classes", got=got, allowed="true for whole numbers", do="data.classes=false")
    seen = [targets] if tested is None else [targets, tested.targets]
    if min(part.min() for part in seen) < 0:
        got = f"class {min(part.min() for part in seen)} in {where}"
        raise wrong("data.targets", got=got, allowed="classes counted from 0", do="data.classes=false for numbers")
    count = int(max(part.max() for part in seen)) + 1
    if count > max(1000, len(targets)):
        got = f"whole numbers up to {count - 1:,} in {where}, which would be as many classes"
        raise wrong("data.classes", got=got, allowed="classes counted from 0", do="data.classes=false")
    return max(count, len(found.names))
