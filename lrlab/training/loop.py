"""The epoch loop; no files, no TensorBoard, no config.

`fit` is a generator: it hands back what happened after every update, validation batch and epoch, and what other
frameworks do in callbacks is the body of the caller's `for`. At every yield the state is complete and savable.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add

from torch import Tensor

from lrlab.data.batches import Batches
from lrlab.errors import first_line, wrong
from lrlab.lr import hyperparameters
from lrlab.lr.hyperparameters import Scheduler, follows_metric, metric_argument, tell
from lrlab.system import distributed, randomness
from lrlab.training.divergence import Guard, diverged, require_finite_weights
from lrlab.training.metrics import AVERAGE, Means, Metric, usual
from lrlab.training.pace import Pace
from lrlab.training.state import TrainState
from lrlab.training.task import CLASSIFICATION, Task, measure
from lrlab.training.validation import Evaluating, Validating, to_evaluated_point, validate


@dataclass(frozen=True)
class Update:
    """One optimizer step was made."""

    step: int  # its index: updates completed before it
    applied: dict[str, float]  # what it used: lr, lr/GROUP, momentum, weight_decay, as `hyperparameters.read` says
    loss: Tensor  # () float32, mean over the batch
    effective: dict[str, float] | None = None  # d x LR, where the optimizer finds a step size d by itself
    position: int | None = None  # in the plan, where that is not `step`: in a run with a time budget


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split is complete."""

    epoch: int  # its index
    step: int  # updates completed
    lr: float  # of its last update
    train: Means
    val: Means | None  # None in an epoch that was not evaluated
    seconds: float
    images_per_second: float  # in training
    average: Means | None = None  # what the averaged weights measure in validation; None where there is none
    is_averaged: bool = False  # whether weights are averaged, or will be
    metrics: tuple[Metric, ...] = field(default_factory=usual)  # of the task
    each: str = "image"  # what a sample is called

    @property
    def measured(self) -> dict[str, float]:
        """What was measured, as it is recorded: `train_loss`, and `val_loss` if the epoch was evaluated.

        What averaged weights measured is `average_val_loss`.
        """
        measured = {f"train_{name}": value for name, value in self.train.items()}
        if self.val is not None:
            measured |= {f"val_{name}": value for name, value in self.val.items()}
        if self.average is not None:
            measured |= {f"{AVERAGE}val_{name}": value for name, value in self.average.items()}
        return measured


Event = Update | Evaluating | Epoch


def fit(
    state: TrainState,
    train: Batches,
    val: Batches,
    *,
    task: Task = CLASSIFICATION,
    epochs: int,
    steps: int | None = None,
    interval: str = "epoch",
    monitor: str = "val_loss",
    eval_every: int = 1,
    clip_grad_norm: float | None = None,
    accumulate: int = 1,
) -> Iterator[Event]:
    """Train until `epochs` are complete, or so many `steps` were made, from wherever `state` is.

    The `task` says what the loss is and what is measured beside it. `interval` says what steps the scheduler: every
    "epoch" or every "step" (update). Where the state has a `pace`, a time budget, that steps it, and ends the training.
    A scheduler that follows a metric is told `monitor`. Validation runs every `eval_every` epochs and after the last.
    Gradients are clipped to the total norm `clip_grad_norm`. They are computed over `accumulate` parts of the batch one
    after another, which needs less memory. An average of the weights that the `state` has takes them in after every
    update, and is evaluated beside them.

    Raises Diverged where a loss or a gradient is not finite: on the CPU before the optimizer uses it, elsewhere some
    updates later. Raises it before an epoch's yield where a weight is not. Raises UserError where the scheduler fails.
    """
    adapts = hyperparameters.adapts_its_lr(state.optimizer)
    pace = state.pace
    for epoch in range(state.epoch, epochs):
        if state.has_ended:
            return
        updates = updates_of(epoch, state, len(train), steps)
        clock = time.perf_counter()
        guard = Guard(state.device)
        make_update = partial(update, state, task, accumulate=accumulate, clip_grad_norm=clip_grad_norm, guard=guard)
        state.network.train()
        if state.batch < updates:  # or else only its validation is left
            state.at_training_point(True)

        # Training: an update a batch, from the first that is not done yet.
        for images, labels in train.epoch(epoch, start=state.batch, stop=updates):
            if pace is not None:
                _keep_pace(state, pace, len(val), ends_epoch=state.batch + 1 == updates)
            state.applied = hyperparameters.read(state.optimizer)
            effective = hyperparameters.effective(state.optimizer) if adapts else None
            randomness.seed_rank(train.seed, state.step, train.rank, train.ranks)
            size, last = train.size(state.batch), state.batch + 1 == updates
            last = last or (pace is not None and pace.is_last)
            measured = make_update(images, labels, size=size, last=last)
            state.sums.count(measured, size)
            if interval == "step" and pace is None:
                step_scheduler(state.scheduler)  # after optimizer.step(), as torch requires
            state.step += 1
            state.batch += 1
            if state.average is not None:
                state.average.take(state.step)
            now = time.perf_counter()
            state.seconds, clock = state.seconds + now - clock, now
            position = pace.position if pace is not None else None
            yield Update(state.step - 1, state.applied, measured["loss"], effective, position)
            if pace is not None and pace.is_last:
                break

        yield from end_epoch(
            state,
            task,
            train,
            val,
            clock=clock,
            is_validated=(epoch + 1) % eval_every == 0 or epoch + 1 == epochs,
            is_last=epoch + 1 == epochs,
            interval=interval,
            monitor=monitor,
        )


