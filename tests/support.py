"""What the tests share: small runs in the test's own process, and the files that a run leaves."""

import copy
import csv
import functools
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrlab.config import compose
from lrlab.config.composed_once import Shared
from lrlab.config.prepare import Checked, prepare
from lrlab.config.targets import chosen
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan
from lrlab.runs import checkpoint, run
from lrlab.sweeps.job import Job
from lrlab.system.lock import held

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[1]
DATASETS = ROOT.parent / "shared" / "datasets"

needs_datasets = pytest.mark.skipif(not DATASETS.is_dir(), reason=f"no data sets in {DATASETS}")


# The packages that options of `optimizer` are made with, where they are not torch's or lrlab's.
PACKAGES = {"schedule_free": "schedulefree", "prodigy": "prodigyopt"}


def needs(optimizer: str) -> list[pytest.MarkDecorator]:
    """The mark that leaves out a test of an `optimizer` whose package is not installed."""
    package = PACKAGES.get(optimizer)
    if package is None:
        return []
    return [pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")]


# Models of a user that end a run in every way there is.
FAULTY = """
import os, signal, sys
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, input_shape, how):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
        self.how, self.seen = how, 0

    def forward(self, images):
        self.seen += self.training
        logits = self.net(images)
        if self.seen < 9 or Path("mended").exists():
            return logits
        if self.how == "raising":
            raise ValueError("a bug of the user's")
        if self.how == "leaving":
            sys.exit(3)
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return logits * float("nan") if self.how == "diverging" else logits
"""


@dataclass
class Outcome:
    """How a command line ended."""

    code: int
    out: str
    err: str


# A data set of a user's own: 40 images to train on and 10 beside them, in two classes that anybody tells apart.
OWN_SPLITS = """
import torch
from lrlab.data import Splits

class Part:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.full((1, 4, 4), index % 2 * 200, dtype=torch.uint8), index % 2

def data():
    return Splits(train=Part(40), val=Part(10), num_classes=2)
"""

UPDATES = 21  # in an epoch of the digits: 1,293 training images in batches of 64
TINY = ("data=fake", "data.train_images=60", "data.val_images=20", "data.image_size=8", "model=mlp")  # milliseconds


def train(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train in `folder` what `overrides` say, without the command line, and return the summary."""
    folder.mkdir(parents=True, exist_ok=True)
    config = compose.compose(overrides)
    prepared = prepare(config, chosen(config, overrides), overrides)
    with held(folder):
        saved = run.Saved(*checkpoint.latest(config.resume, log.warning)) if config.resume else None
        run.carry_out(prepared, folder, saved)
    return summary(folder)


def job(name: str, folder: Path, settings: dict[str, Any] | None = None, *, epochs: int = 1, updates: int = 10) -> Job:
    """A run of a sweep with made-up settings."""
    plan = Plan(Horizon(epochs, updates // epochs), "epoch", {"lr": (0.1,) * epochs})
    return Job(name, folder, Checked(settings or {}, {}, [], plan, []))


BY_HYDRA = compose.by_hydra  # itself, for tests of what is composed in its place


class ComposedBefore:
    """Composes as Hydra does, each choice of lrlab's own options once in a process: a test has a copy.

    Hydra takes 80 ms for what a copy takes 5 for, and tests compose thousands of times. Where a command line names a
    folder of options of somebody's own, which may change, it is composed anew.
    """

    def __init__(self) -> None:
        self._shared = Shared(by=BY_HYDRA)

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        if any("searchpath" in override for override in overrides):
            return BY_HYDRA(overrides)
        config = self._shared([*overrides])
        config.hydra.runtime.cwd = os.getcwd()  # the only setting that depends on where it is composed
        return config


@functools.cache
def _composed(*overrides: str) -> DictConfig:
    return compose.compose(overrides)


def composed(*overrides: str) -> DictConfig:
    """The config of `overrides`, composed once for all tests that read it: Hydra takes longer than most laws do."""
    return copy.deepcopy(_composed(*overrides))


def slow_but(values: Iterable[Any], *quick: Any) -> list[Any]:
    """The `values` of a parametrization, of which all but the `quick` ones are long trials."""
    return [pytest.param(value, marks=() if value in quick else pytest.mark.slow) for value in values]


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of history.csv, without `seconds`, which no two runs share."""
    with (folder / "history.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)["state"]["model"]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every scalar in the event files: doubled ones show, and TensorBoard must not drop any."""
    found = []
    for purge in (False, True):
        sizes = {"scalars": 0}
        events = EventAccumulator(str(folder), size_guidance=sizes, purge_orphaned_data=purge).Reload()
        found.append({tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]})
    assert found[0] == found[1]
    return found[0]


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two models hold the same, bit for bit, each on whatever device."""
    return one.keys() == other.keys() and all(torch.equal(one[name].cpu(), other[name].cpu()) for name in one)


class StopAt:
    """A progress display that sends this process a signal at an update, as Ctrl-C or a batch system would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, step: int):
        original = run.Display.show

        def show(display, event):
            original(display, event)
            if getattr(event, "step", None) == step and isinstance(event, run.Update):
                os.kill(os.getpid(), number)

        monkeypatch.setattr(run.Display, "show", show)


def folder_of_images(root: Path, splits: tuple[str, ...] = ("train", "val"), size: tuple[int, int] = (12, 10)) -> Path:
    """Two classes with three images each in every split, one colour a class."""
    for split in splits:
        for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", size, colour).save(root / split / name / f"{index}.png")
    return root
