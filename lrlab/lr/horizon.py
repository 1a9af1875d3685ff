"""How long a run is, and durations: lengths of training that a config states in the unit that suits it.

A duration is an integer count of the scheduler's interval (`25`), or a string with a unit: `5ep` (epochs), `500st`
(steps, that is updates), `25%` (of the run). It becomes an integer once, before any scheduler is built.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from lrlab.errors import wrong
from lrlab.words import counted

INTERVALS = ("epoch", "step")
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(ep|st|%)?")
_MEANT_AS_DURATION = re.compile(r"[-+.]?\d")


def is_duration(text: str) -> bool:
    """Whether `text` is a duration.

    >>> is_duration("2.5ep"), is_duration("25"), is_duration("25percent")
    (True, True, False)
    """
    return _DURATION.fullmatch(text) is not None


def is_meant_as_duration(text: str) -> bool:
    """Whether `text` starts like a number: it is a duration, or a mistake in writing one."""
    return _MEANT_AS_DURATION.match(text) is not None


@dataclass(frozen=True)
class Horizon:
    """The length of a run: `epochs` passes of `steps_per_epoch` updates each."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch

    def total(self, interval: str) -> int:
        """The run's length in counts of `interval`."""
        return self.epochs if interval == "epoch" else self.steps

    def count(self, duration: str, interval: str, key: str = "duration") -> int:
        """`duration` in counts of `interval`, rounded half up.

        Raises UserError where it is no duration, or is positive but rounds to zero.

        >>> run = Horizon(epochs=10, steps_per_epoch=100)
        >>> run.count("25%", "epoch"), run.count("25%", "step"), run.count("3ep", "step"), run.count("250st", "epoch")
        (3, 250, 300, 3)
        """
        match = _DURATION.fullmatch(duration)
        if not match:
            raise wrong(
                key,
                got=f"'{duration[:60]}', which is no duration",
                allowed=f"a whole number of {interval}s such as 25, or 5ep, 500st, 25%",
                do=f"{key}=25%",
            )
        exact = Fraction(match[1]) * self._unit(match[2], interval)
        counts = int(exact + Fraction(1, 2))
        if match[2] is None and counts != exact:
            raise wrong(
                key, got=duration, allowed=f"a whole number of {interval}s, or 5ep, 500st, 25%", do=f"{key}={counts}"
            )
        if counts == 0 and exact > 0:
            raise wrong(
                key,
                got=f"{duration}, which is {float(exact):.3g} {interval}s and rounds to zero",
                allowed=f"at least half a count of {counted(self.total(interval), interval)}",
                do=f"{key}=1, or a longer run",
            )
        return counts

    def _unit(self, unit: str | None, interval: str) -> Fraction:
        """One `unit` in counts of `interval`."""
        if unit is None:
            return Fraction(1)
        if unit == "%":
            return Fraction(self.total(interval), 100)
        steps = self.steps_per_epoch if unit == "ep" else 1
        return Fraction(steps, self.steps_per_epoch if interval == "epoch" else 1)

    def rest(self, before: int, interval: str) -> "RestOfRun":
        """What is left of the run when `before` counts of `interval` are over."""
        return RestOfRun(self.epochs, self.steps_per_epoch, before, interval)


@dataclass(frozen=True)
class RestOfRun(Horizon):
    """The end of a run, from `before` counts of `interval` on; 100% of it is what is left.

    >>> Horizon(epochs=10, steps_per_epoch=100).rest(200, "step").count("25%", "step")
    200
    """

    before: int
    interval: str

    def total(self, interval: str) -> int:
        return super().total(interval) - self.before if interval == self.interval else super().total(interval)
