"""Averages of weights: what they cost an update, and how near they come to what a decay of the LR gives.

For the first, lrlab's loop is timed on noise, with and without an average, by the time that the processor spends. For
the second, runs of constant LR on the digits, whose weights are averaged, stand beside runs of the same seed whose LR
decays linearly to zero over the last part. They share every update before that part. An average stands for a decay that
is twice as long as it is old, so ema has half of that part as its window, and lawa spans it with 9 weights.
"""

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.runs import Clock, composed, train
from benchmarks.timing import Measured, Table
from lrlab.training.loop import Update

EPOCHS, BATCH, UPDATES = 20, 60, 480  # of the runs on the digits: 24 updates in an epoch
PARTS = (0.1, 0.2, 0.4)  # of a run, over which the LR decays
WAYS = {
    "no average": (),
    "ema of every update": ("trainer.average=ema",),
    "ema of every 10th update": ("trainer.average=ema", "trainer.average_every=10", "trainer.average_window=100"),
    "swa of every epoch": ("trainer.average=swa", "trainer.average_start=0"),
    "lawa of every epoch": ("trainer.average=lawa",),
}
MODELS = {"MLP 784-64-10": ("model=mlp", "model.hidden=[64]"), "CNN of 16 and 32 channels": ("model=cnn",)}
TIMED = {"MLP 784-64-10": 400, "CNN of 16 and 32 channels": 40}  # updates, after a quarter as many that warm up


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("averages", __doc__, repeats=5).parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    before = timing.machine()
    tables = [cost(model, timing.repeats(options), quick=options.quick) for model in MODELS]
    tables.append(beside_decays([0] if options.quick else range(5)))
    timing.report("averages", tables, options, before, threads=1, batch_size=BATCH, epochs=EPOCHS)


def cost(model: str, repeats: int, *, quick: bool) -> Table:
    """Milliseconds of an update."""
    updates = 4 if quick else TIMED[model]
    cases = {name: partial(_update, model, updates, way) for name, way in WAYS.items()}
    return timing.compare(f"{model}, 28x28, batch 128, 1 thread", cases, base="no average", repeats=repeats)


def _update(model: str, updates: int, way: Sequence[str]) -> Measured:
    """As many updates of a run in epochs of 4, without its files and without validation."""
    from lrlab.config.prepare import prepare
    from lrlab.runs import assemble
    from lrlab.system.signals import Request

    warming = max(4, updates // 4)
    data = ("data=fake", "data.train_images=512", "data.val_images=8", "data.image_size=28", "data.channels=1")
    rest = ("data.batch_size=128", "trainer.epochs=1000", "trainer.eval_every=1000", "trainer.monitor=train_loss")
    prepared = prepare(composed([*data, *MODELS[model], *rest, "trainer.device=cpu", *way]))
    state = assemble.build_state(prepared)
    train, val = (assemble.read_images(prepared, assemble.unseen, Request(), train=one) for one in (True, False))
    began = 0.0
    for event in assemble.events(prepared, state, train, val):
        if isinstance(event, Update) and state.step == warming:
            began = time.process_time()
        if isinstance(event, Update) and state.step == warming + updates:
            break
    return {"ms per update": (time.process_time() - began) / updates * 1000}


def beside_decays(seeds: Sequence[int]) -> Table:
    """The validation loss and accuracy at the end, and how far the loss is from that of the decay of the same seed."""
    rows = []
    raw: list[dict[str, Any]] = []
    for part in PARTS:
        updates = round(part * UPDATES)
        decay = ["scheduler=wsd", "scheduler.lr_lambda.shape=linear", f"scheduler.lr_lambda.decay={updates}"]
        ema = ["trainer.average=ema", f"trainer.average_window={updates // 2}"]
        lawa = ["trainer.average=lawa", f"trainer.average_every={updates // 8}", "trainer.average_last=9"]
        constant = ["scheduler=warmup_constant"]
        decayed = [_digits([*decay, f"seed={seed}"]) for seed in seeds]
        exponential = [_digits([*constant, *ema, f"seed={seed}"]) for seed in seeds]
        latest = [_digits([*constant, *lawa, f"seed={seed}"]) for seed in seeds]
        raw = exponential
        share = f"the last {part:.0%}"
        rows.append(_row(f"decay over {share}", decayed, "val", decayed))
        rows.append(_row(f"constant, ema as old as half of {share}", exponential, "average_val", decayed))
        rows.append(_row(f"constant, lawa over {share}", latest, "average_val", decayed))
        timing.note(f"averages: {share}")
    rows.insert(0, _row("constant", raw, "val", None))
    count = f"{len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
    return Table(f"Digits, CNN, {EPOCHS} epochs, {count}: mean and standard deviation", "", rows)


def _digits(overrides: Sequence[str]) -> dict[str, Any]:
    """The summary of a run that validates by the 360 official test images, at its end only."""
    data = ["model.width=8", "data.val=official", f"data.batch_size={BATCH}", "optimizer.lr=0.05"]
    rest = [f"trainer.epochs={EPOCHS}", f"trainer.eval_every={EPOCHS}", "trainer.monitor=train_loss"]
    return _carried_out([*data, *rest, *overrides])


def _row(
    name: str, runs: Sequence[dict[str, Any]], split: str, decayed: Sequence[dict[str, Any]] | None
) -> dict[str, str]:
    losses = [run[f"{split}_loss"] for run in runs]
    accuracies = [100 * run[f"{split}_accuracy"] for run in runs]
    row = {"name": name, "val loss": _spread(losses, 4), "val accuracy, %": _spread(accuracies, 2)}
    if decayed is None or decayed is runs:
        return {**row, "its loss to that of the decay": ""}
    differences = [loss - run["val_loss"] for loss, run in zip(losses, decayed, strict=True)]
    ends = f"{min(differences):+.4f} to {max(differences):+.4f}"
    return {**row, "its loss to that of the decay": f"{statistics.fmean(differences):+.4f} ({ends})"}


def _spread(values: Sequence[float], decimals: int) -> str:
    deviation = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{decimals}f}{deviation}"


def _carried_out(overrides: Sequence[str]) -> dict[str, Any]:
    """The summary of a run, in a folder that is empty before and gone after."""
    from lrlab.runs import summary

    with _empty_folder(), contextlib.redirect_stdout(io.StringIO()):
        train([*overrides, "trainer.device=cpu", "checkpoint.every=null"], Clock(), live=False)
        return summary.read(Path("run"))


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
