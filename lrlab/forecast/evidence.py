"""What probes of schedules and base LRs showed: their losses, what is as good as the best, and what to expect of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from lrlab.forecast.predictions import TrainedCurves

_SURE = 1.6449  # standard deviations within which two means count as alike
_NOISE, _PRIOR = 0.06, 2  # usual deviation between seeds, and runs' worth of it


@dataclass(frozen=True)
class Probe:
    """A run to train."""

    schedule: str
    lr: float
    seed: int = 0


@dataclass(frozen=True)
class Probed:
    """A run that has ended: its curves, or None where it diverged or failed."""

    probe: Probe
    curves: TrainedCurves | None


@dataclass(frozen=True)
class Cell:
    """A schedule at a base LR, as far as it was trained."""

    schedule: str
    lr: float
    loss: float  # the geometric mean over its seeds; infinite where one diverged
    seeds: int


@dataclass(frozen=True)
class Expected:
    """The choice: a cell, with the loss that is expected of it and a 90 % interval for its mean over seeds.

    `alike` are those that are not told apart from it.
    """

    cell: Cell
    judged_by: str  # "val", or "train" where some run has no validation loss that can be used
    loss: float
    interval: tuple[float, float]
    alike: tuple[Cell, ...]


class Evidence:
    """The probes that have ended."""

    def __init__(self, done: Sequence[Probed]):
        self.done = done
        self.tried = {one.probe for one in done}

    @cached_property
    def split(self) -> str:
        """The loss that decides: validation, where it was measured in every run."""
        finished = [one.curves for one in self.done if one.curves is not None]
        return "val" if all("val" in one.losses for one in finished) else "train"

    @cached_property
    def losses(self) -> dict[tuple[str, float], dict[int, float]]:
        """The final losses by schedule and LR, by seed."""
        found: dict[tuple[str, float], dict[int, float]] = {}
        for one in self.done:
            final = None if one.curves is None else one.curves.final(self.split)
            known = final is not None and final > 0
            by_seed = found.setdefault((one.probe.schedule, one.probe.lr), {})
            by_seed[one.probe.seed] = final if known and final is not None else math.inf
        return found

    @cached_property
    def cells(self) -> list[Cell]:
        """What was trained, the best first."""
        cells = [
            Cell(schedule, lr, math.exp(fmean(map(math.log, by_seed.values()))), len(by_seed))
            for (schedule, lr), by_seed in self.losses.items()
        ]
        return sorted(cells, key=lambda cell: (cell.loss, cell.lr, cell.schedule))

    def contenders(self) -> list[Cell]:
        """The best cell and, after it, those whose means may be as low."""
        cells = [cell for cell in self.cells if math.isfinite(cell.loss)] or self.cells[:1]
        best, noise = cells[0], self._noise()

        def may_be_as_low(cell: Cell) -> bool:
            return math.log(cell.loss / best.loss) <= _SURE * noise * math.sqrt(1 / cell.seeds + 1 / best.seeds)

        return [best, *(cell for cell in cells[1:] if may_be_as_low(cell))]

    def _noise(self) -> float:
        """The standard deviation of the loss's logarithm between seeds; a usual value where nothing is known."""
        several = [[*map(math.log, by_seed.values())] for by_seed in self.losses.values() if len(by_seed) > 1]
        known = [one for one in several if all(map(math.isfinite, one))]
        free = sum(len(one) - 1 for one in known)
        squares = sum((len(one) - 1) * stdev(one) ** 2 for one in known)
        return math.sqrt((squares + _PRIOR * _NOISE**2) / (free + _PRIOR))

    def expected(self) -> Expected | None:
        """The best cell, and what its loss will be; None where every run diverged."""
        if not any(math.isfinite(cell.loss) for cell in self.cells):
            return None
        best, *others = self.contenders()
        log, deviation = self._without_luck(best, others)
        loss, factor = math.exp(log), math.exp(_SURE * deviation)
        return Expected(best, self.split, loss, (loss / factor, loss * factor), tuple(others))

    def _without_luck(self, best: Cell, others: Sequence[Cell]) -> tuple[float, float]:
        """The logarithm of the loss that is expected of the best, and its standard deviation.

        The best of several that are alike has been lucky. As far as they differ by no more than seeds do, what is
        expected of it is the mean of all (empirical Bayes; Efron and Morris, 1975, doi:10.2307/2285814). How far they
        differ is not well known, so its own deviation stays.
        """
        logs = [math.log(cell.loss) for cell in (best, *others)]
        by_luck = fmean(self._noise() ** 2 / cell.seeds for cell in (best, *others))
        own = self._noise() ** 2 / best.seeds
        differ = max(stdev(logs) ** 2 - by_luck, 0.0) if others else math.inf
        weight = 1.0 if math.isinf(differ) else differ / (differ + own)
        return weight * logs[0] + (1 - weight) * fmean(logs), math.sqrt(own)
