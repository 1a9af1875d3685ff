"""What a process carries a run out with: the groups of its config, each read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lrlab.config import averages, build, checks, length, settings, stopping
from lrlab.config.found_out import FoundOut
from lrlab.config.scheduler import SchedulerSettings, scheduler_settings
from lrlab.data import room
from lrlab.data.batches import Batching, batches_per_epoch
from lrlab.data.splits import Splits
from lrlab.lr import save_every
from lrlab.lr.horizon import Horizon
from lrlab.training.averages import AverageSettings
from lrlab.training.early import StopEarly
from lrlab.training.task import Task, for_data


@dataclass(frozen=True)
class Equipment:
    """The groups of a config, each read: what a process carries a run out with."""

    trainer: settings.TrainerSettings
    task: Task
    scheduler: SchedulerSettings
    batching: Batching
    splits: Splits
    device: torch.device
    horizon: Horizon
    rhythm: save_every.Rhythm  # of checkpoints within epochs
    average: AverageSettings | None  # of the weights
    early: StopEarly | None  # what stops it early


def read(plain: dict[str, Any], *, together: bool, known: FoundOut) -> Equipment:
    """The groups of a resolved config, each read for itself. Whether they fit `together` is asked once a run."""
    number = basis_of(plain, known)
    basis = known("basis", number, partial(_read_basis, plain, together=together), is_large=True)
    task, horizon, trainer = basis.task, basis.horizon, basis.trainer

    # The length of the run is known, and with it what durations mean.
    optimizer = plain["optimizer"]
    said = optimizer if optimizer.get("groups") else {"schedule": optimizer.get("schedule", {})}
    scheduler = known(
        "scheduler",
        (*number, known.number(plain["scheduler"]), known.number(said)),
        lambda: scheduler_settings(plain["scheduler"], horizon.planned, optimizer, task.metrics),
    )
    rhythm = save_every.rhythm(plain.get("checkpoint", {}).get("every"), horizon)
    average = averages.average_settings(trainer, horizon)
    early = stopping.stop_early(trainer.stop_early, horizon, trainer.monitor, task.metrics)
    return Equipment(**vars(basis), scheduler=scheduler, rhythm=rhythm, average=average, early=early)


def basis_of(plain: Mapping[str, Any], known: FoundOut) -> tuple[int, ...]:
    """The numbers of all groups but those that say what the LR is."""
    return tuple(known.number(plain.get(group)) for group in ("task", "data", "model", "trainer", "checkpoint"))


@dataclass(frozen=True)
class _Basis:
    """What a run learns and where, and how long it is."""

    trainer: settings.TrainerSettings
    task: Task
    batching: Batching
    splits: Splits
    device: torch.device
    horizon: Horizon


def _read_basis(plain: dict[str, Any], *, together: bool) -> _Basis:
    # What is learned, where, and how batches are made.
    task = build.build_task(plain["task"])
    batching, data_node = settings.split_batching(plain["data"])
    holding, data_node = settings.split_holding(data_node)

    # The data, opened but not read.
    if together:
        checks.check_target(data_node, "data")
        checks.check_target(plain["model"], "model", given=("num_classes", "num_outputs", "input_shape"))
    splits = settings.held_out(build.make(data_node, "data"), holding)
    task = for_data(task, splits)
    trainer = settings.trainer_settings(plain["trainer"], task.metrics)
    device = settings.find_device(trainer.device)
    if together:
        settings.check_splits(splits, batching)
        settings.check_parts(trainer, batching)
        if batching.cache in room.KEPT:  # "auto" always finds a place
            choose_cache(batching, splits, device)

    return _Basis(trainer, task, batching, splits, device, horizon_on(plain["trainer"], splits, batching))


def horizon_on(trainer: Mapping[str, Any], splits: Splits, batching: Batching) -> Horizon:
    """How long the run is on these data."""
    images = len(splits.train)
    steps_per_epoch = batches_per_epoch(images, batching, train=True)
    return length.horizon_of(trainer, steps_per_epoch, length.samples_of(images, batching))


def choose_cache(batching: Batching, splits: Splits, device: torch.device) -> room.Choice:
    """Where both splits are kept. Raises UserError where `batching` names a place that is too small for them."""
    return room.choose(
        [splits.train, splits.val],
        splits.shape,
        cache=batching.cache,
        budget_bytes=batching.cache_bytes,
        folder=lambda: batching.cache_folder,
        device=device,
    )
