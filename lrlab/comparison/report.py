"""A comparison as figures and as one self-contained HTML page."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrlab.comparison.candidates import Candidate, reached
from lrlab.comparison.claims import Against
from lrlab.comparison.contests import Comparison, Contest, columns
from lrlab.comparison.results import Result
from lrlab.comparison.statistics import LEVEL, Mean, mean
from lrlab.drawing.figures import Band, Panel, as_svg, draw_panels, draw_stairs, save
from lrlab.drawing.terminal import Line
from lrlab.training.metrics import find

_TEMPLATES = Path(__file__).parent / "templates"


def page(comparison: Comparison, *, title: str, command: str | None, facts: Mapping[str, str]) -> str:
    """The comparison as an HTML document that needs no other file and no network."""
    import jinja2

    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    settings = {key: values for key, values in comparison.differences.items() if not key.endswith("._partial_")}
    return environment.get_template("report.html").render(
        title=title,
        command=command,
        contests=[_section(contest) for contest in comparison.contests],
        left_out=comparison.left_out,
        differences={key: [_value(value) for value in values] for key, values in settings.items()},
        facts=facts,
        level=f"{LEVEL:.0%}",
    )


def _section(contest: Contest) -> dict[str, Any]:
    """What the page shows of one contest."""
    sensitivity = sensitivity_panel(contest)
    return {
        "contest": contest,
        "headings": table_headings(contest),
        "rows": table(contest),
        "curves": [(panel.ylabel, _panel_svg(panel)) for panel in learning_panels(contest)],
        "sensitivity": _panel_svg(sensitivity) if sensitivity else None,
        "grid": _grid(contest),
        "stairs": [(candidate.name, _stairs_svg(candidate)) for candidate in contest.candidates],
        "against": [_claim(one, contest.metric) for one in contest.against],
        "metric": contest.metric.replace("_", " "),
        "in_points": find(contest.metric).is_share,
        "target": shown(contest.target, contest.metric),
    }


def _panel_svg(panel: Panel) -> str:
    return as_svg(lambda: draw_panels([panel]))


def _stairs_svg(candidate: Candidate) -> str:
    return as_svg(lambda: draw_stairs(lr_line(candidate)))


def _claim(claim: Against, metric: str) -> dict[str, Any]:
    """What the page shows of a candidate against the reference."""
    difference = claim.difference
    return {
        "name": claim.name,
        "seeds": difference.mean.seeds,
        "difference": shown_difference(difference.mean, metric),
        "p": _p(difference.p),
        "adjusted_p": _p(difference.adjusted_p),
        "sentence": claim.sentence,
    }


def table_headings(contest: Contest) -> list[str]:
    """The headings of `table`."""
    target = shown(contest.target, contest.metric)
    return ["schedule", "best LR", "seeds", *columns(contest).values(), "seconds", f"epochs to {target}"]


def table(contest: Contest) -> list[list[str]]:
    """A row for each candidate at its own best LR: means over seeds with their intervals."""
    rows = []
    for candidate in contest.candidates:
        means = [shown_mean(candidate.mean(metric), metric) for metric in columns(contest)]
        seconds = statistics.fmean(run.summary["seconds"] for run in candidate.best.values())
        reached_in = _shown_reached(candidate, contest.target)
        lr, seeds = f"{candidate.best_lr:g}", str(len(candidate.best))
        rows.append([candidate.name, lr, seeds, *means, f"{seconds:.1f}", reached_in])
    return rows


def shown(value: float, metric: str) -> str:
    """A metric as text. Shares are in percent."""
    return find(metric).written(value)


def shown_mean(mean: Mean, metric: str) -> str:
    """A mean and the half width of its interval as text."""
    if mean.half_width is None:
        return shown(mean.value, metric)
    kind = find(metric)
    return f"{kind.written(mean.value)} ± {kind.scale * mean.half_width:.{kind.decimals}f}"


def shown_difference(mean: Mean, metric: str) -> str:
    """A difference as text, with its sign. Differences of shares are in points."""
    kind = find(metric)
    width = "" if mean.half_width is None else f" ± {kind.scale * mean.half_width:.{kind.decimals}f}"
    return f"{kind.scale * mean.value:+.{kind.decimals}f}{width}"


def learning_panels(contest: Contest) -> list[Panel]:
    """Validation loss, training loss and LR over the epochs.

    Each candidate is shown at its best LR, with the range of its seeds.
    """
    panels = []
    for label, name in (("validation loss", "val_loss"), ("training loss", "train_loss")):
        bands = [_curve(candidate, name) for candidate in contest.candidates]
        positive = all(min(band.low or band.middle, default=0.0) > 0 for band in bands)
        panels.append(Panel(bands, "epoch", label, logy=positive))
    lrs = [_lr_band(candidate) for candidate in contest.candidates]
    panels.append(Panel(lrs, "epoch", "LR", stairs=True))
    return panels


def sensitivity_panel(contest: Contest) -> Panel | None:
    """The metric over the base LR, with a line for each candidate; None where no candidate has two LRs."""
    if all(len(candidate.runs) < 2 for candidate in contest.candidates):
        return None
    scale = find(contest.metric).scale
    bands = []
    for candidate in contest.candidates:
        lrs = sorted(candidate.runs)
        means = [mean([scale * value for value in candidate.values(lr).values()]) for lr in lrs]
        middle = [one.value for one in means]
        low = [one.value - (one.half_width or 0.0) for one in means]
        high = [one.value + (one.half_width or 0.0) for one in means]
        bands.append(Band(candidate.name, lrs, middle, low, high))
    unit = " (%)" if find(contest.metric).is_share else ""
    return Panel(bands, "base LR", contest.metric.replace("_", " ") + unit, logx=True, points=True)


def write_figures(comparison: Comparison, folder: Path, suffix: str) -> list[Path]:
    """Write the figures of the comparison into `folder` as files for a paper; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for contest in comparison.contests:
        ending = f"_{contest.epochs}_epochs{suffix}" if len(comparison.contests) > 1 else suffix
        figures = {"learning_curves": learning_panels(contest)}
        if panel := sensitivity_panel(contest):
            figures["lr_sensitivity"] = [panel]
        for name, panels in figures.items():
            path = folder / f"{name}{ending}"
            save(draw_panels(panels), path)
            written.append(path)
    return written


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
    ends = [row.epoch + 1 for row in run.history]
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
    spread = [[*values[:1], *values] for values in (ends.middle, ends.low or [], ends.high or [])]
    return Band(candidate.name, [0, *ends.x], *spread)


