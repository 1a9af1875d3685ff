"""Whether a run can train in one step with others: what its settings say, and what a trial of its model says."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lrlab.config import build
from lrlab.config.equipment import Equipment
from lrlab.config.groups import ModelParameters
from lrlab.errors import wrong
from lrlab.lr.plan import Plan
from lrlab.models import Interface
from lrlab.system import distributed

_MOST_PARAMETERS = 10_000_000  # of a model; a step of a larger one leaves nothing to be saved
_SAMPLES = 8  # of the batch on which it is tried
_TRIED: dict[str, str | None] = {}  # the reasons, by what was tried


def reason_against(parts: Equipment, config: Mapping[str, Any], plan: Plan) -> str | None:
    """Why this run cannot train in one step with others, in a few words; None where it can.

    A process tries each model once.
    """
    return _in_its_settings(parts, plan) or _in_a_trial(parts, config)


def require(parts: Equipment, config: Mapping[str, Any], plan: Plan) -> None:
    """Raise UserError where `trainer.stacked` is set for a run that cannot be computed that way."""
    if parts.trainer.form is None:
        return
    if reason := reason_against(parts, config, plan):
        raise wrong(
            "trainer.stacked",
            got=f"{parts.trainer.form}, for a run that cannot be computed in rows: {reason}",
            allowed="false for this run",
            do="trainer.stacked=false",
        )


def _in_its_settings(parts: Equipment, plan: Plan) -> str | None:
    trainer = parts.trainer
    usual = {"precision": "fp32", "compile": False, "accumulate": 1}
    for name, value in usual.items():
        if getattr(trainer, name) != value:
            return f"trainer.{name}={getattr(trainer, name)}"
    momenta = plan.curves.get("momentum", ())
    reasons = {
        "trainer.channels_last=true": trainer.channels_last is True,
        "trainer.budget": parts.horizon.budget_seconds is not None,
        f"{distributed.ranks()} ranks": distributed.ranks() > 1,
        "data.cache=none": parts.batching.cache == "none",
        # torch keeps none of the gradients of a time without momentum
        "a momentum that is 0 for a while": any(momenta) and not all(momenta),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _in_a_trial(parts: Equipment, config: Mapping[str, Any]) -> str | None:
    interface = parts.splits.interface
    optimizer = {name: value for name, value in config["optimizer"].items() if name != "lr"}
    about = json.dumps([config["model"], config["task"], optimizer]) + repr(interface)
    if about not in _TRIED:
        _TRIED[about] = _tried(parts, config, interface)
    return _TRIED[about]


def _tried(parts: Equipment, config: Mapping[str, Any], interface: Interface) -> str | None:
    from lrlab.stacking.fitness import reason_against

    known, _ = build.try_model(config["model"], interface, config["seed"])
    parameters = sum(one.numel() for _, one in known.parameters)
    if parameters > _MOST_PARAMETERS:
        return f"its model has {parameters:,} parameters, more than {_MOST_PARAMETERS:,}"
    samples, targets = stand_in(parts, _SAMPLES)
    make_model, make_optimizer = makers(config, interface)
    return reason_against(make_model, make_optimizer, parts.task, samples, targets)


def makers(
    config: Mapping[str, Any], interface: Interface, device: torch.device | None = None
) -> tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer]]:
    """What makes the model of a run, on a `device`, and the optimizer of a model."""

    def make_model() -> nn.Module:
        return build.build_model(config["model"], interface).to(device)

    def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return build.build_optimizer(config["optimizer"], ModelParameters.of(model))

    return make_model, make_optimizer


def stand_in(parts: Equipment, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many samples and targets in place of the run's own."""
    blank: Any = parts.splits.interface.blank(count)
    generator = torch.Generator().manual_seed(0)
    if blank.is_floating_point():
        samples = torch.randn(blank.shape, generator=generator)
    else:
        samples = torch.randint(0, 2, blank.shape, generator=generator)
    return samples, parts.splits.blank_targets(count)
