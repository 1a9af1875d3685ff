"""How long a run is, as the arguments of a schedule say it."""

import math
from dataclasses import replace
from typing import Any

from lrlab.lr.horizon import Horizon, of_epochs, of_updates
from lrlab.schedules.law import wrong_argument


def horizon_of(epochs: int | float | None, steps_per_epoch: int | None, total_steps: int | None) -> Horizon:
    """The length of a run. Raises ValueError unless it is said in one of two ways.

    The last epoch may be cut short: `epochs=2.5`, or `total_steps=250` of which an epoch has 100.
    """
    for name, value in (("steps_per_epoch", steps_per_epoch), ("total_steps", total_steps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            is_whole = isinstance(value, float) and value >= 1 and value == int(value)
            do = f"{name}={int(value) if is_whole else 100}"
            raise wrong_argument(name, got=repr(value), allowed="a whole number from 1", do=do)
    if epochs is not None:
        _require_epochs(epochs, steps_per_epoch)
    if total_steps is None and epochs is None:
        got = "neither total_steps nor epochs"
        raise wrong_argument("total_steps", got=got, allowed="one of them", do="total_steps=1000, or epochs=20")
    if total_steps is None:
        told = of_epochs(epochs or 1, steps_per_epoch or 1)
        return told if steps_per_epoch is not None else replace(told, unknown="st")
    if epochs is None:
        told = of_updates(total_steps, steps_per_epoch or total_steps)
        return told if steps_per_epoch is not None else replace(told, unknown="ep")
    if steps_per_epoch is not None:
        product = of_epochs(epochs, steps_per_epoch)
        if product.steps != total_steps:
            got = f"{total_steps}, beside epochs={epochs} and steps_per_epoch={steps_per_epoch}"
            do = f"total_steps={product.steps}, or leave it out"
            raise wrong_argument("total_steps", got=got, allowed="their product", do=do)
        return product
    if total_steps % epochs:
        got = f"{total_steps}, which is no whole number of epochs"
        raise wrong_argument("total_steps", got=got, allowed="epochs times steps_per_epoch", do="leave epochs out")
    return Horizon(int(epochs), int(total_steps // epochs))


def _require_epochs(epochs: Any, steps_per_epoch: int | None) -> None:
    """Raise ValueError where `epochs` is no number of epochs, or has a share of one whose updates are not known."""
    is_number = isinstance(epochs, int | float) and not isinstance(epochs, bool)
    if not is_number or not 0 < epochs < math.inf:
        raise wrong_argument("epochs", got=repr(epochs), allowed="a number above 0", do="epochs=100")
    if epochs != int(epochs) and steps_per_epoch is None:
        got, allowed = f"{epochs}, without the updates of an epoch", "a whole number, or steps_per_epoch too"
        raise wrong_argument("epochs", got=got, allowed=allowed, do="steps_per_epoch=100")
    if of_epochs(epochs, steps_per_epoch or 1).steps == 0:
        got = f"{epochs}, which is less than half an update"
        raise wrong_argument("epochs", got=got, allowed="at least one update", do="epochs=1")
