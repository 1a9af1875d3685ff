"""The settings in `trainer` about averages of the weights, checked, with every duration as a count of updates."""

from typing import Any

import torch

from lrlab.config import checks
from lrlab.config.settings import TrainerSettings
from lrlab.errors import UserError, wrong
from lrlab.lr.horizon import Horizon
from lrlab.training.averages import AverageSettings
from lrlab.training.state import has_two_points
from lrlab.words import counted

# What each takes beside `start` and `every`, and what is meant where nothing is said.
_TAKEN: dict[str, dict[str, Any]] = {
    "ema": {"start": "0", "every": "1", "window": "10%"},
    "swa": {"start": "75%", "every": "1ep"},
    "lawa": {"start": "0", "every": "1ep", "last": 5},
}
_OWN = ("start", "every", "window", "last")


def average_settings(trainer: TrainerSettings, horizon: Horizon) -> AverageSettings | None:
    """Which weights of a run of that length are averaged; None for none. Raises UserError for the first mistake."""
    name = trainer.average
    typed = {own: getattr(trainer, f"average_{own}") for own in _OWN}
    given = {own: value for own, value in typed.items() if value is not None}
    taken = _TAKEN[name] if name is not None else {}
    for own, value in given.items():
        if own not in taken:
            raise _not_taken(own, value, name)
    if name is None:
        return None
    if horizon.budget_seconds is not None:
        got = f"{name}, with trainer.budget, whose number of updates is known when it is over"
        raise wrong("trainer.average", got=got, allowed="null with a time budget", do="trainer.average=null")

    # The lengths, in updates.
    chosen: dict[str, Any] = {**taken, **given}
    last = chosen.get("last")
    if last is not None:
        checks.number("trainer.average_last", last, whole=True, low=2, high=1000, example=5)
    start = _updates("start", chosen["start"], horizon, least=0)
    every = _updates("every", chosen["every"], horizon, least=1)
    window = None
    if "window" in chosen:
        window = _updates("window", chosen["window"], horizon, least=every + 1)
    settings = AverageSettings(name, start, every, window, last)
    _require_several(settings, chosen, horizon)
    return settings


def _not_taken(own: str, value: Any, name: str | None) -> UserError:
    key = f"trainer.average_{own}"
    takers = [other for other, taken in _TAKEN.items() if own in taken]
    got = f"{value} without an average" if name is None else f"{value}, which {name} has no use for"
    return wrong(key, got=got, allowed=f"null, or trainer.average={' or '.join(takers)}", do=f"leave {key} out")


def _updates(own: str, value: Any, horizon: Horizon, *, least: int) -> int:
    """The duration `value` of a setting in updates, of which there are at least so many."""
    key = f"trainer.average_{own}"
    if isinstance(value, bool) or not isinstance(value, int | str):
        is_decay = own == "window" and isinstance(value, float) and 0 < value < 1
        do = f"{key}={round(1 / (1 - value))}st for a decay of {value}" if is_decay else f"{key}=25%"
        raise wrong(key, got=repr(value), allowed="a duration: 25 (updates), 5ep, 500st, 25%", do=do)
    updates = horizon.count(str(value), "step", key)
    if updates < least:
        raise wrong(
            key,
            got=f"{value}, which is {counted(updates, 'update')}",
            allowed=f"a duration of at least {counted(least, 'update')}",
            do=f"{key}={least}st",
        )
    return updates


def _require_several(settings: AverageSettings, chosen: dict[str, Any], horizon: Horizon) -> None:
    """Raise UserError where fewer than two weights of the run are averaged: that is no average."""
    count = settings.count(horizon.steps)
    if count >= 2:
        return
    left = horizon.steps - settings.start
    do = f"trainer.average_every={max(1, left // 4)}st" if left >= 2 else "trainer.average_start=0"
    raise wrong(
        "trainer.average",
        got=f"{settings.name} of {counted(count, 'weight')} in {counted(horizon.steps, 'update')}, "
        f"every {chosen['every']} after {chosen['start']}",
        allowed="at least 2",
        do=do,
    )


def require_one_point(optimizer: torch.optim.Optimizer) -> None:
    """Raise UserError for an optimizer that averages the weights itself, as schedule-free ones do."""
    if has_two_points(optimizer):
        raise wrong(
            "trainer.average",
            got=f"an average of the weights of {type(optimizer).__name__}, which averages them itself",
            allowed="null with optimizers that have train() and eval(), as schedule-free ones",
            do="trainer.average=null, or optimizer=adamw",
        )
