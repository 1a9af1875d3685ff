"""A law fitted to the loss curves of trained runs: robust, from several starts, with how far it can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrlab.forecast.laws import BOUND, Law, Numbers

SKIPPED = 0.06  # of the updates, at the beginning, which no law describes
BINS = 30
FEWEST_POINTS = 8
_HUBER = 0.01  # of the logarithm of the loss: beyond 1 % an error counts by its size, no more by its square
_STAYS = 1e-7  # holds directions in which the fit is flat
_FARTHEST = 12.0
_NOISE, _NOTHING = "B", -80.0  # the parameter that the noise of the LR is in proportion to, and the logarithm of none
_EARLY, _NEIGHBOURS = 0.1, 3
_ENDS = 0.9  # of the updates: a curve that ends before says nothing of where the run ended
_THOROUGH = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-9}  # objectives are as small as 1e-6


class TooLittle(ValueError):
    """There is too little, or nothing that a law describes, in a curve."""


@dataclass(frozen=True)
class LossCurve:
    """The loss curve of a trained run: the LR of each of T updates, and losses after some numbers of updates."""

    lrs: Numbers  # (T,)
    updates: NDArray[np.int64]  # (P,) from 1 to T, ascending
    losses: Numbers  # (P,) positive

    @classmethod
    def of(cls, lrs: ArrayLike, updates: ArrayLike, losses: ArrayLike) -> "LossCurve":
        """Checked. Raises TooLittle, with the reason, for a curve to which no law can be fitted."""
        eta, at, values = np.asarray(lrs, float), np.asarray(updates, np.int64), np.asarray(losses, float)
        if not (np.isfinite(eta).all() and (eta >= 0).all() and eta.any()):
            raise TooLittle("the LRs are not finite numbers from 0 of which some are positive")
        if len(at) != len(values) or (np.diff(at) <= 0).any() or (len(at) and (at[0] < 1 or at[-1] > len(eta))):
            raise TooLittle(f"the losses are not those after ascending numbers of updates up to {len(eta)}")
        if not np.isfinite(values).all():
            raise TooLittle("the loss is not finite")
        if (values <= 0).any():
            raise TooLittle(f"the loss is {values.min():.3g}, and laws are of positive ones")
        if len(at) and at[-1] < _ENDS * len(eta):
            raise TooLittle(f"it ends after {at[-1]:,} of {len(eta):,} updates")
        return cls(eta, at, values)

    def binned(self, bins: int = BINS, skipped: float = SKIPPED) -> "LossCurve":
        """Without the beginning, and averaged into at most so many points."""
        kept = self.updates > skipped * len(self.lrs)
        at, losses = self.updates[kept], self.losses[kept]
        if len(at) > bins:
            parts = np.array_split(np.arange(len(at)), bins)
            at = np.array([round(float(at[part].mean())) for part in parts])
            losses = np.array([losses[part].mean() for part in parts])
        return replace(self, updates=at, losses=losses)

    def until(self, share: float) -> "LossCurve":
        """The first part of it, with the LRs of all."""
        few = round(share * len(self.updates))
        return replace(self, updates=self.updates[:few], losses=self.losses[:few])


def early_rise(curve: LossCurve) -> float:
    """The largest mean of three neighbouring losses in the first tenth of the updates, as a multiple of the first loss.

    It is 1 where there are fewer than three.
    """
    early = curve.losses[curve.updates <= _EARLY * len(curve.lrs)]
    if len(early) < _NEIGHBOURS:
        return 1.0
    means = np.convolve(early, np.full(_NEIGHBOURS, 1 / _NEIGHBOURS), "valid")
    return max(1.0, float(means.max() / early[0]))


@dataclass(frozen=True)
class Fit:
    """A law with its parameters."""

    law: Law
    logs: Numbers  # (K,) logarithms of the parameters
    unit: float  # the LR in units of which the law takes LRs
    whole: float  # what sums of LRs are divided by, in that unit
    objective: float
    residual: float  # mean |log error| on the points that were fitted
    covariance: Numbers  # (K, K) of the logarithms

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(self.law.parameters, map(float, np.exp(self.logs)), strict=True))

    def losses(self, lrs: ArrayLike, updates: ArrayLike | None = None) -> Numbers:
        """The losses (P,) after these numbers of updates, or after all of 1 to T, of a run with these LRs (T,)."""
        return self._predicted(lrs, updates)[0]

    def final(self, lrs: ArrayLike) -> float:
        """The loss after all updates of a run with these LRs (T,)."""
        return float(self.losses(lrs, [len(np.asarray(lrs))])[0])

    def final_deviation(self, lrs: ArrayLike) -> float:
        """The standard deviation of the logarithm of `final` that comes from the parameters, as the fit knows them."""
        losses, slopes = self._predicted(lrs, [len(np.asarray(lrs))])
        slope = slopes[0] / losses[0]
        return float(np.sqrt(max(slope @ self.covariance @ slope, 0.0)))

    def noise_share(self, lrs: ArrayLike) -> float:
        """The part of the loss half-way through a run with these LRs (T,) that is noise of the LR; 0 of other laws."""
        if _NOISE not in self.law.parameters:
            return 0.0
        quiet = replace(self, logs=np.where(np.array(self.law.parameters) == _NOISE, _NOTHING, self.logs))
        half = [max(1, len(np.asarray(lrs)) // 2)]
        return 1 - float(quiet.losses(lrs, half)[0] / self.losses(lrs, half)[0])

    def _predicted(self, lrs: ArrayLike, updates: ArrayLike | None) -> tuple[Numbers, Numbers]:
        eta = np.asarray(lrs, float) / self.unit
        at = np.arange(1, len(eta) + 1) if updates is None else np.asarray(updates, np.int64)
        return self.law.losses(self.logs, _scaled(self.law.features(eta, at), self.whole))


def fit(observed: Sequence[LossCurve], law: Law = BOUND, unit: float | None = None) -> Fit:
    """The law fitted to one or more curves; LRs are in `unit`, of the largest of the first curve where none is given.

    Raises TooLittle where there are fewer than 8 points after the beginning.
    """
    curves = [curve.binned() for curve in observed]
    points = sum(len(curve.updates) for curve in curves)
    if points < FEWEST_POINTS:
        raise TooLittle(
            f"it has {points} points after the first {SKIPPED:.0%} of the updates, where {FEWEST_POINTS} are needed"
        )
    return _fit(curves, law, unit or float(curves[0].lrs.max()))


def best_fit(observed: Sequence[LossCurve], laws: Sequence[Law]) -> Fit:
    """That of several laws which fits best."""
    return min((fit(observed, law) for law in laws), key=lambda one: one.objective)


def leave_out_error(observed: Sequence[LossCurve], law: Law = BOUND) -> float:
    """How far a law is off where it was not fitted: the mean |log error| on the last thirds of the curves.

    It is fitted to the first two thirds of each. Raises TooLittle where these are too few points.
    """
    curves = [curve.binned() for curve in observed]
    begun = [curve.until(2 / 3) for curve in curves]
    points = sum(len(curve.updates) for curve in begun)
    if points < FEWEST_POINTS * 2 // 3:
        raise TooLittle(f"it has {points} points in its first two thirds")
    fitted = _fit(begun, law, float(curves[0].lrs.max()))
    errors = [_error(fitted, curve, len(first.updates)) for curve, first in zip(curves, begun, strict=True)]
    return float(np.mean(errors))


def _error(fitted: Fit, curve: LossCurve, first: int) -> float:
    predicted = fitted.losses(curve.lrs, curve.updates[first:])
    return float(np.mean(np.abs(np.log(np.maximum(predicted, 1e-12) / curve.losses[first:]))))


def _fit(curves: Sequence[LossCurve], law: Law, unit: float) -> Fit:
    """The fit from the best of the law's starts, to curves that are binned."""
    from scipy.optimize import minimize

    # What the law is told of the LRs, in units in which all parameters are of moderate size.
    whole = float(np.sum(curves[0].lrs)) / unit
    told = [_scaled(law.features(curve.lrs / unit, curve.updates), whole) for curve in curves]
    logs = [np.log(curve.losses) for curve in curves]

    def objective(x: Numbers, start: Numbers) -> tuple[float, Numbers]:
        off = x - start
        total, slope = _STAYS * float(off @ off), 2 * _STAYS * off
        for features, wanted in zip(told, logs, strict=True):
            losses, slopes = law.losses(x, features)
            inside = losses > 1e-12
            losses = np.where(inside, losses, 1e-12)
            residuals = np.log(losses) - wanted
            clipped = np.clip(residuals, -_HUBER, _HUBER)
            total += float(np.mean(clipped * (residuals - clipped / 2)))
            slope = slope + (clipped * inside / losses) @ slopes / len(residuals)
        return total, slope

    # From every start; the best is taken.
    first, least = float(curves[0].losses[0]), min(float(curve.losses.min()) for curve in curves)
    results = []
    with np.errstate(over="ignore", invalid="ignore"):
        for start in law.starts(first, least, float(told[0][0][0])):
            bounds = [(value - _FARTHEST, value + _FARTHEST) for value in start]
            found = minimize(
                objective, start, args=(start,), jac=True, method="L-BFGS-B", bounds=bounds, options=_THOROUGH
            )
            if np.isfinite(found.fun):
                results.append(found)
    if not results:
        raise TooLittle(f"the {law.name} law cannot be fitted")
    best = min(results, key=lambda one: one.fun)
    off = [np.log(np.maximum(law.losses(best.x, one)[0], 1e-12)) - curve for one, curve in zip(told, logs, strict=True)]
    residual = float(np.mean(np.abs(np.concatenate(off))))
    return Fit(law, best.x, unit, whole, float(best.fun), residual, _covariance(law, best.x, told, logs))


