"""Tables from .csv files: a header, and a row a sample; a column of words is a column of classes."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from lrlab.data.tables import Table
from lrlab.errors import closest, wrong
from lrlab.system import disk

_MOST_BYTES = 20_000_000_000


def of_csv(
    path: Path, inputs: str | Sequence[str] | None, targets: str | Sequence[str] | None
) -> tuple[Table, Table | None]:
    """The table of the columns `inputs` and `targets`, and no test split; by default the last column is the target."""
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
