"""What a file of arrays holds of one split, and whether it can be learned from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from lrlab.errors import wrong


class Table(NamedTuple):
    """What a file holds of one split."""

    inputs: NDArray[Any]  # (N, ...)
    targets: NDArray[Any]  # (N, ...)
    names: tuple[str, ...] = ()  # of classes, where the file has words


def require_alike(found: Table, tested: Table, path: Path) -> None:
    """Raise UserError where the test split of a file has another shape or kind of values than the training split."""
    for name, ours, theirs in (("inputs", found.inputs, tested.inputs), ("targets", found.targets, tested.targets)):
        kinds = ["iu" if values.dtype.kind in "iu" else values.dtype.kind for values in (ours, theirs)]
        if ours.shape[1:] != theirs.shape[1:] or kinds[0] != kinds[1]:
            shown = [f"{values.dtype} {values.shape[1:]}" for values in (ours, theirs)]
            got = f"training {name} of {shown[0]} and test {name} of {shown[1]} in {path}"
            raise wrong("data.root", got=got, allowed="one shape and type for both", do="save it anew")


def in_one_column(table: Table | None) -> Table | None:
    """A table whose classes (N, 1), as Keras has them, are (N,)."""
    if table is None or table.targets.ndim != 2 or table.targets.shape[1] != 1 or table.targets.dtype.kind not in "iu":
        return table
    return table._replace(targets=table.targets[:, 0])


def require_numbers(table: Table, path: Path) -> None:
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
