"""How far a prediction may be off: the fit's own doubt, the law's error, and what seeds do.

All three are of the logarithm of the loss, so they are relative errors. The law's error was measured on digits and
MNIST (`python -m benchmarks forecast`): it grows with the distance of a schedule from those that were trained, which is
how much larger or smaller the sum of its LRs is, and with the error that the law makes on its own curve where it was
not fitted. One curve does not show what seeds do; where only one was trained, how much its loss moves about the law
stands for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.9
_QUANTILE = 1.6449  # of the normal distribution, between whose minus and plus 90 % lie
LAW_ERROR = 0.03  # where a law describes its own curve without error
PER_LEAVE_OUT = 0.3  # what is added, in squares, for each unit of error there
PER_DISTANCE = 0.3  # and for each unit of distance, the logarithm of how many times as large a sum of LRs is
SEEDS = 0.02  # standard deviation between seeds, where nothing is known of them, at least
PER_RESIDUAL = 1.5  # and for each unit by which the loss of one run moves about the law
FAR = math.log(1.9)  # a sum of LRs so much larger or smaller than all that were trained makes a guess
MOST_LEAVE_OUT = 0.2  # a law that is further off on its own curve predicts nothing
MOST_RESIDUAL = 0.10  # neither does a loss that moves more about it
MOST_RISE = 1.5  # of the training loss at the beginning, as a multiple of the first value
MOST_NOISE = 0.6  # of the loss half-way: with more of it the LR is too large, and runs at it are not alike


@dataclass(frozen=True)
class Predicted:
    """A predicted loss with 90 % intervals: for the mean over seeds, and for one new run."""

    value: float
    mean: tuple[float, float]
    one_run: tuple[float, float]


@dataclass(frozen=True)
class Doubt:
    """Standard deviations of the logarithm of a loss."""

    law: float
    seeds: float = SEEDS
    runs: int = 1  # of one schedule that were trained, over which the seeds' part is a mean

    def around(self, value: float, fit: float = 0.0) -> Predicted:
        """A predicted value, where the fit's parameters alone leave a deviation of `fit`."""
        known = math.hypot(self.law, fit, self.seeds / math.sqrt(self.runs))
        one = math.hypot(known, self.seeds)
        return Predicted(value, _interval(value, known), _interval(value, one))


def law_error(leave_out: float, distance: float = 0.0) -> float:
    """The law's error on a schedule at a `distance`, from its error on what was left out of its own curves."""
    return math.hypot(LAW_ERROR, PER_LEAVE_OUT * leave_out, PER_DISTANCE * distance)


def between_seeds(residual: float) -> float:
    """The standard deviation between seeds that is usual where the loss of one run moves so much about the law."""
    return max(SEEDS, PER_RESIDUAL * residual)


def distance(total: float, trained: Sequence[float]) -> float:
    """How far a sum of LRs is from the nearest that was trained, or 0 between the smallest and the largest of them.

    >>> distance(2.0, [1.0, 4.0]), distance(math.e, [1.0])
    (0.0, 1.0)
    """
    if total <= 0:
        return math.inf
    return max(0.0, math.log(min(trained) / total), math.log(total / max(trained)))


def _interval(value: float, deviation: float) -> tuple[float, float]:
    factor = math.exp(_QUANTILE * deviation)
    return value / factor, value * factor