def _curve(candidate: Candidate, name: str) -> Band:
    """A column of the histories over epochs 1, 2, ..., where every seed has a value."""
    seeds = [_column(run, name) for run in candidate.best.values()]
    epochs = [epoch for epoch in sorted(seeds[0]) if all(epoch in values for values in seeds)]
    by_epoch = [[values[epoch] for values in seeds] for epoch in epochs]
    middle = [statistics.fmean(values) for values in by_epoch]
    low = [min(values) for values in by_epoch]
    high = [max(values) for values in by_epoch]
    return Band(candidate.name, [epoch + 1 for epoch in epochs], middle, low, high)


def _column(run: Result, name: str) -> dict[int, float]:
    """The values of a column of a run's history by epoch, without the empty ones."""
    values = {row.epoch: row.lr if name == "lr" else row.measured[name] for row in run.history}
    return {epoch: float(value) for epoch, value in values.items() if value is not None}


def _grid(contest: Contest) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The metric at every base LR: the LRs, and a row of means for each candidate."""
    lrs = sorted(set().union(*(candidate.grid for candidate in contest.candidates)))
    rows = [(one.name, [_grid_cell(one, lr, contest.metric) for lr in lrs]) for one in contest.candidates]
    return [f"{lr:g}" for lr in lrs], rows


def _grid_cell(candidate: Candidate, lr: float, metric: str) -> str:
    """The mean of a candidate's finished runs at a base LR, and how many are missing."""
    parts = []
    if lr in candidate.runs:
        values = list(candidate.values(lr).values())
        parts.append(shown_mean(mean(values), metric))
    if lost := candidate.missing.get(lr, 0):
        parts.append(f"({lost} not finished)")
    return " ".join(parts) or "-"


def _shown_reached(candidate: Candidate, target: float) -> str:
    found = reached(candidate, target)
    if found.epochs is None:
        return f"not reached (0 of {found.seeds})"
    return f"{found.epochs:g} ({found.reached} of {found.seeds})"


def _p(value: float | None) -> str:
    """A p-value as text."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _value(value: Any) -> str:
    return "nothing" if value is None else str(value)


def facts(comparison: Comparison) -> dict[str, str]:
    """The devices and versions that computed the runs that were compared, each with every value that occurs."""
    runs: list[Result] = []
    for contest in comparison.contests:
        for candidate in contest.candidates:
            runs += candidate.all_runs
    said: dict[str, dict[str, None]] = {}  # the values as keys, to keep each once and in order
    for run in runs:
        pairs = {"device": run.summary.get("device"), **(run.summary.get("versions") or {})}
        for name, value in pairs.items():
            said.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in said.items()}
