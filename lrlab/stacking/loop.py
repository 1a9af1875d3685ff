"""The epoch loop of several runs at once: an update of all of them is one step.

`fit_together` hands back what `fit` does, and of which run it is. No files, no TensorBoard, no config.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lrlab.errors import UserError
from lrlab.lr import hyperparameters
from lrlab.stacking import EAGER
from lrlab.stacking.lanes import Feed, Lane
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.passes import ByName, Evaluated
from lrlab.stacking.rows import StackedModels
from lrlab.training.divergence import UPDATES_BETWEEN_CHECKS, Taken, look_closer
from lrlab.training.loop import Event, Update, end_epoch, step_scheduler, updates_of
from lrlab.training.metrics import Means
from lrlab.training.sums import Sums
from lrlab.training.task import Task
from lrlab.training.validation import Evaluating, Validating, means_of

Happened = tuple[Lane, Event | UserError]  # an error ends that lane alone


def fit_together(
    lanes: Sequence[Lane],
    *,
    task: Task,
    epochs: int,
    steps: int | None = None,
    eval_every: int = 1,
    clip_grad_norm: float | None = None,
    form: str = EAGER,
    until: tuple[int, int] | None = None,
) -> Iterator[Happened]:
    """Train all `lanes` until `epochs` are complete, or so many `steps` were made, from where they are.

    They are at the same update, and alike in all but seeds, schedulers and the numbers of their optimizers. What a lane
    becomes does not depend on the others. One that diverges, or whose scheduler fails, leaves with the error, and the
    others go on. At every yield the state of that lane is complete and savable. `form` is that of the step. With
    `until`, they stop as soon as their states are at so many updates, and at so many of the epoch.
    """
    stack = _Stack(lanes, task, form)
    for epoch in range(lanes[0].state.epoch, epochs):
        for lane in stack.lanes:
            lane.has_left = lane.has_left or lane.state.has_ended
        stack.settle()
        if not stack.lanes or stack.is_at(until):
            return

        # Training: an update of all lanes at a time.
        first = stack.lanes[0]
        start, updates = first.state.batch, updates_of(epoch, first.state, len(first.train), steps)
        clock = time.perf_counter()
        feed = Feed(stack.lanes, epoch, start, updates)
        for batch in range(start, updates):
            if stack.is_at(until):
                return
            clock = yield from _update(stack, feed, clock, clip_grad_norm, is_last=batch + 1 == updates)
            if not stack.lanes:
                return

        # The end of the epoch, of one after another.
        if stack.is_at(until):
            return
        is_last = epoch + 1 == epochs
        is_validated = (epoch + 1) % eval_every == 0 or is_last
        evaluated = stack.evaluate() if is_validated else []
        for row, lane in enumerate(stack.lanes):
            validating = partial(_validate, lane, row, evaluated, task)
            yield from _end_epoch(lane, task, validating, is_validated=is_validated, is_last=is_last)
        stack.settle()


def _validate(lane: Lane, row: int, evaluated: Sequence[Evaluated], task: Task) -> Generator[Evaluating, None, Means]:
    """The means of a row over the validation split, as the generator's return value."""
    sums = Sums(lane.state.device)
    for batch in evaluated:
        own = {"loss": batch.losses[row], **{name: value[row] for name, value in batch.sums.items()}}
        sums.count(own, len(batch.targets))
        yield Evaluating(batch.outputs[row], batch.targets)
    return means_of(sums, lane.state, task, "val/loss")


def _end_epoch(
    lane: Lane, task: Task, validating: Validating, *, is_validated: bool, is_last: bool
) -> Iterator[Happened]:
    events = end_epoch(
        lane.state,
        task,
        lane.train,
        lane.val,
        clock=time.perf_counter(),
        is_validated=is_validated,
        is_last=is_last,
        interval=lane.interval,
        monitor=lane.monitor,
        validating=validating,
    )
    try:
        for event in events:
            yield lane, event
            if lane.has_left:
                return
    except UserError as error:
        lane.has_left = True
        yield lane, error


def _update(
    stack: "_Stack", feed: Feed, clock: float, clip_grad_norm: float | None, *, is_last: bool
) -> Generator[Happened, None, float]:
    """Make an update of every lane; returns when it was complete."""
    # What the lanes have next.
    given, lost = feed.next(stack.lanes)
    for lane, why in lost:
        lane.has_left = True
        yield lane, why
    stack.settle()
    if given is None:
        return clock
    for lane in stack.lanes:
        lane.state.applied = hyperparameters.read(lane.state.optimizer)

    # The step.
    measured, gradients = stack.gradients(*given)
    for lane, why in stack.look(measured["loss"], gradients, is_last=is_last):
        lane.has_left = True
        yield lane, why
    measured, gradients = stack.settle_with(measured, gradients)
    if not stack.lanes:
        return clock
    stack.updates.step(gradients, clip_grad_norm)

    # What each lane makes of it.
    now = time.perf_counter()
    seconds = (now - clock) / len(stack.lanes)
    losses = measured["loss"].unbind()
    values = {name: _apart(value) for name, value in measured.items()}
    for row, lane in enumerate(stack.lanes):
        try:
            _count(lane, {name: of_each[row] for name, of_each in values.items()}, seconds)
        except UserError as error:
            lane.has_left = True
            yield lane, error
        else:
            yield lane, Update(lane.state.step - 1, lane.state.applied, losses[row])
    stack.settle()
    return now


