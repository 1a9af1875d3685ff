"""Laws of loss curves: the loss after t updates as a function of the LRs up to there, with a few parameters.

Every law is L0 + A S_t^-alpha and a term for what the LRs do besides, where S_t is the sum of the LRs up to update t in
units of the whole of the first curve that is fitted. All parameters are positive, and are handed over as logarithms.

    bound      + B Q_t,  Q_t = least over v of [ v + sum over k <= t of eta_k^2 / (R_k + v) ]: the noise of the
               last-iterate bound (see `bound`), with R_k = eta_{k+1} + ... + eta_t and a further LR v never applied
    linear     the same with alpha = 1
    fsl        + B sum of eta_k^2 (1 + C R_k)^-beta, after the functional scaling law (arXiv:2509.19189)
    tissue     - C sum of (eta_{k-1} - eta_k) (1 - lambda^(t-k+1)) / (1 - lambda), Tissue et al. (arXiv:2408.11029)
    multipower - B sum of (eta_{k-1} - eta_k) [1 - (1 + C eta_k^-gamma (eta_k + ... + eta_t))^-beta], Luo et al. 2025
               (arXiv:2503.12811)

The last two were made for LRs that only fall, and fail where they rise. LRs are in units of one LR, the largest of the
first curve that is fitted, whatever schedule is predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lrlab.forecast.bound import Numbers

Features = tuple[Numbers, ...]  # what a law needs to know of the LRs, at P numbers of updates

VIRTUAL = (0.01, 0.03, 0.1, 0.3, 1.0)  # the LRs v, in units of the largest
_EXACT_AGES = 64  # so many updates before a point are taken one by one; those before them in ever longer blocks
_GROWTH = 1.05
_LEAST_SUM = 1e-12


class Law(Protocol):
    """A family of loss curves."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[str, ...]: ...

    def features(self, lrs: Numbers, updates: NDArray[np.int64]) -> Features:
        """What the law needs to know of the LRs (T,) at these numbers (P,) of completed updates, 1 to T."""

    def losses(self, logs: Numbers, features: Features) -> tuple[Numbers, Numbers]:
        """The losses (P,) and their derivatives (P, K) by the logarithms (K,) of the parameters."""

    def starts(self, first: float, least: float, sum_at_first: float) -> Sequence[Numbers]:
        """Where a fit begins: logarithms of parameters, by the first and the least of the losses to be fitted."""


@dataclass(frozen=True)
class BoundLaw:
    """L0 + A S^-alpha + B Q, with alpha fitted or given."""

    name: str
    alpha: float | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        return ("L0", "A", "alpha", "B") if self.alpha is None else ("L0", "A", "B")

    def features(self, lrs: Numbers, updates: NDArray[np.int64]) -> Features:
        return _sums(lrs, updates), noise(lrs, updates)

    def losses(self, logs: Numbers, features: Features) -> tuple[Numbers, Numbers]:
        values = np.exp(logs)
        alpha = values[2] if self.alpha is None else self.alpha
        signal, signal_by_alpha = _power(values[1], alpha, features[0])
        noise_part = values[-1] * features[1]
        by_alpha = [signal_by_alpha] if self.alpha is None else []
        return _put_together(values[0], [signal, *by_alpha, noise_part], values[0] + signal + noise_part)

    def starts(self, first: float, least: float, sum_at_first: float) -> Sequence[Numbers]:
        return _starts(first, least, sum_at_first, [(0.2 * least,)], self.alpha)


