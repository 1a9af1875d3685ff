"""LR and metrics of a loop of one's own in TensorBoard, under the tags that lrlab's own runs have."""

import math
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from lrlab.api.watching import Watch
from lrlab.runs.curve import RecordedCurve
from lrlab.runs.event_file import EventFile
from lrlab.runs.tracking import MOST_POINTS


class LoopEvents:
    """The event file of a run that goes on at update `start` and is planned to have `updates`.

    `lr` stands at the update that used it, or `lr/NAME` for every parameter group but the first; `train/loss`,
    `val/loss` and the like at the updates that were completed. What an earlier file has from `start` on is forgotten,
    so what was `measured` there is written again.
    """

    def __init__(self, folder: Path, *, updates: int, start: int, measured: Mapping[str, float]):
        self._file = EventFile(folder)
        self._file.begin(start)
        self._stride = max(1, math.ceil(updates / MOST_POINTS))
        self._last_update = updates - 1
        self._curves: list[RecordedCurve] = []
        self._next = start  # the update whose LR is to be written next
        self._means(start, measured)

    def epoch(self, watch: Watch, measured: Mapping[str, float]) -> None:
        """Write what an epoch measured, by names such as `val_loss`, and the LR of its updates."""
        self._lrs(watch)
        self._means(watch.step, measured)
        self._file.log.flush()

    def end(self, watch: Watch) -> None:
        """Write what is left, and close the file."""
        self._lrs(watch)
        self._file.log.close()

    def _lrs(self, watch: Watch) -> None:
        """Write the LR of every update seen since the last call."""
        first = max(self._next, watch.start)  # a state that was loaded since says where the watch goes on
        groups = watch.applied_by_group()
        for name, _ in groups[len(self._curves) :]:
            self._curves.append(RecordedCurve(self._new_tag(name), self._stride))
        for curve, (_, lrs) in zip(self._curves, groups, strict=True):
            for update, lr in zip(count(first), lrs[first - watch.start :], strict=False):
                even = update % self._stride == 0 or update == self._last_update
                for at, kept in curve.add(update, lr, even):
                    if math.isfinite(kept):  # a group may come later, or be taken out
                        self._file.scalars(at, {curve.tag: kept})
        self._next = watch.step

    def _new_tag(self, group: str) -> str:
        if not self._curves:
            return "lr"
        tag = f"lr/{group}"
        is_taken = tag in [curve.tag for curve in self._curves]
        return f"{tag}/{len(self._curves)}" if is_taken else tag

    def _means(self, step: int, measured: Mapping[str, float]) -> None:
        self._file.scalars(step, {name.replace("_", "/", 1): value for name, value in measured.items()})
