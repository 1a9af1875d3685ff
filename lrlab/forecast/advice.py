"""Which runs to train, to choose a schedule and its base LR by few of them.

First pilots of one schedule find where its LR is best. A law is fitted to them and to one with a constant LR, and says
which other schedules are worth training. Those are probed at that LR. The best two of all are probed at the LRs that
the bound says, and between. What is left of the runs goes to further seeds of what cannot be told apart. All of it is a
function of the runs that have ended, so that what was stopped goes on as if it had not been.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from lrlab.forecast.bound import base_lr_ratio
from lrlab.forecast.evidence import Evidence, Probe, Probed
from lrlab.forecast.fit import LossCurve, TooLittle, fit, leave_out_error
from lrlab.forecast.laws import Numbers

STEP = 3.0  # between the LRs of the pilots
_ROUNDING = 0.02  # steps that rounding moves an LR
_NEAR = 1.25  # times an LR that was tried: another one would show nothing new
_BESIDE = 1.6  # times the LR of a schedule, for the probes of one whose best LR the bound puts where it is
_FARTHEST = 3.0  # that a schedule's best LR is sought from the pilot's
_MOST_PILOTS = 6
_SHORTLIST = 3  # schedules that are probed because of what is predicted
_FINALISTS = 2  # schedules whose LR is tuned
_MOST_LEAVE_OUT = 0.25  # of a law that is only asked which schedules to try
_USUAL = ("linear", "wsd", "onecycle")  # are tried where no law says anything
_LOW = 0.5  # of the largest LR: a schedule that begins below warms up


@dataclass(frozen=True)
class Stage:
    """What to train next, and why, in words."""

    probes: tuple[Probe, ...]
    why: str


@dataclass(frozen=True)
class Adviser:
    """Chooses among schedules, given as the LRs (T,) that they have for a base LR of 1.

    `runs` is how many may be trained, and `first_lr` where the pilots begin. `pilot` and `constant` are names of
    schedules among them.
    """

    shapes: Mapping[str, Numbers]
    first_lr: float
    runs: int
    pilot: str = "cosine"
    constant: str = "constant"

    def next(self, done: Sequence[Probed]) -> Stage | None:
        """What to train next, when these runs have ended; None where nothing more is to be learned, or may be."""
        left = self.runs - len(done)
        if left <= 0:
            return None
        may = _Next(self, Evidence(done))
        for stage in (may.pilots, may.of_the_law, may.shortlist, may.other_lrs, may.seeds):
            found = stage()
            if found is not None:
                return Stage(found.probes[:left], found.why)
        return None


class _Next:
    """What may come next, by what the runs that have ended showed."""

    def __init__(self, adviser: Adviser, evidence: Evidence):
        self.adviser = adviser
        self.evidence = evidence

    # The pilots: where the LR of one schedule is best.

    def pilots(self) -> Stage | None:
        pilot, first = self.adviser.pilot, self.adviser.first_lr
        lrs = [*self._pilots()]
        if not lrs:
            around = (first, rounded(first / STEP), rounded(first * STEP))
            return _stage([Probe(pilot, lr) for lr in around], f"pilots: {pilot} at three LRs around {first:g}")
        best, edge = self._best_pilot(), None
        if best == min(lrs):
            edge = rounded(best / STEP)
        elif best == max(lrs):
            edge = rounded(best * STEP)
        if edge is not None and len(lrs) < _MOST_PILOTS:
            return self._new([Probe(pilot, edge)], f"{pilot} beyond the edge, for {best:g} is best so far")
        return None

    def _pilots(self) -> dict[float, dict[int, float]]:
        """The losses of the pilot's runs, by LR and seed, whole steps away from the first."""
        found = {}
        for (schedule, lr), by_seed in self.evidence.losses.items():
            steps = math.log(lr / self.adviser.first_lr, STEP)
            if schedule == self.adviser.pilot and abs(steps - round(steps)) < _ROUNDING and 0 in by_seed:
                found[lr] = by_seed
        return found

    def _best_pilot(self) -> float:
        """The LR at which the first seed of the pilot was best; the lowest where all diverged."""
        of_pilot = self._pilots()
        return min(of_pilot, key=lambda lr: (of_pilot[lr][0], lr))

    @cached_property
    def lr(self) -> float:
        """Where the pilot's LR is best: the vertex of a parabola through the best LR and its neighbours, in logarithms.

        It is the best LR itself where one of the neighbours is missing or diverged.
        """
        of_pilot = {lr: by_seed[0] for lr, by_seed in self._pilots().items()}
        lrs = sorted(of_pilot)
        best = self._best_pilot()
        place = lrs.index(best)
        three = lrs[max(place - 1, 0) : place + 2]
        if len(three) < 3 or not all(math.isfinite(of_pilot[lr]) for lr in three):
            return best
        x, y = np.log(three), np.log([of_pilot[lr] for lr in three])
        slope, bend = np.polyfit(x, y, 2)[1::-1]
        if bend <= 0:
            return best
        vertex = float(np.exp(np.clip(-slope / (2 * bend), *np.log([three[0], three[-1]]))))
        return best if max(vertex / best, best / vertex) < _NEAR else rounded(vertex)

    def of_the_law(self) -> Stage | None:
        """A constant LR shows the law what a high LR at the end does."""
        adviser = self.adviser
        wanted = [Probe(one, self.lr) for one in (adviser.pilot, adviser.constant) if one in adviser.shapes]
        return self._new(wanted, f"{' and '.join(one.schedule for one in wanted)} at {self.lr:g}, for the law")

    # What the law says.

    def shortlist(self) -> Stage | None:
        """The schedules that are predicted to be the best, at the LR of the pilot."""
        chosen, why = self._predicted()
        short = chosen[:_SHORTLIST]
        warming = [one for one in chosen if self._warms_up(one)]
        if warming and not any(map(self._warms_up, short)):
            short = [*short[:-1], warming[0]]
            why = f"{why}, and {warming[0]}, for no law knows what a warm-up is worth"
        return self._new([Probe(one, self.lr) for one in short], why)

    def _warms_up(self, schedule: str) -> bool:
        lrs = self.adviser.shapes[schedule]
        return bool(lrs[0] < _LOW * lrs.max())

    def _predicted(self) -> tuple[list[str], str]:
        """The schedules that were no pilots, the most promising first, and why these, in words."""
        adviser = self.adviser
        others = [one for one in adviser.shapes if one not in (adviser.pilot, adviser.constant)]
        usual = [one for one in _USUAL if one in others]
        others = [*usual, *(one for one in others if one not in usual)]
        try:
            curves = self._of_the_law()
            fitted, error = fit(curves), leave_out_error(curves)
        except TooLittle as reason:
            return others, f"usual ones, for no law can be fitted: {reason}"
        if error > _MOST_LEAVE_OUT:
            return others, f"usual ones, for the law is {error:.0%} off where it was left out"
        finals = {one: fitted.final(self._lrs(one, self.lr)) for one in others}
        return sorted(others, key=lambda one: finals[one]), f"predicted to be the best at {self.lr:g}"

    def _of_the_law(self) -> list[LossCurve]:
        """The curves of the pilots near the best LR, and of the constant LR."""
        found = []
        for one in self.evidence.done:
            probe = one.probe
            is_pilot = probe.seed == 0 and probe.schedule in (self.adviser.pilot, self.adviser.constant)
            is_near = max(probe.lr / self.lr, self.lr / probe.lr) <= STEP * _NEAR
            if one.curves is not None and is_pilot and is_near and self.evidence.split in one.curves.losses:
                found.append(one.curves.losses[self.evidence.split])
        return found

    def other_lrs(self) -> Stage | None:
        """The best schedules of those that were trained at the pilot's LR, at others."""
        at_lr = [cell for cell in self.evidence.cells if cell.lr == self.lr and math.isfinite(cell.loss)]
        probes = chain.from_iterable(self._around(cell.schedule) for cell in at_lr[:_FINALISTS])
        return self._new(list(probes), "the best two at the LRs that the bound says, or beside theirs")

    def _around(self, schedule: str) -> list[Probe]:
        """A schedule at the LR that is best for it by the bound, as a ratio to the pilot's, and half way there."""
        adviser = self.adviser
        ratio = base_lr_ratio(*(np.trim_zeros(adviser.shapes[one], "b") for one in (schedule, adviser.pilot)))
        tried = [lr for name, lr in self.evidence.losses if name == schedule]
        lrs = three_lrs(self.lr, ratio)
        return [Probe(schedule, lr) for lr in lrs if all(max(lr / one, one / lr) >= _NEAR for one in tried)]

    # Seeds.

    def seeds(self) -> Stage | None:
        """One more seed for the best and for all that are not told apart from it, of those that have the fewest."""
        best, *others = self.evidence.contenders()
        if not others and best.seeds > 1:
            return None
        fewest = min(cell.seeds for cell in (best, *others))
        wanted = [cell for cell in (best, *others) if cell.seeds == fewest]
        probes = [Probe(cell.schedule, cell.lr, cell.seeds) for cell in wanted]
        names = ", ".join(f"{cell.schedule} at {cell.lr:g}" for cell in wanted)
        return _stage(probes, f"another seed for {names}")

    # Helpers.

    def _lrs(self, schedule: str, lr: float) -> Numbers:
        return np.asarray(self.adviser.shapes[schedule] * lr, float)

    def _new(self, probes: Sequence[Probe], why: str) -> Stage | None:
        return _stage([one for one in probes if one not in self.evidence.tried], why)


def _stage(probes: Sequence[Probe], why: str) -> Stage | None:
    return Stage(tuple(probes), why) if probes else None


def three_lrs(lr: float, ratio: float) -> tuple[float, float, float]:
    """The LRs to try of a schedule whose best one is `ratio` times `lr` by the bound: `lr`, that one, half way there.

    Where that is nearly the same LR, it is `lr` and one on either side. The bound says too much where stability limits
    the LR, so nothing beyond a factor of 3 is tried.

    >>> three_lrs(0.1, 0.25), three_lrs(0.1, 1.1)
    ((0.1, 0.0333, 0.0577), (0.1, 0.0625, 0.16))
    """
    ratio = min(max(ratio, 1 / _FARTHEST), _FARTHEST)
    factors = (ratio, math.sqrt(ratio)) if max(ratio, 1 / ratio) >= _NEAR**2 else (1 / _BESIDE, _BESIDE)
    return (rounded(lr), rounded(lr * factors[0]), rounded(lr * factors[1]))


def rounded(lr: float) -> float:
    """An LR with three digits, which can be read and typed."""
    return float(f"{lr:.3g}")
