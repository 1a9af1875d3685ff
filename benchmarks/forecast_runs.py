"""Real runs with which predictions and advice are compared: their losses, in `forecast_bank/`.

Each setting is a task, a model and an optimizer, with 12 schedules at several base LRs and four seeds. The LR in the
middle is the best of cosine's, found with two seeds in steps of 2 (`python train.py -m scheduler=cosine seed=0,1
optimizer.lr=...`); the others are a quarter of it and four times it, in three settings also half and twice.

The split is by task. Laws, thresholds and intervals were chosen on digits and MNIST, DEVELOPMENT; the tasks of REPORT
were trained after that was committed, and decide nothing: CIFAR-10 at 16x16 (1,500 training images a class), the
characters of a book, and Friedman's first function (Friedman, 1991, doi:10.1214/aos/1176347963; 12,000 samples).
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.timing import FOLDER, ROOT
from lrlab.comparison import loss_curves, results

BANK = FOLDER / "forecast_bank"
SCHEDULES = (
    *("constant", "cosine", "linear", "polynomial", "step", "multistep", "exponential", "rex", "cosine_restarts"),
    *("inverse_sqrt", "wsd", "onecycle"),
)
SEEDS = 4
SCORED = (0.25, 1.0, 4.0)  # times the LR of a setting: a quarter, right, four times
GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
_BINS = 60  # of the training loss that are kept


@dataclass(frozen=True)
class Setting:
    """What is trained with every schedule, at these multiples of `lr`."""

    lr: float
    typed: tuple[str, ...]
    multiples: tuple[float, ...] = SCORED

    @property
    def lrs(self) -> list[float]:
        return [self.lr * multiple for multiple in self.multiples]


_DIGITS, _MNIST = "data=digits", "data=mnist"
_CIFAR = ("data=arrays", "data.root=cifar.npz", "data.val=20%", "data.test=null", "data.batch_size=128")
_NARROW = ("model=cnn", "model.width=8")
_CHARACTERS = (
    *("data=text", "task=language", "model=transformer", "model.width=32", "model.depth=1", "model.heads=2"),
    "trainer.epochs=12",
)
_FRIEDMAN = (
    *("data=arrays", "data.root=friedman.npz", "data.val=20%", "data.test=null", "data.standardize_targets=true"),
    *("data.batch_size=128", "task=regression", "model=mlp", "trainer.epochs=12"),
)
DEVELOPMENT: Mapping[str, Setting] = {
    "digits_mlp_sgd": Setting(0.1, (_DIGITS, "data.val=30%", "model=mlp", "optimizer=sgd", "trainer.epochs=40")),
    "digits_mlp_adam": Setting(0.008, (_DIGITS, "data.val=30%", "model=mlp", "optimizer=adam", "trainer.epochs=40")),
    "digits_cnn_sgd": Setting(0.1, (_DIGITS, "model=cnn", "optimizer=sgd", "trainer.epochs=30")),
    "digits_cnn_adamw": Setting(0.032, (_DIGITS, "model=cnn", "optimizer=adamw", "trainer.epochs=30")),
    "mnist_mlp_sgd": Setting(0.1, (_MNIST, "model=mlp", "data.batch_size=512", "data.shift=2", "trainer.epochs=10")),
    "mnist_mlp_adam": Setting(
        0.008, (_MNIST, "model=mlp", "data.batch_size=512", "data.shift=2", "optimizer=adam", "trainer.epochs=10")
    ),
}
REPORT: Mapping[str, Setting] = {
    "cifar_mlp_sgd": Setting(0.05, (*_CIFAR, "model=mlp", "optimizer=sgd", "trainer.epochs=12"), GRID),
    "cifar_mlp_adamw": Setting(0.004, (*_CIFAR, "model=mlp", "optimizer=adamw", "trainer.epochs=12")),
    "cifar_cnn_sgd": Setting(0.025, (*_CIFAR, *_NARROW, "optimizer=sgd", "trainer.epochs=10")),
    "cifar_cnn_adamw": Setting(0.008, (*_CIFAR, *_NARROW, "optimizer=adamw", "trainer.epochs=10")),
    "characters_gpt_adamw": Setting(0.016, (*_CHARACTERS, "optimizer=adamw"), GRID),
    "characters_gpt_nadam": Setting(0.016, (*_CHARACTERS, "optimizer=nadam")),
    "friedman_mlp_sgd": Setting(0.1, (*_FRIEDMAN, "optimizer=sgd")),
    "friedman_mlp_adam": Setting(0.016, (*_FRIEDMAN, "optimizer=adam"), GRID),
}


def train(name: str, setting: Setting, root: str) -> None:
    """Train every schedule, LR and seed of a setting, and keep its losses."""
    lrs = setting.lrs
    with TemporaryDirectory() as folder:
        typed = [
            *prepared(setting, root, Path(folder)),
            f"scheduler={','.join(SCHEDULES)}",
            f"optimizer.lr={','.join(f'{lr:g}' for lr in lrs)}",
            f"seed={','.join(map(str, range(SEEDS)))}",
            *("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", f"hydra.sweep.dir={folder}"),
        ]
        command = [sys.executable, str(ROOT / "train.py"), "-m", *typed]
        done = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, cwd=folder
        )  # diverged runs end it with 1
        kept = _kept(results.find([Path(folder)]), lrs)
    if not kept:
        sys.exit(f"benchmarks: {name} left no runs, with exit code {done.returncode}")
    BANK.mkdir(exist_ok=True)
    np.savez_compressed(place(name), **kept)


def _kept(found: Sequence[results.Result], lrs: Sequence[float]) -> dict[str, np.ndarray]:
    """The losses of all runs: (schedule, LR, seed, point); NaN for those that diverged."""
    kept: dict[str, np.ndarray] = {}
    for run in found:
        if run.status != "finished":
            continue
        curves = loss_curves.of_run(run)
        lr = min(range(len(lrs)), key=lambda i: abs(lrs[i] - curves.lr))
        place = (SCHEDULES.index(curves.schedule), lr, int(run.settings["seed"]))
        train, val = curves.losses["train"].binned(_BINS, skipped=0.0), curves.losses["val"]
        whole = (len(SCHEDULES), len(lrs), SEEDS)
        for key, curve in (("train", train), ("val", val)):
            kept.setdefault(key, np.full((*whole, len(curve.losses)), np.nan))[place] = curve.losses
            kept[f"{key}_updates"] = curve.updates
        kept.setdefault("rise", np.ones(whole))[place] = curves.rise
        kept.setdefault("train_final", np.full(whole, np.nan))[place] = curves.final("train")
        kept.setdefault("shapes", np.full((len(SCHEDULES), len(curves.lrs)), np.nan))[place[0]] = curves.lrs / curves.lr
    return kept


def place(name: str) -> Path:
    """The file of a setting."""
    return BANK / f"{name}.npz"


def read(name: str) -> dict[str, np.ndarray]:
    """The bank of a setting."""
    with np.load(place(name)) as kept:
        return dict(kept)


def finals(bank: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    """The final losses (schedule, LR, seed); infinite for runs that diverged."""
    last = bank["train_final"] if split == "train" else bank["val"][..., -1]
    return np.where(np.isfinite(last), last, np.inf)


def prepared(setting: Setting, root: str, folder: Path) -> list[str]:
    """What is typed for a setting in `folder`, where its data is now."""
    if "data.root=cifar.npz" in setting.typed:
        _make_cifar(Path(root, "cifar10-images"), folder / "cifar.npz")
    if "data.root=friedman.npz" in setting.typed:
        _make_friedman(folder / "friedman.npz")
    return [*setting.typed, *([f"data.root={root}"] if _MNIST in setting.typed else [])]


def _make_cifar(images: Path, to: Path) -> None:
    """CIFAR-10 at 16x16 from its training images as files, `images`/train/CLASS/*.jpg: the first 1,500 of a class."""
    from PIL import Image

    if not (images / "train").is_dir():
        sys.exit(f"benchmarks: {images}/train/CLASS/*.jpg is not there; --root names the folder above")
    samples, labels = [], []
    for label, folder in enumerate(sorted(path for path in (images / "train").iterdir() if path.is_dir())):
        for file in sorted(folder.iterdir())[:1500]:
            small = Image.open(file).convert("RGB").resize((16, 16), Image.Resampling.BOX)
            samples.append(np.asarray(small).transpose(2, 0, 1))
            labels.append(label)
    np.savez(to, inputs=np.stack(samples), targets=np.array(labels))


def _make_friedman(to: Path) -> None:
    from sklearn.datasets import make_friedman1

    inputs, targets = make_friedman1(n_samples=12_000, n_features=10, noise=1.0, random_state=0)
    np.savez(to, inputs=inputs.astype("float32"), targets=targets.astype("float32"))
