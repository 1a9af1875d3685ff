"""Whether a run can train in one step with others: what its settings say, and what a trial of its model says."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from lrlab.config import build
from lrlab.config.groups import ModelParameters
from lrlab.config.settings import TrainerSettings
from lrlab.data.batches import Batching
from lrlab.data.splits import Splits
from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan
from lrlab.models import Interface
from lrlab.system import distributed
from lrlab.training.task import Task

_MOST_PARAMETERS = 10_000_000  # of a model; a step of a larger one leaves nothing to be saved
_SAMPLES = 8  # of the batch on which it is tried
_TRIED: dict[str, str | None] = {}  # the reasons, by what was tried


class Stackable(Protocol):
    """What is asked of a run here, before it is known whether it can: a `prepare.Prepared` has it."""

    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def trainer(self) -> TrainerSettings: ...
    @property
    def task(self) -> Task: ...
    @property
    def splits(self) -> Splits: ...
    @property
    def batching(self) -> Batching: ...
    @property
    def horizon(self) -> Horizon: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def seed(self) -> int: ...


def reason_against(prepared: Stackable) -> str | None:
    """Why this run cannot train in one step with others, in a few words; None where it can.

    A process tries each model once.
    """
    return _in_its_settings(prepared) or _in_a_trial(prepared)


def require(prepared: Stackable) -> None:
    """Raise UserError where `trainer.stacked` is set for a run that cannot be computed that way."""
    if prepared.trainer.form is None:
        return
    if reason := reason_against(prepared):
        raise wrong(
            "trainer.stacked",
            got=f"{prepared.trainer.form}, for a run that cannot be computed in rows: {reason}",
            allowed="false for this run",
            do="trainer.stacked=false",
        )


def _in_its_settings(prepared: Stackable) -> str | None:
    trainer = prepared.trainer
    usual = {"precision": "fp32", "compile": False, "accumulate": 1}
    for name, value in usual.items():
        if getattr(trainer, name) != value:
            return f"trainer.{name}={getattr(trainer, name)}"
    momenta = prepared.plan.curves.get("momentum", ())
    reasons = {
        "trainer.channels_last=true": trainer.channels_last is True,
        "trainer.budget": prepared.horizon.budget_seconds is not None,
        f"{distributed.ranks()} ranks": distributed.ranks() > 1,
        "data.cache=none": prepared.batching.cache == "none",
        # torch keeps none of the gradients of a time without momentum
        "a momentum that is 0 for a while": any(momenta) and not all(momenta),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _in_a_trial(prepared: Stackable) -> str | None:
    config, interface = prepared.config, prepared.splits.interface
    optimizer = {name: value for name, value in config["optimizer"].items() if name != "lr"}
    about = json.dumps([config["model"], config["task"], optimizer]) + repr(interface)
    if about not in _TRIED:
        _TRIED[about] = _tried(prepared, interface)
    return _TRIED[about]


def _tried(prepared: Stackable, interface: Interface) -> str | None:
    from lrlab.stacking.fitness import reason_against

    known, _ = build.try_model(prepared.config["model"], interface, prepared.seed)
    parameters = sum(one.numel() for _, one in known.parameters)
    if parameters > _MOST_PARAMETERS:
        return f"its model has {parameters:,} parameters, more than {_MOST_PARAMETERS:,}"
    samples, targets = stand_in(prepared, _SAMPLES)

    def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return build.build_optimizer(prepared.config["optimizer"], ModelParameters.of(model))

    return reason_against(
        lambda: build.build_model(prepared.config["model"], interface),
        make_optimizer,
        prepared.task,
        samples,
        targets,
    )


def stand_in(prepared: Stackable, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many samples and targets in place of the run's own."""
    blank: Any = prepared.splits.interface.blank(count)
    generator = torch.Generator().manual_seed(0)
    if blank.is_floating_point():
        samples = torch.randn(blank.shape, generator=generator)
    else:
        samples = torch.randint(0, 2, blank.shape, generator=generator)
    return samples, prepared.splits.blank_targets(count)
