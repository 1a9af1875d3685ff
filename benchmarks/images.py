"""Images per second from folders of JPEG files: lrlab beside a hand-written loop, and beside tensors in memory.

The first epoch reaches from opening the folder, so that whatever is prepared is in it; the later ones are whole
epochs. All rows train the same small CNN at the same batch size, with two loader processes where there are any, and
without augmentation. Memory is the peak of the process and its children.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.processes import measure
from benchmarks.runs import Clock, composed, train

BASE = "bare loop, tensors in memory all along"
WAYS = {  # function of this file, further settings of lrlab
    BASE: ("in_memory", ()),
    "bare loop, DataLoader(ImageFolder), 2 workers": ("by_hand", ()),
    "lrlab, data.cache=none": ("lrlab_run", ("data.cache=none",)),
    "lrlab, data.cache=auto": ("lrlab_run", ("data.cache=auto",)),
}
BATCH, WORKERS, EPOCHS, QUICK_IMAGES = 128, 2, 4, 2_000
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("images", __doc__, repeats=3)
    parser.add_argument("--root", default="data/images", help="folder with train/CLASS/* and test/CLASS/*")
    parser.add_argument("--limit", type=int, default=None, help="training images (default: all; quick: 2,000)")
    parser.add_argument("--threads", type=int, default=1, help="of the training process (default: 1)")
    options = parser.parse_args(arguments)
    root = Path(options.root).resolve()
    if not (root / "train").is_dir():
        raise SystemExit(f"images: got --root {options.root}, without train/; allowed: ROOT/train/CLASS/* and "
                         "ROOT/test/CLASS/*; do: name a folder of images of one size")  # fmt: skip
    before = timing.machine()
    limit = options.limit or (QUICK_IMAGES if options.quick else None)
    with subset(root, limit) as (folder, count):
        cases = {
            name: partial(
                measure, f"images:{way}", threads=options.threads, memory=True, root=str(folder), settings=settings
            )
            for name, (way, settings) in WAYS.items()
        }
        title = f"{count:,} JPEG images, {options.threads} thread{'s' if options.threads > 1 else ''}"
        table = timing.compare(title, cases, base=BASE, repeats=timing.repeats(options))
    timing.report("images", [table], options, before, images=count, batch_size=BATCH, workers=WORKERS, epochs=EPOCHS)


@contextlib.contextmanager
def subset(root: Path, limit: int | None) -> Iterator[tuple[Path, int]]:
    """A folder like `root` with the first images of every class, `limit` in all, and how many there are.

    It holds links. The test images, which are looked at once after what is timed, are cut down as well.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, count = Path(temporary), 0
        for split, most in (("train", limit), ("test", 1_000)):
            classes = sorted(path for path in (root / split).iterdir() if path.is_dir())
            for one in classes:
                (folder / split / one.name).mkdir(parents=True)
                files = sorted(one.iterdir())[: None if most is None else max(1, most // len(classes))]
                for file in files:
                    (folder / split / one.name / file.name).symlink_to(file)
                count += len(files) if split == "train" else 0
        yield folder, count


def lrlab_run(root: str, settings: Sequence[str]) -> timing.Measured:
    import torchvision.datasets  # noqa: F401  # imported before the clock runs, as in the other rows

    import lrlab.runs.run  # noqa: F401

    clock = Clock()
    overrides = [*run_overrides(root), *settings]
    composed(overrides)
    opened = time.perf_counter()
    train(overrides, clock)
    return speeds(root, opened, clock)


def by_hand(root: str, settings: Sequence[str]) -> timing.Measured:  # noqa: ARG001
    """The usual loop; its workers stay from epoch to epoch, as lrlab's do."""
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = built(root)
    opened = time.perf_counter()
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    loader = DataLoader(
        ImageFolder(str(Path(root, "train")), transform),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    return speeds(root, opened, bare(steps, lambda: loader))


def in_memory(root: str, settings: Sequence[str]) -> timing.Measured:  # noqa: ARG001
    """All images decoded before the first epoch, in the training process; then batches by index."""
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    steps = built(root)
    opened = time.perf_counter()
    decoded = [(pil_to_tensor(image), label) for image, label in ImageFolder(str(Path(root, "train")))]
    pixels = torch.stack([image for image, _ in decoded])
    labels = torch.tensor([label for _, label in decoded])
    del decoded
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def batches() -> Iterator[Any]:
        for part in torch.randperm(len(labels)).split(BATCH):
            yield pixels[part].float().div_(255).sub_(mean).div_(std), labels[part]

    return speeds(root, opened, bare(steps, batches))


def run_overrides(root: str) -> list[str]:
    """lrlab's run of the same training."""
    return [
        "data=imagefolder",
        f"data.root={root}",
        f"data.batch_size={BATCH}",
        f"data.workers={WORKERS}",
        "data.shift=0",
        "data.flip=false",
        f"data.mean=[{','.join(map(str, MEAN))}]",
        f"data.std=[{','.join(map(str, STD))}]",
        "model=cnn",
        "optimizer.lr=0.02",
        "optimizer.weight_decay=0",
        "scheduler=constant",
        f"trainer.epochs={EPOCHS}",
        "trainer.eval_every=1000000",
        "trainer.monitor=train_loss",
        "trainer.device=cpu",
    ]


def built(root: str) -> tuple[Any, Any]:
    """lrlab's model and torch's optimizer."""
    import torch

    from lrlab.config import build, compose
    from lrlab.models import Interface
    from lrlab.system import randomness

    randomness.seed_everything(0)
    classes = sum(path.is_dir() for path in Path(root, "train").iterdir())
    node = compose.resolve(composed(run_overrides(root)))["model"]
    model = build.build_model(node, Interface(image_shape(root), classes, num_classes=classes))
    return model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def image_shape(root: str) -> tuple[int, int, int]:
    """(3, H, W) of the first image."""
    from PIL import Image

    first = next(Path(root, "train").glob("*/*"))
    with Image.open(first) as image:
        return 3, image.height, image.width


def bare(steps: tuple[Any, Any], batches: Callable[[], Any]) -> Clock:
    """The loop that everybody writes."""
    import torch.nn.functional as F

    model, optimizer = steps
    model.train()
    clock = Clock()
    for _ in range(EPOCHS):
        clock.epoch_begins()
        for images, labels in batches():
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return clock


def speeds(root: str, opened: float, clock: Clock) -> timing.Measured:
    """Images per second of the later epochs, and of the first from `opened` on."""
    count = sum(1 for _ in Path(root, "train").glob("*/*"))
    return {
        "images/s, later epochs": count / clock.seconds(),
        "images/s, first epoch": count / (clock.began[1] - opened),
    }


if __name__ == "__main__":
    main()
