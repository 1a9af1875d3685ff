"""Schedules by a list of moments: staircases, and straight lines between knots.

A milestone m takes effect at t = m: update m is the first at the new level, as in torch, optax, Paddle and Composer.
timm's fires one earlier and Keras's PiecewiseConstantDecay one later: write m-1 or m+1 to get theirs.
"""

import itertools
from bisect import bisect_right
from collections.abc import Sequence

from lrlab.schedules.law import half, require_positive, settled, wrong_argument
from lrlab.schedules.lengths import Knot, Level, Moment, Spacing, Way


def step(t: float, *, total: Way, step_size: Spacing, gamma: Level = 0.1) -> float:
    """Multiplied by `gamma` every `step_size`.

    f(t) = gamma^floor(t / step_size)

    >>> [round(step(t, total=100, step_size=30), 4) for t in (0, 29, 30, 60, 99)]
    [1.0, 1.0, 0.1, 0.01, 0.001]
    """
    require_positive("step_size", step_size, 30)
    require_positive("gamma", gamma, 0.1)
    return gamma ** (settled(t, total) // step_size)


def multistep(t: float, *, total: Way, milestones: Sequence[Moment], gamma: Level = 0.1) -> float:
    """Multiplied by `gamma` at each of the `milestones`, which rise.

    f(t) = gamma^(number of milestones <= t)

    >>> [round(multistep(t, total=100, milestones=[30, 60]), 4) for t in (29, 30, 59, 60)]
    [1.0, 0.1, 0.1, 0.01]
    """
    require_positive("gamma", gamma, 0.1)
    _require_rising("milestones", milestones)
    return gamma ** bisect_right(milestones, settled(t, total))


def piecewise_constant(t: float, *, total: Way, milestones: Sequence[Moment], values: Sequence[Level]) -> float:
    """The first of `values` up to the first of the `milestones`, then the next, and so on.

    f(t) = values[number of milestones <= t]

    `values` are fractions of the base LR, one more than `milestones`.

    Source: with 31.6 % at 80 % and 10 % at 90 % of the run, DeepSeek LLM, 2024, arXiv:2401.02954, section 2.3.

    >>> [piecewise_constant(t, total=10, milestones=[8, 9], values=[1.0, 0.316, 0.1]) for t in (0, 7, 8, 9, 10)]
    [1.0, 1.0, 0.316, 0.1, 0.1]
    """
    _require_rising("milestones", milestones)
    if len(values) != len(milestones) + 1:
        raise wrong_argument(
            "values",
            got=f"{len(values)} with {len(milestones)} milestones",
            allowed=f"{len(milestones) + 1}, one for each stretch",
            do=f"values=[1.0,0.1] milestones=[{half(total)}]",
        )
    return values[bisect_right(milestones, settled(t, total))]


def piecewise_linear(t: float, *, total: Way, knots: Sequence[tuple[Knot, Level]]) -> float:
    """Straight lines through `knots`, pairs of (t, factor) whose times rise; flat before the first and after the last.

    f(t) = y_i + (y_(i+1) - y_i) (t - t_i) / (t_(i+1) - t_i)  for t_i <= t < t_(i+1)

    >>> knots = [(0, 1.0), (50, 0.2), (90, 0.01)]
    >>> [round(piecewise_linear(t, total=100, knots=knots), 4) for t in (0, 25, 50, 70, 95)]
    [1.0, 0.6, 0.2, 0.105, 0.01]
    """
    if not knots or any(len(knot) != 2 for knot in knots):
        raise wrong_argument(
            "knots", got=list(knots), allowed="pairs of time and factor", do="knots=[[0, 1.0], [100%, 0.0]]"
        )
    times = [time for time, _ in knots]
    _require_rising("knots", times)
    t = settled(t, total)
    after = bisect_right(times, t)
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (start, first), (end, last) = knots[after - 1], knots[after]
    return first + (last - first) * ((t - start) / (end - start))


def _require_rising(name: str, times: Sequence[float]) -> None:
    if any(earlier >= later for earlier, later in itertools.pairwise(times)):
        raise wrong_argument(name, got=list(times), allowed="times that rise", do="put them in order, each once")
