"""The files that `lrlab preview` writes: every update as .csv or for machines, and the figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrlab.api.axes import AXES, LABELS
from lrlab.commands.preview_curves import PlannedCurve, lines_of
from lrlab.comparison.results import cell
from lrlab.errors import wrong
from lrlab.lr import shares

if TYPE_CHECKING:
    from lrlab.lr.plan import Plan  # which needs torch, and --help does not


def for_machines(curves: Sequence[PlannedCurve], name: str) -> list[dict[str, Any]]:
    """Every curve with its value at each update; without values where it has none of this name."""
    return [
        {
            "name": curve.name,
            "updates_per_epoch": _updates_per_epoch(curve.plan),
            "values": curve.plan.per_update(name) if curve.plan is not None and curve.shows(name) else None,
            "notes": curve.notes,
        }
        for curve in curves
    ]


def _updates_per_epoch(plan: Plan | None) -> int | None:
    """None where there is no plan, or its values are for the positions in a time budget."""
    return None if plan is None or plan.horizon.in_shares else plan.horizon.steps_per_epoch


def as_csv(curves: Sequence[PlannedCurve], show: str) -> str:
    """A row an update: `step`, `epoch`, then a column a curve; empty where a run is over."""
    plans = [curve.plan for curve in curves if curve.plan is not None]
    if any(plan.horizon.in_shares for plan in plans):
        return _csv_over_shares(curves, show)
    lengths = {plan.horizon.steps_per_epoch for plan in plans}
    if len(lengths) > 1:
        raise wrong(
            "preview.csv",
            got=f"curves with {' and '.join(map(str, sorted(lengths)))} updates an epoch, with no common epochs",
            allowed="one length of an epoch",
            do="preview.steps_per_epoch=N, or a file a curve",
        )
    columns = [plan.per_update(show) for plan in plans]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "epoch", *(cell(curve.name) for curve in curves)])
    for step in range(max(map(len, columns))):
        values = [repr(column[step]) if step < len(column) else "" for column in columns]
        writer.writerow([step, step // min(lengths), *values])
    return text.getvalue()


def _csv_over_shares(curves: Sequence[PlannedCurve], show: str) -> str:
    """A row for each position in a time budget: its `share`, then a column a curve."""
    plans = [curve.plan for curve in curves if curve.plan is not None]
    if not all(plan.horizon.in_shares for plan in plans):
        got = "curves over a time budget beside others, which are over updates"
        raise wrong("preview.csv", got=got, allowed="curves of one kind", do="a file a curve")
    columns = [plan.per_update(show) for plan in plans]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["share", *(cell(curve.name) for curve in curves)])
    for position, values in enumerate(zip(*columns, strict=True)):
        writer.writerow([shares.written(position), *map(repr, values)])
    return text.getvalue()


def draw(curves: Sequence[PlannedCurve], file: Path, *, show: str, axis: str, log: bool) -> None:
    """Draw the curves to `file`; those that have no such values are named with the reason."""
    from lrlab.drawing import stairs

    others = [curve for curve in curves if not curve.shows(show)]
    stairs.draw(
        lines_of(curves, show=show, axis=axis),
        file,
        xlabel=AXES[axis],
        ylabel=LABELS.get(show, show),
        log=log,
        without=[(curve.name, _why_not(curve)) for curve in others],
    )


def _why_not(curve: PlannedCurve) -> str:
    return "not with these\nsettings" if curve.plan is None else "follows a metric"
