"""A learning rate to start from: `lrlab find-lr optimizer=adam model=resnet20`.

Takes what `lrlab train` takes. For each of several seeds, a new model is trained on while the LR grows, until the loss
explodes. Nothing is left but a folder with a figure, the losses and a summary.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lrlab.commands.command import Command, overrides_of_runs
from lrlab.config import checks, compose, names, options
from lrlab.config.arguments import key_of
from lrlab.errors import wrong
from lrlab.runs import folders, machine
from lrlab.system import spelling
from lrlab.words import counted

if TYPE_CHECKING:
    # These need torch, and --help does not.
    from lrlab.config.prepare import Prepared
    from lrlab.data.batches import Batches
    from lrlab.training.range_test import Suggestion

    Test = tuple[int, list[tuple[float, float]], Suggestion | None]  # seed, LR and loss of each update, what it says

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
    # What was typed.
    overrides = overrides_of_runs(typed, several=False)

    # The range tests, and the LR that most of them are for.
    folders.require_writable(OUTPUTS)
    tests = _test_each_seed(overrides, settings)
    found = [suggestion for _, _, suggestion in tests if suggestion is not None]
    if not found:
        raise wrong(
            "find_lr",
            got=f"a loss that hardly falls at any LR from {settings.start:g} to {settings.end:g}",
            allowed="a model and data from which something can be learned",
            do="find_lr.updates=2000, or other ends",
        )
    lr = _rounded(statistics.median_low([suggestion.lr for suggestion in found]))

    # What is left of them.
    folder = folders.reserve(OUTPUTS / f"{_now()}_{names.run_name(overrides)}")
    _write(folder, tests, lr, settings, typed)
    for line in conclusion(lr, found, len(tests), settings, typed):
        print(line)
    print(f"figure: {folder / 'figure.png'}")
    if settings.json is not None:
        seeds = [{"seed": seed, "suggestion": found and asdict(found)} for seed, _, found in tests]
        machine.write(settings.json, "find_lr", {"lr": lr, "seeds": seeds, "folder": str(folder)})


def _check(settings: FindLrSettings) -> None:
    checks.number("find_lr.end", settings.end, above=settings.start, example=10 * settings.start)


def _test_each_seed(overrides: Sequence[str], settings: FindLrSettings) -> list[Test]:
    """A range test for each seed, each on a model, an optimizer and an order of the data of its own."""
    from lrlab.config.prepare import prepare
    from lrlab.data.batches import Batches
    from lrlab.runs.explain import explain
    from lrlab.training.range_test import suggest

    prepared = prepare(compose.compose(overrides))
    splits = prepared.splits
    train = Batches(
        splits.train,
        prepared.batching,
        num_classes=splits.num_classes,
        seed=prepared.seed,
        device=prepared.device,
        train=True,
    )
    tests: list[Test] = []
    try:
        for seed in range(prepared.seed, prepared.seed + settings.seeds):
            train.seed = seed
            points = _test(prepared, train, seed, settings)
            suggestion = suggest(points)
            tests.append((seed, points, suggestion))
            print(_line(seed, points, suggestion), flush=True)
    except RuntimeError as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error
    finally:
        train.close()
    return tests


def _test(prepared: Prepared, train: Batches, seed: int, settings: FindLrSettings) -> list[tuple[float, float]]:
    """The LR and the loss of every update of one range test, on a new model made from `seed`."""
    from torch.optim.lr_scheduler import LambdaLR

    from lrlab.runs.assemble import build_state
    from lrlab.training.range_test import range_test

    # No scheduler of theirs: some cycle the momentum as well, and set it when they are built.
    unscheduled = replace(prepared.scheduler, build=lambda optimizer: cast(Any, LambdaLR(optimizer, lambda _: 1.0)))
    checked = replace(prepared.checked, config={**prepared.config, "seed": seed})
    state = build_state(replace(prepared, scheduler=unscheduled, checked=checked))
    points = range_test(
        state,
        train,
        start=settings.start,
        end=settings.end,
        updates=settings.updates,
        task=prepared.task.to(prepared.device),
        clip_grad_norm=prepared.trainer.clip_grad_norm,
        accumulate=prepared.trainer.accumulate,
    )
    return list(points)


def _line(seed: int, points: Sequence[tuple[float, float]], suggestion: Suggestion | None) -> str:
    if suggestion is None:
        return f"seed {seed}: the loss hardly falls"
    return (
        f"seed {seed}: {suggestion.lr:.2g}  (loss lowest at {suggestion.lowest:.2g}, "
        f"{counted(len(points), 'update')}, last LR {suggestion.last:.2g})"
    )


def conclusion(
    lr: float, found: Sequence[Suggestion], tests: int, settings: FindLrSettings, overrides: Sequence[str]
) -> list[str]:
    """What to tell the user: the LR with its spread, what to type, and what makes it doubtful."""
    low, high = min(one.lr for one in found), max(one.lr for one in found)
    others = [override for override in overrides if key_of(override) != "optimizer.lr"]
    lines = [
        f"optimizer.lr={lr:g}  (median of {len(found)} of {counted(tests, 'seed')}, {low:.2g} to {high:.2g})",
        f"{spelling.command('train')} {shlex.join([*others, f'optimizer.lr={lr:g}'])}",
    ]
    if high > _DISAGREE * low:
        lines.append(f"warning: the seeds disagree by a factor of {high / low:.1f}; find_lr.updates=2000 is less noisy")
    if any(one.lowest >= 0.9 * settings.end for one in found):
        lines.append(f"warning: the loss was still falling at the last LR; find_lr.end={10 * settings.end:g}")
    if low <= 2 * settings.start:
        lines.append(f"warning: the loss fell from the first LR on; find_lr.start={settings.start / 100:g}")
    return lines


def _rounded(value: float) -> float:
    """`value` with two significant digits."""
    return float(f"{value:.2g}") if math.isfinite(value) else value


def _write(folder: Path, tests: Sequence[Test], lr: float, settings: FindLrSettings, overrides: Sequence[str]) -> None:
    from lrlab.drawing import figures
    from lrlab.runs import summary
    from lrlab.system import disk
    from lrlab.training.range_test import smooth

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
    drawn = []
    for _, points, _ in tests:
        if points:
            lrs, losses = [at for at, _ in points], [loss for _, loss in points]
            drawn.append((lrs, losses, smooth(points)))
    figures.draw_range_tests(drawn, folder / "figure.png", suggestion=lr)


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
