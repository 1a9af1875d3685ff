"""What trained runs are worth on images that decided nothing: `lrlab evaluate outputs/runs/NAME ...`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.comparison.written import shown
from lrlab.config import options
from lrlab.drawing.terminal import aligned
from lrlab.errors import UserError, wrong
from lrlab.runs import machine
from lrlab.system import disk, spelling, streams
from lrlab.training.metrics import in_words

if TYPE_CHECKING:
    from lrlab.runs.scores import TestScore

WEIGHTS = ("last", "best", "average")


@dataclass(frozen=True)
class EvaluateSettings:
    """What `evaluate.NAME=...` on the command line says."""

    weights: str = options.option(
        "last",
        options.choice(lambda: WEIGHTS),
        "last: of the last epoch; best: of the best one by trainer.monitor; average: averaged ones, by trainer.average",
    )
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")


def _run(settings: EvaluateSettings, typed: list[str]) -> None:
    from lrlab.comparison import results
    from lrlab.runs.scores import TestScore

    folders, overrides = _taken_apart(typed)
    found = results.find(folders, "evaluate")
    scores: dict[str, TestScore] = {}
    left_out: dict[str, str] = {}
    refused: list[UserError] = []
    for result in found:
        try:
            scores[result.name] = _score(result.folder, overrides, settings.weights)
        except UserError as error:
            if len(found) == 1:
                raise
            left_out[result.name] = error.complaint.removeprefix("evaluate: got ")
            refused.append(error)
    if settings.json is not None:
        runs = [{"run": name, **asdict(score)} for name, score in scores.items()]
        lost = [{"run": name, "why": why} for name, why in left_out.items()]
        machine.write(settings.json, "evaluate", {"runs": runs, "left_out": lost})
    if not scores and refused:
        first = refused[0]
        got = f"{len(found)} runs, of which none can be measured; of the first, {next(iter(left_out.values()))}"
        allowed = first.allowed or "finished runs that have a test split"
        raise wrong("evaluate", got=got, allowed=allowed, do=first.do or "train with data.val=10%")
    _show(scores, left_out)


def _score(folder: Path, overrides: Sequence[str], weights: str) -> "TestScore":
    from lrlab.runs import testing
    from lrlab.runs.explain import explain

    try:
        return testing.score(folder, overrides, weights=weights)
    except RuntimeError as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error


def _show(scores: Mapping[str, "TestScore"], left_out: Mapping[str, str]) -> None:
    """Print a row for each run that was measured, and why each other was not."""
    metrics = list(dict.fromkeys(chain.from_iterable(score.measured for score in scores.values())))
    rows = [["run", *map(in_words, metrics), "weights", _samples(scores.values()), "looks"]]
    for name, score in scores.items():
        values = [shown(score.measured[metric], metric) if metric in score.measured else "-" for metric in metrics]
        rows.append([name, *values, score.weights, f"{score.images:,}", str(score.looks)])
    if scores:
        print("\n".join(aligned(rows, streams.width())))
    for name, why in left_out.items():
        print(f"left out: {name} ({why})")


def _samples(scores: Iterable["TestScore"]) -> str:
    """What the test splits hold, in a word."""
    words = {f"{score.each}s" for score in scores}
    return words.pop() if len(words) == 1 else "samples"


def _taken_apart(typed: list[str]) -> tuple[list[Path], list[str]]:
    """The folders that were typed, and the settings: where data lies, what computes, what a file may not decide."""
    arguments = overrides_of_runs(typed, several=False)
    paths = [one for one in arguments if Path(one).is_dir() or "=" not in one]
    if not paths:
        do = f"{spelling.command('evaluate')} outputs/runs/NAME"
        raise wrong("evaluate", got="no folder", allowed="folders of runs", do=do)
    return [disk.expanded(one, "evaluate") for one in paths], [one for one in arguments if one not in paths]


COMMAND = Command(
    name="evaluate",
    title="lrlab evaluate: what trained runs are worth on test images, which decided nothing.",
    examples=[
        ("a run", "outputs/runs/NAME"),
        ("a sweep", "outputs/sweeps/NAME"),
        ("elsewhere", "outputs/runs/NAME data.root=FOLDER trainer.device=cpu"),
    ],
    note=lambda: (
        "Each look at the test images of a run is counted and shown, for whoever chooses by what\n"
        "they show has no test images left. Runs with data.val=official have none."
    ),
    settings=EvaluateSettings,
    run=_run,
    needs_more=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
