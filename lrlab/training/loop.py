"""The training state and the epoch loop; no files, no TensorBoard, no config.

`fit` is a generator: it hands back what happened after every update, validation batch and epoch, and what other
frameworks do in callbacks is the body of the caller's `for`. At every yield the state is complete and savable.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.data.batches import Batches
from lrlab.errors import UserError, wrong
from lrlab.lr import hyperparameters
from lrlab.lr.hyperparameters import Scheduler, follows_metric
from lrlab.system import distributed, randomness
from lrlab.training.metrics import Means, Metric, known
from lrlab.training.precision import Precision
from lrlab.training.sums import Sums
from lrlab.training.task import CLASSIFICATION, Task, measure

_UPDATES_BETWEEN_CHECKS = 50  # on devices where reading a number takes waiting


class Diverged(UserError):
    """The loss, a gradient or a weight is no longer a finite number."""


@dataclass
class TrainState:
    """Everything that training changes, and so everything that resuming needs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    device: torch.device
    precision: Precision = field(default_factory=Precision)
    wrapped: nn.Module | None = None  # the model as training calls it, where it is compiled or one of several ranks'
    epoch: int = 0  # completed epochs
    batch: int = 0  # completed updates of the epoch under way
    step: int = 0  # completed updates
    applied: dict[str, float] = field(default_factory=dict)  # hyperparameters that the last update used
    seconds: float = 0.0  # spent in the epoch under way
    sums: Sums = field(init=False)  # of what is measured in the training of the epoch under way

    def __post_init__(self) -> None:
        self.sums = Sums(self.device)

    @property
    def network(self) -> nn.Module:
        """The model as training calls it."""
        return self.model if self.wrapped is None else self.wrapped

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them only."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.precision.state_dict(),
            "progress": {name: getattr(self, name) for name in ("epoch", "batch", "step", "applied", "seconds")},
            "sums": self.sums.state_dict(),
            "random": randomness.get_state(self.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the scheduler must have been built with the same settings."""
        self.optimizer.step()  # without gradients: changes nothing, but torch warns where it never saw one
        self.model.load_state_dict(state["model"])
        self._load_optimizer(state["optimizer"])
        self.precision.load_state_dict(state.get("precision", {}))
        self.scheduler.load_state_dict(state["scheduler"])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.sums.load_state_dict(state["sums"])
        randomness.set_state(state["random"], self.device)
        # A scheduler's state does not set the optimizer's LR, and an optimizer's state may hold another one.
        in_force = [float(group["lr"]) for group in self.optimizer.param_groups]
        planned = [float(lr) for lr in self.scheduler.get_last_lr()]
        if in_force != planned:
            raise wrong(
                "resume",
                got=f"a checkpoint whose optimizer has LR {in_force} and whose scheduler {planned}",
                allowed="equal ones",
                do="save the LR that get_last_lr() returns in the scheduler's state_dict()",
            )

    def _load_optimizer(self, saved: dict[str, Any]) -> None:
        """Load its state, but for how it computes, which is this device's business."""
        # Before it is loaded: by these torch decides on which device Adam counts its steps.
        groups = [
            {**theirs, **{way: own[way] for way in _WAYS if way in own}}
            for theirs, own in zip(saved["param_groups"], self.optimizer.param_groups, strict=True)
        ]
        self.optimizer.load_state_dict({**saved, "param_groups": groups})


_WAYS = ("fused", "foreach", "capturable")


@dataclass(frozen=True)
class Update:
    """One optimizer step was made."""

    step: int  # its index: updates completed before it
    applied: dict[str, float]  # what it used: lr, lr/GROUP, momentum, weight_decay, as `hyperparameters.read` says
    loss: Tensor  # () float32, mean over the batch


@dataclass(frozen=True)
class Evaluating:
    """One batch of the validation split was evaluated."""


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
    metrics: tuple[Metric, ...] = field(default_factory=known)  # of the task

    @property
    def measured(self) -> dict[str, float]:
        """What was measured, as it is recorded: `train_loss`, and `val_loss` if the epoch was evaluated."""
        splits = {"train": self.train, "val": self.val or {}}
        return {f"{split}_{name}": value for split, means in splits.items() for name, value in means.items()}


Event = Update | Evaluating | Epoch


def fit(
    state: TrainState,
    train: Batches,
    val: Batches,
    *,
    task: Task = CLASSIFICATION,
    epochs: int,
    interval: str = "epoch",
    monitor: str = "val_loss",
    eval_every: int = 1,
    clip_grad_norm: float | None = None,
    accumulate: int = 1,
) -> Iterator[Event]:
    """Train until `epochs` are complete, from wherever `state` is.

    The `task` says what the loss is and what is measured beside it. `interval` says what steps the scheduler: every
    "epoch" or every "step" (update). A scheduler that follows a metric is told `monitor`. Validation runs every
    `eval_every` epochs and after the last. Gradients are clipped to the total norm `clip_grad_norm`, and computed over
    `accumulate` parts of the batch one after another, which needs less memory. Raises Diverged where a loss or a
    gradient is not finite, on the CPU before the optimizer uses it, elsewhere some updates later; and where a weight is
    not, before the epoch's yield.
    """
    for epoch in range(state.epoch, epochs):
        clock = time.perf_counter()
        guard = _Guard(state.device)
        state.network.train()
        for images, labels in train.epoch(epoch, start=state.batch):
            state.applied = hyperparameters.read(state.optimizer)
            randomness.seed_rank(train.seed, state.step, train.rank, train.ranks)
            size, made = train.size(state.batch), False
            while not made:  # again where fp16 could not hold the gradients: the plan counts updates that were made
                measured = gradients(state, task, images, labels, size=size, accumulate=accumulate)
                guard.check(state, measured["loss"], last=state.batch + 1 == len(train))
                made = _apply(state, clip_grad_norm)
            state.sums.count(measured, size)
            if interval == "step":
                state.scheduler.step()  # after optimizer.step(), as torch requires
            state.step += 1
            state.batch += 1
            state.seconds, clock = state.seconds + time.perf_counter() - clock, time.perf_counter()
            yield Update(state.step - 1, state.applied, measured["loss"])

        require_finite_weights(state)
        train_means = state.sums.means()
        images_per_second = state.sums.samples / (state.seconds + time.perf_counter() - clock)
        val_means = None
        if (epoch + 1) % eval_every == 0 or epoch + 1 == epochs:
            val_means = yield from evaluate(state, task, val)
        if interval == "epoch":
            advance(state.scheduler, monitor, train_means, val_means)
        result = Epoch(
            epoch=epoch,
            step=state.step,
            lr=state.applied["lr"],
            train=train_means,
            val=val_means,
            seconds=state.seconds + time.perf_counter() - clock,
            images_per_second=images_per_second,
            metrics=task.metrics,
        )
        state.epoch, state.batch, state.seconds = epoch + 1, 0, 0.0
        state.sums.reset()
        yield result


def gradients(
    state: TrainState, task: Task, images: Tensor, labels: Tensor, *, size: int, accumulate: int
) -> dict[str, Tensor]:
    """Add up the gradients of the mean loss over a batch of `size`, of which these are this rank's images and labels.

    Returns that loss () and the sums () of the task's other metrics, all over all ranks.
    """
    parts = min(accumulate, len(labels))
    batch = [(images, labels)]
    if parts > 1:
        batch = list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))
    measured = []
    for part, (x, y) in enumerate(batch, start=1):
        with distributed.keep_gradients(state.network) if part < parts else nullcontext():
            with state.precision.autocast():
                outputs = state.network(x)
                loss = task.training_loss(outputs, y)
            if (share := len(y) / size) != 1:
                loss = loss * share
            state.precision.backward(loss * distributed.ranks() if distributed.ranks() > 1 else loss)
        measured.append({"loss": loss.detach(), **measure(task, outputs, y)})
    totals = {name: reduce(add, [one[name] for one in measured]) for name in measured[0]}
    return distributed.add_up_each(totals)


