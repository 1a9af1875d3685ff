"""The figure of range tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrlab.drawing.figures import BLACK, COLOURS, blank, save, set_frame

RangeTests = Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]]  # LRs, losses, smoothed; one a seed


def draw_range_tests(tests: RangeTests, path: Path, *, suggestion: float) -> None:
    """Draw range tests to `path`, and the LR that they suggest."""
    save(of_range_tests(tests, suggestion=suggestion), path)


def of_range_tests(tests: RangeTests, *, suggestion: float | None) -> Any:
    """A figure of range tests, and of the LR that they suggest if there is one."""
    figure = blank(7.2, 4.2)
    axes = figure.add_subplot()
    for index, (lrs, losses, smoothed) in enumerate(tests):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(lrs, losses, ".", color=colour, markersize=2, alpha=0.35)
        axes.plot(lrs, smoothed, color=colour, linewidth=1.5)
    if suggestion is not None:
        axes.axvline(suggestion, color=BLACK, linewidth=1, linestyle="--", label=f"optimizer.lr={suggestion:g}")
    highest = max((smoothed[0] for _, _, smoothed in tests), default=1.0)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss of a batch", ylim=(0, 1.6 * highest))
    set_frame(axes, 0.6)
    if suggestion is not None:
        axes.legend(frameon=False, fontsize=9)
    return figure
