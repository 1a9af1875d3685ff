"""What a run costs beside its training: tracking, audit, progress, history and checkpoints, per update.

The base is `trainer.fit` alone, its events thrown away. Checkpoints are timed one by one within the complete run.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.processes import measure
from benchmarks.runs import Clock, composed, epochs_timed, train

BASE = "trainer.fit alone"
WAYS = (BASE, "complete run, output to a file", "complete run, live bar on a terminal")
DIGITS = ("data=digits",)
MNIST = ("data=mnist", "data.download=false")
CASES = {  # title: overrides, epochs; those of digits are the default run's
    "digits, CNN of 16 and 32 channels": ((*DIGITS, "model=cnn"), 20),
    "MNIST, MLP 784-64-10": ((*MNIST, "model=mlp", "model.hidden=[64]"), 5),
    "MNIST, CNN of 16 and 32 channels": ((*MNIST, "model=cnn"), 3),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("tracking", __doc__, repeats=5)
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw (default: data)")
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
        cases = {way: partial(measure, "tracking:cost", threads=1, way=way, overrides=ours) for way in WAYS}
        tables.append(timing.compare(title, cases, base=BASE, repeats=timing.repeats(options)))
    timing.report("tracking", tables, options, before)


def cost(way: str, overrides: Sequence[str]) -> timing.Measured:
    """Milliseconds an update, one saved checkpoint and its share of an epoch; nothing is validated."""
    clock = Clock()
    ours = [*overrides, "trainer.eval_every=1000000", "trainer.monitor=train_loss", "scheduler=cosine"]
    if way == BASE:
        updates = fit_alone(composed(ours), clock)
        return {"ms per update": clock.seconds() / updates * 1000}
    trained = train(ours, clock, live="live bar" in way)
    updates = fit_updates(trained.folder)
    each = sum(trained.checkpoint_seconds) / len(trained.checkpoint_seconds)
    # Each epoch of these runs writes last.pt, and best.pt where the training loss fell.
    per_epoch = len(trained.checkpoint_seconds) / len(clock.began)
    return {
        "ms per update": clock.seconds() / updates * 1000,
        "ms a checkpoint": each * 1000,
        "% of an epoch in checkpoints": 100 * each * per_epoch / clock.seconds(),
    }


def fit_alone(config: Any, clock: Clock) -> int:
    """Train as the run does, with what it builds, and nothing around it; returns the updates of an epoch."""
    from lrlab.config.prepare import prepare
    from lrlab.runs import assemble
    from lrlab.system.signals import Request
    from lrlab.training.loop import fit

    prepared = prepare(config)
    state = assemble.build_state(prepared)
    batches, val = (assemble.read_images(prepared, assemble.unseen, Request(), train=train) for train in (True, False))
    settings = prepared.trainer
    events = fit(
        state,
        batches,
        val,
        epochs=settings.epochs,
        interval=prepared.scheduler.interval,
        monitor=prepared.scheduler.monitor,
        eval_every=settings.eval_every,
    )
    with epochs_timed(clock):
        for _ in events:
            pass
    return len(batches)


def fit_updates(folder: Path) -> int:
    """The updates of an epoch of the run in `folder`."""
    import csv

    with (folder / "history.csv").open(newline="") as file:
        return int(next(csv.DictReader(file))["step"])


if __name__ == "__main__":
    main()
