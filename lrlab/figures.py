"""Figures that can go into a paper: curves on shared axes, and many curves as small multiples."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrlab.terminal import Line

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito, Color Universal Design, 2008: told apart by colour-blind readers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MOST_TOGETHER = 8  # more curves than this are drawn as small multiples


def draw(
    lines: Sequence[Line], path: Path, *, xlabel: str, ylabel: str, log: bool, without: Sequence[tuple[str, str]] = ()
) -> None:
    """Draw staircases to `path` (.png, .svg or .pdf): on one pair of axes, or more than eight as small multiples.

    `without` are names of curves that have no values and why; they get an empty panel among small multiples.
    """
    if len(lines) + len(without) > MOST_TOGETHER:
        figure = _small_multiples(lines, without, (xlabel, ylabel), log)
    else:
        figure = _together(lines, xlabel, ylabel, log)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _figure(width: float, height: float) -> Any:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    return Figure(figsize=(width, height), layout="constrained")


def _together(lines: Sequence[Line], xlabel: str, ylabel: str, log: bool) -> Any:
    figure = _figure(7.2, 4.2)
    axes = figure.add_subplot()
    for colour, line in zip(COLOURS, lines, strict=False):
        axes.stairs(line.values, line.edges, baseline=None, color=colour, linewidth=1.8, label=line.name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _finish(axes, lines, log)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    columns = 3 if max(len(line.name) for line in lines) < 30 else 2 if len(lines) > 1 else 1
    axes.legend(
        frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2
    )
    return figure


def _small_multiples(
    lines: Sequence[Line], without: Sequence[tuple[str, str]], labels: tuple[str, str], log: bool
) -> Any:
    count = len(lines) + len(without)
    keys = {name.partition("=")[0] for name in [*(line.name for line in lines), *(name for name, _ in without)]}
    prefix = f"{keys.pop()}=" if len(keys) == 1 else ""
    columns = min(7, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    figure = _figure(2.1 * columns + 0.4, 1.45 * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, line in zip(panels, lines, strict=False):
        panel.stairs(line.values, line.edges, baseline=None, color=COLOURS[0], linewidth=1.4)
        panel.set_title(line.name.removeprefix(prefix), fontsize=8.5, pad=3)
    for panel, (name, reason) in zip(panels[len(lines) :], without, strict=False):
        panel.set_title(name.removeprefix(prefix), fontsize=8.5, pad=3)
        panel.text(0.5, 0.5, reason, transform=panel.transAxes, ha="center", va="center", fontsize=8)
    for index, panel in enumerate(panels):
        panel.set_visible(index < count)
        panel.tick_params(labelsize=7.5, labelbottom=count - columns <= index < count)
        panel.grid(alpha=0.3, linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    _finish(panels[0], lines, log)
    figure.supxlabel(labels[0], fontsize=10)
    figure.supylabel(labels[1], fontsize=10)
    return figure


def draw_range_tests(
    tests: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]], path: Path, *, suggestion: float
) -> None:
    """Draw range tests (LRs, losses, smoothed losses), one a seed, and the LR that they suggest."""
    figure = _figure(7.2, 4.2)
    axes = figure.add_subplot()
    for index, (lrs, losses, smoothed) in enumerate(tests):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(lrs, losses, ".", color=colour, markersize=2, alpha=0.35)
        axes.plot(lrs, smoothed, color=colour, linewidth=1.5)
    axes.axvline(suggestion, color="black", linewidth=1, linestyle="--", label=f"optimizer.lr={suggestion:g}")
    highest = max(smoothed[0] for _, _, smoothed in tests)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss of a batch", ylim=(0, 1.6 * highest))
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def _finish(axes: Any, lines: Sequence[Line], log: bool) -> None:
    axes.set_xlim(min(line.edges[0] for line in lines), max(line.edges[-1] for line in lines))
    highest = max(max(line.values) for line in lines) or 1.0
    if log:
        positive = [value for line in lines for value in line.values if value > 0]
        axes.set_yscale("log")
        axes.set_ylim(max(min(positive, default=highest), highest * 1e-8) * 0.8, highest * 1.3)
    else:
        axes.set_ylim(-0.02 * highest, 1.05 * highest)