def _scaled(features: tuple[Numbers, ...], whole: float) -> tuple[Numbers, ...]:
    """The features, with the sums of LRs, which come first, as shares of a whole."""
    return (features[0] / whole, *features[1:])


def _covariance(law: Law, logs: Numbers, told: Sequence[tuple[Numbers, ...]], wanted: Sequence[Numbers]) -> Numbers:
    """The covariance of the parameters' logarithms. Residuals are alike in time, so few of them are independent."""
    slopes, residuals, factors = [], [], []
    for features, curve in zip(told, wanted, strict=True):
        losses, by_logs = law.losses(logs, features)
        off = np.log(np.maximum(losses, 1e-12)) - curve
        slopes.append(by_logs / np.maximum(losses, 1e-12)[:, None])
        residuals.append(off)
        alike = float(np.clip(_alikeness(off), 0.0, 0.9))
        factors.append((1 + alike) / (1 - alike))
    all_slopes, off = np.concatenate(slopes), np.concatenate(residuals)
    free = max(len(off) - len(logs), 1)
    variance = float(np.mean(factors)) * float(off @ off) / free
    held = all_slopes.T @ all_slopes + 1e-9 * np.eye(len(logs)) * max(1.0, float(np.sum(all_slopes**2)))
    return np.asarray(variance * np.linalg.inv(held), dtype=float)


def _alikeness(residuals: Numbers) -> float:
    """The correlation of each residual with the one before it."""
    squares = float(residuals @ residuals)
    return float(residuals[1:] @ residuals[:-1]) / squares if squares > 0 else 0.0
