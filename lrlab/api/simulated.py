"""The LRs of a scheduler that only its own steps define, by stepping it without training."""

from collections.abc import Mapping
from typing import Any

import torch

from lrlab.config.scheduler import scheduler_settings
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import simulate


def optimizer_with(lr: float) -> torch.optim.Optimizer:
    """An optimizer whose LR a scheduler can drive, of no weights that anybody has."""
    return torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=lr, momentum=0.9)


def lrs_of(node: Mapping[str, Any], lr: float, horizon: Horizon) -> tuple[tuple[float, ...], Mapping[str, Any]]:
    """The LR of every count of the interval, and the settings with every duration as a count."""
    settings = scheduler_settings(dict(node), horizon)
    plan = simulate(settings.build, lambda: optimizer_with(lr), horizon, settings.interval)
    assert plan.lrs is not None  # those that follow a metric were refused
    return plan.lrs, settings.resolved
