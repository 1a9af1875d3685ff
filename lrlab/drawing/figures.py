"""What all figures share: colours, a blank sheet, a frame; and how they are written."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lrlab.system import disk

SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito, Color Universal Design, 2008: told apart by colour-blind readers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
BLACK = COLOURS[6]  # on a dark page it would not be seen
_INK = "#010203"  # no colour that anything else has
TIP = "tip: "  # how the ids of marks begin that say a value


def as_it_is(name: str) -> str:
    """A name as it is, where matplotlib would read what lies between two dollars as a formula."""
    return name.replace("$", r"\$")


def blank(width: float, height: float) -> Any:
    """An empty figure of that size, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def set_frame(axes: Any, grid_width: float) -> None:
    """A light grid, and lines at the left and at the bottom only."""
    axes.grid(alpha=0.3, linewidth=grid_width)
    axes.spines[["top", "right"]].set_visible(False)


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
    drawn = re.sub(rf'<g id="{TIP}(.*?)">', r"<g><title>\1</title>", drawn[drawn.index("<svg") :])
    for ink in (_INK, BLACK):
        drawn = drawn.replace(ink, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)


def _repeatable() -> Any:
    """Names inside of an SVG that depend on nothing but what is drawn; and text stays text there."""
    import matplotlib as mpl

    return mpl.rc_context({"svg.hashsalt": "lrlab", "svg.fonttype": "none"})
