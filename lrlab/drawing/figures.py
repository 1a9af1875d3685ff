"""Figures that can go into a paper: curves on shared axes, and many curves as small multiples."""

import io
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrlab.drawing.terminal import Line
from lrlab.system import disk

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito, Color Universal Design, 2008: told apart by colour-blind readers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_BLACK = COLOURS[6]  # on a dark page it would not be seen
_INK = "#010203"  # no colour that anything else has
_STYLES = ("-", "--", ":", "-.")  # once all colours are used
_TIP = "tip: "  # how the ids of marks begin that say a value
_MOST_TIPS = 240  # of a panel; each makes the page larger
_POINTS_APART = 0.012  # of the axis, between the points of two names at one place
_MOST_APART = 0.4  # of the way to the next place, for all names together
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


def _text(name: str) -> str:
    """A name as it is, where matplotlib would read what lies between two dollars as a formula."""
    return name.replace("$", r"\$")


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _together(lines: Sequence[Line], xlabel: str, ylabel: str, log: bool) -> Any:
    figure = _figure(7.2, 4.2)
    axes = figure.add_subplot()
    for colour, line in zip(COLOURS, lines, strict=False):
        axes.stairs(line.values, line.edges, baseline=None, color=colour, linewidth=1.8, label=_text(line.name))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _set_limits(axes, lines, log)
    _set_frame(axes, 0.6)
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=_legend_columns([line.name for line in lines]),
        borderaxespad=0.2,
    )
    return figure


def _fitting_columns(names: Sequence[str], inches: float) -> int:
    """How many names fit beside each other in a legend at 9 points: a handle, and a width for each character.

    >>> _fitting_columns(["cosine", "step"], 5.2), _fitting_columns(["warmup_cosine (transformers)"], 5.2)
    (4, 1)
    """
    return max(1, min(6, int(inches / (0.65 + 0.08 * max(map(len, names))))))


def _legend_columns(names: Sequence[str]) -> int:
    """How many names of curves fit beside each other above a figure."""
    if max(map(len, names)) < 30:
        return 3
    return 2 if len(names) > 1 else 1


def _set_frame(axes: Any, grid_width: float) -> None:
    """A light grid, and lines at the left and at the bottom only."""
    axes.grid(alpha=0.3, linewidth=grid_width)
    axes.spines[["top", "right"]].set_visible(False)


def _small_multiples(
    lines: Sequence[Line], without: Sequence[tuple[str, str]], labels: tuple[str, str], log: bool
) -> Any:
    count = len(lines) + len(without)
    prefix = _common_key([line.name for line in lines] + [name for name, _ in without])
    columns = min(7, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    figure = _figure(2.1 * columns + 0.4, 1.45 * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, line in zip(panels, lines, strict=False):
        panel.stairs(line.values, line.edges, baseline=None, color=COLOURS[0], linewidth=1.4)
        panel.set_title(_text(line.name.removeprefix(prefix)), fontsize=8.5, pad=3)
    for panel, (name, reason) in zip(panels[len(lines) :], without, strict=False):
        panel.set_title(_text(name.removeprefix(prefix)), fontsize=8.5, pad=3)
        panel.text(0.5, 0.5, _text(reason), transform=panel.transAxes, ha="center", va="center", fontsize=8)
    for index, panel in enumerate(panels):
        panel.set_visible(index < count)
        panel.tick_params(labelsize=7.5, labelbottom=count - columns <= index < count)
        _set_frame(panel, 0.5)
    _set_limits(panels[0], lines, log)
    figure.supxlabel(labels[0], fontsize=10)
    figure.supylabel(labels[1], fontsize=10)
    return figure


def _common_key(names: Sequence[str]) -> str:
    """`KEY=` where all names begin with it, so that no title need repeat it; else nothing."""
    keys = {name.partition("=")[0] for name in names}
    return f"{keys.pop()}=" if len(keys) == 1 else ""


RangeTests = Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]]  # LRs, losses, smoothed; one a seed


def draw_range_tests(tests: RangeTests, path: Path, *, suggestion: float) -> None:
    """Draw range tests to `path`, and the LR that they suggest."""
    save(of_range_tests(tests, suggestion=suggestion), path)


def of_range_tests(tests: RangeTests, *, suggestion: float | None) -> Any:
    """A figure of range tests, and of the LR that they suggest if there is one."""
    figure = _figure(7.2, 4.2)
    axes = figure.add_subplot()
    for index, (lrs, losses, smoothed) in enumerate(tests):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(lrs, losses, ".", color=colour, markersize=2, alpha=0.35)
        axes.plot(lrs, smoothed, color=colour, linewidth=1.5)
    if suggestion is not None:
        axes.axvline(suggestion, color=_BLACK, linewidth=1, linestyle="--", label=f"optimizer.lr={suggestion:g}")
    highest = max((smoothed[0] for _, _, smoothed in tests), default=1.0)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss of a batch", ylim=(0, 1.6 * highest))
    _set_frame(axes, 0.6)
    if suggestion is not None:
        axes.legend(frameon=False, fontsize=9)
    return figure


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
    figure = _figure(width, 3.5)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    bands = itertools.chain.from_iterable(panel.bands for panel in panels)
    names = list(dict.fromkeys(band.name for band in bands))
    handles = {}
    for axis, panel in zip(axes, panels, strict=True):
        for place, band in enumerate(panel.bands):
            shown = _beside_the_others(band, panel, place)
            handles[band.name] = _draw_band(axis, panel, shown, names.index(band.name))
            if with_tips:
                _draw_tips(axis, panel, band, shown.x)
        axis.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
        _set_scales(axis, panel)
        _set_frame(axis, 0.6)
    figure.legend(
        [handles[name] for name in names],
        list(map(_text, names)),
        loc="outside upper left",
        ncols=_fitting_columns(names, width),
        frameon=False,
        fontsize=9,
    )
    return figure


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
        axis.plot([places[index]], [band.middle[index]], "o", markersize=9, alpha=0, gid=f"{_TIP}{text}")


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


def draw_stairs(line: Line) -> Any:
    """A small figure of one staircase, as a panel of a contact sheet that the page itself arranges."""
    figure = _figure(2.3, 1.6)
    axis = figure.add_subplot()
    axis.stairs(line.values, line.edges, baseline=None, color=COLOURS[0], linewidth=1.4)
    axis.tick_params(labelsize=8)
    _set_frame(axis, 0.5)
    _set_limits(axis, [line], log=False)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure to `path` (.png, .svg or .pdf), the same bytes for the same figure."""
    drawn = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with _repeatable():
        figure.savefig(drawn, format=path.suffix[1:], dpi=150, metadata=metadata)
    disk.write_whole(path, drawn.getvalue())


def as_svg(draw_it: Callable[[], Any]) -> str:
    """The figure that `draw_it` makes, as an <svg> element whose ink has the colour of the page's text.

    Marks that have a tip say it.
    """
    import matplotlib as mpl

    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    inks: Any = dict.fromkeys(names, _INK)
    text = io.StringIO()
    with mpl.rc_context(inks), _repeatable():
        draw_it().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    drawn = re.sub(rf'<g id="{_TIP}(.*?)">', r"<g><title>\1</title>", drawn[drawn.index("<svg") :])
    for ink in (_INK, _BLACK):
        drawn = drawn.replace(ink, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)


def _repeatable() -> Any:
    """Names inside of an SVG that depend on nothing but what is drawn; and text stays text there."""
    import matplotlib as mpl

    return mpl.rc_context({"svg.hashsalt": "lrlab", "svg.fonttype": "none"})
