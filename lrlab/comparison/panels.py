"""The curves of a comparison: what is drawn of it, on a page or for a paper."""

import math
import statistics
from collections.abc import Iterator
from itertools import chain

from lrlab.comparison.candidates import Candidate
from lrlab.comparison.contest import Contest
from lrlab.comparison.results import A_TABLE, Result
from lrlab.comparison.statistics import Interval, mean
from lrlab.drawing.panels import Band, Panel
from lrlab.drawing.terminal import Line
from lrlab.training.metrics import find


def learning_panels(contest: Contest) -> list[Panel]:
    """What the contest is judged by, validation loss, training loss and LR, all over the same epochs.

    Each candidate that has room is shown at its best LR, with the range of its seeds. Of a table with one value a run
    there are none.
    """
    if all(run.logged_by == A_TABLE and len(run.history) == 1 for run in contest.runs):
        return []
    panels = []
    reach = (0.0, float(max(_epochs(candidate) for candidate in contest.drawn)))
    for name, label in _curves_of(contest):
        kind = find(name)
        bands = [_curve(candidate, name, scale=kind.scale) for candidate in contest.drawn]
        positive = all(min(band.low or band.middle, default=0.0) > 0 for band in bands)
        unit = " (%)" if kind.is_share else ""
        panels.append(Panel(bands, "epoch", label + unit, logy=positive and not kind.is_share, reach=reach))
    if knows_lrs(contest):
        lrs = [_lr_band(candidate) for candidate in contest.drawn]
        panels.append(Panel(lrs, "epoch", "LR", stairs=True, reach=reach))
    return panels


def knows_lrs(contest: Contest) -> bool:
    """Whether it is known which LR the runs used, as it is not of a table of another program's results."""
    rows = chain.from_iterable(run.history for run in contest.runs)
    return not any(math.isnan(row.lr) for row in rows)


def _curves_of(contest: Contest) -> Iterator[tuple[str, str]]:
    """The columns of the histories that are drawn, each with its label; the one that is judged by comes first."""
    judged = contest.metric.removeprefix("best_")
    labels = {"val_loss": "validation loss", "train_loss": "training loss"}
    for name in dict.fromkeys([judged, *labels]):
        if all(name in run.history[0].measured for run in contest.runs):
            yield name, labels.get(name, name.replace("val_", "validation ").replace("_", " "))


def _epochs(candidate: Candidate) -> int | float:
    """How many epochs the runs of a candidate had."""
    return max(run.epochs_at(run.history[-1]) for run in candidate.best.values())


def means_panel(contest: Contest) -> Panel:
    """The mean of each candidate at its best LR with its interval, side by side, where nothing else can be drawn."""
    scale = find(contest.metric).scale
    bands = []
    for place, candidate in enumerate(contest.drawn, start=1):
        found = contest.mean(candidate, contest.metric)
        value = scale * float(found.value)
        low, high = (scale * float(one) if found.is_known else value for one in (found.low, found.high))
        dots = [[scale * one for one in candidate.values(candidate.best_lr).values()]]
        bands.append(Band(candidate.name, [place], [value], [low], [high], dots))
    unit = " (%)" if find(contest.metric).is_share else ""
    return Panel(bands, "schedule", contest.metric.replace("_", " ") + unit, points=True)


def sensitivity_panel(contest: Contest) -> Panel | None:
    """The metric over the base LR, with a line for each candidate; None where no candidate has two LRs."""
    if all(len(candidate.runs) < 2 for candidate in contest.drawn):
        return None
    scale = find(contest.metric).scale
    bands = []
    for candidate in contest.drawn:
        lrs = sorted(candidate.runs)
        means = [_interval_at(candidate, lr, step=contest.steps.get(contest.metric, 0.0)) for lr in lrs]
        middle = [scale * float(one.value) for one in means]
        low = [scale * float(one.low) for one in means]
        high = [scale * float(one.high) for one in means]
        dots = [[scale * value for value in candidate.values(lr).values()] for lr in lrs]
        bands.append(Band(candidate.name, lrs, middle, low, high, dots))
    unit = " (%)" if find(contest.metric).is_share else ""
    return Panel(bands, "base LR", contest.metric.replace("_", " ") + unit, logx=True, points=True)


def _interval_at(candidate: Candidate, lr: float, *, step: float) -> Interval:
    """The mean at a base LR, with an interval that has no width where it is unknown."""
    found = mean([*candidate.values(lr).values()], step=step)
    if not found.is_known:
        return Interval(found.value, found.value, found.value)
    return found.within(0.0, 1.0 if find(candidate.metric).is_share else math.inf)


def lr_line(candidate: Candidate) -> Line:
    """The LR of a candidate at its best base LR, in every epoch. One that changes within epochs is shown as planned."""
    run = _first_run(candidate)
    plan = run.summary.get("plan") or {}
    planned = plan.get("lr")
    if planned and plan.get("interval") == "step":
        per_epoch = plan["steps_per_epoch"]
        edges = [int(step) / per_epoch for step in planned]
        edges.append(plan["updates"] / per_epoch)
        return Line(candidate.name, edges, list(planned.values()))
    ends = [run.epochs_at(row) for row in run.history]
    return Line(candidate.name, [0, *ends], [row.lr for row in run.history])


def _first_run(candidate: Candidate) -> Result:
    return next(iter(candidate.best.values()))


def _lr_band(candidate: Candidate) -> Band:
    """The planned LR of a candidate.

    Where it follows a metric there is none, and it is the LR of each epoch's last update, with the range of the seeds.
    """
    plan = _first_run(candidate).summary.get("plan") or {}
    if plan.get("lr"):
        line = lr_line(candidate)
        return Band(candidate.name, line.edges, [*line.values, line.values[-1]])
    ends = _curve(candidate, "lr")
    middle, low, high = ([*values[:1], *values] for values in (ends.middle, ends.low or [], ends.high or []))
    return Band(candidate.name, [0, *ends.x], middle, low, high)


def _curve(candidate: Candidate, name: str, scale: float = 1.0) -> Band:
    """A column of the histories, times `scale`, over epochs 1, 2, ..., where every seed has a value."""
    seeds = [_column(run, name) for run in candidate.best.values()]
    epochs = [epoch for epoch in sorted(seeds[0]) if all(epoch in values for values in seeds)]
    by_epoch = [[scale * values[epoch] for values in seeds] for epoch in epochs]
    middle = [statistics.fmean(values) for values in by_epoch]
    low = [min(values) for values in by_epoch]
    high = [max(values) for values in by_epoch]
    run = _first_run(candidate)
    ends = {row.epoch: run.epochs_at(row) for row in run.history}
    return Band(candidate.name, [ends[epoch] for epoch in epochs], middle, low, high)


def _column(run: Result, name: str) -> dict[int, float]:
    """The values of a column of a run's history by epoch, without the empty ones."""
    values = {row.epoch: row.lr if name == "lr" else row.measured[name] for row in run.history}
    return {epoch: float(value) for epoch, value in values.items() if value is not None}
