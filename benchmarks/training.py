"""Milliseconds of a training step on MNIST: lrlab's complete run beside bare loops and other frameworks.

Every measurement is a process of its own. Timed are whole epochs, without the first and the last, from the moment an
epoch's first batch is asked for to the moment the next epoch's is: with batching, forward, backward, optimizer,
scheduler, and with what a framework does by default in between. That is for lrlab TensorBoard at every update, the
history, the live bar on a terminal and a checkpoint an epoch; nobody validates.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import measure

BASE, OURS = "bare loop, tensors by index", "lrlab, complete run"
# The images of an epoch: MLPs take all; with the others an epoch would last half a minute.
IMAGES = {"mlp": 60_000, "cnn": 12_800}
SLOW = ("bare loop, DataLoader(MNIST), as in tutorials", "Lightning, DataLoader(MNIST)")
SLOW_IMAGES, QUICK_IMAGES = 12_800, 2_560
EPOCHS = 5
NAMES = {"mlp": "MLP 784-64-10", "cnn": "CNN of 16 and 32 channels"}
WAYS = (  # as in benchmarks/loops.py, which imports torch
    "bare loop, one batch over and over",
    BASE,
    "bare loop, DataLoader(TensorDataset)",
    OURS,
    SLOW[0],
    "Lightning, DataLoader(TensorDataset)",
    SLOW[1],
    "Accelerate, DataLoader(TensorDataset)",
    "Ignite, DataLoader(TensorDataset)",
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("training", __doc__, repeats=5)
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw (default: data)")
    parser.add_argument("--threads", default=f"1,{os.cpu_count()}", help="thread counts (default: 1 and all cores)")
    parser.add_argument("--models", default="mlp,cnn", help="mlp, cnn (default: both)")
    options = parser.parse_args(arguments)
    root = str(Path(options.root).resolve())
    if not (Path(root) / "MNIST" / "raw").is_dir():
        raise SystemExit(f"training: got --root {options.root}, without MNIST/raw; allowed: torchvision's folder; "
                         "do: python train.py data=mnist trainer.epochs=1, which fetches it into data/")  # fmt: skip
    before = timing.machine()
    tables = []
    for threads in sorted({int(count) for count in options.threads.split(",")}):
        for model in options.models.split(","):
            cases = {
                way: partial(
                    measure,
                    "loops:training",
                    threads=threads,
                    way=way,
                    model=model,
                    root=root,
                    images=images(model, way, quick=options.quick),
                    epochs=EPOCHS,
                )
                for way in WAYS
            }
            title = f"{NAMES[model]}, {threads} thread{'s' if threads > 1 else ''}"
            tables.append(timing.compare(title, cases, base=BASE, repeats=timing.repeats(options)))
            require_same_work(tables[-1])
    timing.report("training", tables, options, before, batch_size=128, epochs=EPOCHS, images=IMAGES)


def images(model: str, way: str, *, quick: bool) -> int:
    """The training images of an epoch; what is slow by a multiple is known well enough from fewer."""
    return min(IMAGES[model], SLOW_IMAGES if way in SLOW else 60_000, QUICK_IMAGES if quick else 60_000)


def require_same_work(table: timing.Table) -> None:
    """Stop where lrlab, which took the same batches as the base, did not arrive at the same loss."""
    losses = {row["name"]: row["loss at the end"] for row in table.rows}
    if OURS in losses and abs(losses[OURS] / losses[BASE] - 1) > 0.01:
        raise SystemExit(f"{table.title}: lrlab's loss is {losses[OURS]}, and the bare loop's {losses[BASE]}")


if __name__ == "__main__":
    main()
