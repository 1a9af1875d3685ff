"""Images per second on a CUDA device at 32x32: ResNet-18 and ResNet-20, fp32, bf16 and compiled.

lrlab's complete run beside a bare loop over the same images on the device, and the share of the time in which the
device computes: the union of the profiler's kernel times over the wall time of the last epoch but one. That epoch
is profiled in a run of its own, and not timed.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks import timing
from benchmarks.processes import measure
from benchmarks.runs import Clock, composed, train

BASE = "bare loop, fp32"
WAYS = {  # function of this file, further settings of lrlab
    BASE: ("bare", ()),
    "bare loop, bf16": ("bare", ("bf16",)),
    "lrlab, fp32": ("lrlab_run", ()),
    "lrlab, bf16": ("lrlab_run", ("trainer.precision=bf16",)),
    "lrlab, fp32, compiled": ("lrlab_run", ("trainer.compile=true",)),
    "lrlab, bf16, compiled": ("lrlab_run", ("trainer.precision=bf16", "trainer.compile=true")),
}
MODELS = {  # overrides, images of an epoch
    "ResNet-18 (torchvision)": (("model=torchvision", "model.name=resnet18"), 25_600),
    "ResNet-20": (("model=resnet20",), 25_600),
}
BATCH, EPOCHS, QUICK_IMAGES = 128, 4, 6_400
NO_DEVICE = "no CUDA device: rows left empty"


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("gpu", __doc__, repeats=3).parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print(f"gpu: {NO_DEVICE}")
        return
    before = timing.machine()
    tables = []
    for title, (model, images) in MODELS.items():
        count = QUICK_IMAGES if options.quick else images
        cases = {
            name: partial(
                measure, f"gpu:{way}", threads=4, overrides=run_overrides(count, model), images=count, settings=settings
            )
            for name, (way, settings) in WAYS.items()
        }
        name = f"{title}, 32x32, batch {BATCH}"
        tables.append(timing.compare(name, cases, base=BASE, repeats=timing.repeats(options)))
    timing.report("gpu", tables, options, before, batch_size=BATCH, epochs=EPOCHS)


def run_overrides(images: int, model: Sequence[str]) -> list[str]:
    """A run on noise in the device's memory, without a last, smaller batch: it would be compiled for itself."""
    return [
        "data=fake",
        "data._target_=benchmarks.scaling.noise",
        f"data.train_images={images}",
        "data.val_images=256",
        f"data.batch_size={BATCH}",
        "data.drop_last=true",
        *model,
        "optimizer.lr=0.01",
        "optimizer.weight_decay=0",
        "scheduler=constant",
        f"trainer.epochs={EPOCHS}",
        "trainer.eval_every=1000000",
        "trainer.monitor=train_loss",
        "trainer.device=cuda",
        "trainer.deterministic=false",
    ]


class ProfiledClock(Clock):
    """Profiles the last epoch but one."""

    share = 0.0

    def epoch_begins(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        super().epoch_begins()
        if len(self.began) == EPOCHS - 1:
            self.profiler = profile(activities=[ProfilerActivity.CUDA])
            self.profiler.start()
            self.began[-1] = time.perf_counter()  # starting it takes long
        elif len(self.began) == EPOCHS:
            wall = self.began[-1] - self.began[-2]
            self.profiler.stop()
            self.share = busy_seconds(self.profiler) / wall


def busy_seconds(profiler: Any) -> float:
    """Seconds in which at least one kernel or copy ran."""
    from torch.autograd import DeviceType

    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    )
    busy, reached = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / 1e6  # the profiler's microseconds


def lrlab_run(overrides: Sequence[str], images: int, settings: Sequence[str]) -> timing.Measured:
    return twice(lambda clock: train([*overrides, *settings], clock), images)


def twice(run: Callable[[Clock], Any], images: int) -> timing.Measured:
    """Images per second of one training, and the device's share of another that is profiled."""
    clock, profiled = Clock("cuda"), ProfiledClock("cuda")
    run(clock)
    shutil.rmtree("run", ignore_errors=True)
    run(profiled)
    return {
        "images per second": images // BATCH * BATCH / clock.seconds(),
        "% of the time the device computes": 100 * profiled.share,
    }


def bare(overrides: Sequence[str], images: int, settings: Sequence[str]) -> timing.Measured:
    return twice(lambda clock: bare_loop(overrides, images, clock, bf16="bf16" in settings), images)


def bare_loop(overrides: Sequence[str], images: int, clock: Clock, *, bf16: bool) -> None:
    """The loop that everybody writes, over normalized images on the device, by index."""
    import torch
    import torch.nn.functional as F

    from benchmarks.scaling import noise
    from lrlab.config import build, compose
    from lrlab.models import Interface

    torch.backends.cudnn.benchmark = True  # as lrlab with trainer.deterministic=false
    node = compose.resolve(composed(overrides))["model"]
    model = build.build_model(node, Interface((3, 32, 32), 10, num_classes=10)).cuda().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pixels, labels = noise(images, 256, 3, 32, 10).train.tensors
    inputs, labels = pixels.float().div_(255).cuda(), labels.cuda()
    for _ in range(EPOCHS):
        clock.epoch_begins()
        for part in torch.randperm(images).split(BATCH)[: images // BATCH]:
            indices = part.cuda()
            with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(model(inputs[indices]), labels[indices])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    main()
