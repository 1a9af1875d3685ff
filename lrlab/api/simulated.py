"""The plan of a scheduler that only its own steps define, by stepping it without training."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from lrlab.api.wording import of_arguments
from lrlab.config.scheduler import scheduler_settings
from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import follows_metric
from lrlab.lr.plan import Plan, simulate
from lrlab.schedules.law import wrong_argument
from lrlab.schedules.lengths import parameters_of


def optimizer_with(lr: float) -> torch.optim.Optimizer:
    """An optimizer whose LR a scheduler can drive, of no weights that anybody has."""
    optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=lr, momentum=0.9)
    optimizer.is_stand_in = True  # type: ignore[attr-defined]
    return optimizer


def is_stand_in(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer stands for one that nobody has, so that its LR is nobody's."""
    return bool(getattr(optimizer, "is_stand_in", False))


def makes_scheduler(function: Callable[..., Any], lr: float = 0.1) -> bool:
    """Whether a function, called with an optimizer, gives what can be stepped. One of time fails with an optimizer."""
    try:
        made = function(optimizer_with(lr))
    except UserError:
        return False
    except Exception:
        return isinstance(function, type) or _asks_for_an_optimizer(function)
    return hasattr(made, "step")


def _asks_for_an_optimizer(function: Callable[..., Any]) -> bool:
    names = list(parameters_of(function))
    return bool(names) and names[0] in ("optimizer", "optim", "opt")


def plan_of_made(function: Callable[..., Any], lr: float, horizon: Horizon, interval: str) -> Plan | None:
    """The plan of the scheduler that `function` makes for an optimizer; None where it makes none.

    Raises ValueError for one that follows a metric.
    """
    if not makes_scheduler(function, lr):
        return None
    try:
        made = function(optimizer_with(lr))
    except Exception as error:
        got = f"what fails for an optimizer with one parameter group ({type(error).__name__}: {error})"
        raise wrong_argument("name", got=got, allowed="what makes a scheduler", do="mend it") from error
    if follows_metric(made):
        got = f"{type(made).__name__}, which follows a metric, so that its LR is known only once it was trained with"
        raise wrong_argument("name", got=got, allowed="a scheduler whose LR is known before", do="another scheduler")
    with of_arguments():
        return simulate(function, lambda: optimizer_with(lr), horizon, interval)


def planned(node: Mapping[str, Any], lr: float, horizon: Horizon) -> tuple[Plan, Mapping[str, Any]]:
    """The plan of a scheduler, and its settings with every duration as a count."""
    settings = scheduler_settings(dict(node), horizon)
    plan = simulate(settings.build, lambda: optimizer_with(lr), horizon, settings.interval)
    return plan, settings.resolved