def _apply(state: TrainState, clip_grad_norm: float | None) -> bool:
    """Make the update from the gradients, and let go of them; whether it was made, which fp16 may not allow."""
    made = state.precision.step(state.model, state.optimizer, clip_grad_norm)
    state.optimizer.zero_grad()
    if not made and state.precision.scale < 1:
        raise _diverged(state, "gradients", "values beyond fp16's range")
    return made


def evaluate(state: TrainState, task: Task, val: Batches) -> Generator[Evaluating, None, Means]:
    """The means over the validation split, as the generator's return value."""
    distributed.copy_buffers_from_first(state.model)
    state.network.eval()
    sums = Sums(state.device)
    for images, labels in val.epoch(0):
        with torch.no_grad(), state.precision.autocast():
            outputs = state.network(images)
            loss = task.validation_loss(outputs, labels)
            sums.count({"loss": loss, **measure(task, outputs, labels)}, len(labels))
        yield Evaluating()
    means = sums.over_all_ranks(task.metrics).means()
    if not math.isfinite(means["loss"]):
        raise _diverged(state, "val/loss", means["loss"])
    return means


def advance(scheduler: Scheduler, monitor: str, train: Means, val: Means | None) -> None:
    """scheduler.step() at the end of an epoch; one that follows a metric is told it, when there is one.

    The loss is finite, or Diverged was raised.
    """
    if not follows_metric(scheduler):
        scheduler.step()
        return
    split, _, name = monitor.partition("_")
    means = train if split == "train" else val
    if means is not None:
        scheduler.step(means[name])  # type: ignore[call-arg]


