"""The settings of a run with values that nobody meant: each is one line, or is accepted and trained for two updates.

Nothing else may come of it: no traceback, and nothing left behind by what was refused. What only sweeps have, recipes
and launchers, is not among them.
"""

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import yaml

from lrlab.commands import train
from lrlab.config.catalogue import CONF
from lrlab.runs.display import Display
from lrlab.training.loop import Update

VALUES = ("null", "''", "[]", "{}", "-1", "0", "1e308", "nan", "inf", "'1e-3'", "true", "x" * 3000)
SLOW_SECONDS = 5.0  # nothing that is refused, or trained for two updates, takes longer
_GROUPS = ("data", "model", "task", "optimizer", "scheduler", "trainer")
_FAKE = ("data=fake", "data.image_size=8", "data.batch_size=4", "data.train_images=8", "data.val_images=4", "model=mlp")
_OF_DATA = {
    "digits": ("data.batch_size=720",),
    "fake": ("data.image_size=8", "data.batch_size=4", "data.train_images=8", "data.val_images=4"),
    "arrays": ("data.root=arrays.npz", "data.batch_size=18"),
    "diabetes": ("task=regression", "data.batch_size=160"),
    "text": ("task=language", "model=transformer", "data.batch_size=1000", "model.width=8", "model.depth=1"),
    "imagefolder": ("data.root=images", "data.batch_size=3", "data.workers=0", "data.cache_dir=cache"),
}
_FETCHED = ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100")  # no data here: prepared, then refused
_ON_TEXT = ("model=transformer", "task=language")
_COMPILES = ("trainer.compile=true",)  # takes minutes, and is no odd value


@dataclass(frozen=True)
class Mutation:
    """One setting of an option with one odd value."""

    option: str  # such as scheduler=step
    typed: str  # such as scheduler.gamma=nan
    beside: tuple[str, ...] = ()  # what makes the run small

    @property
    def overrides(self) -> list[str]:
        return [*self.beside, *([self.option] if self.option else []), self.typed]

    def __str__(self) -> str:
        return f"{self.option} {self.typed[:80]}"


@dataclass
class Counts:
    """How mutations ended. `wrong` holds those that ended in another way than they may."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)


def mutations() -> list[Mutation]:
    """All of them: of each setting and each node of every option, and of what stands at the top of the config."""
    found = []
    for path in sorted(path for group in _GROUPS for path in (CONF / group).glob("*.yaml")):
        group, name = path.parent.name, path.stem
        option = f"{group}={name}"
        for key in _keys(yaml.safe_load(path.read_text()), group):
            found += [Mutation(option, typed, _beside(group, name)) for typed in _typed(key)]
    top = yaml.safe_load((CONF / "config.yaml").read_text())
    own = {name: value for name, value in top.items() if name not in ("defaults", "hydra")}
    keys = [key for name, value in own.items() for key in (name, *_keys(value, name))]
    for key in (*keys, *_GROUPS, "optimizer.groups.head", "optimizer.groups.head.lr_scale", "task.loss"):
        found += [Mutation("", f"{key}={value}", _FAKE) for value in VALUES]
    return [one for one in found if one.typed not in _COMPILES]


def _keys(value: Any, path: str) -> Iterator[str]:
    """The paths of the settings inside of `value`, nodes and entries of lists among them."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"{path}.{name}"
            yield from _keys(part, f"{path}.{name}")
    elif isinstance(value, list) and value and not isinstance(value[0], dict):
        yield f"{path}=[]"  # an entry of it


def _typed(key: str) -> list[str]:
    """What is typed for `key`: each value, or where it is an entry of a list, a list of that one."""
    if key.endswith("[]"):
        return [f"{key[:-1]}{value}]" for value in VALUES]
    return [f"{key}={value}" for value in VALUES]


def _beside(group: str, name: str) -> tuple[str, ...]:
    if f"{group}={name}" in _ON_TEXT:
        return ("data=text", *_OF_DATA["text"])
    if f"{group}={name}" == "task=regression":
        return ("data=diabetes", "model=mlp", *_OF_DATA["diabetes"])
    if group != "data":
        return _FAKE
    if name in _FETCHED:
        return ("model=mlp", "data.root=nowhere", "data.download=false")
    return ("model=mlp", *_OF_DATA[name])  # of two models the last counts


def try_all(chosen: Sequence[Mutation], place: Path) -> Counts:
    """How the mutations end, each of them in a folder of its own below `place`."""
    counts = Counts()
    place.mkdir(exist_ok=True)
    images = place / "images"
    _make_images(images)
    arrays = place / "arrays.npz"
    numpy.savez(arrays, x=numpy.random.default_rng(0).normal(size=(50, 3)), y=numpy.arange(50) % 2)
    for number, mutation in enumerate(chosen):
        folder = place / str(number)
        folder.mkdir()
        (folder / "images").symlink_to(images)
        (folder / arrays.name).symlink_to(arrays)
        started = time.monotonic()
        with mock.patch.dict(os.environ, HOME=str(place / "home")):  # where a cache may go
            outcome, said = _try_one(mutation, folder)
        counts.outcomes[outcome] += 1
        if outcome not in ("one line", "accepted", "diverged"):
            counts.wrong.append(f"{mutation}: {outcome}: {said}")
        if time.monotonic() - started > SLOW_SECONDS:
            counts.slow.append(f"{mutation}: {time.monotonic() - started:.0f} s")
        shutil.rmtree(folder)
    return counts


def _make_images(root: Path) -> None:
    from support import folder_of_images

    folder_of_images(root)


def _try_one(mutation: Mutation, folder: Path) -> tuple[str, str]:
    """How one ends, and what it said."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        code, said = _train(mutation.overrides)
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    finally:
        os.chdir(before)
        for handler in logging.getLogger().handlers[:]:
            handler.close()
            logging.getLogger().removeHandler(handler)
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    left = [path for path in folder.iterdir() if path.name not in ("images", "cache", "arrays.npz")]
    if code in (0, 128 + signal.SIGTERM):
        return "accepted", said
    if code != 1 or len(lines) != 1 or not lines[0].startswith("lrlab: error: "):
        return f"exit code {code}, {len(lines)} lines", said
    if not left:
        return "one line", said
    statuses = [json.loads(path.read_text())["status"] for path in folder.rglob("summary.json")]
    return "diverged" if statuses == ["diverged"] else f"left behind, {statuses}", said


def _train(overrides: list[str]) -> tuple[int, str]:
    """The exit code and the errors of `python train.py OVERRIDES`, asked to stop after two updates."""
    original = Display.show

    def show(display: Display, event: Any) -> None:
        original(display, event)
        if isinstance(event, Update) and event.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    errors, code = io.StringIO(), 0
    with (
        mock.patch.object(Display, "show", show),
        mock.patch.object(sys, "argv", ["train.py", *overrides]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        try:
            train.main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
    return code, errors.getvalue()
