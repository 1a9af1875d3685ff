"""A run before it starts: every setting checked and the LR planned, with nothing read or written."""

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from lrlab.config import build, checks, settings
from lrlab.config.compose import resolve
from lrlab.config.scheduler import SchedulerSettings, check_rhythm, scheduler_settings
from lrlab.data import room
from lrlab.data.batches import Batching, batches_per_epoch
from lrlab.data.splits import Splits
from lrlab.lr import lint, save_every
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan, simulate


@dataclass(frozen=True)
class Prepared:
    """A run whose settings are checked and whose LR is planned, before its data is read or its folder is made."""

    config: dict[str, Any]  # resolved
    trainer: settings.TrainerSettings
    scheduler: SchedulerSettings
    batching: Batching
    splits: Splits
    plan: Plan
    device: torch.device
    rhythm: save_every.Rhythm  # of checkpoints within epochs
    warnings: list[str]  # about the plan

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def saved_config(self) -> dict[str, Any]:
        """The config of the run itself, without how this process came to carry it out."""
        return {**self.config, "resume": None, "extend": None, "sweep": None}

    def facts(self) -> dict[str, Any]:
        """What a resumed run must find as it was, beside its settings: the data and the planned LR."""
        splits = {name: len(part) for name, part in (("train", self.splits.train), ("val", self.splits.val))}
        return {
            "data": {**splits, "shape": list(self.splits.shape), "num_classes": self.splits.num_classes},
            "contents": self.splits.contents,
            "plan": {"steps_per_epoch": self.plan.horizon.steps_per_epoch, "sha256": self.plan.fingerprint()},
        }


def prepare(config: DictConfig) -> Prepared:
    """Check every setting of a run and plan its LR. Raises UserError for the first mistake; leaves no trace."""
    plain = resolve(config)
    settings.check_top_level(plain)
    trainer = settings.trainer_settings(plain["trainer"])
    device = settings.find_device(trainer.device)
    batching, data_node = settings.split_batching(plain["data"])
    checks.check_target(data_node, "data")
    checks.check_target(plain["model"], "model", given=("num_classes", "input_shape"))
    build.build_optimizer(plain["optimizer"], None)
    splits = build.make(data_node, "data")
    settings.check_splits(splits, batching)
    settings.check_parts(trainer, batching)
    if batching.cache in room.KEPT:  # "auto" always finds a place
        choose_cache(batching, splits, device)
    horizon = Horizon(trainer.epochs, batches_per_epoch(len(splits.train), batching, train=True))
    scheduler = scheduler_settings(plain["scheduler"], horizon, plain["optimizer"].get("schedule"))
    parameters = build.try_model(json.dumps(plain["model"]), splits.shape, splits.num_classes)
    make_optimizer = partial(build.build_optimizer, plain["optimizer"], parameters)
    plan = simulate(scheduler.build, make_optimizer, horizon, scheduler.interval)
    check_rhythm(scheduler.build(make_optimizer()), scheduler.monitor, trainer.eval_every)
    warnings = lint.warnings(plan, plain["scheduler"], plain["optimizer"])
    rhythm = save_every.rhythm(plain.get("checkpoint", {}).get("every"), horizon)
    return Prepared(plain, trainer, scheduler, batching, splits, plan, device, rhythm, warnings)


def place_images(prepared: Prepared) -> tuple[Prepared, room.Choice]:
    """The run with the place where its images are kept settled, and that place."""
    kept = choose_cache(prepared.batching, prepared.splits, prepared.device)
    return replace(prepared, batching=replace(prepared.batching, cache=kept.place)), kept


def choose_cache(batching: Batching, splits: Splits, device: torch.device) -> room.Choice:
    """Where both splits are kept. Raises UserError where `batching` names a place that is too small for them."""
    return room.choose(
        [splits.train, splits.val],
        splits.shape,
        cache=batching.cache,
        budget_bytes=batching.cache_bytes,
        folder=batching.cache_folder,
        device=device,
    )


def plan_only(config: DictConfig, steps_per_epoch: int | None = None) -> tuple[Plan, list[str]]:
    """The plan of the run that `config` describes, and warnings about it, without its model and without reading data.

    `steps_per_epoch` is taken from the known size of the data set if it is not given. Raises UserError as `prepare`.
    """
    plain = resolve(config)
    settings.check_top_level(plain)
    trainer = settings.trainer_settings(plain["trainer"])
    if steps_per_epoch is None:
        batching, node = settings.split_batching(plain["data"])
        checks.check_target(node, "data")
        unread = {"download": True} if "download" in node else {}  # nothing is fetched before it is read
        splits = build.make({**node, **unread}, "data")
        steps_per_epoch = batches_per_epoch(len(splits.train), batching, train=True)
    horizon = Horizon(trainer.epochs, steps_per_epoch)
    optimizer = plain["optimizer"]
    make_optimizer = partial(build.build_optimizer, optimizer, None)
    scheduler = scheduler_settings(plain["scheduler"], horizon, optimizer.get("schedule"))
    plan = simulate(scheduler.build, make_optimizer, horizon, scheduler.interval)
    return plan, lint.warnings(plan, plain["scheduler"], optimizer)
