"""Milliseconds of an update on the CPU: fp32 beside bf16 and compiled models, whichever way it goes."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import measure
from benchmarks.runs import Clock, train
from benchmarks.tracking import fit_updates

BASE = "fp32"
WAYS = {
    BASE: (),
    "bf16": ("trainer.precision=bf16",),
    "fp32, compiled": ("trainer.compile=true",),
    "bf16, compiled": ("trainer.precision=bf16", "trainer.compile=true"),
}
# The last, smaller batch is left out: it would be compiled for itself.
CASES = {
    "digits, CNN of 16 and 32 channels": (("data=digits", "data.drop_last=true", "model=cnn"), 12),
    "MNIST, CNN of 16 and 32 channels": (
        ("data=mnist", "data.download=false", "data.drop_last=true", "model=cnn"),
        3,
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("precision", __doc__, repeats=3)
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw (default: data)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(default: all cores)")
    options = parser.parse_args(arguments)
    root = Path(options.root).resolve()
    before = timing.machine()
    tables = []
    for title, (overrides, epochs) in CASES.items():
        ours = [*overrides, f"trainer.epochs={epochs}"]
        if "data=mnist" in overrides:
            if options.quick or not (root / "MNIST" / "raw").is_dir():
                timing.note(f"{title}: left out: " + ("--quick" if options.quick else "no MNIST/raw in --root"))
                continue
            ours.append(f"data.root={root}")
        cases = {
            way: partial(measure, "precision:step", threads=options.threads, overrides=[*ours, *more])
            for way, more in WAYS.items()
        }
        tables.append(timing.compare(title, cases, base=BASE, repeats=timing.repeats(options)))
    timing.report("precision", tables, options, before, threads=options.threads)


def step(overrides: Sequence[str]) -> timing.Measured:
    """Milliseconds an update of lrlab's complete run; the first epoch, in which models are compiled, is not timed."""
    clock = Clock()
    trained = train([*overrides, "trainer.eval_every=1000000", "trainer.monitor=train_loss"], clock)
    return {
        "ms per update": clock.seconds() / fit_updates(trained.folder) * 1000,
        "s of the first epoch": clock.began[1] - clock.began[0],
    }


if __name__ == "__main__":
    main()
