"""LR curves without training: `lrlab preview scheduler=step,cosine preview.file=curves.png`.

Takes what `lrlab train` takes; commas mean several curves, as in a sweep, and groups whose LR is another one have a
curve each. No data is read, and no model is built unless the LR depends on its layers.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrlab.api.axes import AXES, LABELS
from lrlab.commands.command import Command, overrides_of_runs
from lrlab.comparison.results import cell
from lrlab.config import compose, names, options
from lrlab.drawing.curve_table import table
from lrlab.drawing.terminal import plot
from lrlab.errors import UserError, wrong
from lrlab.lr import shares
from lrlab.runs import machine
from lrlab.system import spelling, streams
from lrlab.system.disk import write_whole
from lrlab.words import budget_in_words, counted

if TYPE_CHECKING:
    from lrlab.lr.plan import Plan  # which needs torch, and --help does not

_COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan")
_SECONDS_WITHOUT_A_WORD = 2.0
_MOST_DRAWN = len(_COLOURS)  # curves in one terminal drawing; more have a line of their own in the table


@dataclass(frozen=True)
class PreviewSettings:
    """What `preview.NAME=...` on the command line says."""

    file: str | None = options.option(
        None,
        options.file(".png", ".svg", ".pdf"),
        "a figure: .png, .svg or .pdf; more than 8 curves become small multiples",
        shown="curves.png",
    )
    csv: str | None = options.option(
        None, options.file(".csv"), "every update: step, epoch, then a column a curve", shown="curves.csv"
    )
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")
    x: str = options.option("epoch", options.choice(lambda: tuple(AXES)), "epoch, step or percent")
    log: bool = options.option(False, options.flag(), "true: a logarithmic LR axis")
    show: str = options.option("lr", options.text(), "lr, lr/GROUP, momentum or weight_decay")
    steps_per_epoch: int | None = options.option(
        None, options.whole(low=1, example=100), "instead of the data set's known size", shown="N"
    )


@dataclass(frozen=True)
class PlannedCurve:
    """One planned run; without a plan where it cannot be one with these settings."""

    name: str
    plan: Plan | None
    notes: list[str]  # warnings, or why there is no plan

    def shows(self, name: str) -> bool:
        return self.plan is not None and name in self.plan.curves


def _run(settings: PreviewSettings, typed: list[str]) -> None:
    # The curves, and whether they can be shown as was asked.
    planned = plan_curves(overrides_of_runs(typed, several=True), settings.steps_per_epoch)
    curves = list(chain.from_iterable(_with_groups(curve, settings.show) for curve in planned))
    shown = [curve for curve in curves if curve.shows(settings.show)]
    if not shown:
        raise _nothing_to_show(planned, settings.show)
    rows = as_csv(shown, settings.show) if settings.csv else ""

    # In the terminal, as a table, as a figure.
    settings = replace(settings, x=_axis(curves, settings.x))
    _print(curves, settings)
    if settings.csv:
        write_whole(Path(settings.csv), rows)
        print(f"wrote {settings.csv}")
    if settings.json:
        machine.write(
            settings.json, "preview", {"shows": settings.show, "curves": _for_machines(curves, settings.show)}
        )
        print(f"wrote {settings.json}")
    if settings.file:
        _draw(curves, settings)
        print(f"wrote {settings.file}")


def _with_groups(curve: PlannedCurve, show: str) -> list[PlannedCurve]:
    """A planned run and, where its LR is shown, each LR of a group that is another one than those before."""
    if show != "lr" or curve.plan is None:
        return [curve]
    plan, hashes = curve.plan, curve.plan.hashes
    seen, found = {hashes.get("lr")}, [curve]
    for name, values in plan.curves.items():
        if name.startswith("lr/") and hashes[name] not in seen:
            seen.add(hashes[name])
            alone = replace(plan, curves={"lr": values})
            found.append(PlannedCurve(f"{curve.name} {name.removeprefix('lr/')}", alone, []))
    return found


def _axis(curves: Sequence[PlannedCurve], asked: str) -> str:
    """The axis to draw over. Of a run with a time budget only the share is known before it is trained."""
    if not any(curve.plan is not None and curve.plan.horizon.in_shares for curve in curves):
        return asked
    if asked == "step":
        got = f"{asked}, with trainer.budget, in which the number of updates is not known"
        raise wrong("preview.x", got=got, allowed="percent", do="preview.x=percent")
    return "percent"


def _for_machines(curves: Sequence[PlannedCurve], name: str) -> list[dict[str, Any]]:
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


def plan_curves(overrides: Sequence[str], steps_per_epoch: int | None) -> list[PlannedCurve]:
    """The plan of every run that `overrides` mean as a sweep, under the name that a sweep gives it."""
    from lrlab.config.prepare import plan_only

    # Every run that is meant, as a sweep would multiply them out.
    runs = compose.expand([_all_of_them(overrides) if typed == "scheduler=all" else typed for typed in overrides])
    fixed = names.fixed_keys(runs)
    if len(runs) == 1:
        fixed = [key for key in fixed if key != "scheduler"]

    # Each is planned; where all schedulers are meant, one that cannot be planned does not stop the others.
    curves: list[PlannedCurve] = []
    for run in runs:
        config = compose.compose(run)
        name = names.run_name(run, leave_out=fixed)
        if name == "default":
            name = f"scheduler={config.hydra.runtime.choices.get('scheduler')}"
        if name in [curve.name for curve in curves]:
            raise wrong("command line", got=f"two curves named {name}", allowed="each once", do="remove the double")
        try:
            with _waiting(name) as progress:
                curves.append(PlannedCurve(name, *plan_only(config, steps_per_epoch, progress)))
        except UserError as error:
            if "scheduler=all" in overrides:
                curves.append(PlannedCurve(name, None, [str(error)]))
            elif len(runs) > 1:
                raise error.under(name) from error
            else:
                raise
    return curves


@contextmanager
def _waiting(name: str) -> Iterator[Callable[[int, int], None]]:
    """What is told how far a plan is, and says so where it takes long: in a bar, or in a line where nobody looks."""
    from rich import progress as rich_progress

    console = streams.console(stderr=True)
    bar = rich_progress.Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(f"planning {name}", total=None)
    started = time.monotonic()
    is_said = False

    def told(done: int, total: int) -> None:
        nonlocal is_said
        if time.monotonic() - started > _SECONDS_WITHOUT_A_WORD and not is_said:
            is_said = True
            bar.start()
            if bar.disable:
                print(f"planning {name}: {counted(total, 'step')} of its scheduler", file=sys.stderr)
        bar.update(task, completed=done, total=total)

    try:
        yield told
    finally:
        bar.stop()


def _all_of_them(overrides: Sequence[str]) -> str:
    """What `scheduler=all` stands for."""
    return f"scheduler={','.join(compose.options('scheduler', overrides))}"


def _nothing_to_show(curves: Sequence[PlannedCurve], show: str) -> UserError:
    plans = [curve.plan for curve in curves if curve.plan is not None]
    there = sorted(set().union(*(plan.curves for plan in plans)))
    if there:
        return wrong("preview.show", got=show, allowed=", ".join(there), do=f"preview.show={there[0]}")
    return wrong(
        "scheduler",
        got="only schedulers that follow a metric, whose LR is not known before training",
        allowed="at least one that is",
        do="scheduler=cosine",
    )


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


def _draw(curves: Sequence[PlannedCurve], settings: PreviewSettings) -> None:
    from lrlab.api.lines import line_of
    from lrlab.drawing import figures

    assert settings.file is not None
    planned = [curve for curve in curves if curve.shows(settings.show)]
    others = [curve for curve in curves if curve not in planned]
    figures.draw(
        [
            line_of(curve.name, curve.plan, show=settings.show, axis=settings.x)
            for curve in planned
            if curve.plan is not None
        ],
        Path(settings.file),
        xlabel=AXES[settings.x],
        ylabel=LABELS.get(settings.show, settings.show),
        log=settings.log,
        without=[(curve.name, _why_not(curve)) for curve in others],
    )


def _why_not(curve: PlannedCurve) -> str:
    return "not with these\nsettings" if curve.plan is None else "follows a metric"


def _print(curves: Sequence[PlannedCurve], settings: PreviewSettings) -> None:
    """The drawing, the table, which curves are the same, and what is probably a mistake."""
    from rich.text import Text

    from lrlab.api.lines import line_of

    console = streams.console()
    planned = [curve for curve in curves if curve.shows(settings.show)]
    lines = [
        line_of(curve.name, curve.plan, show=settings.show, axis=settings.x)
        for curve in planned
        if curve.plan is not None
    ]
    together = len(lines) <= _MOST_DRAWN

    # One drawing of all, unless they are too many for one.
    if together:
        width = min(shutil.get_terminal_size((80, 24)).columns, 120)
        rows = plot(lines, width=width, log=settings.log, letters=not console.is_terminal, xlabel=AXES[settings.x])
        for row in rows:
            text = Text()
            for part, index in row:
                text.append(part, style=_COLOURS[index] if index >= 0 else None)
            console.print(text)

    # The table. Where several curves share a drawing, each has its letter and its colour there.
    keyed = together and len(lines) > 1
    marks = [f"{chr(ord('a') + index)} " if keyed else "" for index in range(len(lines))]
    labels = [mark + line.name for mark, line in zip(marks, lines, strict=True)]
    plans = [curve.plan for curve in planned if curve.plan is not None]
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


COMMAND = Command(
    name="preview",
    title="lrlab preview: the LR of every update, before anything is trained.",
    examples=[
        ("drawn, with a table", "scheduler=cosine"),
        ("several curves", "scheduler=step,cosine"),
        ("all schedules", "scheduler=all preview.file=all.png"),
        ("other settings", "optimizer.lr=0.1 trainer.epochs=50"),
    ],
    note=lambda: f"Besides, it takes what `{spelling.command('sweep')}` takes.",
    settings=PreviewSettings,
    run=_run,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
