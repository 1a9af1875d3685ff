"""A comparison as figures and as one self-contained HTML page."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrlab.comparison.candidates import Candidate, reached
from lrlab.comparison.contests import Comparison, Contest, columns
from lrlab.comparison.results import Epoch
from lrlab.comparison.statistics import LEVEL, Mean, mean
from lrlab.drawing.figures import Band, Panel, as_svg, draw_panels, draw_stairs, save
from lrlab.drawing.terminal import Line
from lrlab.training.metrics import find

_TEMPLATES = Path(__file__).parent / "templates"


def page(comparison: Comparison, *, title: str, command: str | None, facts: Mapping[str, str]) -> str:
    """The page: an HTML document that needs nothing else, neither files nor a network."""
    import jinja2

    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    contests = [_section(contest) for contest in comparison.contests]
    return environment.get_template("report.html").render(
        title=title,
        command=command,
        contests=contests,
        left_out=comparison.left_out,
        differences={
            key: [_value(value) for value in values]
            for key, values in comparison.differences.items()
            if not key.endswith("._partial_")
        },
        facts=facts,
        level=f"{LEVEL:.0%}",
    )


def _section(contest: Contest) -> dict[str, Any]:
    """What the page shows of one contest."""
    panels = learning_panels(contest)
    svgs = [(panel.ylabel, as_svg(lambda panel=panel: draw_panels([panel]))) for panel in panels]  # type: ignore[misc]
    sensitivity = sensitivity_panel(contest)
    return {
        "contest": contest,
        "headings": table_headings(contest),
        "rows": table(contest),
        "curves": svgs,
        "sensitivity": as_svg(lambda: draw_panels([sensitivity])) if sensitivity else None,
        "grid": _grid(contest),
        "stairs": [(one.name, as_svg(lambda one=one: draw_stairs(lr_line(one)))) for one in contest.candidates],  # type: ignore[misc]
        "against": [
            {
                "name": one.name,
                "seeds": one.difference.mean.seeds,
                "difference": shown_difference(one.difference.mean, contest.metric),
                "p": _p(one.difference.p),
                "adjusted_p": _p(one.difference.adjusted_p),
                "sentence": one.sentence,
            }
            for one in contest.against
        ],
        "metric": contest.metric.replace("_", " "),
        "in_points": find(contest.metric).is_share,
        "target": shown(contest.target, contest.metric),
    }


def table_headings(contest: Contest) -> list[str]:
    """The headings of `table`."""
    target = shown(contest.target, contest.metric)
    return ["schedule", "best LR", "seeds", *columns(contest).values(), "seconds", f"epochs to {target}"]


def table(contest: Contest) -> list[list[str]]:
    """A row a candidate, at its own best LR: means over seeds with their intervals."""
    return [
        [
            candidate.name,
            f"{candidate.best_lr:g}",
            str(len(candidate.best)),
            *(shown_mean(candidate.mean(metric), metric) for metric in columns(contest)),
            f"{statistics.fmean(run.summary['seconds'] for run in candidate.best.values()):.1f}",
            _shown_reached(candidate, contest.target),
        ]
        for candidate in contest.candidates
    ]


def shown(value: float, metric: str) -> str:
    """A metric as text: shares in percent."""
    return find(metric).written(value)


def shown_mean(mean: Mean, metric: str) -> str:
    """A mean and the half width of its interval as text."""
    if mean.half_width is None:
        return shown(mean.value, metric)
    kind = find(metric)
    return f"{kind.written(mean.value)} ± {kind.scale * mean.half_width:.{kind.decimals}f}"


def shown_difference(mean: Mean, metric: str) -> str:
    """A difference as text, with its sign; of shares in points."""
    kind = find(metric)
    width = "" if mean.half_width is None else f" ± {kind.scale * mean.half_width:.{kind.decimals}f}"
    return f"{kind.scale * mean.value:+.{kind.decimals}f}{width}"


def learning_panels(contest: Contest) -> list[Panel]:
    """Validation loss, training loss and LR over the epochs, each candidate at its best LR, with the range of seeds."""
    panels = []
    for label, name in (("validation loss", "val_loss"), ("training loss", "train_loss")):
        bands = [_curve(candidate, name) for candidate in contest.candidates]
        positive = all(min(band.low or band.middle, default=0.0) > 0 for band in bands)
        panels.append(Panel(bands, "epoch", label, logy=positive))
    return [*panels, Panel([_lr_band(candidate) for candidate in contest.candidates], "epoch", "LR", stairs=True)]


def sensitivity_panel(contest: Contest) -> Panel | None:
    """The metric over the base LR, a line a candidate; None where no candidate has two LRs."""
    if all(len(candidate.runs) < 2 for candidate in contest.candidates):
        return None
    scale = find(contest.metric).scale
    bands = []
    for candidate in contest.candidates:
        lrs = sorted(candidate.runs)
        means = [mean([scale * value for value in candidate.values(lr).values()]) for lr in lrs]
        widths = [one.half_width or 0.0 for one in means]
        low, high = ([one.value + sign * width for one, width in zip(means, widths, strict=True)] for sign in (-1, 1))
        bands.append(Band(candidate.name, lrs, [one.value for one in means], low, high))
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
            written.append(folder / f"{name}{ending}")
            save(draw_panels(panels), written[-1])
    return written


def lr_line(candidate: Candidate) -> Line:
    """The LR of a candidate at its best base LR: of every epoch, or as planned where it changes within epochs."""
    run = next(iter(candidate.best.values()))
    plan = run.summary.get("plan") or {}
    planned = plan.get("lr")
    if planned and plan.get("interval") == "step":
        per_epoch = plan["steps_per_epoch"]
        starts = [int(step) / per_epoch for step in planned]
        return Line(candidate.name, [*starts, plan["updates"] / per_epoch], list(planned.values()))
    return Line(candidate.name, [0, *(row.epoch + 1 for row in run.history)], [row.lr for row in run.history])


def _lr_band(candidate: Candidate) -> Band:
    """The planned LR; of one that follows a metric, that of each epoch's last update, with the range of the seeds."""
    if (next(iter(candidate.best.values())).summary.get("plan") or {}).get("lr"):
        line = lr_line(candidate)
        return Band(candidate.name, line.edges, [*line.values, line.values[-1]])
    ends = _curve(candidate, "lr")
    spread = [[*values[:1], *values] for values in (ends.middle, ends.low or [], ends.high or [])]
    return Band(candidate.name, [0, *ends.x], *spread)


