"""Sweeps whose processes are killed at random, and started again until they are finished."""

import os
import random
import signal
import time
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.harness import left
from forked import group_lives, processes_of_group, start, wait_for

# 25 updates an epoch; with each seed one trunk, from which two runs part, and one of these from another.
SMALL = (
    *("-m", "data=fake", "data.train_images=200", "data.val_images=40", "data.image_size=8", "data.channels=1"),
    *("data.batch_size=8", "model=cnn", "model.width=4", "model.dropout=0.2", "data.shift=1", "checkpoint.every=20st"),
    *("trainer.epochs=8", "seed=0,1", "sweep=it", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"),
)
SHARED = (*SMALL, "scheduler=wsd", "scheduler.lr_lambda.decay=20%,40%,60%")
STACKED = (*SMALL, "scheduler=step,cosine,linear", "trainer.stacked=eager", "hydra.launcher.stack=4")
LED = (*SMALL, "scheduler=plateau", "scheduler.patience=0,1,2")  # one trains for two, until a metric says more
_SHARE_OF_OTHERS = 0.7  # of the kills
SWEEPS = {"shared": SHARED, "led": LED, "stacked": STACKED}


@dataclass
class Killed:
    """How many processes were killed with SIGKILL."""

    parents: int = 0  # the command itself, with which all others end
    others: int = 0  # workers and trunks, after which it goes on

    @property
    def all(self) -> int:
        return self.parents + self.others


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """What every run of the sweep that was started in `folder` left."""
    return {path.parent.name: left(path.parent) for path in folder.glob("outputs/sweeps/it/*/summary.json")}


def undisturbed(place: Path, *typed: str) -> dict[str, dict[str, Any]]:
    """What the runs leave where nobody kills a process."""
    place.mkdir()
    with chdir(place):
        sweep = start(*typed)
        if sweep.wait() != 0:
            raise RuntimeError(sweep.complained())
    return runs(place)


def disturb(place: Path, *typed: str, kills: int, seed: int | str) -> Killed:
    """Start the sweep and kill its processes, again and again, until it is finished."""
    drawn, killed, code = random.Random(seed), Killed(), 1
    place.mkdir()
    with chdir(place):
        while code:
            sweep, before = start(*typed), killed.all
            while killed.all < kills and sweep.poll() is None:
                wait_for(lambda: any(place.glob("outputs/sweeps/it/*/history.csv")) or sweep.poll() is not None)  # noqa: B023
                time.sleep(drawn.random() * 0.5)
                if _kill_one(sweep.pid, drawn, killed):
                    break
            code = sweep.wait()
            if code and killed.all == before:
                raise RuntimeError(sweep.complained())
            wait_for(lambda: not group_lives(sweep.pid))  # noqa: B023
    return killed


def _kill_one(parent: int, drawn: random.Random, killed: Killed) -> bool:
    """Kill one of the sweep's processes; returns whether it was the parent of all."""
    others = [one for one in processes_of_group(parent) if one != parent]
    victim = drawn.choice(others) if others and drawn.random() < _SHARE_OF_OTHERS else parent
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        killed.parents += victim == parent
        killed.others += victim != parent
    return victim == parent