def require_finite_weights(state: TrainState) -> None:
    """Raise Diverged where a parameter or a buffer is not finite, so that it is never saved."""
    if not all(torch.isfinite(value).all() for value in state.model.state_dict().values()):
        raise _diverged(state, "weights", "a value that is not finite")


class _Guard:
    """Losses and gradients that were not looked at yet: it waits for the device, which is free only on the CPU."""

    def __init__(self, device: torch.device):
        self.most = 1 if device.type == "cpu" else _UPDATES_BETWEEN_CHECKS
        self.waiting: list[tuple[int, float, Tensor, Tensor]] = []  # update, LR, loss, gradients' sum or largest

    def check(self, state: TrainState, loss: Tensor, *, last: bool) -> None:
        """Take in the update's `loss` () and gradients, the `last` of the epoch or not.

        Raises Diverged where one of those taken in is not finite. What fp16 does about its gradients is `Precision`'s.
        """
        size = loss if state.precision.name == "fp16" else _size(state.optimizer, loss)
        self.waiting.append((state.step, state.applied["lr"], loss, size))
        if len(self.waiting) < self.most and not last:
            return
        for (step, lr, seen, _), finite in zip(self.waiting, self._finite(), strict=True):
            if not finite:
                if not math.isfinite(value := seen.item()):
                    raise _diverged(state, "train/loss", value, step, lr)
                if _first_not_finite(state.model):  # or else only the sum is too large
                    raise _diverged(state, "gradients", "a value that is not finite", step, lr)
        self.waiting.clear()

    def _finite(self) -> list[bool]:
        sums = [loss + size for _, _, loss, size in self.waiting]  # of a finite number and another is no finite one
        return [math.isfinite(value) for value in (torch.stack(sums).tolist() if len(sums) > 1 else [sums[0].item()])]


def _size(optimizer: torch.optim.Optimizer, none: Tensor) -> Tensor:
    """A number () that is not finite where a gradient is not; `none` where there are no gradients."""
    gradients = [
        weight.grad for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None
    ]
    if not gradients:
        return none
    if none.device.type == "cpu":  # where a call costs more than a pass over few numbers
        return reduce(add, [gradient.sum() for gradient in gradients])
    return nn.utils.get_total_norm(gradients, float("inf"))


def _first_not_finite(model: nn.Module) -> str:
    """The first parameter with a gradient, or else parameter or buffer, that is not finite; empty if there is none."""
    gradients = [(name, weight.grad) for name, weight in model.named_parameters() if weight.grad is not None]
    for name, value in [*gradients, *model.state_dict().items()]:
        if not torch.isfinite(value).all():
            return name
    return ""


def _diverged(state: TrainState, tag: str, value: object, step: int | None = None, lr: float | None = None) -> Diverged:
    """The error about the update `step`, or the one under way."""
    step, lr = (state.step, state.applied["lr"]) if step is None or lr is None else (step, lr)
    first = _first_not_finite(state.model)
    return wrong(
        tag,
        got=f"{value} at update {step}, LR {lr:g}{first and f', first in {first}'}",
        allowed="finite numbers",
        do="lower optimizer.lr, warm up (scheduler=warmup_cosine) or set trainer.clip_grad_norm=1",
        kind=Diverged,
    )