def _apart(value: Tensor) -> Sequence[Any]:
    """A tensor (K, ...) as what each row has of it: numbers, unless its device would be waited for."""
    apart: Sequence[Any] = value.tolist() if value.device.type == "cpu" else value.unbind()
    return apart


def _count(lane: Lane, measured: dict[str, Any], seconds: float) -> None:
    """Let a lane's state know of its update."""
    state = lane.state
    state.sums.count(measured, lane.train.size(state.batch))
    if lane.interval == "step":
        step_scheduler(state.scheduler)  # after optimizer.step(), as torch requires
    state.step += 1
    state.batch += 1
    if state.average is not None:
        state.average.take(state.step)
    state.seconds += seconds


class _Stack:
    """The lanes that are still under way, and their rows."""

    def __init__(self, lanes: Sequence[Lane], task: Task, form: str):
        self.lanes = list(lanes)
        whole = min(lanes[0].train.batching.batch_size, lanes[0].train.samples)
        self.rows = StackedModels.of([lane.state.model for lane in lanes], task, form, whole=whole)
        self.updates = Updates(self.rows, [lane.state.optimizer for lane in lanes])
        for lane in lanes:
            hyperparameters.count_as_stepped(lane.state.optimizer)
        self.most = 1 if lanes[0].state.device.type == "cpu" else UPDATES_BETWEEN_CHECKS
        self.waiting: list[tuple[list[tuple[int, float]], Tensor, Tensor]] = []  # what `look` has not looked at

    def gradients(self, samples: Tensor, targets: Tensor) -> tuple[ByName, ByName]:
        seeds, steps = [lane.train.seed for lane in self.lanes], [lane.state.step for lane in self.lanes]
        return self.rows.gradients(samples, targets, seeds, steps)

    def evaluate(self) -> list[Evaluated]:
        """What all rows make of the batches of the validation split; the seconds are shared among the lanes."""
        began = time.perf_counter()
        evaluated = [self.rows.evaluate(*batch) for batch in self.lanes[0].val.epoch(0)]
        seconds = (time.perf_counter() - began) / len(self.lanes)
        for lane in self.lanes:
            lane.state.seconds += seconds
        return evaluated

    def look(self, losses: Tensor, gradients: ByName, *, is_last: bool) -> list[tuple[Lane, UserError]]:
        """The lanes whose loss or gradients are not finite.

        On the CPU that is known before an optimizer uses them. Elsewhere it would be waited for each time, so that a
        number of updates is looked at together.
        """
        sizes = torch.stack([losses, *(value.reshape(len(value), -1).sum(1) for value in gradients.values())]).sum(
            dim=0
        )
        about = [(lane.state.step, lane.state.applied["lr"]) for lane in self.lanes]
        self.waiting.append((about, losses, sizes))
        if len(self.waiting) < self.most and not is_last:
            return []
        waiting, self.waiting = self.waiting, []
        finite = torch.isfinite(torch.stack([sizes for _, _, sizes in waiting])).tolist()
        lost: dict[Lane, UserError] = {}
        for (taken, loss, size), each in zip(waiting, finite, strict=True):
            for row, lane in enumerate(self.lanes):
                if each[row] or lane in lost:
                    continue
                error = _closer(lane, Taken(*taken[row], loss[row], size[row]), row, gradients)
                if error is not None:
                    lost[lane] = error
        return list(lost.items())

    def is_at(self, place: tuple[int, int] | None) -> bool:
        """Whether the lanes have made so many updates, and so many of the epoch."""
        state = self.lanes[0].state
        return place == (state.step, state.batch)

    def settle(self) -> None:
        """Let those go that have left."""
        for row in reversed(range(len(self.lanes))):
            if self.lanes[row].has_left:
                del self.lanes[row]
                self.rows.without(row)
                self.updates.without(row)
                self.waiting.clear()

    def settle_with(self, measured: dict[str, Tensor], gradients: ByName) -> tuple[dict[str, Tensor], ByName]:
        """`settle`, and what was measured, and the gradients, of those who stay."""
        kept = [row for row, lane in enumerate(self.lanes) if not lane.has_left]
        if len(kept) == len(self.lanes):
            return measured, gradients
        self.settle()
        if not kept:
            return measured, gradients
        padded = kept + kept[:1] * (len(self.rows) - len(kept))
        rows = torch.tensor(padded)
        both = [{name: value[rows.to(value.device)] for name, value in one.items()} for one in (measured, gradients)]
        return both[0], both[1]


def _closer(lane: Lane, taken: Taken, row: int, gradients: ByName) -> UserError | None:
    """The error about an update of a lane whose numbers are not finite; None where only their sum is too large."""
    for name, value in gradients.items():
        lane.state.model.get_parameter(name).grad = value[row]
    try:
        look_closer(lane.state, taken)
    except UserError as error:
        return error
    finally:
        lane.state.optimizer.zero_grad()
    return None
