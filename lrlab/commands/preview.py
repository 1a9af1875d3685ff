"""LR curves without training: `lrlab preview scheduler=step,cosine preview.file=curves.png`.

Takes what `lrlab train` takes; commas mean several curves, as in a sweep, and groups whose LR is another one have a
curve each. No data is read, and no model is built unless the LR depends on its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lrlab.api.axes import AXES
from lrlab.commands.command import Command, overrides_of_runs
from lrlab.commands.preview_curves import PlannedCurve, plan_curves, with_groups
from lrlab.commands.preview_files import as_csv, draw, for_machines
from lrlab.commands.preview_terminal import print_curves
from lrlab.config import compose, options
from lrlab.config.arguments import key_of
from lrlab.errors import UserError, wrong
from lrlab.runs import machine
from lrlab.system import spelling
from lrlab.system.disk import write_whole


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


def _run(settings: PreviewSettings, typed: list[str]) -> None:
    # The curves, and whether they can be shown as was asked.
    planned = plan_curves(overrides_of_runs(typed, several=True), settings.steps_per_epoch)
    curves = list(chain.from_iterable(with_groups(curve, settings.show) for curve in planned))
    shown = [curve for curve in curves if curve.shows(settings.show)]
    if not shown:
        raise _nothing_to_show(planned, settings.show)
    rows = as_csv(shown, settings.show) if settings.csv else ""

    # In the terminal, as a table, as a figure.
    axis = _axis(curves, settings.x)
    print_curves(curves, show=settings.show, axis=axis, log=settings.log)
    _tell_of_a_recipe(typed)
    if settings.csv:
        write_whole(Path(settings.csv), rows)
        print(f"wrote {settings.csv}")
    if settings.json:
        machine.write(settings.json, "preview", {"shows": settings.show, "curves": for_machines(curves, settings.show)})
        print(f"wrote {settings.json}")
    if settings.file:
        draw(curves, Path(settings.file), show=settings.show, axis=axis, log=settings.log)
        print(f"wrote {settings.file}")


def _tell_of_a_recipe(typed: Sequence[str]) -> None:
    """Say so where what is shown is one of many runs of a recipe."""
    overrides = overrides_of_runs(list(typed), several=True)
    recipes = [one for one in overrides if key_of(one) == "experiment"]
    if len(recipes) != 1 or "," in recipes[0]:
        return
    multiplied = [one for one in compose.with_recipe(overrides) if one not in overrides and key_of(one) != "seed"]
    if multiplied:
        settings = ", ".join(key_of(one) for one in multiplied)
        print(f"(the recipe trains many runs, which differ in {settings}; type KEY=VALUE,VALUE to see their curves)")


def _axis(curves: Sequence[PlannedCurve], asked: str) -> str:
    """The axis to draw over. Of a run with a time budget only the share is known before it is trained."""
    if not any(curve.plan is not None and curve.plan.horizon.in_shares for curve in curves):
        return asked
    if asked == "step":
        got = f"{asked}, with trainer.budget, in which the number of updates is not known"
        raise wrong("preview.x", got=got, allowed="percent", do="preview.x=percent")
    return "percent"


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
