"""Planned curves as staircases, and as a picture."""

from collections.abc import Sequence

from lrlab.api.axes import AXES, LABELS
from lrlab.api.pictures import Picture
from lrlab.drawing import stairs
from lrlab.drawing.terminal import Line
from lrlab.lr.plan import Plan


def line_of(name: str, plan: Plan, *, show: str = "lr", axis: str = "epoch") -> Line:
    """A planned curve as a staircase over epochs, updates or percent of the run."""
    values, steps = plan.curves[show], plan.horizon.steps
    in_updates = [min(count * plan.updates_per_count, steps) for count in range(len(values) + 1)]
    unit = {"epoch": plan.horizon.steps_per_epoch, "step": 1, "percent": steps / 100}[axis]
    return Line(name, [updates / unit for updates in in_updates], values)


def picture(lines: Sequence[Line], *, x: str, show: str = "lr", log: bool = False) -> Picture:
    """The staircases on one pair of axes, or as small multiples where they are many."""
    ylabel = LABELS.get(show, show)
    return Picture(lambda: stairs.of_stairs(lines, xlabel=AXES[x], ylabel=ylabel, log=log))
