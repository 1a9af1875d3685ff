"""The plan of a scheduler that only its own steps define, by stepping it without training."""

from collections.abc import Mapping
from typing import Any

import torch

from lrlab.config.scheduler import scheduler_settings
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan, simulate


def optimizer_with(lr: float) -> torch.optim.Optimizer:
    """An optimizer whose LR a scheduler can drive, of no weights that anybody has."""
    return torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=lr, momentum=0.9)


def planned(node: Mapping[str, Any], lr: float, horizon: Horizon) -> tuple[Plan, Mapping[str, Any]]:
    """The plan of a scheduler, and its settings with every duration as a count."""
    settings = scheduler_settings(dict(node), horizon)
    plan = simulate(settings.build, lambda: optimizer_with(lr), horizon, settings.interval)
    return plan, settings.resolved
