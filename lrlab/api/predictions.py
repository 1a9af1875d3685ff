"""Predicted final losses as a value: printed, shown in a notebook, drawn, and as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrlab.api import pictures
from lrlab.api.frames import frame
from lrlab.drawing.panels import Band, Panel, draw_panels
from lrlab.drawing.terminal import aligned
from lrlab.forecast.fit import SKIPPED, Fit
from lrlab.forecast.predictions import SPLITS, Forecast, Prediction
from lrlab.forecast.shapes import Shape
from lrlab.forecast.uncertainty import LEVEL
from lrlab.words import counted

LABELS = {"train": "training loss", "val": "validation loss"}
FOUND = "piecewise_linear, found"  # the name of the shape that a search found
REFINED = "piecewise_linear, refined"  # and of the one that gradient norms ask for
_POINTS = 120  # of a drawn curve
_DRAWN = 8  # schedules, the best first


class Predictions(Sequence[Prediction]):
    """The schedules that were asked for, the best first. A notebook shows them as a table and a picture."""

    def __init__(self, found: Forecast, shapes: Mapping[str, Shape] | None = None, unrefined: str = ""):
        self._found = found
        self._shapes = shapes or {}
        self._unrefined = unrefined  # why no refinement is offered

    def __getitem__(self, index: Any) -> Any:
        return self._found.predictions[index]

    def __len__(self) -> int:
        return len(self._found.predictions)

    @property
    def best(self) -> Prediction | None:
        """The schedule with the least predicted loss; None where nothing was predicted."""
        return self[0] if len(self) and self[0].rank is not None else None

    @property
    def shape(self) -> list[str] | None:
        """The best straight lines through a few knots, by the law, as overrides; None where none were searched for.

        `lrlab.train(*found.shape, ...)` trains them.
        """
        return self._typed(FOUND)

    @property
    def refined(self) -> list[str] | None:
        """The schedule that makes the convex bound least for recorded gradient norms, as overrides: an experiment.

        None where no norms were recorded, and where the law finds it worse than the best shape.
        """
        return self._typed(REFINED)

    def _typed(self, name: str) -> list[str] | None:
        if name not in self._shapes:
            return None
        knots = ",".join(f"[{_moment(time)},{factor:g}]" for time, factor in self._shapes[name].knots)
        return ["scheduler=piecewise_linear", f"scheduler.lr_lambda.knots=[{knots}]"]

    @property
    def judged_by(self) -> str:
        """The loss by which schedules are ranked: "val", or "train" where validation cannot be predicted."""
        return self._found.judged_by or "val"

    @property
    def fits(self) -> Mapping[str, Fit]:
        """The law that was fitted, for "train" and "val"."""
        return self._found.fits

    @property
    def refused(self) -> dict[str, str]:
        """Of which loss nothing is predicted, "train" or "val", with the reason."""
        return dict(self._found.refused)

    @property
    def leave_out(self) -> dict[str, float]:
        """How far the law is off, relative, on the part of the trained curves that it was not fitted to."""
        return dict(self._found.leave_out)

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """The parameters of the law that was fitted, for "train" and "val"."""
        return {split: fitted.parameters for split, fitted in self._found.fits.items()}

    @property
    def notes(self) -> list[str]:
        """What must be known to read the table, a line each."""
        lines = []
        for split in SPLITS:
            if split in self._found.refused:
                lines.append(f"{LABELS[split]} is not predicted: {self._found.refused[split]}")
            else:
                error = self._found.leave_out[split]
                lines.append(f"{LABELS[split]}: the law is {error:.1%} off where it was left out of the fit")
        return [*lines, *self._alike(), *self._found.notes, *([self._unrefined] if self._unrefined else [])]

    def _alike(self) -> list[str]:
        """Which ranks the intervals cannot tell apart from the best."""
        split, best = self._found.judged_by, self.best
        if split is None or best is None:
            return []
        alike = [one for one in self if split in one.losses and one.losses[split].mean[0] <= best.losses[split].mean[1]]
        if len(alike) == 1:
            return []
        others = counted(len(alike) - 1, "other")
        return [f"not to be told apart from the best: {others}, by their intervals for the mean"]

    def rows(self) -> list[dict[str, Any]]:
        """A row a schedule: predicted losses with the bounds of their 90 % intervals, rank, and what is known."""
        rows = []
        for one in self:
            updates = None if one.curve is None else len(one.curve)
            row: dict[str, Any] = {"schedule": one.name, "lr": one.lr, "updates": updates, "rank": one.rank}
            for split in reversed(SPLITS):
                predicted = one.losses.get(split)
                name = f"{split}_loss"
                row[name] = predicted.value if predicted else None
                for bound, index in (("low", 0), ("high", 1)):
                    row[f"{name}_{bound}"] = predicted.mean[index] if predicted else None
                    row[f"{name}_one_run_{bound}"] = predicted.one_run[index] if predicted else None
                row[f"{name}_measured"] = one.measured.get(split)
            rows.append({**row, "basis": one.basis})
        return rows

    def to_frame(self) -> Any:
        """`rows` as a data frame where pandas is installed, else as a dict of columns."""
        rows = self.rows()
        return frame({name: [row[name] for row in rows] for name in rows[0]} if rows else {})

    def table(self) -> list[list[str]]:
        """What is printed: headings, then a row a schedule."""
        shown = [split for split in reversed(SPLITS) if split in self._found.fits]
        header = ["schedule", "LR", "rank"]
        judged_by = self._found.judged_by
        for split in shown:
            header += [LABELS[split]]
            header += [f"mean over seeds, {LEVEL:.0%}", f"one run, {LEVEL:.0%}"] if split == judged_by else []
        rows = [[*header, "basis"]]
        for one in self:
            cells = [one.name, f"{one.lr:g}", "" if one.rank is None else str(one.rank)]
            for split in shown:
                predicted = one.losses.get(split)
                ranges = [_range(predicted.mean), _range(predicted.one_run)] if predicted else ["", ""]
                cells += [_number(predicted.value) if predicted else ""]
                cells += ranges if split == judged_by else []
            rows.append([*cells, _known(one)])
        return rows

    def plot(self) -> pictures.Picture:
        """The predicted curves of the best schedules, beside what was measured of those that were trained."""
        return pictures.Picture(self._draw)

    def _draw(self) -> Any:
        return draw_panels(panels(self._found))

    def __repr__(self) -> str:
        return "\n".join([*aligned(self.table()), *self.notes])

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return self.plot()._repr_html_() + pictures.table(header, rows) + pictures.notes(self.notes)


def panels(found: Forecast) -> list[Panel]:
    """The LRs and the losses: predicted for the best schedules, and measured where trained."""
    shown = [one for one in found.predictions if one.curve is not None][:_DRAWN]
    bands = []
    for one in shown:
        assert one.curve is not None
        at = np.append(1, _points(len(one.curve)))
        bands.append(Band(_label(one, shown), (at - 1).tolist(), one.curve[at - 1].tolist()))
    drawn = [Panel(bands, "update", "learning rate")]
    for split in reversed(SPLITS):
        if split in found.fits:
            drawn.append(Panel(_losses(found, shown, split), "update", LABELS[split], logy=True))
    return drawn


def _losses(found: Forecast, shown: Sequence[Prediction], split: str) -> list[Band]:
    """Predicted losses as far as they are not above all that was measured, and what was measured."""
    measured = {f"{run.name}, measured": run.losses[split].binned(_POINTS) for run in found.trained}
    highest = max(float(curve.losses.max()) for curve in measured.values())
    bands = []
    for one in shown:
        assert one.curve is not None
        at = _points(len(one.curve))[1:]
        losses = found.fits[split].losses(one.curve, at)
        inside = losses <= highest
        bands.append(Band(_label(one, shown), at[inside].tolist(), losses[inside].tolist()))
    bands += [Band(name, curve.updates.tolist(), curve.losses.tolist()) for name, curve in measured.items()]
    return bands


def _label(one: Prediction, shown: Sequence[Prediction]) -> str:
    """The name of a schedule, with its base LR where it is drawn at several."""
    return f"{one.name}, LR {one.lr:g}" if [other.name for other in shown].count(one.name) > 1 else one.name


def _points(updates: int) -> np.ndarray:
    return np.unique(np.linspace(max(1, SKIPPED * updates), updates, min(_POINTS, updates)).round().astype(np.int64))


def _moment(percent: float) -> str:
    return f"{percent:g}%" if percent else "0"


def _known(one: Prediction) -> str:
    """What is known of a schedule; where it was trained, what was measured."""
    said = [f"{LABELS[split]} {_number(one.measured[split])}" for split in reversed(SPLITS) if split in one.measured]
    return f"{one.basis}: {', '.join(said)}" if said else one.basis


def _number(value: float) -> str:
    return f"{value:.4g}"


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3g} to {bounds[1]:.3g}"
