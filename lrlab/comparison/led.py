"""A candidate whose base LR follows from another one's, its leader's: where it is tried, and which LR it gets.

The last-iterate bounds of two schedules say by which ratio their best base LRs differ (`lrlab.forecast.bound`). The LR
that follows is tried with two seeds, and an LR on either side with one. Another LR is taken only where it is clearly
better, by more than twice the standard error of such a difference: among neighbours the luck of a seed is larger than
what the LR matters, and a few runs would choose luck. `python -m benchmarks led_studies` measures what that is worth.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lrlab.comparison import choice
from lrlab.comparison.choice import BySeed

RUNS = 4  # of a candidate that is led
STEP = math.sqrt(3)  # from the LR that follows to those beside it
_FARTHEST = 3.0  # from the leader's LR; the bound says too much where stability limits the LR
_CLEARLY = 2.0  # standard errors

ByRun = Mapping[tuple[float, int], float | None]  # by LR and seed: the value on val, None where it failed


def following_lr(lr: float, ratio: float) -> float:
    """The base LR of a schedule whose best one is `ratio` times its leader's, which is `lr`.

    >>> following_lr(0.1, 0.5), following_lr(0.1, 0.01)
    (0.05, 0.0333)
    """
    return _rounded(lr * min(max(ratio, 1 / _FARTHEST), _FARTHEST))


def next_runs(following: float, runs: int, ended: ByRun) -> list[tuple[float, int]]:
    """The LRs and seeds that come next, of so many `runs` in all, at whatever LRs; none where they have ended.

    Where the LR that follows failed, the last run is at a smaller one, and not at a second seed of it.

    >>> next_runs(0.03, 4, {})
    [(0.03, 0), (0.0173, 0), (0.052, 0)]
    >>> next_runs(0.03, 4, {(0.03, 0): 0.9, (0.0173, 0): 0.8, (0.052, 0): 0.8})
    [(0.03, 1)]
    """
    below, above = _rounded(following / STEP), _rounded(following * STEP)
    left = max(runs - len(ended), 0)
    first = [(following, 0), (below, 0), (above, 0)]
    if missing := [run for run in first if run not in ended]:
        return missing[:left]
    failed = ended[following, 0] is None
    last = (_rounded(below / STEP), 0) if failed else (following, 1)
    return [last][:left] if last not in ended else []


@dataclass(frozen=True)
class Luck:
    """How much values differ between seeds, on the scale on which LRs are compared."""

    deviation: float  # infinite where no LR has two seeds, so that nothing is clear
    is_relative: bool  # values are compared as logarithms: those of losses are, for their noise is relative

    def compared(self, values: Iterable[float]) -> list[float]:
        """Values on that scale."""
        return [math.log(value) if self.is_relative else value for value in values]


def luck_of(values: Sequence[Sequence[float]], *, lower_is_better: bool) -> Luck:
    """What the tuning runs of a whole study say of it: each of `values` holds those of one LR of one candidate.

    >>> luck = luck_of([[0.9, 0.8], [0.5, 0.6], [0.7]], lower_is_better=False)
    >>> round(luck.deviation, 4), luck.is_relative
    (0.0707, False)
    """
    luck = Luck(math.inf, lower_is_better and all(min(one) > 0 for one in values))
    repeated = [luck.compared(one) for one in values if len(one) > 1]
    freedom = sum(len(one) - 1 for one in repeated)
    if not freedom:
        return luck
    pooled = sum(statistics.variance(one) * (len(one) - 1) for one in repeated) / freedom
    return replace(luck, deviation=math.sqrt(pooled))


def best_lr(
    values: Mapping[float, BySeed],
    failed: Mapping[float, int],
    following: float,
    luck: Luck,
    *,
    lower_is_better: bool,
    are_shares: bool,
) -> float:
    """The LR that follows, unless another one is clearly better; the best of those that did not fail, where it failed.

    `values` are those of the runs that finished, by LR and seed.
    """
    if following not in values or failed.get(following, 0):
        return choice.best_lr(values, failed, lower_is_better=lower_is_better, are_shares=are_shares)
    sign = -1.0 if lower_is_better else 1.0
    sound = {lr: luck.compared(by_seed.values()) for lr, by_seed in values.items() if not failed.get(lr, 0)}
    own = sound[following]

    def beyond_doubt(lr: float) -> float:
        """How much better it is than the LR that follows, less what luck may be."""
        error = luck.deviation * math.sqrt(1 / len(sound[lr]) + 1 / len(own))
        return sign * (statistics.fmean(sound[lr]) - statistics.fmean(own)) - _CLEARLY * error

    others = sorted(lr for lr in sound if lr != following)
    best = max(others, key=beyond_doubt, default=following)
    return best if best != following and beyond_doubt(best) > 0 else following


def _rounded(lr: float) -> float:
    """An LR with three digits, which can be read and typed."""
    return float(f"{lr:.3g}")
