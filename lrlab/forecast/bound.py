"""What convex theory says of an LR schedule: a bound on the loss of the last weights, and the LR that makes it least.

For f convex, SGD with x_{t+1} = x_t - eta_t g_t, |x_1 - x*| <= D and E|g_t|^2 <= G_t^2, the loss of x_T is above the
least one by at most

    Omega = D^2 / (2 S) + 1/2 [ eta_T G_T^2 + sum over k < T of eta_k^2 G_k^2 / R_k ],

with S = eta_1 + ... + eta_T and R_k = eta_{k+1} + ... + eta_T. It is Theorem 10 of Defazio et al. 2023
(arXiv:2310.07831), and Theorem 1 of Schaipp et al. 2025 (arXiv:2501.18965), whose inner sums telescope because
eta_k / (R_k R_{k-1}) = 1 / R_k - 1 / R_{k-1}. In this form every term is positive, it takes O(T), and it is convex in
the LRs. Weights x_T have seen the first T - 1 updates; `of_final_weights` is about those after all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """The two halves of the bound of a schedule: Omega = distance^2 * signal / base_lr + base_lr * noise."""

    signal: float  # 1 / (2 S)
    noise: float

    def bound(self, *, distance: float = 1.0, base_lr: float = 1.0) -> float:
        """The bound where every LR is multiplied by `base_lr`."""
        return distance**2 * self.signal / base_lr + base_lr * self.noise

    def best_base_lr(self, *, distance: float = 1.0) -> float:
        """The multiple of every LR at which the bound is least: distance * sqrt(signal / noise)."""
        return distance * float(np.sqrt(self.signal / self.noise))

    def least(self, *, distance: float = 1.0) -> float:
        """The bound at the best base LR: 2 * distance * sqrt(signal * noise)."""
        return 2 * distance * float(np.sqrt(self.signal * self.noise))


def terms(lrs: ArrayLike, gradient_norms: ArrayLike = 1.0) -> Terms:
    """The bound's two halves for the LRs (T,) of a schedule and gradient norms (T,), or one for all.

    Raises ValueError unless the LRs are finite, none is negative, and the last one is positive.

    >>> terms([1.0, 1.0])
    Terms(signal=0.25, noise=1.0)
    """
    eta = _checked(lrs)
    if eta[-1] == 0:
        raise ValueError("the bound is about a schedule whose last LR is positive")
    squared = eta**2 * _squares(gradient_norms, len(eta))
    after = _sums_from(eta)[1:]
    noise = float(squared[-1] / eta[-1] + np.sum(squared[:-1] / after))
    return Terms(signal=0.5 / float(np.sum(eta)), noise=0.5 * noise)


def base_lr_ratio(lrs: ArrayLike, of: ArrayLike) -> float:
    """How many times as large the best base LR of the schedule `lrs` is as that of the schedule `of`.

    Its correlation with what was measured on six tasks was .80 to .99; it says too much where stability limits the LR.
    """
    return terms(lrs).best_base_lr() / terms(of).best_base_lr()


def lr_penalty(multiple: ArrayLike) -> Numbers:
    """The bound at `multiple` times the best base LR, relative to that there: (m + 1 / m) / 2 for all schedules."""
    m = np.asarray(multiple, dtype=float)
    return 0.5 * (m + 1 / m)


def of_final_weights(lrs: ArrayLike, gradient_norms: ArrayLike = 1.0, *, distance: float = 1.0) -> float:
    """The bound on the loss of the weights after all updates, also where the last LRs are zero.

    A further LR v > 0 that is never applied extends the schedule. The bound holds for every v, so for the best of them,
    which makes a convex function of one number least.
    """
    given = _checked(lrs)
    eta = np.trim_zeros(given, "b")
    if not len(eta):
        raise ValueError("a schedule without a positive LR moves nothing")
    squares = _squares(gradient_norms, len(given))[: len(eta)]
    squared, after, total = eta**2 * squares, np.append(_sums_from(eta)[1:], 0.0), float(np.sum(eta))

    def slope(v: float) -> float:
        return float(squares[-1] - (distance / (total + v)) ** 2 - np.sum(squared / (after + v) ** 2))

    low = 1e-12 * total
    high = total + distance / float(np.sqrt(squares[-1])) + float(np.sqrt(np.sum(squared) / squares[-1]))
    v = _root(slope, low, high)
    return distance**2 / (2 * (total + v)) + 0.5 * float(v * squares[-1] + np.sum(squared / (after + v)))


def optimal(gradient_norms: ArrayLike, *, distance: float = 1.0) -> tuple[Numbers, float]:
    """The LRs (T,) for which the bound is least among all schedules, for gradient norms (T,), and that bound.

    Where the derivative by every LR is zero, 2 eta_i G_i^2 / R_i = c_i holds with c_T = G_T^2 and
    c_i = 2 G_i^2 (sqrt(1 + c_{i+1} / G_i^2) - 1). That gives c backwards and the LRs forwards, in O(T); the bound is
    distance * sqrt(c_1). The bound is convex in the LRs, so no schedule is better.
    """
    norms = np.asarray(gradient_norms, dtype=float)
    if norms.ndim != 1 or not len(norms) or not (np.isfinite(norms).all() and (norms > 0).all()):
        raise ValueError("gradient norms are positive numbers, one for each update")
    squares = norms**2
    c = squares.copy()
    for i in range(len(c) - 2, -1, -1):
        c[i] = 2 * c[i + 1] / (np.sqrt(1 + c[i + 1] / squares[i]) + 1)
    lrs = np.empty_like(c)
    left = distance / float(np.sqrt(c[0]))
    for i, part in enumerate(c[:-1] / (2 * squares[:-1])):
        left /= 1 + part
        lrs[i] = part * left
    lrs[-1] = left
    return lrs, distance * float(np.sqrt(c[0]))


def _checked(lrs: ArrayLike) -> Numbers:
    eta = np.asarray(lrs, dtype=float)
    if eta.ndim != 1 or not len(eta) or not (np.isfinite(eta).all() and (eta >= 0).all()):
        raise ValueError("LRs are finite numbers from 0, one for each update")
    return eta


def _squares(gradient_norms: ArrayLike, updates: int) -> Numbers:
    norms = np.asarray(gradient_norms, dtype=float)
    if norms.shape not in ((), (updates,)):
        raise ValueError(f"gradient norms have shape {norms.shape}, where one for all or one for each LR is needed")
    return np.broadcast_to(norms**2, (updates,))


def _sums_from(eta: Numbers) -> Numbers:
    """The sum of the LRs from each update on."""
    return np.cumsum(eta[::-1])[::-1]


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function of a positive number is zero."""
    for _ in range(200):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.sqrt(low * high))
