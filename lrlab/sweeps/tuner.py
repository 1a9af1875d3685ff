"""Which runs a candidate is tuned by: a fixed number of them, spent where they tell most.

First the grid, a run at each base LR. Where the best LR lies at an edge, the grid is extended. Otherwise the gaps
beside the best LR are halved, and what is left goes to more seeds of the best LR and its neighbours. Runs that failed
count: whoever would repeat the study pays for them too. All of it is a function of what was tried so far, so a study
that was stopped goes on as if it had not been.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrlab.comparison import choice

_WIDE = 2.0  # between neighbours; a gap that is narrower is not halved
_STEP = 3.0  # of a grid of one LR
_SHORTEST_STEP, _LONGEST_STEP = 1.5, 10.0  # beyond an edge


@dataclass(frozen=True)
class Tried:
    """A tuning run that has ended."""

    lr: float
    seed: int
    value: float | None  # of the metric on the validation split; None where it failed or diverged


@dataclass(frozen=True)
class Tuning:
    """How a candidate is tuned."""

    grid: tuple[float, ...]  # base LRs, in order
    runs: int  # in all
    lower_is_better: bool
    are_shares: bool  # the values

    def next_runs(self, tried: Sequence[Tried]) -> list[tuple[float, int]]:
        """The LRs and seeds of the runs that come next, none of which was tried; none where all were spent."""
        left = self.runs - len(tried)
        there = {(one.lr, one.seed) for one in tried}
        grid = [(lr, 0) for lr in self.grid if (lr, 0) not in there]
        if left <= 0 or grid:
            return grid[: max(left, 0)]
        refined = [run for run in self._refined(tried) if run not in there]
        return (refined or [self._one_more(tried)])[:left]

    def _refined(self, tried: Sequence[Tried]) -> list[tuple[float, int]]:
        """What comes after the grid."""
        best = self.best_lr(tried)
        lrs = sorted({one.lr for one in tried})
        if best is None:  # every run failed, and lower LRs fail less
            return [(_rounded(lrs[0] / self._step(lrs[:2])), 0)]
        below, above = [lr for lr in lrs if lr < best], [lr for lr in lrs if lr > best]

        # Beyond an edge.
        if not below:
            return [(_rounded(best / self._step(lrs[:2])), 0)]
        if not above:
            return [(_rounded(best * self._step(lrs[-2:])), 0)]

        # Between the best LR and its neighbours.
        gaps = [(below[-1], best), (best, above[0])]
        finer = [(_rounded(math.sqrt(low * high)), 0) for low, high in gaps if high / low >= _WIDE]
        return finer or self._more_seeds(tried, [best, below[-1], above[0]])

    def _one_more(self, tried: Sequence[Tried]) -> tuple[float, int]:
        """One seed more at the best LR, where nothing else is left to try."""
        lr = self.best_lr(tried) or min(self.grid)
        return lr, 1 + max(one.seed for one in tried if one.lr == lr)

    def _step(self, ends: Sequence[float]) -> float:
        """The factor to the LR beyond these, which are at an edge of those that were tried."""
        return min(max(ends[1] / ends[0], _SHORTEST_STEP), _LONGEST_STEP) if len(ends) > 1 else _STEP

    def _more_seeds(self, tried: Sequence[Tried], contenders: Sequence[float]) -> list[tuple[float, int]]:
        """One seed more for each of the LRs that have the fewest, the best LR first."""
        seeds = {lr: 1 + max(one.seed for one in tried if one.lr == lr) for lr in contenders}
        failed = {one.lr for one in tried if one.value is None}
        going_on = [lr for lr in contenders if lr not in failed] or list(contenders)
        fewest = min(seeds[lr] for lr in going_on)
        return [(lr, seeds[lr]) for lr in going_on if seeds[lr] == fewest]

    def best_lr(self, tried: Sequence[Tried]) -> float | None:
        """The best LR of those that were tried; None where every run failed."""
        values: dict[float, dict[int, float]] = {}
        failed: dict[float, int] = {}
        for one in tried:
            if one.value is None:
                failed[one.lr] = failed.get(one.lr, 0) + 1
            else:
                values.setdefault(one.lr, {})[one.seed] = one.value
        if not values:
            return None
        return choice.best_lr(values, failed, lower_is_better=self.lower_is_better, are_shares=self.are_shares)


def grid_around(lr: float, step: float = _STEP, reach: int = 1) -> tuple[float, ...]:
    """A grid of LRs around one, `reach` steps down and up.

    >>> grid_around(0.1)
    (0.0333, 0.1, 0.3)
    """
    return tuple(_rounded(lr * step**power) for power in range(-reach, reach + 1))


def _rounded(lr: float) -> float:
    """An LR with three digits, which can be read and typed."""
    return float(f"{lr:.3g}")