@dataclass(frozen=True)
class FunctionalLaw:
    """L0 + A S^-alpha + B sum of eta_k^2 (1 + C R_k)^-beta, with LRs as shares of the whole sum."""

    name: str = "fsl"
    parameters: tuple[str, ...] = ("L0", "A", "alpha", "B", "C", "beta")

    def features(self, lrs: Numbers, updates: NDArray[np.int64]) -> Features:
        blocks = Blocks.of(lrs, updates)
        return _sums(lrs, updates), blocks.squares, blocks.after

    def losses(self, logs: Numbers, features: Features) -> tuple[Numbers, Numbers]:
        floor, scale, alpha, size, rate, beta = np.exp(logs)
        sums, squares, after = features
        signal, by_alpha = _power(scale, alpha, sums)
        stretched = 1 + rate * after
        kept = squares * stretched**-beta
        part = size * kept.sum(axis=1)
        by_rate = -size * beta * rate * (kept * after / stretched).sum(axis=1)
        by_beta = -size * beta * (kept * np.log(stretched)).sum(axis=1)
        return _put_together(floor, [signal, by_alpha, part, by_rate, by_beta], floor + signal + part)

    def starts(self, first: float, least: float, sum_at_first: float) -> Sequence[Numbers]:
        others = [(0.3 * least, 0.03, 1.2), (0.3 * least, 0.2, 0.8), (0.1 * least, 2.0, 0.8)]
        return _starts(first, least, sum_at_first, others)


@dataclass(frozen=True)
class TissueLaw:
    """L0 + A S^-alpha - C times the momentum of what the LR has lost, for one decay lambda."""

    decay: float
    parameters: tuple[str, ...] = ("L0", "A", "alpha", "C")

    @property
    def name(self) -> str:
        return f"tissue, lambda {self.decay:g}"

    def features(self, lrs: Numbers, updates: NDArray[np.int64]) -> Features:
        from scipy.signal import lfilter

        drops = -np.diff(lrs, prepend=lrs[0])
        gained = np.cumsum(lfilter([1.0], [1.0, -self.decay], drops))
        return _sums(lrs, updates), gained[updates - 1] * (1 - self.decay)

    def losses(self, logs: Numbers, features: Features) -> tuple[Numbers, Numbers]:
        floor, scale, alpha, size = np.exp(logs)
        signal, by_alpha = _power(scale, alpha, features[0])
        part = -size * features[1]
        return _put_together(floor, [signal, by_alpha, part], floor + signal + part)

    def starts(self, first: float, least: float, sum_at_first: float) -> Sequence[Numbers]:
        return _starts(first, least, sum_at_first, [(0.1 * least,), (0.5 * least,)])


@dataclass(frozen=True)
class MultiPowerLaw:
    """L0 + A S^-alpha - B times what each fall of the LR has gained by now."""

    name: str = "multipower"
    parameters: tuple[str, ...] = ("L0", "A", "alpha", "B", "C", "beta", "gamma")

    def features(self, lrs: Numbers, updates: NDArray[np.int64]) -> Features:
        blocks = Blocks.of(lrs, updates)
        return _sums(lrs, updates), blocks.drops, np.log(np.maximum(blocks.means, 1e-4)), blocks.since

    def losses(self, logs: Numbers, features: Features) -> tuple[Numbers, Numbers]:
        floor, scale, alpha, size, rate, beta, gamma = np.exp(logs)
        sums, drops, log_lrs, since = features
        signal, by_alpha = _power(scale, alpha, sums)
        grown = rate * np.exp(-gamma * log_lrs) * since
        left = (1 + grown) ** -beta
        part = -size * (drops * (1 - left)).sum(axis=1)
        slope = -size * beta * drops * left * grown / (1 + grown)  # by the logarithm of what has grown
        by_rate = slope.sum(axis=1)
        by_beta = -size * beta * (drops * left * np.log1p(grown)).sum(axis=1)
        by_gamma = (slope * -gamma * log_lrs).sum(axis=1)
        return _put_together(floor, [signal, by_alpha, part, by_rate, by_beta, by_gamma], floor + signal + part)

    def starts(self, first: float, least: float, sum_at_first: float) -> Sequence[Numbers]:
        others = [(0.2 * least, rate, 0.6, 0.6) for rate in (0.03, 0.3, 3.0)]
        return _starts(first, least, sum_at_first, others)


BOUND = BoundLaw("bound")
LINEAR = BoundLaw("linear", alpha=1.0)
FUNCTIONAL = FunctionalLaw()
TISSUE = tuple(TissueLaw(decay) for decay in (0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.995, 0.998))
MULTI_POWER = MultiPowerLaw()
LAWS: dict[str, tuple[Law, ...]] = {  # the best fitting one of several is taken
    "bound": (BOUND,),
    "linear": (LINEAR,),
    "fsl": (FUNCTIONAL,),
    "tissue": TISSUE,
    "multipower": (MULTI_POWER,),
}


