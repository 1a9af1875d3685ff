"""What a run says of the average of its weights: how it is made, and what a decay of the LR would have given.

Gradients that moved the weights early count in all that are averaged, and late ones in few. So the average is nearly
where a falling LR would have led: a mean over the last K updates is about a linear decay to zero over them (Sandler et
al., 2023, arXiv:2301.02312; Haegele et al., 2024, arXiv:2405.18392). Such a mean is K/2 updates old, and any average
stands for the decay that is twice as long as it is old.
"""

from typing import Any

from lrlab.lr.plan import Plan
from lrlab.runs.summary import Tally
from lrlab.training.averages import Average, AverageSettings
from lrlab.training.metrics import AVERAGE
from lrlab.words import counted


def in_words(settings: AverageSettings) -> str:
    """What is averaged.

    >>> in_words(AverageSettings("ema", 0, 1, window=42))
    'ema of the weights after every update, window 42 updates'
    >>> in_words(AverageSettings("swa", 315, 21))
    'swa of the weights after every 21 updates, begun after update 315'
    >>> in_words(AverageSettings("lawa", 0, 21, last=5))
    'lawa of the weights after every 21 updates, the latest 5'
    """
    every = "update" if settings.every == 1 else f"{settings.every} updates"
    parts = [f"{settings.name} of the weights after every {every}"]
    if settings.last is not None:
        parts.append(f"the latest {settings.last}")
    if settings.window is not None:
        parts.append(f"window {counted(settings.window, 'update')}")
    if settings.start:
        parts.append(f"begun after update {settings.start}")
    return ", ".join(parts)


def decay_updates(average: Average, steps: int) -> int:
    """The updates of the linear decay to zero that the average stands for, after `steps` updates in all."""
    return round(2 * (steps - average.mean_step))


def was_constant(plan: Plan, steps: int, updates: int) -> bool:
    """Whether the LR was the same in the last `updates` of `steps`, as far as that was planned, and had not fallen.

    A staircase is flat between its steps too, and stands for no constant LR.
    """
    if plan.lrs is None or not 0 < updates <= steps <= plan.horizon.steps:
        return False
    last = plan.count(steps - 1) + 1
    return {*plan.lrs[plan.count(steps - updates) : last]} == {max(plan.lrs[:last])}


def said_of_decay(average: Average | None, plan: Plan, tally: Tally, steps: int) -> list[str]:
    """The line that says what a decay would have given, where the LR was constant for that long."""
    if average is None or not average.exists:
        return []
    updates = decay_updates(average, steps)
    if not was_constant(plan, steps, updates):
        return []
    values = {metric: tally.measured.get(f"{AVERAGE}val_{metric.name}") for metric in tally.metrics}
    shown = ", ".join(f"val {one.name} {one.written(value)}" for one, value in values.items() if value is not None)
    stretch = f"the last {updates / steps:.0%} ({counted(updates, 'update')})"
    return [f"the average, {shown}, is about what a decay of the constant LR over {stretch} would have given"]


def facts(average: Average | None, plan: Plan, steps: int) -> dict[str, Any]:
    """What summary.json says of the average; nothing where none was made."""
    if average is None or not average.exists:
        return {}
    updates = decay_updates(average, steps)
    settings = {name: value for name, value in vars(average.settings).items() if value is not None}
    like = updates if was_constant(plan, steps, updates) else None
    return {"average": {**settings, "mean_step": average.mean_step, "like_decay_over": like}}
