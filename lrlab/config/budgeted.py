"""Which schedules a run with a time budget can have: those whose LR is a function of the used share of the time.

How many updates there will be is known when the run is over. A schedule of counts, as 0.95 to the power of the epoch,
has no meaning then. So a plan is made for twice as many positions, and has to be the same curve.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lrlab.config import build
from lrlab.config.scheduler import scheduler_settings
from lrlab.errors import wrong
from lrlab.lr.plan import Plan, simulate
from lrlab.training.metrics import Metric

_NEAR = 2  # positions that a jump or a slope may be shifted by, for durations are rounded to positions
_LITTLE = 1e-3  # of the highest value


def require_shares(plan: Plan, config: dict[str, Any], parameters: Any, metrics: Sequence[Metric]) -> None:
    """Raise UserError where `config` has a time budget, and its `plan` is no function of the share of it."""
    horizon = plan.horizon
    if not horizon.in_shares:
        return
    node = config["scheduler"]
    inside = node.get("lr_lambda")
    is_function = str(node.get("_target_")).endswith(".LambdaLR") and isinstance(inside, dict)
    named = inside if is_function else node
    key, name = "scheduler", str(named.get("_target_")).rpartition(".")[2]
    if plan.lrs is None:
        got = f"{name}, which follows a metric, with trainer.budget"
        raise wrong(key, got=got, allowed="a schedule that is known before", do="scheduler=cosine")
    twice = replace(horizon, epochs=2 * horizon.epochs)
    finer = scheduler_settings(config["scheduler"], twice, config["optimizer"], metrics)
    other = simulate(
        finer.build, partial(build.build_optimizer, config["optimizer"], parameters), twice, finer.interval
    )
    for curve in plan.curves:
        if not _is_one_curve(plan.curves[curve], other.curves[curve]):
            raise wrong(
                key,
                got=f"{name}, whose {curve} depends on how many steps it has made, with trainer.budget",
                allowed="a function of the used share of the budget: lengths in percent, and no factor a step",
                do="scheduler=cosine, or trainer.epochs=20",
            )


def _is_one_curve(coarse: Sequence[float], fine: Sequence[float]) -> bool:
    """Whether two curves, of which one has twice as many values, have the same values at the same shares."""
    tolerance = _LITTLE * max(coarse)
    for position, value in enumerate(coarse):
        near = fine[max(2 * (position - _NEAR), 0) : 2 * (position + _NEAR) + 1]
        if not min(near) - tolerance <= value <= max(near) + tolerance:
            return False
    return True
