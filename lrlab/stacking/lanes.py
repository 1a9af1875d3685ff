"""Runs that train together: what is a run's own, and the batches that all of them are given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lrlab.data.batches import Batches
from lrlab.errors import UserError
from lrlab.training.state import TrainState


@dataclass(eq=False)
class Lane:
    """One of several runs that train together: what is its own."""

    state: TrainState
    train: Batches  # in the order that its seed gives
    val: Batches
    interval: str = "epoch"
    monitor: str = "val_loss"
    has_left: bool = False  # nothing more is trained of it; the caller may say so too


class Feed:
    """The batches of an epoch for several lanes, which may leave one after another.

    Where the lanes share their samples, all batches of an update are made at once.
    """

    def __init__(self, lanes: Sequence[Lane], epoch: int, start: int, stop: int):
        self.lanes = list(lanes)
        several = [lane.train for lane in lanes]
        self._at_once: Iterator[tuple[Tensor, Tensor]] | None = None
        self._each: dict[Lane, Iterator[tuple[Tensor, Tensor]]] = {}
        if several[0].shares_samples_with(several):
            self._at_once = several[0].of_each(several, epoch, start, stop)
        else:
            self._each = {lane: lane.train.epoch(epoch, start=start, stop=stop) for lane in lanes}

    def next(self, lanes: Sequence[Lane]) -> tuple[tuple[Tensor, Tensor] | None, list[tuple[Lane, UserError]]]:
        """The samples (K, B, ...) and targets (K, B, ...) of these lanes, and those whose batch cannot be read.

        Of these nothing is among them; there are none at all where no lane has a batch.
        """
        if self._at_once is not None:
            return self._of(lanes, *next(self._at_once)), []
        given, lost = [], []
        for lane in lanes:
            try:
                given.append(next(self._each[lane]))
            except UserError as error:  # of an image that cannot be read
                lost.append((lane, error))
        if not given:
            return None, lost
        samples, targets = (torch.stack(several) for several in zip(*given, strict=True))
        return (samples, targets), lost

    def _of(self, lanes: Sequence[Lane], samples: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if len(lanes) == len(self.lanes):
            return samples, targets
        rows = torch.tensor([self.lanes.index(lane) for lane in lanes], device=samples.device)
        return samples[rows], targets[rows]
