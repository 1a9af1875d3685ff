"""Arrays of one's own: samples and targets from .npz, .npy or .csv files, and scikit-learn's diabetes study.

Inputs are numbers of any shape. Targets are classes, or numbers and flags of any shape.
"""

import csv
import gzip
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrlab.data import digits
from lrlab.data.held_out import OFFICIAL, chosen, share
from lrlab.data.splits import Splits, Tensors
from lrlab.errors import closest, first_line, wrong
from lrlab.system import disk

_INPUTS, _TARGETS = ("inputs", "x", "X", "data", "features"), ("targets", "y", "Y", "target", "labels")
_KINDS = (".npz", ".csv")
_ALLOWED = f"a file *{', *'.join(_KINDS)}, or a folder with inputs.npy and targets.npy"
_MOST_BYTES = 20_000_000_000
_DIABETES = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")  # as scikit-learn ships them
_FAR = 100.0  # standard deviations of targets beyond this, or below its inverse, make most learning rates wrong


class Table(NamedTuple):
    """What a file holds of one split."""

    inputs: NDArray[Any]  # (N, ...)
    targets: NDArray[Any]  # (N, ...)
    names: tuple[str, ...] = ()  # of classes, where the file has words


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
        raise wrong("data.root", got="nothing", allowed=_ALLOWED, do="data.root=FILE.npz, or data=diabetes")
    path = disk.expanded(root, "data.root")
    found, tested = _read(path, inputs, targets)
    if classes is not False:
        found, tested = _in_one_column(found) or found, _in_one_column(tested)
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
    scale = Scale(found.inputs[left]) if standardize and _is_scaled(found.inputs) else None
    tables = {"train": _rows(found, left)} | {name: _rows(found, rows) for name, rows in parts.items()}
    if tested is not None:
        tables["test"] = tested
    if standardize_targets:
        own = _scale_of_targets(tables["train"].targets, num_classes, where)
        tables = {name: Table(table.inputs, own(table.targets), table.names) for name, table in tables.items()}
    splits = {name: _part(table, num_classes, scale) for name, table in tables.items()}
    notes = [] if num_classes is not None else _far_from_one(tables["train"].targets)
    return Splits(
        splits["train"], splits["val"], num_classes=num_classes, notes=tuple(notes), test=splits.get("test"), noun=""
    )


class Scale:
    """Means and deviations of each input over the samples `inputs` (N, ...)."""

    def __init__(self, inputs: NDArray[Any]):
        self.mean = inputs.mean(0, dtype=numpy.float64)
        deviation = inputs.std(0, dtype=numpy.float64)
        self.deviation = numpy.where(deviation > 0, deviation, 1.0)  # an input that is always the same becomes 0

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        return ((inputs - self.mean) / self.deviation).astype(numpy.float32)


def _scale_of_targets(targets: NDArray[Any], num_classes: int | None, where: str) -> Scale:
    """The scale of the training targets. Raises UserError for what are no numbers."""
    if num_classes is not None or targets.dtype.kind == "b":
        got = f"true, for targets of {where} that are no numbers"
        raise wrong("data.standardize_targets", got=got, allowed="false", do="data.standardize_targets=false")
    return Scale(targets)


def _is_scaled(inputs: NDArray[Any]) -> bool:
    """Whether these are numbers to be scaled: not tokens, and not images of bytes, which the loop scales."""
    return inputs.dtype.kind == "f" or (inputs.dtype.kind in "biu" and inputs.ndim == 2)


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


def _far_from_one(targets: NDArray[Any]) -> list[str]:
    """A note where the scale of targets to be predicted makes the usual learning rates wrong."""
    if targets.dtype.kind not in "fiu":
        return []
    deviation = float(targets.std())
    if deviation == 0 or 1 / _FAR < deviation < _FAR:
        return []
    spread = f"data: targets have a standard deviation of {deviation:.3g}"
    return [f"{spread}; data.standardize_targets=true makes the usual LRs work"]


# Files.


