"""A study as one self-contained HTML page: its claims, on what they rest, and the paragraph for a paper."""

import statistics
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from lrlab.comparison import design, papers, report, study_text
from lrlab.comparison.results import Result
from lrlab.comparison.statistics import LEVEL
from lrlab.comparison.verdict import Finding, Judged, Study
from lrlab.comparison.written import shown, shown_chance, shown_difference
from lrlab.drawing.figures import as_svg
from lrlab.drawing.panels import Band, Panel, draw_panels


def page(study: Study, *, folder: Path, files: Sequence[Path] = ()) -> str:
    """The study as an HTML document that lies in `folder` and needs no other file and no network."""
    return report.rendered(
        "study.html",
        title=f"Study {study.folder.resolve().name}",
        study=study,
        about=study_text.title(study),
        standing=study_text.standing(study),
        claims=[_claim(study, finding) for finding in study.findings] if study.is_finished else [],
        headings=study_text.headings(study),
        rows=study_text.rows(study),
        collapse=study_text.about_collapse(study),
        pairs=[_pair(study, finding) for finding in study.findings],
        level=f"{LEVEL:.0%}",
        metric=study.protocol.judged_by.replace("_", " "),
        figures=[(panel.ylabel, _svg(panel)) for panel in panels(study)],
        tuning=[_tuned(study, judged) for judged in study.candidates],
        runs=[*chain.from_iterable(_runs(study, judged, folder) for judged in study.candidates)],
        methods=papers.methods(study),
        files=[(report.link(file, folder), file.name) for file in files],
    )


def _svg(panel: Panel) -> str:
    return as_svg(lambda: draw_panels([panel], with_tips=True))


def _claim(study: Study, finding: Finding) -> tuple[str, str]:
    return study_text.claim(study, finding), study_text.beside(study, finding)


def _pair(study: Study, finding: Finding) -> list[str]:
    """A row of the table of pairs."""
    pair, metric = study_text.better_first(study, finding.pair), study.protocol.judged_by
    images = "-"
    if finding.images is not None:
        turned = finding.images if pair.name == finding.pair.name else finding.images.reversed()
        images = shown_difference(turned, metric)
    verdict = pair.verdict if study.is_finished else "not yet"
    difference = shown_difference(pair.difference, metric) if finding.look else "-"
    seeds = " and ".join(map(str, dict.fromkeys(pair.seeds)))
    return [
        pair.name,
        pair.other,
        seeds,
        str(finding.look),
        difference,
        shown_chance(pair.superiority),
        images,
        verdict,
    ]


def panels(study: Study) -> list[Panel]:
    """The curves of the judging runs, single seeds beside their means, and how much the base LR matters."""
    found = []
    judged = [one for one in study.candidates if one.runs]
    if judged:
        found += [_values(study, judged), *_curves(study, judged)]
    if any(len(one.tuning.means) > 1 for one in study.candidates):
        found.append(_sensitivity(study))
    return found


def _values(study: Study, judged: Sequence[Judged]) -> Panel:
    """The judged values: a dot a seed, and the mean with its interval."""
    scale = study.metric.scale
    bands = []
    for place, one in enumerate(judged, start=1):
        mean = one.mean
        low, high = (mean.low, mean.high) if mean.is_known else (mean.value, mean.value)
        centre, lowest, highest = (scale * float(value) for value in (mean.value, low, high))
        dots = [[scale * value for value in one.values]]
        bands.append(Band(one.name, [place], [centre], [lowest], [highest], dots))
    return Panel(bands, "candidate", _label(study, study.protocol.judged_by), points=True)


def _curves(study: Study, judged: Sequence[Judged]) -> list[Panel]:
    """The judged metric on val over epochs, and the training loss: the mean over seeds, with their range."""
    found = []
    reach = (0.0, float(study.protocol.epochs))
    for name in dict.fromkeys((f"val_{study.metric.name}", "train_loss")):
        scale = study.metric.scale if name.endswith(study.metric.name) else 1
        bands = [_curve(one, name, scale) for one in judged]
        found.append(Panel(bands, "epoch", _label(study, name), reach=reach))
    return found


def _curve(judged: Judged, name: str, scale: float) -> Band:
    """A column of the histories over epochs 1, 2, ..., where every seed has a value."""
    columns = [_column(run, name) for run in judged.runs]
    epochs = [epoch for epoch in sorted(columns[0]) if all(epoch in column for column in columns)]
    values = [[scale * column[epoch] for column in columns] for epoch in epochs]
    middle, low, high = ([summed(several) for several in values] for summed in (statistics.fmean, min, max))
    ends = {row.epoch: judged.runs[0].epochs_at(row) for row in judged.runs[0].history}
    return Band(judged.name, [ends[epoch] for epoch in epochs], middle, low, high)


def _column(run: Result, name: str) -> dict[int, float]:
    values = {row.epoch: row.measured.get(name) for row in run.history}
    return {epoch: float(value) for epoch, value in values.items() if value is not None}


def _sensitivity(study: Study) -> Panel:
    """The metric on val over the base LR, from the tuning runs."""
    scale = study.metric.scale
    bands = []
    for one in study.candidates:
        means = {lr: scale * value for lr, value in one.tuning.means.items()}
        bands.append(Band(one.name, [*means], [*means.values()]))
    return Panel(bands, "base LR", _label(study, study.protocol.tuned_by) + ", tuning", logx=True, points=True)


def _label(study: Study, name: str) -> str:
    unit = " (%)" if study.metric.is_share and name.endswith(study.metric.name) else ""
    return name.replace("_", " ") + unit


def _tuned(study: Study, judged: Judged) -> list[str]:
    """A row of the table of tuning: what it cost, and what it showed."""
    cost, metric = judged.tuning, study.protocol.tuned_by
    between = "-"
    if cost.nearly_as_good is not None:
        low, high = cost.nearly_as_good
        between = f"{low:.3g} to {high:.3g} ({high / low:.1f} x)"
    chosen = "-" if cost.lr is None else f"{cost.lr:g}"
    best = shown(cost.means[cost.lr], metric) if cost.lr is not None else "-"
    few = [(count, value) for count, value in papers.expected(study, judged) if count in (1, 2, 4, 8, 12)]
    expected = ", ".join(f"{count}: {value}" for count, value in few)
    return [
        judged.name,
        chosen,
        best,
        f"{cost.runs} ({cost.failed} failed)" if cost.failed else str(cost.runs),
        f"{cost.updates:,}",
        f"{cost.seconds:.1f}",
        between,
        expected,
    ]


def _runs(study: Study, judged: Judged, folder: Path) -> list[dict[str, str]]:
    """Every judging run of a candidate, with the address of its folder."""
    rows = []
    for run, value in zip(judged.runs, judged.values, strict=True):
        rows.append(_linked(study, judged, run.name, shown(value, study.protocol.judged_by), folder))
    return rows + [_linked(study, judged, name, "collapsed", folder) for name in judged.collapsed]


def _linked(study: Study, judged: Judged, name: str, value: str, folder: Path) -> dict[str, str]:
    place = report.link(study.folder / design.JUDGING / name, folder)
    return {"candidate": judged.name, "name": name, "link": place, "value": value}
