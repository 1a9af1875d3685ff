"""What a watch saw, as a table, as a picture, and in a notebook."""

from collections.abc import Sequence
from typing import Any

from lrlab.api import pictures
from lrlab.api.axes import LABELS
from lrlab.api.frames import frame
from lrlab.api.watched_groups import WatchedGroup
from lrlab.drawing.panels import Band, Panel, draw_panels

_MOST_DRAWN = 2000  # updates, in a picture


def table(groups: Sequence[WatchedGroup], *, start: int, step: int, offset: int) -> Any:
    """A row for each update from `start` to before `step`; a plan is `offset` updates ahead of them."""
    columns: dict[str, list[Any]] = {"step": list(range(start, step))}
    for group in groups:
        suffix = f"/{group.name}" if len(groups) > 1 else ""
        columns[f"planned{suffix}"] = group.planned_of(start, len(columns["step"]), offset)
        columns[f"applied{suffix}"] = list(group.applied)
    return frame(columns)


def picture(groups: Sequence[WatchedGroup], *, start: int, step: int, length: int) -> pictures.Picture:
    """The whole plan, of that length, and the LRs that were applied."""
    bands = []
    stride = max(1, max(step, length) // _MOST_DRAWN)
    for group in groups:
        suffix = f" of {group.name}" if len(groups) > 1 else ""
        whole = list(range(0, max(len(group.schedule), step), stride))
        seen = list(range(start, step, stride))
        bands.append(Band(f"planned{suffix}", whole, group.planned_of(0, whole[-1] + 1, 0)[::stride]))
        bands.append(Band(f"applied{suffix}", seen, list(group.applied)[::stride]))
    panel = Panel(bands, "update", LABELS["lr"], stairs=True)
    return pictures.Picture(lambda: draw_panels([panel]))
