"""How long a run is, and durations: lengths of training that a config states in the unit that suits it.

A duration is an integer count of the scheduler's interval (`25`), or a string with a unit: `5ep` (epochs), `500st`
(steps, that is updates), `50_000im` (images, or samples of another kind), `25%` (of the run). It becomes an integer
once, before any scheduler is built.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from lrlab.errors import wrong
from lrlab.words import counted, epochs_in_words

INTERVALS = ("epoch", "step")
POSITIONS = 10_000  # in the plan of a run with a time budget: a step of its LR is so small a share of the time
_NUMBER = r"\d{1,18}(?:\.\d{1,18})?|\d{1,3}(?:_\d{3}){1,5}"
_DURATION = re.compile(rf"({_NUMBER})(ep|st|im|%)?")
_MEANT_AS_DURATION = re.compile(r"[-+.]?\d")
_IN_WORDS = re.compile(rf"({_NUMBER}) ?([a-z%]+)")
_UNIT_OF = {
    **dict.fromkeys(("ep", "epoch", "epochs"), "ep"),
    **dict.fromkeys(("st", "step", "steps", "update", "updates", "iteration", "iterations", "batch", "batches"), "st"),
    **dict.fromkeys(("im", "image", "images", "sample", "samples"), "im"),
    **dict.fromkeys(("%", "percent", "pct"), "%"),
}


def is_duration(text: str) -> bool:
    """Whether `text` is a duration.

    >>> is_duration("2.5ep"), is_duration("25"), is_duration("25percent")
    (True, True, False)
    """
    return _DURATION.fullmatch(text) is not None


def is_meant_as_duration(text: str) -> bool:
    """Whether `text` starts like a number: it is a duration, or a mistake in writing one."""
    return _MEANT_AS_DURATION.match(text) is not None


def from_words(text: str, otherwise: str = "25%") -> str:
    """The duration that a text in words means, or `otherwise` where it means none.

    >>> from_words("2 epochs"), from_words("10 %"), from_words("500steps"), from_words("soon")
    ('2ep', '10%', '500st', '25%')
    """
    match = _IN_WORDS.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNIT_OF:
        return otherwise
    return match[1] + _UNIT_OF[match[2]]


class Samples(NamedTuple):
    """How many training samples there are: in an epoch, and in a whole batch, of which an update is made."""

    per_epoch: int
    per_update: int


@dataclass(frozen=True)
class Horizon:
    """The length of a run: `epochs` passes of `steps_per_epoch` updates each, of which the last may be cut short."""

    epochs: int  # that are begun
    steps_per_epoch: int
    updates: int | None = None  # in the whole run, where the last epoch is cut short
    samples: Samples | None = field(default=None, compare=False)  # None where nothing is known of them
    budget_seconds: float | None = None  # of training, where that ends the run, and `epochs` are never reached
    unknown: str | None = field(default=None, compare=False)  # "ep" or "st": durations in it have no known length
    in_shares: bool = False  # whether it is that of such a run's plan, whose counts are shares of the budget

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch if self.updates is None else self.updates

    @property
    def passes(self) -> int | float:
        """The epochs of the run, with the share of the last one that is trained.

        >>> Horizon(epochs=3, steps_per_epoch=100, updates=250).passes, Horizon(epochs=3, steps_per_epoch=100).passes
        (2.5, 3)
        """
        return self.epochs if self.updates is None else self.updates / self.steps_per_epoch

    @property
    def in_words(self) -> str:
        """The length as one would say it: in epochs, or in updates where an uneven share of an epoch is trained.

        >>> Horizon(epochs=3, steps_per_epoch=100, updates=250).in_words, Horizon(1, 21, updates=11).in_words
        ('2.5 epochs', '11 updates')
        """
        return epochs_in_words(self.passes) if self.is_even else counted(self.steps, "update")

    @property
    def is_even(self) -> bool:
        """Whether the epochs of the run are a number that one would say: 3 or 2.5, and not 0.5238."""
        return self.passes == round(self.passes, 2)

    @property
    def known_epochs(self) -> int | None:
        """The epochs that are begun; None where a time budget decides how many."""
        return self.epochs if self.budget_seconds is None else None

    @property
    def planned(self) -> "Horizon":
        """The horizon of the run's plan: of a run with a time budget, positions in it, of either interval."""
        if self.budget_seconds is None:
            return self
        return Horizon(POSITIONS, 1, budget_seconds=self.budget_seconds, in_shares=True)

    def in_epoch(self, epoch: int) -> int:
        """The updates of the epoch of that index."""
        return max(0, min(self.steps_per_epoch, self.steps - epoch * self.steps_per_epoch))

    def total(self, interval: str) -> int:
        """The run's length in counts of `interval`; an epoch that is cut short counts."""
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
                allowed=f"a whole number of {interval}s such as 25, or 5ep, 500st, 50_000im, 25%",
                do=f"{key}={from_words(duration)}",
            )
        number = Fraction(match[1].replace("_", ""))
        if self.budget_seconds is not None and number:
            self._require_known(duration, match[2], key)
        if match[2] is not None and match[2] == self.unknown and number:  # zero is zero in every unit
            self._refuse_unknown(duration, key)
        if match[2] == "im":
            exact = self._updates_of(number, key) * self._unit("st", interval)
        else:
            exact = number * self._unit(match[2], interval)
        counts = int(exact + Fraction(1, 2))
        if match[2] is None and counts != exact:
            allowed = f"a whole number of {interval}s, or 5ep, 500st, 50_000im, 25%"
            raise wrong(key, got=duration, allowed=allowed, do=f"{key}={counts}")
        if counts == 0 and exact > 0:
            do = f"{key}=1, or a longer run"
            if self.total(interval) == 1 < self.steps:  # a whole run by another clock
                do = f"a longer run, or {_interval_beside(key)}=step where no metric is followed"
            one = "an epoch" if interval == "epoch" else "a step"
            raise wrong(
                key,
                got=f"{duration}, which is {float(exact):.3g} {interval}s and rounds to zero",
                allowed=f"at least half {one}, of the run's {self.total(interval):,}",
                do=do,
            )
        return counts

    def _require_known(self, duration: str, unit: str | None, key: str) -> None:
        """Raise UserError where a duration has no length in a run whose updates are known when it is over."""
        if self.in_shares and unit != "%":
            got = f"{duration}, with trainer.budget, in which the number of updates is not known"
            raise wrong(key, got=got, allowed="a share of the budget, such as 25%", do=f"{key}=25%")
        if not self.in_shares and unit == "%":
            got = f"{duration} of a run with trainer.budget, whose number of updates is not known"
            raise wrong(key, got=got, allowed="500st, 2ep, or a time such as 10min", do=f"{key}=10min")

    def _refuse_unknown(self, duration: str, key: str) -> None:
        """Raise UserError: nothing is known of the duration's unit."""
        length, other = ("updates", "500st") if self.unknown == "ep" else ("epochs", "5ep")
        got = f"{duration}, of a run whose {length} are told, and not how many updates an epoch has"
        raise wrong(
            key, got=got, allowed=f"{other}, 25%, or a count", do="give steps_per_epoch, the updates of an epoch, too"
        )

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
        return RestOfRun(**vars(self), before=before, interval=interval)

    def _updates_of(self, samples: Fraction, key: str) -> Fraction:
        """The updates after which so many training samples were seen. The last batch of an epoch may be smaller."""
        if self.samples is None:
            raise wrong(
                key,
                got=f"{samples}im, a number of images, where the size of a batch is not known",
                allowed="5ep, 500st, 25%, or a count",
                do=f"{key}=500st",
            )
        epochs, rest = divmod(samples, self.samples.per_epoch)
        whole = (self.steps_per_epoch - 1) * self.samples.per_update
        updates = rest / self.samples.per_update
        if rest > whole:
            updates = self.steps_per_epoch - 1 + (rest - whole) / (self.samples.per_epoch - whole)
        return epochs * self.steps_per_epoch + updates


