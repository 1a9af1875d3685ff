"""The table of a preview: a line a curve, in columns."""

import math
from collections.abc import Sequence

from lrlab.drawing.terminal import Line, aligned, sparkline

HEADER = ["curve", "updates", "start", "peak", "at", "end", "mean", "at zero"]
_SPARE = ["at zero", "updates", "at", "mean", "peak", "start"]  # where there is no room for all, the first first


def table(
    names: Sequence[str],
    lines: Sequence[Line],
    repeats: Sequence[tuple[int, int]],
    *,
    drawn: bool,
    width: int | None = None,
) -> list[str]:
    """The header and a row for each of `lines`.

    `repeats` says of each how many updates one of its values is for, and how many it has in all. With `drawn` a small
    drawing stands at the end of each row. In less `width` than that takes, columns are left out.
    """
    rows = [HEADER]
    for name, line, (each, total) in zip(names, lines, repeats, strict=True):
        rows.append([name, *numbers(line.values, each, total)])
    drawings = ["", *(f"  {sparkline(line)}" if drawn else "" for line in lines)]
    if width is not None:
        width -= max(map(len, drawings))
    texts = aligned(rows, width, _SPARE)
    longest = max(map(len, texts))
    return [f"{text:<{longest}}{drawing}".rstrip() for text, drawing in zip(texts, drawings, strict=True)]


def numbers(values: Sequence[float], repeats: int, total: int) -> list[str]:
    """What a row says of `values` after the curve's name; each is that of so many updates, of a `total`."""
    peak = max(values)
    last = total - (len(values) - 1) * repeats  # updates of the last value, whose epoch may be cut short
    mean = (math.fsum(values[:-1]) * repeats + values[-1] * last) / total
    return [
        f"0..{total - 1}",
        f"{values[0]:.4g}",
        f"{peak:.4g}",
        str(values.index(peak) * repeats),
        f"{values[-1]:.4g}",
        f"{mean:.4g}",
        _at_zero(values, repeats, total),
    ]


def _at_zero(values: Sequence[float], repeats: int, total: int) -> str:
    """How many updates have the value 0, and between which they lie."""
    zeros = [count for count, value in enumerate(values) if value == 0]
    if not zeros:
        return "0"
    first, end = zeros[0] * repeats, (zeros[-1] + 1) * repeats
    missing = max(end - total, 0)
    return f"{len(zeros) * repeats - missing} ({first}..{end - missing - 1})"
