"""What `lrlab preview` prints: the drawing, the table, and what should be known of the curves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from lrlab.api.axes import AXES
from lrlab.commands.preview_curves import PlannedCurve, lines_of
from lrlab.drawing.curve_table import table
from lrlab.drawing.terminal import plot
from lrlab.system import streams
from lrlab.words import budget_in_words

_COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan")
_MOST_DRAWN = len(_COLOURS)  # curves in one terminal drawing; more have a line of their own in the table


def print_curves(curves: Sequence[PlannedCurve], *, show: str, axis: str, log: bool) -> None:
    """The drawing, the table, which curves are the same, and what is probably a mistake."""
    from rich.text import Text

    console = streams.console()
    lines = lines_of(curves, show=show, axis=axis)
    together = len(lines) <= _MOST_DRAWN

    # One drawing of all, unless they are too many for one.
    if together:
        width = min(shutil.get_terminal_size((80, 24)).columns, 120)
        rows = plot(lines, width=width, log=log, letters=not console.is_terminal, xlabel=AXES[axis])
        for row in rows:
            text = Text()
            for part, index in row:
                text.append(part, style=_COLOURS[index] if index >= 0 else None)
            console.print(text)

    # The table. Where several curves share a drawing, each has its letter and its colour there.
    keyed = together and len(lines) > 1
    marks = [f"{chr(ord('a') + index)} " if keyed else "" for index in range(len(lines))]
    labels = [mark + line.name for mark, line in zip(marks, lines, strict=True)]
    plans = [curve.plan for curve in curves if curve.plan is not None and curve.shows(show)]
    repeats = [(plan.updates_per_count, plan.horizon.steps) for plan in plans]
    seen = console.width if console.is_terminal else None
    header, *rest = table(labels, lines, repeats, drawn=not together, width=seen)
    console.print(Text(header))
    for index, line in enumerate(rest):
        console.print(Text(line, style=_COLOURS[index] if keyed else ""))
    for note in _notes(curves):
        console.print(note)


def _notes(curves: Sequence[PlannedCurve]) -> list[str]:
    """What a curve lacks, which curves are the same, and warnings."""
    notes = []
    same: dict[str, list[str]] = {}
    for curve in curves:
        if curve.plan is None:
            notes += [f"{curve.name}: {note}" for note in curve.notes]
        elif curve.plan.lrs is None:
            known = curve.plan.known_updates()
            since = f" from update {known} on" if known else ""
            notes.append(f"{curve.name} follows a metric{since}: its LR is not known before training")
        else:
            same.setdefault(curve.plan.hashes["lr"], []).append(curve.name)
    notes += [f"the same LR at every update: {', '.join(alike)}" for alike in same.values() if len(alike) > 1]
    times = {curve.plan.horizon.budget_seconds for curve in curves if curve.plan is not None}
    for seconds in sorted(one for one in times if one is not None):
        notes.append(f"over {budget_in_words(seconds)} of training: `updates` and `at` count ten-thousandths of it")
    for curve in curves:
        if curve.plan is not None:
            notes += [f"warning: {curve.name}: {warning}" for warning in curve.notes]
    return notes