def _curve(candidate: Candidate, name: str) -> Band:
    """A column of the histories over epochs 1, 2, ..., where every seed has a value."""
    rows: list[dict[int, Epoch]] = [{row.epoch: row for row in run.history} for run in candidate.best.values()]
    epochs = [e for e in sorted(rows[0]) if all(e in one and _cell(one[e], name) is not None for one in rows)]
    values = [[float(_cell(one[epoch], name)) for one in rows] for epoch in epochs]
    x = [epoch + 1 for epoch in epochs]
    return Band(candidate.name, x, list(map(statistics.fmean, values)), list(map(min, values)), list(map(max, values)))


def _cell(row: Epoch, name: str) -> Any:
    """What a row of a history has in the column `name`."""
    return row.lr if name == "lr" else row.measured[name]


def _grid(contest: Contest) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The metric at every base LR: the LRs, and a row of means a candidate."""
    lrs = sorted({lr for candidate in contest.candidates for lr in candidate.grid})
    rows = []
    for candidate in contest.candidates:
        cells = []
        for lr in lrs:
            lost = candidate.missing.get(lr, 0)
            text = shown_mean(mean(list(candidate.values(lr).values())), contest.metric) if lr in candidate.runs else ""
            cells.append(" ".join(part for part in (text, f"({lost} not finished)" if lost else "") if part) or "-")
        rows.append((candidate.name, cells))
    return [f"{lr:g}" for lr in lrs], rows


def _shown_reached(candidate: Candidate, target: float) -> str:
    found = reached(candidate, target)
    if found.epochs is None:
        return f"not reached (0 of {found.seeds})"
    return f"{found.epochs:g} ({found.reached} of {found.seeds})"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _value(value: Any) -> str:
    return "nothing" if value is None else str(value)


def facts(comparison: Comparison) -> dict[str, str]:
    """What computed the runs that were compared: devices and versions, each with every value that occurs."""
    said: dict[str, dict[str, None]] = {}
    candidates = [candidate for contest in comparison.contests for candidate in contest.candidates]
    for result in [run for one in candidates for runs in one.runs.values() for run in runs.values()]:
        pairs = {"device": result.summary.get("device"), **(result.summary.get("versions") or {})}
        for name, value in pairs.items():
            said.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in said.items()}