def _interval_beside(key: str) -> str:
    """The setting that says by which clock the durations under `key` are counted.

    >>> _interval_beside("optimizer.groups.head.schedule.T_max"), _interval_beside("optimizer.schedule.momentum.steps")
    ('optimizer.groups.head.schedule.interval', 'scheduler.interval')
    """
    group, own, _ = key.partition(".schedule.")
    return f"{group}.schedule.interval" if own and group.startswith("optimizer.groups.") else "scheduler.interval"


def of_updates(updates: int, steps_per_epoch: int, samples: Samples | None = None) -> Horizon:
    """The horizon of so many updates; its last epoch is cut short where they do not fill it.

    >>> of_updates(250, 100).steps, of_updates(200, 100).epochs
    (250, 2)
    """
    epochs = -(-updates // steps_per_epoch)
    is_whole = updates == epochs * steps_per_epoch
    return Horizon(epochs, steps_per_epoch, None if is_whole else updates, samples)


def of_epochs(epochs: int | float, steps_per_epoch: int, samples: Samples | None = None) -> Horizon:
    """The horizon of so many epochs, perhaps with a fraction, which is rounded half up to whole updates.

    >>> of_epochs(0.5, 25).steps, of_epochs(1.1, 10).steps, of_epochs(3, 10).steps
    (13, 11, 30)
    """
    if epochs == int(epochs):
        return Horizon(int(epochs), steps_per_epoch, samples=samples)
    exact = Fraction(repr(float(epochs))) * steps_per_epoch
    return of_updates(int(exact + Fraction(1, 2)), steps_per_epoch, samples)


@dataclass(frozen=True)
class RestOfRun(Horizon):
    """The end of a run, from `before` counts of `interval` on; 100% of it is what is left.

    >>> Horizon(epochs=10, steps_per_epoch=100).rest(200, "step").count("25%", "step")
    200
    """

    before: int = 0
    interval: str = "step"

    def total(self, interval: str) -> int:
        return super().total(interval) - self.before if interval == self.interval else super().total(interval)
