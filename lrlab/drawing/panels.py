"""Panels side by side: lines with bands around them, where a name has one colour in all panels."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrlab.drawing.figures import COLOURS, TIP, as_it_is, blank, set_frame

_STYLES = ("-", "--", ":", "-.")  # once all colours are used
_ROWS_WITHIN = 6  # of a legend, for which a figure has room as it is
_MOST_TIPS = 240  # of a panel; each makes the page larger
_POINTS_APART = 0.012  # of the axis, between the points of two names at one place
_MOST_APART = 0.4  # of the way to the next place, for all names together


@dataclass(frozen=True)
class Band:
    """A line with a band around it, where there is one."""

    name: str
    x: Sequence[float]
    middle: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dots: Sequence[Sequence[float]] = ()  # single values at each x


@dataclass(frozen=True)
class Panel:
    """Lines on one pair of axes."""

    bands: Sequence[Band]
    xlabel: str
    ylabel: str
    logx: bool = False
    logy: bool = False
    points: bool = False  # marked, because there is nothing between them
    stairs: bool = False  # a value holds until the next one
    reach: tuple[float, float] | None = None  # of the horizontal axis; None: as far as the lines go


def draw_panels(panels: Sequence[Panel], *, with_tips: bool = False) -> Any:
    """A figure with `panels` side by side; a name has one colour in all of them, and one legend.

    With tips there is an unseen mark on each value, for `as_svg` to say it when a pointer comes near.
    """
    width = 0.6 + 4.6 * len(panels)
    bands = itertools.chain.from_iterable(panel.bands for panel in panels)
    names = list(dict.fromkeys(band.name for band in bands))
    columns = _fitting_columns(names, width)
    figure = blank(width, 3.5 + _higher_for(math.ceil(len(names) / columns)))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    handles = {}
    for axis, panel in zip(axes, panels, strict=True):
        for place, band in enumerate(panel.bands):
            shown = _beside_the_others(band, panel, place)
            handles[band.name] = _draw_band(axis, panel, shown, names.index(band.name))
            if with_tips:
                _draw_tips(axis, panel, band, shown.x)
        axis.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
        _set_scales(axis, panel)
        set_frame(axis, 0.6)
    figure.legend(
        [handles[name] for name in names],
        list(map(as_it_is, names)),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=9,
    )
    return figure


def _higher_for(rows: int) -> float:
    """How many inches a figure grows so that a legend of so many rows leaves its panels their room."""
    return 0.19 * max(0, rows - _ROWS_WITHIN)


def _fitting_columns(names: Sequence[str], inches: float) -> int:
    """How many names fit beside each other in a legend at 9 points: a handle, and a width for each character.

    >>> _fitting_columns(["cosine", "step"], 5.2), _fitting_columns(["warmup_cosine (transformers)"], 5.2)
    (4, 1)
    """
    return max(1, min(6, int(inches / (0.65 + 0.08 * max(map(len, names))))))


def _draw_band(axis: Any, panel: Panel, band: Band, index: int) -> Any:
    """Draw a band in the colour and style of the name with that `index`; returns its line, for the legend."""
    colour = COLOURS[index % len(COLOURS)]
    style = _STYLES[index // len(COLOURS) % len(_STYLES)]
    marker = "o" if panel.points or len(band.x) == 1 else None
    shape: Any = {"drawstyle": "steps-post"} if panel.stairs else {"marker": marker, "markersize": 4}
    (line,) = axis.plot(band.x, band.middle, style, color=colour, linewidth=1.7, **shape)
    for x, values in zip(band.x, band.dots, strict=False):
        axis.plot([x] * len(values), values, "o", color=colour, markersize=3, alpha=0.35, markeredgewidth=0)
    if band.low is None or band.high is None:
        return line
    if panel.points:
        axis.vlines(band.x, band.low, band.high, color=colour, linewidth=1, alpha=0.6)
    else:
        step: Any = "post" if panel.stairs else None
        axis.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0, step=step)
    return line


def _beside_the_others(band: Band, panel: Panel, place: int) -> Band:
    """The band at its `place` among those of a panel: points of several would hide each other's intervals."""
    if not panel.points or not panel.logx or len(panel.bands) == 1:
        return band
    places = sorted(set(itertools.chain.from_iterable(one.x for one in panel.bands)))
    gaps = [right / left for left, right in itertools.pairwise(places)]
    step = max((places[-1] / places[0]) ** _POINTS_APART, 1.01)
    step = min(step, min(gaps, default=10.0) ** (_MOST_APART / len(panel.bands)))
    return replace(band, x=[x * step ** (place - (len(panel.bands) - 1) / 2) for x in band.x])


def _draw_tips(axis: Any, panel: Panel, band: Band, places: Sequence[float]) -> None:
    """An unseen mark at the place of each value of a band, or of some where there are many; its id is what it says."""
    count = len(band.x) - 1 if panel.stairs else len(band.x)  # stairs end with their last value again
    stride = max(1, math.ceil(count / max(_MOST_TIPS // len(panel.bands), 5)))
    for index in range(0, count, stride):
        said = f"{panel.ylabel} {band.middle[index]:.4g}"
        if band.low is not None and band.high is not None and band.low[index] < band.high[index]:
            said += f" ({band.low[index]:.4g} to {band.high[index]:.4g})"
        text = f"{band.name}, {panel.xlabel} {band.x[index]:.6g}: {said}"
        axis.plot([places[index]], [band.middle[index]], "o", markersize=9, alpha=0, gid=f"{TIP}{text}")


def _set_scales(axis: Any, panel: Panel) -> None:
    if panel.reach is not None:
        axis.set_xlim(*panel.reach)
    if panel.logx:
        places = set(itertools.chain.from_iterable(band.x for band in panel.bands))  # not those drawn beside them
        _label_at(axis, sorted(places))
    else:
        axis.xaxis.get_major_locator().set_params(integer=True)
    if panel.logy:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(_few_minor_labels(axis))


def _label_at(axis: Any, values: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with labels at `values`, or at eight of them where there are more."""
    from matplotlib.ticker import NullLocator

    axis.set_xscale("log")
    shown = values[:: max(1, math.ceil(len(values) / 8))]
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(shown, [f"{value:g}" for value in shown])


def _few_minor_labels(axis: Any) -> Any:
    """Labels between the powers of ten of a vertical axis."""
    from matplotlib.ticker import FuncFormatter

    def label(value: float, _: int) -> str:
        low, high = axis.get_ylim()
        digit = round(value / 10 ** math.floor(math.log10(value) + 1e-9))
        return f"{value:g}" if digit in _labelled_digits(high / low) else ""

    return FuncFormatter(label)


def _labelled_digits(span: float) -> Sequence[int]:
    """Which digits have room for a label on an axis from x to `span` times x: all, then some, then none."""
    if span < 5:
        return range(2, 10)
    return (2, 3, 5) if span < 100 else ()
