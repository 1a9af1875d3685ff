"""LR and metrics of a loop of one's own in TensorBoard, under the tags that lrlab's own runs have."""

import math
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lrlab.api.watching import Watch

MOST_POINTS = 10_000  # of an LR: beyond that they are thinned evenly


class LoopEvents:
    """The event file of a run that goes on at update `start` and is planned to have `updates`.

    `lr` stands at the update that used it, or `lr/NAME` for every parameter group but the first; `train/loss`,
    `val/loss` and the like at the updates that were completed. What an earlier file has from `start` on is forgotten,
    so what was `measured` there is written again.
    """

    def __init__(self, folder: Path, *, updates: int, start: int, measured: Mapping[str, float]):
        self._writer = SummaryWriter(str(folder), purge_step=start)
        self._stride = max(1, math.ceil(updates / MOST_POINTS))
        self._next = start  # the update whose LR is to be written next
        self._means(start, measured)

    def lrs(self, watch: Watch) -> None:
        """Write the LR of every update seen since the last call."""
        applied = watch.applied_by_group()
        for index, (name, lrs) in enumerate(applied.items()):
            tag = "lr" if index == 0 else f"lr/{name}"
            for update, lr in zip(count(self._next), lrs[self._next - watch.start :], strict=False):
                if update % self._stride == 0 and math.isfinite(lr):
                    self._writer.add_scalar(tag, lr, update)
        self._next = watch.step

    def epoch(self, watch: Watch, measured: Mapping[str, float]) -> None:
        """Write what an epoch measured, by names such as `val_loss`, and the LR of its updates."""
        self.lrs(watch)
        self._means(watch.step, measured)
        self._writer.flush()

    def end(self, watch: Watch) -> None:
        """Write what is left, and close the file."""
        self.lrs(watch)
        self._writer.close()

    def _means(self, step: int, measured: Mapping[str, float]) -> None:
        for name, value in measured.items():
            self._writer.add_scalar(name.replace("_", "/", 1), value, step)
