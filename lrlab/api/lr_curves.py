"""The two kinds of curves that a schedule has: a function of time, and a table."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FunctionCurve:
    """A curve that a function t -> factor defines, for every count."""

    base: float
    function: Callable[[int], float]

    def factor(self, count: int) -> float:
        return float(self.function(count))

    def lr(self, count: int) -> float:
        return self.base * self.factor(count)


@dataclass(frozen=True)
class TableCurve:
    """A curve that is known count by count, as far as the run goes, and then stays at its last LR."""

    base: float
    lrs: tuple[float, ...]
    others: tuple[str, ...] = ()  # what the scheduler drives besides, as OneCycleLR does momentum

    def lr(self, count: int) -> float:
        return self.lrs[min(count, len(self.lrs) - 1)]

    def factor(self, count: int) -> float:
        return self.lr(count) / self.base
