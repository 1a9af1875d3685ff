"""How long a run was allowed to be, by which runs are told apart before they are compared."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from lrlab.comparison.results import Result
from lrlab.comparison.sound import is_number
from lrlab.config.seconds import seconds_of
from lrlab.errors import UserError
from lrlab.words import budget_in_words, counted, epochs_in_words

_UNITS = ("epochs", "steps", "budget")  # the settings of `trainer` that say it

_IN_A_NAME = {"epochs": "epochs", "steps": "updates", "budget": "seconds", "any": "any"}
ANY = "any"  # the unit of runs of all budgets, where they are compared together


class Budget(NamedTuple):
    """The length of runs that can be compared: so many epochs, updates, or seconds of training."""

    unit: str
    amount: int | float

    @property
    def in_words(self) -> str:
        """As in the title of a contest."""
        if self.unit == "steps":
            return counted(int(self.amount), "update")
        if self.unit == "budget":
            return budget_in_words(self.amount)
        if self.unit == ANY:
            return "all budgets together"
        return epochs_in_words(self.amount)

    @property
    def setting(self) -> str:
        """How it is typed."""
        return f"trainer.{self.unit}={self.amount:.12g}{'s' if self.unit == 'budget' else ''}"

    @property
    def in_a_name(self) -> str:
        """As in the name of a file."""
        return f"{self.amount:.12g}_{_IN_A_NAME[self.unit]}"


def budget_of(result: Result) -> Budget | None:
    """The budget of a run; None where its files do not say it."""
    said: list[Any] = [result.settings.get(f"trainer.{unit}") for unit in _UNITS]
    epochs, steps, time = said
    if time is not None:
        try:
            return Budget("budget", seconds_of(time))
        except UserError:  # nothing that lrlab wrote
            return None
    if isinstance(steps, str):  # a length with a unit, whose updates are in the summary
        steps = (result.summary.get("plan") or result.summary).get("updates")
    if is_number(steps):
        return Budget("steps", steps)
    if not is_number(epochs):
        return None
    return Budget("epochs", int(epochs) if epochs == int(epochs) else epochs)


def in_order(budgets: Iterable[Budget | None]) -> list[Budget]:
    """Each budget once, from the shortest; epochs before updates."""
    there = {one for one in budgets if one is not None}
    return sorted(there, key=lambda one: ((*_UNITS, ANY).index(one.unit), one.amount))


def epochs_of(result: Result) -> int | float:
    """The epochs that a run was to have, with the share of the last one that is trained; NaN where that is not said."""
    budget = budget_of(result)
    if budget is None:
        return math.nan
    if budget.unit == "epochs":
        return budget.amount
    rows = result.history
    return result.epochs_at(rows[-1]) if rows else math.nan
