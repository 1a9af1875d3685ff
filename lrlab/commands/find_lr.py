"""A learning rate to start from: `lrlab find-lr optimizer=adam model=resnet20`.

Takes what `lrlab train` takes. For each of several seeds, a new model is trained on while the LR grows, until the loss
explodes. Nothing is left but a folder with a figure, the losses and a summary.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.config import checks, compose, names, options
from lrlab.config.arguments import key_of
from lrlab.errors import wrong
from lrlab.runs import folders, machine
from lrlab.system import spelling
from lrlab.words import counted

if TYPE_CHECKING:
    # These need torch, and --help does not.
    from lrlab.api.finding import RangeTest
    from lrlab.training.range_test import Suggestion

OUTPUTS = Path("outputs/find_lr")
_DISAGREE = 3.0  # times the lowest suggestion


@dataclass(frozen=True)
class FindLrSettings:
    """What `find_lr.NAME=...` on the command line says."""

    start: float = options.option(1e-6, options.number(above=0, example=1e-6), "the first LR")
    end: float = options.option(
        10.0, options.number(above=0, example=10), "the last LR, unless the loss explodes before", shown="10"
    )
    updates: int = options.option(400, options.whole(low=20, example=400), "from the first to the last")
    seeds: int = options.option(
        5, options.whole(low=1, example=5), "range tests, of seed, seed+1, ...; their median is the suggestion"
    )
    json: str | None = options.option(None, options.file(".json"), "the same for machines", shown="FILE.json")


def _run(settings: FindLrSettings, typed: list[str]) -> None:
    from lrlab.api.finding import range_tests, suggested

    # What was typed.
    overrides = overrides_of_runs(typed, several=False)
    if len(runs := compose.expand(overrides)) > 1:
        got = f"{len(runs)} runs ({', '.join(one for one in overrides if one not in runs[0])})"
        raise wrong("find-lr", got=got, allowed="one: its LR is found for one schedule", do="a command for each")

    # The range tests, and the LR that most of them are for.
    folders.require_writable(OUTPUTS)
    tests = range_tests(
        overrides,
        start=settings.start,
        end=settings.end,
        updates=settings.updates,
        seeds=settings.seeds,
        told=lambda test: print(_line(*test), flush=True),
    )
    found = [suggestion for _, _, suggestion in tests if suggestion is not None]
    if not found:
        raise wrong(
            "find_lr",
            got=f"a loss that hardly falls at any LR from {settings.start:g} to {settings.end:g}",
            allowed="a model and data from which something can be learned",
            do="find_lr.updates=2000, or other ends",
        )
    lr = suggested(found)

    # What is left of them.
    folder = folders.reserve(OUTPUTS / f"{_now()}_{names.run_name(overrides)}")
    _write(folder, tests, lr, settings, typed)
    for line in conclusion(lr, found, len(tests), settings, typed, with_it=_with_it(overrides, lr)):
        print(line)
    print(f"figure: {folder / 'figure.png'}")
    if settings.json is not None:
        seeds = [{"seed": seed, "suggestion": found and asdict(found)} for seed, _, found in tests]
        machine.write(settings.json, "find_lr", {"lr": lr, "seeds": seeds, "folder": str(folder)})


def _check(settings: FindLrSettings) -> None:
    checks.number("find_lr.end", settings.end, above=settings.start, example=10 * settings.start)


def _line(seed: int, points: Sequence[tuple[float, float]], suggestion: Suggestion | None) -> str:
    if suggestion is None:
        return f"seed {seed}: the loss hardly falls"
    return (
        f"seed {seed}: {suggestion.lr:.2g}  (loss lowest at {suggestion.lowest:.2g}, "
        f"{counted(len(points), 'update')}, last LR {suggestion.last:.2g})"
    )


def _with_it(overrides: Sequence[str], lr: float) -> list[str]:
    """What else changes with the LR: of muon the range test raises both LRs, and their ratio is the one that is set."""
    optimizer = compose.resolve(compose.compose(overrides))["optimizer"]
    if "adamw_lr" not in optimizer:
        return []
    return [f"optimizer.adamw_lr={lr * optimizer['adamw_lr'] / optimizer['lr']:.2g}"]


def conclusion(
    lr: float,
    found: Sequence[Suggestion],
    tests: int,
    settings: FindLrSettings,
    overrides: Sequence[str],
    *,
    with_it: Sequence[str] = (),
) -> list[str]:
    """What to tell the user: the LR with its spread, what to type, and what makes it doubtful."""
    low, high = min(one.lr for one in found), max(one.lr for one in found)
    chosen = [f"optimizer.lr={lr:g}", *with_it]
    others = [override for override in overrides if key_of(override) not in map(key_of, chosen)]
    lines = [
        f"{' '.join(chosen)}  (median of {len(found)} of {counted(tests, 'seed')}, {low:.2g} to {high:.2g})",
        f"{spelling.command('train')} {spelling.typed([*others, *chosen])}",
    ]
    if high > _DISAGREE * low:
        lines.append(f"warning: the seeds disagree by a factor of {high / low:.1f}; find_lr.updates=2000 is less noisy")
    if any(one.lowest >= 0.9 * settings.end for one in found):
        lines.append(f"warning: the loss was still falling at the last LR; find_lr.end={10 * settings.end:g}")
    if low <= 2 * settings.start:
        lines.append(f"warning: the loss fell from the first LR on; find_lr.start={settings.start / 100:g}")
    return lines


def _write(
    folder: Path, tests: Sequence[RangeTest], lr: float, settings: FindLrSettings, overrides: Sequence[str]
) -> None:
    from lrlab.api.finding import curves_of
    from lrlab.drawing.range_tests import draw_range_tests
    from lrlab.runs import summary
    from lrlab.system import disk

    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["seed", "update", "lr", "loss"])
    for seed, points, _ in tests:
        for update, (at, loss) in enumerate(points):
            writer.writerow([seed, update, at, loss])
    disk.write_whole(folder / "losses.csv", rows.getvalue())
    facts = {
        "lr": lr,
        "seeds": {seed: suggestion and asdict(suggestion) for seed, _, suggestion in tests},
        "settings": asdict(settings),
        "overrides": list(overrides),
        "versions": summary.versions(),
    }
    disk.write_whole(folder / "summary.json", json.dumps(facts, indent=2) + "\n")
    draw_range_tests(curves_of(tests), folder / "figure.png", suggestion=lr)


def _now() -> str:
    from datetime import datetime

    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S")


COMMAND = Command(
    name="find-lr",
    title="lrlab find-lr: a learning rate to start from, found by a range test.",
    examples=[
        ("for the default choice", ""),
        ("for another one", "optimizer=adam model=mlp"),
    ],
    note=lambda: f"Besides, it takes what `{spelling.command('train')}` takes.",
    settings=FindLrSettings,
    run=_run,
    check=_check,
    trains=True,
)
main, start, read_settings = COMMAND.main, COMMAND.start, COMMAND.read_settings
