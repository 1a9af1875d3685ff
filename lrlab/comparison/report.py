"""A comparison as figures and as one self-contained HTML page."""

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lrlab.comparison import confirm
from lrlab.comparison.candidates import Candidate, lr_in_words, reached
from lrlab.comparison.claims import sentence
from lrlab.comparison.contest import Contest, columns
from lrlab.comparison.contests import Comparison
from lrlab.comparison.pairs import Pair, count
from lrlab.comparison.panels import knows_lrs, learning_panels, lr_line, sensitivity_panel
from lrlab.comparison.results import Result
from lrlab.comparison.statistics import LEVEL, mean
from lrlab.comparison.written import shown, shown_chance, shown_difference, shown_mean
from lrlab.drawing.figures import as_svg, save
from lrlab.drawing.panels import Panel, draw_panels
from lrlab.drawing.stairs import draw_stairs
from lrlab.training.metrics import find
from lrlab.words import few

_MOST_ROWS, _MOST_ROWS_OF_RUNS, _MOST_CELLS = 200, 1000, 10_000  # of tables on a page, which a browser shows at once
_TEMPLATES = Path(__file__).parent / "templates"


def page(
    comparison: Comparison,
    *,
    title: str,
    command: str | None,
    facts: Mapping[str, str],
    files: Sequence[Path] = (),
    folder: Path | None = None,
) -> str:
    """The comparison as an HTML document that needs no other file and no network.

    It links to the `files` beside it and to the runs, as they are seen from its `folder`, where that is given.
    """
    settings = {key: values for key, values in comparison.differences.items() if not key.endswith("._partial_")}
    return rendered(
        "report.html",
        title=title,
        command=command,
        contests=[_section(contest, folder) for contest in comparison.contests],
        exploratory=confirm.told(comparison)[:1],
        confirm=comparison.confirm,
        warnings=comparison.warnings,
        left_out=comparison.left_out[:_MOST_ROWS],
        more_left_out=max(0, len(comparison.left_out) - _MOST_ROWS),
        differences={key: few([_value(value) for value in values]) for key, values in settings.items()},
        facts=facts,
        level=f"{LEVEL:.0%}",
        files=[(link(file, folder), file.name) for file in files],
    )


def rendered(template: str, **shown: Any) -> str:
    """A template of this package with what it shows."""
    import jinja2

    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(**shown)


def link(path: Path, folder: Path | None) -> str:
    """The address of a file or a folder in a page that lies in `folder`."""
    seen_from = os.path.relpath(path, folder) if folder is not None else path
    return quote(os.fsencode(seen_from))  # a name need not be text


def _runs(contest: Contest, folder: Path | None) -> list[dict[str, str]]:
    """The runs of a contest, with the addresses of their folders; of very many those of the best candidates."""
    rows: list[dict[str, str]] = []
    for candidate in contest.candidates:
        if len(rows) >= _MOST_ROWS_OF_RUNS:
            break
        for lr, runs in sorted(candidate.runs.items()):
            for seed, run in sorted(runs.items()):
                value = shown(float(run.summary[contest.metric]), contest.metric)
                place = link(run.folder, folder)
                rows.append({"name": run.name, "link": place, "lr": lr_in_words(lr), "seed": str(seed), "value": value})
    return rows[:_MOST_ROWS_OF_RUNS]


def _section(contest: Contest, folder: Path | None) -> dict[str, Any]:
    """What the page shows of one contest."""
    sensitivity = sensitivity_panel(contest)
    return {
        "contest": contest,
        "headings": table_headings(contest),
        "rows": table(contest, contest.candidates[:_MOST_ROWS]),
        "curves": [(panel.ylabel, _panel_svg(panel)) for panel in learning_panels(contest)],
        "knows_time": _knows_time(contest),
        "several_seeds": any(len(candidate.best) > 1 for candidate in contest.candidates),
        "runs": _runs(contest, folder),
        "sensitivity": _panel_svg(sensitivity) if sensitivity else None,
        "grid": _grid(contest),
        "stairs": [(one.name, _stairs_svg(one)) for one in contest.drawn if knows_lrs(contest)],
        "against": [_claim(one, contest.metric) for one in contest.told],
        "pairs": count(len(contest.candidates)),
        "warnings": few(contest.warnings),
        "candidates": f"{len(contest.candidates):,}" if len(contest.drawn) < len(contest.candidates) else None,
        "total": sum(len(candidate.all_runs) for candidate in contest.candidates),
        "metric": contest.metric.replace("_", " "),
        "in_points": find(contest.metric).is_share,
        "target": shown(contest.target, contest.metric),
    }


