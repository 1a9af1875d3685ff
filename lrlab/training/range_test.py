"""The learning-rate range test: train while the LR grows by the same factor each update, and watch the loss."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lrlab.data.batches import Batches
from lrlab.lr.hyperparameters import scale_of
from lrlab.training.loop import gradients
from lrlab.training.state import TrainState
from lrlab.training.task import CLASSIFICATION, Task

_DIVERGED = 4.0  # times the lowest smoothed loss, as in fastai
_DECADES = 0.25  # standard deviation of the smoothing, in powers of ten of the LR
_SHARE = 0.9  # of the fall of the smoothed loss
_LEAST_FALL = 0.05  # share of the first loss by which it must fall to say anything


@dataclass(frozen=True)
class Suggestion:
    """What one range test says."""

    lr: float  # at which the smoothed loss has made `_SHARE` of its fall
    lowest: float  # LR of the lowest smoothed loss
    last: float  # the highest LR that was tried


def range_test(
    state: TrainState,
    train: Batches,
    *,
    start: float,
    end: float,
    updates: int,
    task: Task = CLASSIFICATION,
    clip_grad_norm: float | None = None,
    accumulate: int = 1,
) -> Iterator[tuple[float, float]]:
    """Yield (LR, loss of the batch before its update) while the LR grows from `start` to `end` in `updates` updates.

    Ends early where the loss is not finite, or its running mean is four times the lowest it has been. Groups keep
    their LR scales. `state` is trained, but for its scheduler, which is not asked.

    Source: Smith, Cyclical Learning Rates, 2015, arXiv:1506.01186, section 3.3.
    """
    state.network.train()
    state.at_training_point(True)
    batches = itertools.chain.from_iterable(zip(itertools.count(), train.epoch(epoch)) for epoch in itertools.count())
    compute: Callable[[], Any] = dict

    def measure(lr: float) -> float:
        nonlocal compute
        for group in state.optimizer.param_groups:
            group["lr"] = lr * scale_of(group)
        batch, (images, labels) = next(batches)
        compute = partial(gradients, state, task, images, labels, size=train.size(batch), accumulate=accumulate)
        return compute()["loss"].item()

    def update() -> bool:
        while not state.precision.step(state.model, state.optimizer, clip_grad_norm):
            state.optimizer.zero_grad()
            if state.precision.scale < 1:
                return False
            compute()
        state.optimizer.zero_grad()
        return True

    yield from rising(measure, update, start=start, end=end, updates=updates)


def rising(
    measure: Callable[[float], float], update: Callable[[], bool], *, start: float, end: float, updates: int
) -> Iterator[tuple[float, float]]:
    """Yield (LR, loss before its update), while the LR grows from `start` to `end`; what is trained is the caller's.

    `measure(lr)` sets the LR and returns the loss of the next batch, whose gradients it leaves; `update()` makes the
    update, and returns whether it could. Ends early as `range_test` says.
    """
    mean, weight, lowest = 0.0, 0.0, math.inf
    for count in range(updates):
        lr = start * (end / start) ** (count / (updates - 1))
        value = measure(lr)
        if not math.isfinite(value):
            return
        yield lr, value
        mean, weight = 0.9 * mean + 0.1 * value, 0.9 * weight + 0.1
        lowest = min(lowest, mean / weight)
        if mean / weight > _DIVERGED * lowest or not update():
            return


def smooth(points: Sequence[tuple[float, float]]) -> list[float]:
    """The losses averaged over neighbours in the logarithm of the LR, with Gaussian weights on both sides."""
    logs = [math.log10(lr) for lr, _ in points]
    smoothed = []
    for center in logs:
        weights = [math.exp(-0.5 * ((at - center) / _DECADES) ** 2) for at in logs]
        smoothed.append(sum(w * loss for w, (_, loss) in zip(weights, points, strict=True)) / sum(weights))
    return smoothed


def suggest(points: Sequence[tuple[float, float]]) -> Suggestion | None:
    """The LR, on the way up, at which the smoothed loss has made nine tenths of its fall; None where it hardly fell.

    Lower than the LR of the lowest loss, which is near divergence; higher than that of the steepest fall, which
    depends on a derivative of noise.
    """
    if len(points) < 10:
        return None
    losses = smooth(points)
    lowest = min(range(len(losses)), key=losses.__getitem__)
    fall = losses[0] - losses[lowest]
    if fall <= _LEAST_FALL * losses[0]:  # equal where both are zero
        return None
    reached = next(index for index, loss in enumerate(losses) if loss <= losses[0] - _SHARE * fall)
    return Suggestion(lr=points[reached][0], lowest=points[lowest][0], last=points[-1][0])
