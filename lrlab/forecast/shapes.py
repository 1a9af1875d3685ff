"""A search over schedules: straight lines through a few knots, the best by a law.

Naganuma, Agarwala, Kasimbeg and Dahl (2026, arXiv:2603.10301) searched shapes by training each; here a law that was
fitted to trained runs stands for training. A warm-up stays as it was trained, for the law does not know what it is for.
No LR is above the largest that was trained, and their sum is near enough to the trained run's for the law to know it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lrlab.forecast import uncertainty
from lrlab.forecast.bound import Numbers, optimal
from lrlab.forecast.fit import Fit, TooLittle

TIMES = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9, 1.0)  # of what follows the warm-up, at which the lines may bend
_AT = np.array(TIMES)
_STARTS = (np.ones_like(_AT), 1 - _AT, 0.5 * (1 + np.cos(np.pi * _AT)), (1 - _AT) ** 2)  # levels
_WARMS_UP = 0.5  # of the largest LR: a schedule that begins below warms up
_NEVER, _STEEP = 99.0, 10.0  # what is said instead of a loss, and for each unit beyond what the law knows
_SMOOTHED = 0.05  # of the run, over which gradient norms are averaged
_LEAST_NORM = 0.05  # of the median: a norm below it would ask for an LR without end
_WORSE = 1.05  # times the loss of the best shape: what the law finds worse than that is not offered
_WORTH = 0.001  # relative: a knot that gains less is left out


@dataclass(frozen=True)
class Shape:
    """Straight lines through knots, each a share of the run in percent and a factor of the base LR."""

    knots: tuple[tuple[float, float], ...]
    loss: float  # that the law says

    def lrs(self, lr: float, updates: int) -> Numbers:
        """The LRs (T,) of a run with this base LR."""
        return _drawn(self.knots, updates) * lr


def best(fitted: Fit, like: Numbers, base_lr: float) -> Shape:
    """The best shape by a law, for runs of as many updates as `like`, a trained run's LRs (T,) with this base LR."""
    from scipy.optimize import minimize

    updates, top = len(like), float(like.max()) / base_lr
    warm_up = _warm_up(like, base_lr)
    begins = warm_up[-1][0] if warm_up else 0.0
    times = [begins + (100 - begins) * share for share in TIMES]

    def knots_of(levels: Numbers) -> list[tuple[float, float]]:
        return [*warm_up[:-1], *((time, top * float(level)) for time, level in zip(times, levels, strict=True))]

    def loss_of(levels: Numbers) -> float:
        lrs = np.maximum(_drawn(knots_of(levels), updates) * base_lr, 0.0)
        if lrs.max() <= 0:
            return _NEVER
        beyond = max(0.0, uncertainty.distance(float(lrs.sum()), [float(like.sum())]) - uncertainty.FAR)
        return float(np.log(max(fitted.final(lrs), 1e-12))) + _STEEP * beyond

    # From several shapes, with every level between nothing and the largest LR.
    results = []
    for first in _STARTS:
        found = minimize(loss_of, first, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(TIMES), options={"maxiter": 60})
        results.append((float(found.fun), [round(float(level), 2) for level in found.x]))
    levels = min(results)[1]
    return _pruned(fitted, _written(knots_of(np.array(levels))), base_lr, updates)


def _warm_up(like: Numbers, base_lr: float) -> list[tuple[float, float]]:
    """The knots of the rise with which a trained run begins; none where it begins high."""
    if like[0] >= _WARMS_UP * like.max():
        return []
    reached = int(np.argmax(like >= 0.999 * like.max()))
    return [(0.0, float(like[0]) / base_lr), (100 * reached / len(like), float(like.max()) / base_lr)]


def _drawn(knots: Sequence[tuple[float, float]], updates: int) -> Numbers:
    """The factors (T,) of straight lines through knots."""
    times, factors = (np.array(column, float) for column in zip(*knots, strict=True))
    return np.interp(100 * np.arange(updates) / updates, times, factors)


def _pruned(fitted: Fit, knots: list[tuple[float, float]], base_lr: float, updates: int) -> Shape:
    """Without the knots between the first and the last that gain nothing."""

    def loss(some: Sequence[tuple[float, float]]) -> float:
        return fitted.final(_drawn(some, updates) * base_lr)

    least = loss(knots)
    while len(knots) > 2:
        fewer = [[*knots[:place], *knots[place + 1 :]] for place in range(1, len(knots) - 1)]
        simplest = min(fewer, key=loss)
        if loss(simplest) > (1 + _WORTH) * least:
            break
        knots = simplest
    return Shape(tuple(knots), loss(knots))


def _written(knots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The knots as they can be typed, each moment once."""
    rounded = [(round(time, 1), float(f"{factor:.3g}")) for time, factor in knots]
    return [rounded[0], *(later for earlier, later in pairwise(rounded) if later[0] > earlier[0])]


def refined(fitted: Fit, norms: Numbers, like: Numbers, base_lr: float, best_loss: float) -> Shape:
    """The schedule that makes the last-iterate bound least for gradient norms (T,), as far as that can be trusted.

    Defazio et al. (2023, arXiv:2310.07831, section 3) refine a schedule by the norms of the run before. Left to itself
    that can wreck a run, so it is held: norms are smoothed, no LR is above the largest that was trained, a warm-up
    stays as it was, and it is drawn by the same few knots as `best`. Raises TooLittle, with the reason, where the law
    finds it worse than `best_loss`, or where its sum of LRs is farther from the trained one than the law knows.
    """
    if norms.shape != like.shape or not (np.isfinite(norms).all() and (norms > 0).all()):
        raise TooLittle("gradient norms are positive numbers, one for each update")
    lrs, _ = optimal(_smooth(norms))
    warm_up = _warm_up(like, base_lr)
    begins = warm_up[-1][0] if warm_up else 0.0
    top = float(like.max()) / base_lr
    times = [begins + (100 - begins) * share for share in TIMES]
    shares = 100 * np.arange(len(lrs)) / len(lrs)
    levels = np.minimum(np.interp(times, shares, lrs) / float(np.quantile(lrs, 0.95)), 1.0)
    knots = [*warm_up[:-1], *((time, top * float(level)) for time, level in zip(times, levels, strict=True))]
    shape = _pruned(fitted, _written(knots), base_lr, len(like))
    if shape.loss > _WORSE * best_loss:
        raise TooLittle(f"the law finds it {shape.loss / best_loss - 1:.0%} worse than the best shape")
    if uncertainty.distance(float(shape.lrs(base_lr, len(like)).sum()), [float(like.sum())]) > uncertainty.FAR:
        raise TooLittle("its sum of LRs is farther from the trained one than the law knows")
    return shape


def _smooth(norms: Numbers) -> Numbers:
    """Averaged over a twentieth of the run, and nowhere so small that an LR would grow without end."""
    width = max(1, round(_SMOOTHED * len(norms)))
    padded = np.pad(norms, (width // 2, width - 1 - width // 2), mode="edge")
    means = np.convolve(padded, np.full(width, 1 / width), "valid")
    return np.maximum(means, _LEAST_NORM * float(np.median(means)))