def _panel_svg(panel: Panel) -> str:
    return as_svg(lambda: draw_panels([panel], with_tips=True))


def _stairs_svg(candidate: Candidate) -> str:
    return as_svg(lambda: draw_stairs(lr_line(candidate)))


def _claim(pair: Pair, metric: str) -> dict[str, Any]:
    """What the page shows of a candidate against the reference."""
    return {
        "name": pair.name,
        "seeds": " and ".join(map(str, dict.fromkeys(pair.seeds))),
        "difference": shown_difference(pair.difference, metric),
        "chance": shown_chance(pair.superiority),
        "sentence": sentence(pair, metric, confirmed=False),
    }


def table_headings(contest: Contest) -> list[str]:
    """The headings of `table`."""
    target = shown(contest.target, contest.metric)
    took = ["seconds", f"epochs to {target}"] if _knows_time(contest) else []
    return ["schedule", "best LR", "seeds", *columns(contest).values(), *took]


def _knows_time(contest: Contest) -> bool:
    """Whether the runs say how long they took and what they reached on the way."""
    return all(run.summary["seconds"] > 0 for run in contest.runs)


def table(contest: Contest, candidates: Sequence[Candidate] | None = None) -> list[list[str]]:
    """A row for each candidate at its own best LR: means over seeds with their intervals.

    Without `candidates` it is those that are drawn.
    """
    rows = []
    runs = chain.from_iterable(candidate.all_runs for candidate in contest.candidates)
    devices = {run.summary.get("device") for run in runs}
    for candidate in contest.drawn if candidates is None else candidates:
        means = [shown_mean(contest.mean(candidate, metric), metric) for metric in columns(contest)]
        seconds = statistics.fmean(run.summary["seconds"] for run in candidate.best.values())
        reached_in = _shown_reached(candidate, contest.target)
        lr, seeds = lr_in_words(candidate.best_lr), str(len(candidate.best))
        took = f"{seconds:.1f}" if len(devices) == 1 else "-"  # seconds of other devices are not compared
        rows.append([candidate.name, lr, seeds, *means, *([took, reached_in] if _knows_time(contest) else [])])
    return rows


def write_figures(comparison: Comparison, folder: Path, suffix: str) -> list[Path]:
    """Write the figures of the comparison into `folder` as files for a paper; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for contest in comparison.contests:
        ending = f"_{contest.budget.in_a_name}{suffix}" if len(comparison.contests) > 1 else suffix
        figures = {"learning_curves": drawn} if (drawn := learning_panels(contest)) else {}
        if panel := sensitivity_panel(contest):
            figures["lr_sensitivity"] = [panel]
        for name, panels in figures.items():
            path = folder / f"{name}{ending}"
            save(draw_panels(panels), path)
            written.append(path)
    return written


def _grid(contest: Contest) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The metric at every base LR: the LRs, and a row of means for each candidate."""
    candidates = contest.candidates[:_MOST_ROWS]
    lrs = sorted(set().union(*(candidate.grid for candidate in candidates)))
    if len(lrs) * len(candidates) > _MOST_CELLS:
        candidates = contest.drawn
        lrs = lrs[:: math.ceil(len(lrs) * len(candidates) / _MOST_CELLS)]
    step = contest.steps.get(contest.metric, 0.0)
    rows = [(one.name, [_grid_cell(one, lr, contest.metric, step) for lr in lrs]) for one in candidates]
    return [lr_in_words(lr) for lr in lrs], rows


def _grid_cell(candidate: Candidate, lr: float, metric: str, step: float) -> str:
    """The mean of a candidate's finished runs at a base LR, and how many are missing."""
    parts = []
    if lr in candidate.runs:
        values = list(candidate.values(lr).values())
        parts.append(shown_mean(mean(values, step=step), metric))
    if lost := candidate.failed.get(lr, 0):
        parts.append(f"({lost} failed)")
    if waiting := candidate.pending.get(lr, 0):
        parts.append(f"({waiting} not finished)")
    return " ".join(parts) or "-"


def _shown_reached(candidate: Candidate, target: float) -> str:
    found = reached(candidate, target)
    there = f"{found.reached} of {found.seeds}"
    if math.isinf(found.epochs.value):
        return f"not reached by half ({there})"
    if not math.isfinite(found.epochs.low):
        return f"{found.epochs.value:g} ({there})"
    return f"{found.epochs.value:g}, {found.epochs.low:g} to {found.epochs.high:g} ({there})"


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
        if commit := run.summary.get("commit"):
            pairs["commit"] = commit
        for name, value in pairs.items():
            said.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in said.items()}
