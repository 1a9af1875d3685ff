"""What the numbered cases find when they begin, made in the current folder."""

import pickle
from pathlib import Path

from support import folder_of_images, train

from lrlab.runs import checkpoint

IMAGES = ("data=fake", "data.train_images=64", "data.val_images=20", "data.image_size=8", "model=mlp")
RUN = (*IMAGES, "scheduler=step", "scheduler.step_size=1")
DONE = Path("outputs/runs/done")


def schedulers() -> None:
    """Schedulers of a user's own that go wrong in epoch 3."""
    Path("theirs.py").write_text(
        "from torch.optim.lr_scheduler import LRScheduler\n"
        "class Negative(LRScheduler):\n"
        "    def get_lr(self):\n"
        "        return [-1.0 if self.last_epoch == 2 else 0.1 for _ in self.base_lrs]\n"
        "class NotANumber(LRScheduler):\n"
        "    def get_lr(self):\n"
        "        return [float('nan') if self.last_epoch == 2 else 0.1 for _ in self.base_lrs]\n"
        "class Raises(LRScheduler):\n"
        "    def get_lr(self):\n"
        "        if self.last_epoch == 2:\n"
        "            raise KeyError('no such epoch')\n"
        "        return [0.1 for _ in self.base_lrs]\n"
    )


def labels() -> None:
    """A data set with a label that it should not have."""
    Path("theirs.py").write_text(
        "import torch\nfrom lrlab.data import Splits\n"
        "def labels():\n"
        "    rows = [(torch.rand(1, 8, 8), i % 3) for i in range(9)]\n"
        "    return Splits(rows, rows, 2)\n"
    )


def readers() -> None:
    """Data sets whose reading process dies, or never comes back."""
    Path("theirs.py").write_text(
        "import os, signal, time, torch\nfrom torch.utils.data import Dataset, get_worker_info\n"
        "from lrlab.data import Splits\n"
        "class Bad(Dataset):\n"
        "    def __init__(self, fault):\n"
        "        self.fault = fault\n"
        "    def __len__(self):\n"
        "        return 64\n"
        "    def __getitem__(self, index):\n"
        "        if get_worker_info() is not None and index == 40:\n"
        "            self.fault()\n"
        "        return torch.zeros(1, 8, 8), index % 2\n"
        "def die():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def hang():\n"
        "    time.sleep(100)\n"
        "def killed():\n"
        "    return Splits(Bad(die), Bad(die), 2)\n"
        "def stuck():\n"
        "    return Splits(Bad(hang), Bad(hang), 2)\n"
    )


def a_class_without_images() -> None:
    (folder_of_images(Path("images")) / "train" / "green").mkdir()


def no_classes() -> None:
    for split in ("train", "val"):
        (Path("images") / split).mkdir(parents=True)


def a_bad_image() -> None:
    (folder_of_images(Path("images")) / "val" / "red" / "2.png").write_bytes(b"not an image")


def two_sizes() -> None:
    folder_of_images(Path("images"))
    folder_of_images(Path("small"), size=(5, 5))
    Path("small/val/red/1.png").replace("images/val/red/1.png")


def classes_that_differ() -> None:
    Path(folder_of_images(Path("images")) / "val" / "red").rename("images/val/green")


def a_damaged_download(_url: str, file: str | Path, *_: object) -> None:
    """What torchvision fetches, where the other end sends something else."""
    Path(file).write_bytes(b"something else")


def one_run() -> None:
    train(DONE, *RUN, "trainer.epochs=1")


def _damage(*files: Path, keep: slice = slice(None), flip: int | None = None) -> None:
    one_run()
    for file in files:
        data = bytearray((DONE / file).read_bytes()[keep])
        if flip is not None:
            data[flip] ^= 1
        (DONE / file).write_bytes(data)


def cut_short() -> None:
    _damage(checkpoint.LAST, checkpoint.PREVIOUS, keep=slice(1000))


def last_cut_short() -> None:
    _damage(checkpoint.LAST, keep=slice(1000))


def a_bit_flipped() -> None:
    _damage(checkpoint.LAST, checkpoint.PREVIOUS, flip=2000)


def half_written() -> None:
    one_run()
    (DONE / "checkpoints" / "last.tmp").write_bytes(b"half")


def saved_elsewhere() -> None:
    one_run()
    before = checkpoint.load(DONE / checkpoint.LAST)["computed_by"]
    _change({"computed_by": {**before, "torch": "0.1"}})


def _change(contents: dict[str, object]) -> None:
    saved = checkpoint.load(DONE / checkpoint.LAST)
    checkpoint.save(DONE / checkpoint.LAST, {**saved, **contents})


def newer() -> None:
    one_run()
    _change({"lrlab": 99})


def a_pickle() -> None:
    one_run()

    class Payload:
        def __reduce__(self):
            return Path.mkdir, (Path("created"),)

    for file in (checkpoint.LAST, checkpoint.PREVIOUS):
        (DONE / file).write_bytes(pickle.dumps(Payload()))