def end_epoch(
    state: TrainState,
    task: Task,
    train: Batches,
    val: Batches,
    *,
    clock: float,
    is_validated: bool,
    is_last: bool,
    interval: str,
    monitor: str,
    validating: Validating | None = None,
) -> Generator[Event, None, None]:
    """What follows the last update of an epoch: its results, its validation, and a state that is ready for the next.

    `clock` is when that update was complete. `validating` is another way to `evaluate` the model than by itself.
    """
    epoch, pace = state.epoch, state.pace

    # The training's results; here the device is waited for.
    require_finite_weights(state)
    train_means = state.sums.means(task.metrics)
    images_per_second = state.sums.samples / (state.seconds + time.perf_counter() - clock)

    # Validation, where this epoch has one. The same weights are saved.
    if pace is not None:
        is_validated = pace.end_epoch(epoch, is_validated)
    to_evaluated_point(state, train, epoch)
    val_means, average_means = None, None
    if is_validated:
        val_means, average_means = yield from validate(state, task, train, val, validating)

    # The end of the epoch: the state is made ready for the next one before it is handed out.
    if pace is None:
        advance(state.scheduler, monitor, train_means, val_means, interval=interval)
    result = Epoch(
        epoch=epoch,
        step=state.step,
        lr=state.applied["lr"],
        train=train_means,
        val=val_means,
        seconds=state.seconds + time.perf_counter() - clock,
        images_per_second=images_per_second,
        average=average_means,
        is_averaged=state.average is not None,
        metrics=task.metrics,
        each=train.each,
    )
    _make_ready(state, result, is_last=is_last)
    yield result


def updates_of(epoch: int, state: TrainState, batches: int, steps: int | None) -> int:
    """The updates of an epoch that are made: one for each of its batches, unless the run ends within it."""
    if state.pace is not None and state.pace.is_last:  # only the last validation is left
        return state.batch
    return batches if steps is None else min(batches, steps - epoch * batches)


def _make_ready(state: TrainState, result: Epoch, *, is_last: bool) -> None:
    """Make the state ready for the next epoch, or note that the run is at its end."""
    state.epoch, state.batch, state.seconds = result.epoch + 1, 0, 0.0
    state.sums.reset()
    if state.pace is not None:
        state.pace.close_epoch()
        is_last = state.pace.is_over and not state.pace.repeats_an_early_stop
    if state.early is not None and result.val is not None:  # or the weights that are left would not be validated
        state.early.see(result.epoch, result.step, result.measured, is_last=is_last)