def noise(lrs: Numbers, updates: NDArray[np.int64], virtual: Sequence[float] = VIRTUAL) -> Numbers:
    """Q_t (P,) at these numbers (P,) of completed updates: O(T) and little memory for each.

    >>> noise(np.ones(3), np.array([1]), virtual=(1.0,))
    array([2.])
    """
    reached, squared = np.cumsum(lrs), lrs**2
    found = np.empty(len(updates))
    for i, t in enumerate(updates):
        after = reached[t - 1] - reached[:t]
        found[i] = min(v + float(np.sum(squared[:t] / (after + v))) for v in virtual)
    return found


@dataclass(frozen=True)
class Blocks:
    """The LRs before each of P points, in B blocks that are longer the longer they are ago; empty ones hold zeros.

    The latest are blocks of one update, so a sum over blocks is that over updates but for how much a slowly falling
    kernel changes within a block.
    """

    squares: Numbers  # (P, B) sums of eta^2
    drops: Numbers  # (P, B) what the LR has lost from before the block to its end
    means: Numbers  # (P, B) mean LRs
    after: Numbers  # (P, B) sums of the LRs after a block's middle
    since: Numbers  # (P, B) the same with the LR there

    @classmethod
    def of(cls, lrs: Numbers, updates: NDArray[np.int64]) -> "Blocks":
        sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (lrs, lrs**2))
        ages = _block_ages(len(lrs))
        ends = np.maximum(updates[:, None] - ages[None, :-1], 0)
        begins = np.maximum(updates[:, None] - ages[None, 1:], 0)
        length = ends - begins
        before, last = lrs[np.maximum(begins - 1, 0)], lrs[np.maximum(ends - 1, 0)]
        total = sums[ends] - sums[begins]
        means = np.divide(total, length, out=np.ones_like(total), where=length > 0)
        after = np.maximum(sums[updates][:, None] - (sums[ends] + sums[begins] + means) / 2, 0)
        return cls(
            squares=squares[ends] - squares[begins],
            drops=np.where(length > 0, before - last, 0.0),
            means=means,
            after=after,
            since=after + means,
        )


def _block_ages(updates: int) -> NDArray[np.int64]:
    """Where blocks begin and end, in updates before a point."""
    ages = list(range(min(_EXACT_AGES, updates) + 1))
    while ages[-1] < updates:
        ages.append(min(updates, int(ages[-1] * _GROWTH) + 1))
    return np.array(ages)


def _sums(lrs: Numbers, updates: NDArray[np.int64]) -> Numbers:
    return np.maximum(np.cumsum(lrs)[updates - 1], _LEAST_SUM)


def _power(scale: Any, alpha: Any, sums: Numbers) -> tuple[Numbers, Numbers]:
    """A S^-alpha, and its derivative by the logarithm of alpha."""
    logs = np.log(sums)
    signal = scale * np.exp(-alpha * logs)
    return signal, -alpha * logs * signal


def _put_together(floor: Any, columns: Sequence[Numbers], losses: Numbers) -> tuple[Numbers, Numbers]:
    """The losses, and the derivatives by the logarithm of each parameter, of which that of L0 is L0 itself."""
    return losses, np.stack([np.full_like(losses, floor), *columns], axis=1)


def _starts(
    first: float,
    least: float,
    sum_at_first: float,
    others: Sequence[tuple[float, ...]],
    alpha_given: float | None = None,
) -> list[Numbers]:
    alphas = (0.4, 0.9) if alpha_given is None else (alpha_given,)
    found = []
    for share, alpha, rest in product((0.3, 0.9), alphas, others):
        floor = share * least
        scale = max(first - floor, 1e-3 * least) * sum_at_first**alpha
        own = (alpha,) if alpha_given is None else ()
        found.append(np.log([floor, scale, *own, *rest]))
    return found
