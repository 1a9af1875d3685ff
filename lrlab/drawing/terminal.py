"""Curves drawn with characters, for terminals of any width."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_GAP = "  "  # between two columns
_LEAST_NAME, _ENOUGH_NAME = 12, 30  # characters of a name that are always shown, and before a column has to go
BARS = "▁▂▃▄▅▆▇█"
_BRAILLE = 0x2800  # the Braille character without a dot
# The bit of each dot, which is added to it, by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True)
class Line:
    """A staircase: `values[i]` from `edges[i]` to `edges[i + 1]`."""

    name: str
    edges: Sequence[float]
    values: Sequence[float]


def _width(columns: Sequence[int]) -> int:
    """The characters of a line whose columns have so many."""
    return sum(columns) + len(_GAP) * (len(columns) - 1)


def aligned(rows: Sequence[Sequence[str]], width: int | None = None, spare: Sequence[str] = ()) -> list[str]:
    """Lines of a table whose first row holds the headings: names to the left, everything else to the right.

    Where that is wider than `width`, long names are cut in their middle. Then columns go, those first whose headings
    are named first in `spare`. What room is left goes to the names again.

    >>> aligned([["run", "loss", "time"], ["step", "0.25", "1m05s"]], width=12, spare=["time"])
    ['run   loss', 'step  0.25']
    """
    columns = _fitting(rows, width, spare)
    widths = [max(map(len, column)) for column in columns]
    if width is not None:
        room = width - _width([0, *widths[1:]])
        widths[0] = min(widths[0], max(room, _LEAST_NAME))
    names = [clipped(name, widths[0]) for name in columns[0]]
    lines = []
    for cells in zip(names, *columns[1:], strict=True):
        padded = [cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]
        lines.append(_GAP.join(padded).rstrip())
    return lines


def _fitting(rows: Sequence[Sequence[str]], width: int | None, spare: Sequence[str]) -> list[tuple[str, ...]]:
    """The columns of a table, without those of the headings in `spare` that must go so that it fits `width`."""
    columns = list(zip(*rows, strict=True))
    for heading in spare:
        widths = [max(map(len, column)) for column in columns]
        widths[0] = min(widths[0], _ENOUGH_NAME)
        if width is None or _width(widths) <= width:
            break
        columns = [column for column in columns if column[0] != heading]
    return columns


def clipped(text: str, width: int) -> str:
    """`text`, with its middle left out where it is longer than `width`: names of runs differ at their ends.

    >>> clipped("scheduler=cosine,seed=12", 15)
    'schedul…seed=12'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def plot(
    lines: Sequence[Line],
    *,
    width: int = 80,
    height: int = 16,
    log: bool = False,
    letters: bool = True,
    xlabel: str = "",
) -> list[list[tuple[str, int]]]:
    """Rows of text that draw `lines` on shared axes; each row is a list of (text, index of its line, or -1).

    Several lines are drawn with the `letters` a, b, c, ... unless the caller colours them; a single one with dots.
    With `log` the vertical axis is logarithmic, and zeros lie at its bottom.
    """
    values = itertools.chain.from_iterable(line.values for line in lines)
    level, ticks = _scale(list(values), log)
    margin = max(len(text) for _, text in ticks) + 1
    columns = width - margin - 1
    left = min(line.edges[0] for line in lines)
    right = max(line.edges[-1] for line in lines)
    canvas = _Canvas(columns, height)
    for index, line in enumerate(lines):
        for x, y in _raster(line, (left, right), (2 * columns, 4 * height), level):
            canvas.set_dot(x, y, index)

    # The rows of the plot, each after a piece of the vertical axis.
    labels = {height - 1 - _row(value, level, 4 * height) // 4: text for value, text in ticks}
    as_letters = letters and len(lines) > 1
    rows = []
    for row in range(height):
        axis = f"{labels[row]:>{margin - 1}} ┤" if row in labels else " " * margin + "│"
        rows.append([(axis, -1), *canvas.row(row, as_letters)])

    # The horizontal axis, with its ends and its name below it.
    rows.append([(" " * margin + "└" + "─" * columns, -1)])
    last = f"{right:g}"
    ends = f"{left:g}".ljust(columns - len(last)) + last
    middle = (columns - len(xlabel)) // 2
    below = ends[:middle] + xlabel + ends[middle + len(xlabel) :]
    rows.append([(" " * (margin + 1) + below, -1)])
    return rows


class _Canvas:
    """Characters of two by four dots each; every character belongs to the line that was drawn there last."""

    def __init__(self, columns: int, height: int):
        self._height = height
        self._owners = [[-1] * columns for _ in range(height)]
        self._dots = [[0] * columns for _ in range(height)]

    def set_dot(self, x: int, y: int, owner: int) -> None:
        """Set the dot at (x, y), y upwards, for the line with the index `owner`."""
        row = self._height - 1 - y // 4
        column = x // 2
        if self._owners[row][column] != owner:
            self._owners[row][column] = owner
            self._dots[row][column] = 0
        self._dots[row][column] |= _DOTS[3 - y % 4][x % 2]

    def row(self, row: int, as_letters: bool) -> list[tuple[str, int]]:
        """The characters of a row, counted from the top, each with the index of its line, or -1."""
        cells = zip(self._owners[row], self._dots[row], strict=True)
        return [(_mark(owner, dots, as_letters), owner) for owner, dots in cells]


def _mark(owner: int, dots: int, as_letters: bool) -> str:
    if owner < 0:
        return " "
    return chr(ord("a") + owner % 26) if as_letters else chr(_BRAILLE + dots)


def sparkline(line: Line, width: int = 24) -> str:
    """The line in one row of text, from 0 to its own highest value."""
    highest = max(line.values) or 1.0
    step = (line.edges[-1] - line.edges[0]) / width
    shown = ""
    at = 0  # the stair that is reached
    for column in range(width):
        x = line.edges[0] + (column + 0.5) * step
        while line.edges[at + 1] <= x and at + 1 < len(line.values):
            at += 1
        shown += _bar(line.values[at] / highest)
    return shown


def _bar(share: float) -> str:
    """A bar of `share` of a row's height; nothing for zero."""
    if share > 0:
        return BARS[min(len(BARS) - 1, int(len(BARS) * share))]
    return " "


def _raster(
    line: Line, limits: tuple[float, float], size: tuple[int, int], level: Callable[[float], float]
) -> list[tuple[int, int]]:
    """The dots (x, y) of a staircase, y upwards, with vertical strokes between one stair and the next."""
    (left, right), (columns, rows) = limits, size
    found: list[tuple[int, int]] = []
    at, before = 0, None
    for x in range(columns):
        start = left + (right - left) * x / columns
        end = left + (right - left) * (x + 1) / columns
        if start > line.edges[-1] or (start == line.edges[-1] and x):
            break
        seen = []
        while at < len(line.values) and line.edges[at] < end:
            seen.append(_row(line.values[at], level, rows))
            at += 1
        at = max(at - 1, 0)  # the last stair goes on in the next column
        here = [*seen, before] if before is not None else seen
        found += [(x, y) for y in range(min(here), max(here) + 1)]
        before = seen[-1]
    return found


def _row(value: float, level: Callable[[float], float], rows: int) -> int:
    """The row of a value, counted from the bottom."""
    return min(rows - 1, int(level(value) * rows))


def _scale(values: Sequence[float], log: bool) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Where a value stands between the bottom (0) and the top (1) of the axis, and values to label with their text."""
    highest = max(values)
    if not log or highest <= 0:
        highest = highest or 1.0
        labelled = [share * highest for share in (0, 0.5, 1)]
        return (lambda value: value / highest), [(value, f"{value:.3g}") for value in labelled]
    lowest = max(min(value for value in values if value > 0), highest * 1e-8)
    low, high = math.floor(math.log10(lowest)), math.log10(highest)
    span = max(high - low, 1e-9)

    def level(value: float) -> float:
        if value > 0:
            return max(0.0, (math.log10(value) - low) / span)
        return 0.0

    powers = range(low, math.floor(high) + 1)
    return level, [(10.0**power, f"1e{power}") for power in powers if 10.0**power <= highest * (1 + 1e-9)]