def _keep_pace(state: TrainState, pace: Pace, val_batches: int, *, ends_epoch: bool) -> None:
    """Step the scheduler to the position that the used share of the time budget is at."""
    for _ in range(pace.move(state.step, val_batches, ends_epoch=ends_epoch)):
        step_scheduler(state.scheduler)


def update(
    state: TrainState,
    task: Task,
    images: Tensor,
    labels: Tensor,
    *,
    size: int,
    accumulate: int,
    clip_grad_norm: float | None,
    guard: Guard,
    last: bool,
) -> dict[str, Tensor]:
    """Make one optimizer step from a batch of `size`, and return what `gradients` measured.

    The `guard` looks at the gradients before they are used, and at all that it holds with the `last` batch of an epoch.
    Where fp16 cannot hold the gradients, no step is made, and the batch is computed again with a smaller loss scale:
    the plan counts updates that were made.
    """
    made = False
    while not made:
        measured = gradients(state, task, images, labels, size=size, accumulate=accumulate)
        guard.check(state, measured["loss"], last=last)
        made = _apply(state, clip_grad_norm)
    return measured


def gradients(
    state: TrainState, task: Task, images: Tensor, labels: Tensor, *, size: int, accumulate: int
) -> dict[str, Tensor]:
    """Add up the gradients of the mean loss over a batch of `size`, of which these are this rank's images and labels.

    Returns that loss () and the sums () of the task's other metrics, all over all ranks.
    """
    parts, ranks = min(accumulate, len(labels)), distributed.ranks()
    batch = [(images, labels)]
    if parts > 1:
        batch = list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))
    measured = []
    for part, (x, y) in enumerate(batch, start=1):
        # The ranks add up their gradients once, after the last part.
        with distributed.keep_gradients(state.network) if part < parts else nullcontext():
            with state.precision.autocast():
                outputs = state.network(x)
                loss = task.training_loss(outputs, y)
            share = len(y) / size
            if share != 1:
                loss = loss * share
            # Ranks take the mean of their gradients, and the sum is meant.
            state.precision.backward(loss * ranks if ranks > 1 else loss)
        measured.append({"loss": loss.detach(), **measure(task, outputs, y)})
    totals = {name: reduce(add, [one[name] for one in measured]) for name in measured[0]}
    return distributed.add_up_each(totals)


def _apply(state: TrainState, clip_grad_norm: float | None) -> bool:
    """Make the update from the gradients, and let go of them; whether it was made, which fp16 may not allow."""
    made = state.precision.step(state.model, state.optimizer, clip_grad_norm)
    state.optimizer.zero_grad()
    if not made and state.precision.scale < 1:
        raise diverged(state, "gradients", "values beyond fp16's range")
    return made


def advance(scheduler: Scheduler, monitor: str, train: Means, val: Means | None, *, interval: str = "epoch") -> None:
    """Let a scheduler do what it does at the end of an epoch: step, if that is its interval, and follow a metric.

    Where the metric was not measured, it is not told. The loss is finite, or Diverged was raised.
    """
    if interval == "epoch" and metric_argument(scheduler) is None:
        step_scheduler(scheduler)
    if follows_metric(scheduler):
        split, _, name = monitor.partition("_")
        means = train if split == "train" else val
        if means is not None:
            step_scheduler(scheduler, means[name])


def step_scheduler(scheduler: Scheduler, metric: float | None = None) -> None:
    """scheduler.step(), or what tells it a metric. Raises UserError where that fails, as with a state not its own."""
    try:
        if metric is None:
            scheduler.step()
        else:
            tell(scheduler, metric)
    except Exception as error:
        raise wrong(
            "scheduler",
            got=f"{type(scheduler).__name__}, which fails in training ({type(error).__name__}: {first_line(error)})",
            allowed="a scheduler that lasts the run, from the state that it saved",
            do="mend its step(), or resume from the checkpoint as it was; LRLAB_DEBUG=1 shows where",
        ) from error
