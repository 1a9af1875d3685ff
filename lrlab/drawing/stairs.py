"""Staircases, as LR curves are: on shared axes, and many as small multiples."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrlab.drawing.figures import COLOURS, as_it_is, blank, save, set_frame
from lrlab.drawing.terminal import Line

MOST_TOGETHER = 8  # more curves than this are drawn as small multiples


def draw(
    lines: Sequence[Line], path: Path, *, xlabel: str, ylabel: str, log: bool, without: Sequence[tuple[str, str]] = ()
) -> None:
    """Draw staircases to `path` (.png, .svg or .pdf), as `of_stairs` does."""
    save(of_stairs(lines, xlabel=xlabel, ylabel=ylabel, log=log, without=without), path)


def of_stairs(
    lines: Sequence[Line], *, xlabel: str, ylabel: str, log: bool, without: Sequence[tuple[str, str]] = ()
) -> Any:
    """A figure of staircases: up to eight on one pair of axes, more as small multiples.

    `without` are names of curves without values, each with the reason; among small multiples they get an empty panel.
    """
    if len(lines) + len(without) > MOST_TOGETHER:
        return _small_multiples(lines, without, (xlabel, ylabel), log)
    return _together(lines, xlabel, ylabel, log)


def draw_stairs(line: Line) -> Any:
    """A small figure of one staircase, as a panel of a contact sheet that the page itself arranges."""
    figure = blank(2.3, 1.6)
    axis = figure.add_subplot()
    axis.stairs(line.values, line.edges, baseline=None, color=COLOURS[0], linewidth=1.4)
    axis.tick_params(labelsize=8)
    set_frame(axis, 0.5)
    _set_limits(axis, [line], log=False)
    return figure


def _together(lines: Sequence[Line], xlabel: str, ylabel: str, log: bool) -> Any:
    figure = blank(7.2, 4.2)
    axes = figure.add_subplot()
    for colour, line in zip(COLOURS, lines, strict=False):
        axes.stairs(line.values, line.edges, baseline=None, color=colour, linewidth=1.8, label=as_it_is(line.name))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _set_limits(axes, lines, log)
    set_frame(axes, 0.6)
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=_legend_columns([line.name for line in lines]),
        borderaxespad=0.2,
    )
    return figure


def _legend_columns(names: Sequence[str]) -> int:
    """How many names of curves fit beside each other above a figure."""
    if max(map(len, names)) < 30:
        return 3
    return 2 if len(names) > 1 else 1


def _small_multiples(
    lines: Sequence[Line], without: Sequence[tuple[str, str]], labels: tuple[str, str], log: bool
) -> Any:
    count = len(lines) + len(without)
    prefix = _common_key([line.name for line in lines] + [name for name, _ in without])
    columns = min(7, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    figure = blank(2.1 * columns + 0.4, 1.45 * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, line in zip(panels, lines, strict=False):
        panel.stairs(line.values, line.edges, baseline=None, color=COLOURS[0], linewidth=1.4)
        panel.set_title(as_it_is(line.name.removeprefix(prefix)), fontsize=8.5, pad=3)
    for panel, (name, reason) in zip(panels[len(lines) :], without, strict=False):
        panel.set_title(as_it_is(name.removeprefix(prefix)), fontsize=8.5, pad=3)
        panel.text(0.5, 0.5, as_it_is(reason), transform=panel.transAxes, ha="center", va="center", fontsize=8)
    for index, panel in enumerate(panels):
        panel.set_visible(index < count)
        panel.tick_params(labelsize=7.5, labelbottom=count - columns <= index < count)
        set_frame(panel, 0.5)
    _set_limits(panels[0], lines, log)
    figure.supxlabel(labels[0], fontsize=10)
    figure.supylabel(labels[1], fontsize=10)
    return figure


def _common_key(names: Sequence[str]) -> str:
    """`KEY=` where all names begin with it, so that no title need repeat it; else nothing."""
    keys = {name.partition("=")[0] for name in names}
    return f"{keys.pop()}=" if len(keys) == 1 else ""


def _set_limits(axes: Any, lines: Sequence[Line], log: bool) -> None:
    """Let the axes reach as far as the lines do; with `log`, down to the lowest value above zero."""
    axes.set_xlim(min(line.edges[0] for line in lines), max(line.edges[-1] for line in lines))
    values = list(itertools.chain.from_iterable(line.values for line in lines))
    highest = max(values) or 1.0
    if not log:
        axes.set_ylim(-0.02 * highest, 1.05 * highest)
        return
    lowest = min((value for value in values if value > 0), default=highest)
    axes.set_yscale("log")
    axes.set_ylim(max(lowest, highest * 1e-8) * 0.8, highest * 1.3)
