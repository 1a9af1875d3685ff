"""Images per second of one training carried out by one and by two processes, with the same global batch.

Strong scaling: `data.batch_size` is the batch of an update, whoever computes it. Every process has one thread, and
the seconds are those of the run's own history.csv, without its first epoch.
"""

import csv
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.processes import environment
from benchmarks.runs import composed

BASE = "python train.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
PROCESSES = {BASE: 0, "torchrun, 1 process": 1, "torchrun, 2 processes": 2}
IMAGES, QUICK_IMAGES, BATCH, EPOCHS = 12_800, 1_280, 256, 4
MODELS = {"CNN of 16 and 32 channels": ("model=cnn",), "ResNet-20": ("model=resnet20",)}


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("scaling", __doc__, repeats=3).parse_args(arguments)
    before = timing.machine()
    images = QUICK_IMAGES if options.quick else IMAGES
    models = dict(list(MODELS.items())[: 1 if options.quick else None])
    tables = []
    for title, model in models.items():
        # ResNet-20 costs so much an image that fewer of them will do.
        overrides = run_overrides(images if "model=cnn" in model else images // 5, model)
        cases = {way: partial(speed, processes, overrides) for way, processes in PROCESSES.items()}
        name = f"{title}, 32x32, batch {BATCH}"
        tables.append(timing.compare(name, cases, base=BASE, repeats=timing.repeats(options)))
    timing.report("scaling", tables, options, before, batch_size=BATCH, images=images)


def run_overrides(images: int, model: Sequence[str]) -> list[str]:
    """A run on noise, made once and held in memory: nothing but computing is scaled."""
    return [
        "data=fake",
        "data._target_=benchmarks.scaling.noise",
        f"data.train_images={images}",
        "data.val_images=256",
        f"data.batch_size={BATCH}",
        *model,
        f"trainer.epochs={EPOCHS}",
        "trainer.eval_every=1000000",
        "trainer.monitor=train_loss",
        "trainer.device=cpu",
        "optimizer.lr=0.01",
    ]


def noise(train_images: int, val_images: int, channels: int, image_size: int, num_classes: int) -> Any:
    """lrlab's splits of random pixels and labels, in memory."""
    import torch

    from lrlab.data.map_datasets import Images
    from lrlab.data.splits import Splits

    shape = (channels, image_size, image_size)

    def part(count: int) -> Images:
        def load() -> tuple[torch.Tensor, torch.Tensor]:
            generator = torch.Generator().manual_seed(count)
            pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
            return pixels, torch.randint(0, num_classes, (count,), generator=generator)

        return Images(count, shape, num_classes, load)

    return Splits(part(train_images), part(val_images), num_classes)


def speed(processes: int, overrides: Sequence[str]) -> timing.Measured:
    """Images per second of a run carried out by so many processes of torchrun; 0: without it."""
    if processes and importlib.util.find_spec("lrlab.system.distributed") is None:
        raise timing.Missing("this lrlab does not train in several processes")
    composed(overrides)
    launch = (*TORCHRUN, f"--nproc-per-node={processes}") if processes else ()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, *launch, str(timing.ROOT / "train.py"), *overrides, f"hydra.run.dir={folder}/run"],
            cwd=folder,
            env=environment(1),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (history,) = Path(folder).glob("run/history.csv")
        with history.open(newline="") as file:
            # Without the first epoch, which warms up, and the last, which validates.
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)][1:-1]
    images = int(next(text.partition("=")[2] for text in overrides if text.startswith("data.train_images=")))
    return {"images per second": images * len(seconds) / sum(seconds)}


if __name__ == "__main__":
    main()