def _read(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    """What the file at `path` holds, and its test split where it has one of its own."""
    readers: dict[str, Callable[..., tuple[Table, Table | None]]] = {
        ".npz": _of_npz,
        ".csv": _of_csv,
    }
    kind = path.suffix.lower() if path.suffix.lower() in readers else ""
    if not path.exists():
        near = [one.name for one in path.parent.glob("*") if one.suffix in _KINDS] if path.parent.is_dir() else []
        guess = closest(path.name, near)
        hint = f" (did you mean {path.parent / guess}?)" if guess else ""
        meant = path.parent / guess if guess else f"FILE{kind or _KINDS[0]}"
        got = f"{path.absolute()}, which does not exist{hint}"
        raise wrong("data.root", got=got, allowed=_ALLOWED, do=f"data.root={meant}")
    read = _of_folder if path.is_dir() else readers.get(kind)
    if read is None:
        raise wrong("data.root", got=f"{path}, which is none of these", allowed=_ALLOWED, do="data.root=FILE.npz")
    try:
        found, tested = read(path, inputs, targets)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        got = f"{path}, which cannot be read ({first_line(error)})"
        raise wrong(
            "data.root", got=got, allowed="arrays of numbers, without pickled objects", do="save it anew"
        ) from (error)
    for table in (found, tested):
        if table is not None:
            _require_numbers(table, path)
    if tested is not None:
        _require_alike(found, tested, path)
    return found, tested


def _require_alike(found: Table, tested: Table, path: Path) -> None:
    """Raise UserError where the test split of a file has another shape or kind of values than the training split."""
    for name, ours, theirs in (("inputs", found.inputs, tested.inputs), ("targets", found.targets, tested.targets)):
        kinds = ["iu" if values.dtype.kind in "iu" else values.dtype.kind for values in (ours, theirs)]
        if ours.shape[1:] != theirs.shape[1:] or kinds[0] != kinds[1]:
            shown = [f"{values.dtype} {values.shape[1:]}" for values in (ours, theirs)]
            got = f"training {name} of {shown[0]} and test {name} of {shown[1]} in {path}"
            raise wrong("data.root", got=got, allowed="one shape and type for both", do="save it anew")


def _in_one_column(table: Table | None) -> Table | None:
    """A table whose classes (N, 1), as Keras has them, are (N,)."""
    if table is None or table.targets.ndim != 2 or table.targets.shape[1] != 1 or table.targets.dtype.kind not in "iu":
        return table
    return table._replace(targets=table.targets[:, 0])


def _require_numbers(table: Table, path: Path) -> None:
    """Raise UserError unless both arrays have as many samples, of finite numbers."""
    if table.inputs.ndim == 0 or table.targets.ndim == 0 or len(table.inputs) != len(table.targets):
        got = f"inputs {table.inputs.shape} and targets {table.targets.shape} in {path}"
        raise wrong("data.root", got=got, allowed="as many of each, counted along the first axis", do="save it anew")
    if len(table.inputs) < 3:
        got = f"{len(table.inputs)} samples in {path}"
        raise wrong("data.root", got=got, allowed="at least one for each split", do="add samples")
    for name, values in (("inputs", table.inputs), ("targets", table.targets)):
        if values.dtype.kind not in "biuf":
            got = f"{name} of {values.dtype} in {path}"
            raise wrong(f"data.{name}", got=got, allowed="numbers or flags", do="save them as numbers")
        if values.dtype.kind == "f" and not numpy.isfinite(values).all():
            row = int(numpy.argwhere(~numpy.isfinite(values))[0][0])
            got = f"{name} that are not finite, first in sample {row} of {path}"
            raise wrong(
                f"data.{name}", got=got, allowed="finite numbers", do="leave these samples out, or fill them in"
            )


def _of_npz(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    with numpy.load(path, allow_pickle=False) as file:
        there = file.files
        split = all(name in there for name in ("x_train", "y_train")) and inputs is None and targets is None
        if split:
            test = Table(file["x_test"], file["y_test"]) if {"x_test", "y_test"} <= set(there) else None
            return Table(file["x_train"], file["y_train"]), test
        names = [
            _named(path, there, "inputs", inputs, _INPUTS),
            _named(path, there, "targets", targets, _TARGETS),
        ]
        return Table(file[names[0]], file[names[1]]), None


def _named(path: Path, there: Sequence[str], key: str, asked: Any, usual: Sequence[str]) -> str:
    """The name of an array in a file."""
    name = asked if asked is not None else next((one for one in usual if one in there), None)
    if name not in there:
        got = (
            f"{asked}, which is not in {path}" if asked is not None else f"no array {usual[0]} or {usual[1]} in {path}"
        )
        raise wrong(f"data.{key}", got=got, allowed=", ".join(there) or "an array", do=f"data.{key}=NAME")
    return str(name)


def _of_folder(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    there = sorted(file.stem for file in path.glob("*.npy"))
    names = [
        _named(path, there, "inputs", inputs, _INPUTS),
        _named(path, there, "targets", targets, _TARGETS),
    ]
    found = [numpy.load(path / f"{name}.npy", allow_pickle=False) for name in names]
    return Table(found[0], found[1]), None


def _of_csv(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    text = disk.read_regular(path, _MOST_BYTES).decode("utf-8-sig")
    header, *rows = [row for row in csv.reader(text.splitlines()) if row]
    columns = [name.strip() for name in header]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            got = f"{len(row)} values in line {number} of {path}"
            raise wrong("data.root", got=got, allowed=f"{len(columns)}, one a column", do="correct the line")
    values = {name: [row[index].strip() for row in rows] for index, name in enumerate(columns)}
    wanted = _columns(path, columns, "targets", targets) or columns[-1:]
    given = _columns(path, columns, "inputs", inputs) or [name for name in columns if name not in wanted]
    if not given:
        got = f"{path} with {len(columns)} column{'' if len(columns) == 1 else 's'}"
        raise wrong("data.inputs", got=got, allowed="columns beside the target", do="data.inputs=[NAME]")
    words = _words(values[wanted[0]]) if len(wanted) == 1 else None
    predicted = numpy.array(words[1]) if words else _numbers(path, values, wanted, "targets")
    if len(wanted) == 1 and predicted.ndim == 2:
        predicted = predicted[:, 0]
    return Table(_numbers(path, values, given, "inputs"), predicted, words[0] if words else ()), None


def _columns(path: Path, columns: Sequence[str], key: str, asked: str | Sequence[str] | None) -> list[str]:
    names = [asked] if isinstance(asked, str) else list(asked or [])
    for name in names:
        if name not in columns:
            guess = closest(name, columns)
            hint = f" (did you mean {guess}?)" if guess else ""
            got = f"{name}, which is no column of {path}{hint}"
            raise wrong(
                f"data.{key}", got=got, allowed=", ".join(columns[:20]), do=f"data.{key}={guess or columns[-1]}"
            )
    return names


def _numbers(path: Path, values: Mapping[str, Sequence[str]], names: Sequence[str], key: str) -> NDArray[Any]:
    """The columns `names` (N, C): whole numbers where all are, or else float64. Raises UserError for a text."""
    found = []
    for name in names:
        try:
            found.append(numpy.array([int(value) for value in values[name]]))
        except (ValueError, OverflowError):
            try:
                found.append(numpy.array([float(value) for value in values[name]]))
            except ValueError as error:
                row = next(index for index, value in enumerate(values[name]) if not _is_number(value))
                got = f"'{values[name][row]}' in column {name}, line {row + 2} of {path}"
                others = [one for one in names if one != name]
                do = f"data.{key}=[{','.join(others[:5])}{',...' if len(others) > 5 else ''}]"
                raise wrong(f"data.{key}", got=got, allowed="numbers", do=do) from error
    return numpy.stack(found, 1)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _words(values: Sequence[str]) -> tuple[tuple[str, ...], list[int]] | None:
    """The classes that a column of words has, in their order, and the class of each row; None where it has numbers."""
    if any(map(_is_number, values)) or not values:
        return None
    names = tuple(sorted(set(values)))
    place = {name: index for index, name in enumerate(names)}
    return names, [place[value] for value in values]
