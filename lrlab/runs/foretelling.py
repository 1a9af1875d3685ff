"""The final loss of a run under way, foretold from a third of it on (`trainer.forecast=true`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlab.forecast import online
from lrlab.forecast.fit import LossCurve, TooLittle
from lrlab.forecast.predictions import TAIL
from lrlab.forecast.uncertainty import Predicted
from lrlab.lr.plan import Plan

_BINS = 120  # of the updates, over which the training loss is averaged
_MARKS = 12  # moments at which the end is foretold, each of which takes some tenths of a second
_LAST = 0.95  # of the run: there the last of them is


@dataclass(frozen=True)
class Foretold:
    """The final losses as they are foretold after `step` updates: of validation, of training, or both."""

    step: int
    losses: Mapping[str, Predicted]

    @property
    def words(self) -> str:
        """That of validation where there is one, in a few words."""
        split = "val" if "val" in self.losses else "train"
        one = self.losses[split]
        return f"{split} loss {one.value:.4g} ({one.mean[0]:.3g} to {one.mean[1]:.3g}) at the end"

    @property
    def points(self) -> dict[str, float]:
        """What TensorBoard shows: each loss with the bounds of its interval."""
        found: dict[str, float] = {}
        for split, one in self.losses.items():
            values = zip(("", "_low", "_high"), (one.value, *one.mean), strict=True)
            found |= {f"forecast/{split}_loss{bound}": value for bound, value in values}
        return found


class Foretelling:
    """Gathers the losses of a run, and foretells how it ends at some moments."""

    def __init__(self, plan: Plan):
        self.lrs = np.array(plan.per_update())
        self.updates = len(self.lrs)
        self.bins = min(_BINS, self.updates)
        self.sums: dict[int, Tensor] = {}  # of the training loss, by bin, on its device
        self.counts: dict[int, int] = {}
        self.val: list[tuple[int, float]] = []  # updates completed, and what validation measured then
        self.marks = 0  # that have passed

    @staticmethod
    def reason_against(plan: Plan) -> str | None:
        """Why nothing can be foretold of a run; None where something can."""
        if plan.lrs is None:
            return "its LR follows a metric, and is not known before"
        if plan.horizon.budget_seconds is not None:
            return "how many updates it makes is not known before"
        return None

    def update(self, step: int, loss: Tensor) -> None:
        """Note the loss () of update `step`."""
        place = step * self.bins // self.updates
        held = self.sums.get(place)
        self.sums[place] = loss.detach().clone() if held is None else held.to(loss.device) + loss.detach()
        self.counts[place] = self.counts.get(place, 0) + 1

    def epoch(self, step: int, measured: Mapping[str, float]) -> None:
        """Note what was measured after so many updates."""
        if "val_loss" in measured:
            self.val.append((step, measured["val_loss"]))

    def foretold(self, done: int) -> Foretold | None:
        """How the run will end, after `done` updates, where it is time to say so and there is something to say."""
        due = self._marks_until(done)
        if due <= self.marks:
            return None
        self.marks = due
        losses: dict[str, Predicted] = {}
        for split, curve in (("val", self._validated), ("train", self._trained)):
            try:
                at = None if split == "val" else max(1, round((1 - TAIL / 2) * self.updates))
                losses[split] = online.of_the_end(curve(done), at)
            except TooLittle:
                continue
        return Foretold(done, losses) if losses else None

    def _marks_until(self, done: int) -> int:
        """How many of the moments have come, which lie evenly between a third and the end."""
        if online.is_early(done, self.updates):
            return 0
        passed = (done / self.updates - online.BEGINS) / (_LAST - online.BEGINS)
        return min(_MARKS, 1 + int(passed * (_MARKS - 1)))

    def _trained(self, done: int) -> LossCurve:
        """The training loss, averaged over the bins that are complete."""
        whole = [place for place in sorted(self.sums) if self._end_of(place) <= done]
        means = [float(self.sums[place]) / self.counts[place] for place in whole]
        middles = [(self._end_of(place - 1) + 1 + self._end_of(place)) // 2 for place in whole]
        return self._curve(middles, means)

    def _validated(self, _done: int) -> LossCurve:
        return self._curve([step for step, _ in self.val], [value for _, value in self.val])

    def _curve(self, at: list[int], losses: list[float]) -> LossCurve:
        values = np.array(losses, float)
        if not np.isfinite(values).all() or (values <= 0).any():
            raise TooLittle("the loss is not positive")
        return LossCurve(self.lrs, np.array(at, np.int64), values)

    def _end_of(self, place: int) -> int:
        """How many updates are made when a bin is complete."""
        return -(-(place + 1) * self.updates // self.bins)

    # What a checkpoint holds

    def state_dict(self) -> dict[str, Any]:
        places = sorted(self.sums)
        bins = [[place, float(self.sums[place]), self.counts[place]] for place in places]
        val = [[step, value] for step, value in self.val]
        return {"updates": self.updates, "bins": bins, "val": val, "marks": self.marks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; of a run that is longer now than it was, only validations stay what they were."""
        self.val = [(int(step), float(value)) for step, value in state["val"]]
        if state["updates"] != self.updates:
            return
        self.sums = {int(place): torch.tensor(float(total)) for place, total, _ in state["bins"]}
        self.counts = {int(place): int(count) for place, _, count in state["bins"]}
        self.marks = int(state["marks"])
