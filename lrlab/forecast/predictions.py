"""What other schedules would have led to: a law fitted to trained runs, asked for the LRs of each candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import numpy as np

from lrlab.forecast import uncertainty
from lrlab.forecast.fit import Fit, LossCurve, TooLittle, fit, leave_out_error
from lrlab.forecast.laws import BOUND, Law, Numbers
from lrlab.forecast.uncertainty import Doubt, Predicted

SPLITS = ("train", "val")
TAIL = 0.05  # of the updates: the final training loss is the mean over the last of them
_TOGETHER = 3  # neighbouring points are taken, for one alone may be high by chance
_RISES = 1.1  # validation that ends so many times as high as it was rises, which no law here describes
_BEYOND = 1.05  # an LR so many times the largest that was trained is one of which nothing was seen
_SAME = 1e-6  # relative: recorded LRs have 32 bits
_FALL = 0.1  # of the highest LR, at least, for a run to show what a lower one gains
BESIDE = ("momentum", "weight decay", "groups")


@dataclass(frozen=True)
class TrainedCurves:
    """What a trained run shows: its LRs, and its losses on each split, or why there are none."""

    name: str
    schedule: str
    lr: float
    lrs: Numbers  # (T,)
    losses: Mapping[str, LossCurve]
    missing: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""  # equal for runs that differ in nothing but the seed
    beside: Mapping[str, str] = field(default_factory=dict)  # hashes of what else was scheduled, by name
    rise: float = 1.0  # of the training loss at the beginning, see `early_rise`
    gradient_norms: Numbers | None = None  # (T,) where they were recorded

    def final(self, split: str) -> float | None:
        """The final loss that was measured; for training the mean over the last updates."""
        observed = self.losses.get(split)
        if observed is None:
            return None
        if split == "train":
            last = observed.updates > (1 - TAIL) * len(self.lrs)
            return float(observed.losses[last].mean()) if last.any() else float(observed.losses[-1])
        return float(observed.losses[-1])


@dataclass(frozen=True)
class Untrained:
    """A schedule to be predicted."""

    name: str
    lr: float
    lrs: Numbers | None  # (T,); None where they are not known before training
    beside: Mapping[str, str] = field(default_factory=dict)  # hashes of what else is scheduled, by name
    refused: str = ""  # why there are none


@dataclass(frozen=True)
class Prediction:
    """What one schedule would lead to."""

    name: str
    lr: float
    losses: Mapping[str, Predicted]
    rank: int | None  # from 1, by the predicted loss of `Forecast.judged_by`
    basis: str  # "trained", "predicted", "a guess: ..." or "not predicted: ..."
    curve: Numbers | None = None  # (T,) LRs
    measured: Mapping[str, float] = field(default_factory=dict)  # where it was trained, the mean over its runs

    @property
    def is_guess(self) -> bool:
        return self.basis.startswith("a guess")


@dataclass(frozen=True)
class Forecast:
    """All predictions, the best first, with the fits that they come from."""

    predictions: Sequence[Prediction]
    fits: Mapping[str, Fit]
    leave_out: Mapping[str, float]
    refused: Mapping[str, str]  # splits of which nothing is predicted, with the reason
    trained: Sequence[TrainedCurves]
    notes: Sequence[str]

    @property
    def judged_by(self) -> str | None:
        """The split whose loss ranks: validation, or training where that cannot be predicted."""
        return next((split for split in reversed(SPLITS) if split in self.fits), None)


def forecast(trained: Sequence[TrainedCurves], candidates: Sequence[Untrained], law: Law = BOUND) -> Forecast:
    """Predict the final losses of `candidates` from runs that were trained with the same settings besides."""
    # A law for each split, unless it would not describe even the curves that it is fitted to.
    fits: dict[str, Fit] = {}
    leave_out: dict[str, float] = {}
    refused: dict[str, str] = {}
    for split in SPLITS:
        try:
            _require_calm(trained)
            observed = _observed(trained, split)
            fitted, error = fit(observed, law), leave_out_error(observed, law)
            _require_trust(fitted, error, trained)
            fits[split], leave_out[split] = fitted, error
        except TooLittle as reason:
            refused[split] = str(reason)

    # Each candidate, and what was trained if it is not among them, and its place.
    asked = [_predict(one, trained, fits, leave_out) for one in _with_trained(candidates, trained)]
    judged_by = next((split for split in reversed(SPLITS) if split in fits), None)
    ordered = sorted(asked, key=lambda one: _place(one, judged_by))
    ranked = []
    for place, one in enumerate(ordered, start=1):
        is_ranked = judged_by in one.losses
        ranked.append(replace(one, rank=place if is_ranked else None))
    return Forecast(ranked, fits, leave_out, refused, trained, list(_notes(trained, candidates)))


def _require_calm(trained: Sequence[TrainedCurves]) -> None:
    """Raise TooLittle for a run whose loss rose far before it fell: warm-up decides there, of which no law knows."""
    for run in trained:
        if run.rise > uncertainty.MOST_RISE:
            raise TooLittle(
                f"{run.name}: the training loss rose to {run.rise:.2g} times its first value before it fell: the LR is "
                "too large to begin with; a smaller one, or a warm-up"
            )


def _require_trust(fitted: Fit, leave_out: float, trained: Sequence[TrainedCurves]) -> None:
    """Raise TooLittle for a law that does not describe its own curves, or where its noise hides everything else."""
    if leave_out > uncertainty.MOST_LEAVE_OUT:
        most = f"{uncertainty.MOST_LEAVE_OUT:.0%}"
        raise TooLittle(f"the law is {leave_out:.1%} off where it was left out, and {most} is the most")
    if fitted.residual > uncertainty.MOST_RESIDUAL:
        most = f"{uncertainty.MOST_RESIDUAL:.0%}"
        raise TooLittle(f"it moves {fitted.residual:.1%} about the law, and {most} is the most")
    share = min(fitted.noise_share(run.lrs) for run in trained)
    if share > uncertainty.MOST_NOISE:
        most = f"{uncertainty.MOST_NOISE:.0%}"
        raise TooLittle(
            f"half-way {share:.0%} of it was noise of the LR, and {most} is the most: a smaller LR is likely better"
        )


def _observed(trained: Sequence[TrainedCurves], split: str) -> list[LossCurve]:
    curves = []
    for run in trained:
        if split not in run.losses:
            reason = run.missing.get(split, "it was not measured")
            raise TooLittle(f"{run.name}: {reason}" if len(trained) > 1 else reason)
        observed = run.losses[split].binned()
        if split == "val" and len(observed.losses) >= _TOGETHER:
            smooth = np.convolve(observed.losses, np.full(_TOGETHER, 1 / _TOGETHER), "valid")
            least, last = float(smooth.min()), float(smooth[-1])
            if last > _RISES * least:
                raise TooLittle(
                    f"it rises, from {least:.3g} to {last:.3g}, as the model learns its training set by heart"
                )
        curves.append(run.losses[split])
    return curves


def _with_trained(candidates: Sequence[Untrained], trained: Sequence[TrainedCurves]) -> list[Untrained]:
    """The candidates, and the trained schedules that are none of them."""
    found = list(candidates)
    for run in trained:
        if not any(_is_trained(one, run) for one in found):
            found.append(Untrained(run.schedule, run.lr, run.lrs, run.beside))
    return found


def _predict(
    candidate: Untrained, trained: Sequence[TrainedCurves], fits: Mapping[str, Fit], leave_out: Mapping[str, float]
) -> Prediction:
    if candidate.lrs is None:
        return Prediction(candidate.name, candidate.lr, {}, None, f"not predicted: {candidate.refused}")
    same = [run for run in trained if _is_trained(candidate, run)]
    far = uncertainty.distance(float(candidate.lrs.sum()), [float(run.lrs.sum()) for run in trained])
    losses, measured = {}, {}
    for split, fitted in fits.items():
        seeds = _between_seeds(trained, split, fitted.residual)
        doubt = Doubt(uncertainty.law_error(leave_out[split], far), seeds, _fewest_alike(trained))
        losses[split] = doubt.around(_final(fitted, candidate.lrs, split), fitted.final_deviation(candidate.lrs))
        finals = [value for run in same if (value := run.final(split)) is not None]
        if finals:
            measured[split] = fmean(finals)
    basis = _basis(candidate, trained, bool(same))
    return Prediction(candidate.name, candidate.lr, losses, None, basis, candidate.lrs, measured)


def _final(fitted: Fit, lrs: Numbers, split: str) -> float:
    last = len(lrs) if split == "val" else max(1, round((1 - TAIL / 2) * len(lrs)))
    return float(fitted.losses(lrs, [last])[0])


def _basis(candidate: Untrained, trained: Sequence[TrainedCurves], is_trained: bool) -> str:
    if is_trained:
        return "trained"
    assert candidate.lrs is not None
    doubts = _besides(trained[0], candidate)
    seen = {run.lr for run in trained}
    highest = max(float(run.lrs.max()) for run in trained)
    if float(candidate.lrs.max()) > _BEYOND * highest:
        doubts.append(f"its LR goes to {candidate.lrs.max():.3g}, and {highest:.3g} is the largest trained")
    elif candidate.lr not in seen and len(seen) < 2:
        doubts.append("another base LR, of which one was trained")
    total, sums = float(candidate.lrs.sum()), [float(run.lrs.sum()) for run in trained]
    if uncertainty.distance(total, sums) > uncertainty.FAR:
        doubts.append(f"the sum of its LRs is {total / max(sums):.2g} times the largest trained")
    if len(candidate.lrs) != max(len(run.lrs) for run in trained):
        doubts.append("another length")
    if not any(_falls(run.lrs) for run in trained):
        doubts.append("no trained LR falls, so nothing was seen of what that gains")
    return f"a guess: {'; '.join(doubts)}" if doubts else "predicted"


def _falls(lrs: Numbers) -> bool:
    """Whether the LR is lower at the end than it was."""
    return bool(lrs[-1] < (1 - _FALL) * lrs.max())


def _besides(run: TrainedCurves, candidate: Untrained) -> list[str]:
    """What else than the LR is scheduled otherwise, of which a law of the LR knows nothing."""
    differing = [name for name in BESIDE if run.beside.get(name) != candidate.beside.get(name)]
    return [f"{name} scheduled otherwise" for name in differing]


def _is_trained(candidate: Untrained, run: TrainedCurves) -> bool:
    """Whether a run was trained with the LRs, and whatever else is scheduled, of a candidate."""
    if candidate.lrs is None or len(candidate.lrs) != len(run.lrs) or _besides(run, candidate):
        return False
    return bool(np.allclose(candidate.lrs, run.lrs, rtol=_SAME, atol=0.0))


def _alike(trained: Sequence[TrainedCurves]) -> list[list[TrainedCurves]]:
    """The runs by what they have in common besides the seed."""
    groups: dict[str, list[TrainedCurves]] = {}
    for run in trained:
        groups.setdefault(run.settings, []).append(run)
    return list(groups.values())


def _fewest_alike(trained: Sequence[TrainedCurves]) -> int:
    return min(len(group) for group in _alike(trained))


def _between_seeds(trained: Sequence[TrainedCurves], split: str, residual: float) -> float:
    """The standard deviation of the final loss's logarithm between seeds, as far as it is known.

    What is measured on few samples moves about the law of a single run too, by its `residual`.
    """
    found = []
    for group in _alike(trained):
        finals = [value for run in group if (value := run.final(split)) is not None]
        if len(finals) > 1:
            found.append((len(finals) - 1, stdev(np.log(finals)) ** 2))
    known = sum(count for count, _ in found)
    pooled = sum(count * variance for count, variance in found)
    prior = 2  # runs' worth of the usual value, so that two seeds which agree by chance do not promise too much
    usual = uncertainty.between_seeds(residual)
    return float(np.sqrt((pooled + prior * usual**2) / (known + prior)))


def _place(one: Prediction, judged_by: str | None) -> tuple[bool, float, str]:
    predicted = one.losses.get(judged_by or "")
    return predicted is None, predicted.value if predicted else 0.0, one.name


def _notes(trained: Sequence[TrainedCurves], candidates: Sequence[Untrained]) -> list[str]:
    """What holds for the whole table."""
    lines = []
    lengths = {len(run.lrs) for run in trained}
    if any(one.lrs is not None and len(one.lrs) not in lengths for one in candidates):
        said = "at twice the length errors were up to 11 %, and ranks unreliable"
        lines.append(f"other lengths than the trained one are guesses, the more the farther: {said}")
    if len({run.lr for run in trained}) < 2 and any(one.lr != trained[0].lr for one in candidates):
        lines.append("other base LRs are guesses from one base LR: train a second one, and give both runs")
    return lines
