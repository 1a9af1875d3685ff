"""Tables from files of arrays: .npz, folders of .npy, and .csv."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy

from lrlab.data.csv_files import of_csv
from lrlab.data.tables import Table, require_alike, require_numbers
from lrlab.errors import closest, first_line, wrong

_INPUTS, _TARGETS = ("inputs", "x", "X", "data", "features"), ("targets", "y", "Y", "target", "labels")
_KINDS = (".npz", ".csv")
ALLOWED = f"a file *{', *'.join(_KINDS)}, or a folder with inputs.npy and targets.npy"


def read_tables(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    """What the file at `path` holds, and its test split where it has one of its own."""
    readers: dict[str, Callable[..., tuple[Table, Table | None]]] = {
        ".npz": _of_npz,
        ".csv": of_csv,
    }
    kind = path.suffix.lower() if path.suffix.lower() in readers else ""
    if not path.exists():
        near = [one.name for one in path.parent.glob("*") if one.suffix in _KINDS] if path.parent.is_dir() else []
        guess = closest(path.name, near)
        hint = f" (did you mean {path.parent / guess}?)" if guess else ""
        meant = path.parent / guess if guess else f"FILE{kind or _KINDS[0]}"
        got = f"{path.absolute()}, which does not exist{hint}"
        raise wrong("data.root", got=got, allowed=ALLOWED, do=f"data.root={meant}")
    read = _of_folder if path.is_dir() else readers.get(kind)
    if read is None:
        raise wrong("data.root", got=f"{path}, which is none of these", allowed=ALLOWED, do="data.root=FILE.npz")
    try:
        found, tested = read(path, inputs, targets)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        got = f"{path}, which cannot be read ({first_line(error)})"
        raise wrong(
            "data.root", got=got, allowed="arrays of numbers, without pickled objects", do="save it anew"
        ) from error
    for table in (found, tested):
        if table is not None:
            require_numbers(table, path)
    if tested is not None:
        require_alike(found, tested, path)
    return found, tested


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
