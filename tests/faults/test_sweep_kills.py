"""A sweep that is killed in any of its processes and started again is the undisturbed one.

Its runs share beginnings, as planned or as a metric decides, or train in one step.
"""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from faults.harness import first_difference, left
from forked import group_lives, processes_of_group, start, wait_for

from lrlab.sweeps import shared

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")

# 25 updates an epoch; with each seed one trunk, from which two runs part, and one of these from another.
SMALL = (
    *("-m", "data=fake", "data.train_images=200", "data.val_images=40", "data.image_size=8", "data.channels=1"),
    *("data.batch_size=8", "model=cnn", "model.width=4", "model.dropout=0.2", "data.shift=1", "checkpoint.every=20st"),
    *("trainer.epochs=8", "seed=0,1", "sweep=it", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"),
)
SHARED = (*SMALL, "scheduler=wsd", "scheduler.lr_lambda.decay=20%,40%,60%")
STACKED = (*SMALL, "scheduler=step,cosine,linear", "trainer.stacked=eager", "hydra.launcher.stack=4")
LED = (*SMALL, "scheduler=plateau", "scheduler.patience=0,1,2")  # one trains for two, until a metric says more
SWEEPS = {"shared": SHARED, "led": LED, "stacked": STACKED}


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """What every run of the sweep that was started in `folder` left."""
    return {path.parent.name: left(path.parent) for path in folder.glob("outputs/sweeps/it/*/summary.json")}


def undisturbed(place: Path, monkeypatch: pytest.MonkeyPatch, *typed: str) -> dict[str, dict[str, Any]]:
    place.mkdir()
    monkeypatch.chdir(place)
    sweep = start(*typed)
    assert sweep.wait() == 0, sweep.complained()
    return runs(place)


def disturb(place: Path, monkeypatch: pytest.MonkeyPatch, *typed: str, kills: int, seed: int) -> int:
    """Start the sweep and kill its processes, again and again, until it is finished; returns how many were killed."""
    drawn, done, code = random.Random(seed), 0, 1
    place.mkdir()
    monkeypatch.chdir(place)
    while code:
        sweep = start(*typed)
        while done < kills and sweep.poll() is None:
            wait_for(lambda: any(place.glob("outputs/sweeps/it/*/history.csv")) or sweep.poll() is not None)  # noqa: B023
            time.sleep(drawn.random() * 0.5)
            victim = drawn.choice([*processes_of_group(sweep.pid), sweep.pid]) if drawn.random() < 0.7 else sweep.pid
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                done += 1
            if victim == sweep.pid:
                break
        code = sweep.wait()
        wait_for(lambda: not group_lives(sweep.pid))  # noqa: B023
    return done


@pytest.mark.parametrize("typed", SWEEPS.values(), ids=SWEEPS)
@pytest.mark.parametrize(("kills", "seed"), [(2, 0), pytest.param(8, 1, marks=pytest.mark.slow)])
def test_a_sweep_that_is_killed_and_started_again_is_the_undisturbed_one(tmp_path, monkeypatch, typed, kills, seed):
    whole = undisturbed(tmp_path / "whole", monkeypatch, *typed)
    assert len(whole) == 6
    assert disturb(tmp_path / "killed", monkeypatch, *typed, kills=kills, seed=seed) > 0
    assert first_difference(runs(tmp_path / "killed"), whole) == ""


@pytest.mark.slow
def test_what_is_shared_by_processes_is_what_each_run_is_alone(tmp_path, monkeypatch):
    whole = undisturbed(tmp_path / "shared", monkeypatch, *SHARED)
    assert any((tmp_path / "shared" / "outputs/sweeps/it" / shared.FOLDER).glob("*-*.pt"))
    assert (
        first_difference(whole, undisturbed(tmp_path / "alone", monkeypatch, *SHARED, "hydra.launcher.share=false"))
        == ""
    )


@pytest.mark.slow
def test_what_trains_in_one_step_in_processes_is_what_each_run_is_alone(tmp_path, monkeypatch):
    whole = undisturbed(tmp_path / "stacked", monkeypatch, *STACKED)
    assert (
        first_difference(whole, undisturbed(tmp_path / "alone", monkeypatch, *STACKED, "hydra.launcher.stack=false"))
        == ""
    )
