"""Schedules that were not trained, predicted from the loss curve of one run: `lrlab predict RUN scheduler=step,wsd`."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.config import options
from lrlab.config.arguments import key_of
from lrlab.errors import UserError, wrong
from lrlab.system import disk, spelling, streams

if TYPE_CHECKING:
    # It needs torch, and --help does not.
    from lrlab.api.predictions import Predictions

_SPARE = ("one run, 90%", "training loss", "mean over seeds, 90%")  # where a terminal is narrow; the files have them


@dataclass(frozen=True)
class PredictSettings:
    """What `predict.NAME=...` on the command line says."""

    file: str | None = options.option(
        None, options.file(".png", ".svg", ".pdf"), "a figure of the predicted curves", shown="predicted.png"
    )
    search: bool = options.option(
        False, options.flag(), "also the best lines through a few knots, by the law, as an experiment"
    )
    csv: str | None = options.option(None, options.file(".csv"), "a row a schedule", shown="predicted.csv")
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")


def _run(settings: PredictSettings, typed: list[str]) -> None:
    from lrlab.api.predicting import of_folders
    from lrlab.config import compose
    from lrlab.drawing.terminal import aligned

    # What is meant: folders of runs, and the runs to predict as a sweep would multiply them out.
    arguments = overrides_of_runs(typed, several=True)
    folders = [one for one in arguments if Path(one).is_dir() or "=" not in one]
    if not folders:
        do = f"{spelling.command('predict')} outputs/runs/NAME scheduler=all"
        raise wrong("predict", got="no run", allowed="the folder of a run, or of several", do=do)
    for one in folders:
        if Path(one).is_file():
            do = f'lrlab.predict("{one}", "linear", "wsd") in Python'
            raise wrong("predict", got=f"{one}, a file", allowed="folders of runs; Python takes tables too", do=do)
    overrides = [one for one in arguments if one not in folders]
    runs = compose.expand(_with_schedulers(overrides))
    everyone = "scheduler=all" in overrides or not any(map(_chooses, overrides))
    paths = [disk.expanded(one, "predict") for one in folders]
    found = of_folders(paths, runs, tolerant=everyone, search=settings.search)

    # In the terminal, as a table, as a figure.
    verdict = f"a prediction is no verdict: train the best few, and compare them, or `{spelling.command('study')}`"
    print("\n".join([*aligned(found.table(), streams.width(), _SPARE), "", *found.notes, verdict]))
    if found.shape is not None:
        print(*_about_the_shape(found, paths[0]), sep="\n")
    if settings.csv:
        disk.write_whole(Path(settings.csv), _as_csv(found.rows()))
        print(f"wrote {settings.csv}")
    if settings.json:
        from lrlab.runs import machine

        contents = {"predictions": found.rows(), "refused": found.refused, "leave_out": found.leave_out}
        machine.write(settings.json, "predict", {**contents, "parameters": found.parameters, "notes": found.notes})
        print(f"wrote {settings.json}")
    if settings.file:
        found.plot().save(settings.file)
        print(f"wrote {settings.file}")


def _about_the_shape(found: Predictions, folder: Path) -> list[str]:
    """What the search found, and the commands that train it beside the best schedule that has a name."""
    from lrlab.config import compose

    assert found.shape is not None
    lines = [f"found      {spelling.typed(found.shape)}"]
    named = [one.name for one in found if one.rank is not None and one.name in compose.options("scheduler")]
    before = _typed_before(folder)
    if named and before is not None:
        common = [*before, "seed=0,1,2,3,4", "hydra.launcher.n_jobs=2"]
        mark = hashlib.sha256(repr((before, found.shape)).encode()).hexdigest()[:6]
        sweep, sweeps = spelling.command("sweep"), (f"found-{mark}", f"{named[0]}-{mark}")
        lines += [
            f"to compare it with {named[0]}, an A/B of five seeds each:",
            f"  {sweep} {spelling.typed([*common, *found.shape, f'sweep={sweeps[0]}'])}",
            f"  {sweep} {spelling.typed([*common, f'scheduler={named[0]}', f'sweep={sweeps[1]}'])}",
            f"  {spelling.command('compare')} outputs/sweeps/{sweeps[0]} outputs/sweeps/{sweeps[1]}",
        ]
    return lines


def _typed_before(folder: Path) -> list[str] | None:
    """What was typed for the first trained run there, without its schedule and its seed; None where nobody knows."""
    from lrlab.comparison import results
    from lrlab.runs import checkpoint

    try:
        first = results.find([folder], "predict")[0].folder
        _, contents = checkpoint.latest(str(first), lambda _: None)
    except UserError:
        return None
    left_out = ("scheduler", "seed", "sweep", "hydra")
    return [one for one in contents["overrides"] if not key_of(one).startswith(left_out)]


def _with_schedulers(overrides: Sequence[str]) -> list[str]:
    """The overrides with every schedule where all are meant, or none is named."""
    from lrlab.config import compose

    everyone = f"scheduler={','.join(compose.options('scheduler', overrides))}"
    if not any(map(_chooses, overrides)):
        return [everyone, *overrides]
    return [everyone if one == "scheduler=all" else one for one in overrides]


def _chooses(override: str) -> bool:
    return key_of(override).partition(".")[0] == "scheduler"


def _as_csv(rows: Sequence[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


COMMAND = Command(
    name="predict",
    title="lrlab predict: what other schedules would have led to, from the loss curve of one run.",
    examples=[
        ("of all schedules", "RUN"),
        ("of some", "RUN scheduler=step,wsd,linear"),
        ("at other LRs, from two", "RUN RUN2 scheduler=cosine,wsd optimizer.lr=0.01,0.03,0.1"),
        ("drawn", "RUN scheduler=linear,wsd predict.file=predicted.png"),
    ],
    note=lambda: (
        "RUN is the folder of a trained run; several differ in schedule, LR or seed only. A prediction is\n"
        f"no verdict: `{spelling.command('study')}` trains and judges. What is predicted and what is refused:\n"
        "docs/predicting.md."
    ),
    settings=PredictSettings,
    run=_run,
    needs_more=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
