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
import torch.nn.functional as F
from torch import Tensor, nn

from lrlab import distributed, hyperparameters, randomness
from lrlab.batches import Batches
from lrlab.errors import UserError
from lrlab.hyperparameters import Scheduler, follows_metric
from lrlab.metrics import Result, Sums, count_correct
from lrlab.precision import Precision

MONITORS = ("val_loss", "val_accuracy", "train_loss", "train_accuracy")


class Diverged(UserError):
    """The loss is no longer a finite number."""


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
    sums: Sums = field(init=False)  # training loss and accuracy of the epoch under way

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
            raise UserError(
                f"resume: got a checkpoint whose optimizer has LR {in_force} and whose scheduler {planned}; "
                "allowed: equal ones; do: save the LR that get_last_lr() returns in the scheduler's state_dict()"
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
    train: Result
    val: Result | None  # None in an epoch that was not evaluated
    seconds: float
    images_per_second: float  # in training


Event = Update | Evaluating | Epoch


def fit(
    state: TrainState,
    train: Batches,
    val: Batches,
    *,
    epochs: int,
    interval: str = "epoch",
    monitor: str = "val_loss",
    eval_every: int = 1,
    clip_grad_norm: float | None = None,
    label_smoothing: float = 0.0,
    accumulate: int = 1,
) -> Iterator[Event]:
    """Train until `epochs` are complete, from wherever `state` is.

    `interval` says what steps the scheduler: every "epoch" or every "step" (update). A scheduler that follows a
    metric is told `monitor`. Validation runs every `eval_every` epochs and after the last. Gradients are clipped to
    the total norm `clip_grad_norm`, and computed over `accumulate` parts of the batch one after another, which needs
    less memory. Raises Diverged where a loss or, at the end of an epoch, a weight is not finite: on the CPU before the
    optimizer uses that loss, elsewhere within 50 updates and before the epoch's yield.
    """
    for epoch in range(state.epoch, epochs):
        clock = time.perf_counter()
        unchecked: list[tuple[int, float, Tensor]] = []
        state.network.train()
        for images, labels in train.epoch(epoch, start=state.batch):
            state.applied = hyperparameters.read(state.optimizer)
            randomness.seed_rank(train.seed, state.step, train.rank, train.ranks)
            size, made = train.size(state.batch), False
            while not made:  # again where fp16 could not hold the gradients: the plan counts updates that were made
                loss, correct = gradients(
                    state, images, labels, size=size, accumulate=accumulate, label_smoothing=label_smoothing
                )
                unchecked.append((state.step, state.applied["lr"], loss))
                # Reading a loss waits for the device: free on the CPU, so every update; elsewhere now and then.
                if state.device.type == "cpu" or len(unchecked) == 50 or state.batch + 1 == len(train):
                    _require_finite_losses(unchecked)
                    unchecked.clear()
                made = state.precision.step(state.model, state.optimizer, clip_grad_norm)
                state.optimizer.zero_grad()
                if not made and state.precision.scale < 1:
                    raise _diverged("gradients", "values beyond fp16's range", state.step, state.applied["lr"])
            state.sums.count(loss, correct, size)
            if interval == "step":
                state.scheduler.step()  # after optimizer.step(), as torch requires
            state.step += 1
            state.batch += 1
            state.seconds, clock = state.seconds + time.perf_counter() - clock, time.perf_counter()
            yield Update(state.step - 1, state.applied, loss)

        require_finite_weights(state)
        train_result = state.sums.result()
        images_per_second = state.sums.samples / (state.seconds + time.perf_counter() - clock)
        val_result = None
        if (epoch + 1) % eval_every == 0 or epoch + 1 == epochs:
            val_result = yield from evaluate(state, val)
        if interval == "epoch":
            advance(state.scheduler, monitor, train_result, val_result)
        result = Epoch(
            epoch=epoch,
            step=state.step,
            lr=state.applied["lr"],
            train=train_result,
            val=val_result,
            seconds=state.seconds + time.perf_counter() - clock,
            images_per_second=images_per_second,
        )
        state.epoch, state.batch, state.seconds = epoch + 1, 0, 0.0
        state.sums.reset()
        yield result


def gradients(
    state: TrainState, images: Tensor, labels: Tensor, *, size: int, accumulate: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Add up the gradients of the mean loss over a batch of `size`, of which these are this rank's images and labels.

    Returns that loss () and the number () of images that were classified correctly, both over all ranks.
    """
    parts = min(accumulate, len(labels))
    batch = [(images, labels)]
    if parts > 1:
        batch = list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))
    losses, correct = [], []
    for part, (x, y) in enumerate(batch, start=1):
        with distributed.keep_gradients(state.network) if part < parts else nullcontext():
            with state.precision.autocast():
                logits = state.network(x)
                loss = F.cross_entropy(logits, y, label_smoothing=label_smoothing)
            if (share := len(y) / size) != 1:
                loss = loss * share
            state.precision.backward(loss * distributed.ranks() if distributed.ranks() > 1 else loss)
        losses.append(loss.detach())
        correct.append(count_correct(logits, y))
    return distributed.add_up_both(reduce(add, losses), reduce(add, correct))


def evaluate(state: TrainState, val: Batches) -> Generator[Evaluating, None, Result]:
    """The `Result` over the validation split, as the generator's return value; the loss is without smoothing."""
    distributed.copy_buffers_from_first(state.model)
    state.network.eval()
    sums = Sums(state.device)
    for images, labels in val.epoch(0):
        with torch.no_grad(), state.precision.autocast():
            logits = state.network(images)
            sums.count(F.cross_entropy(logits, labels), count_correct(logits, labels), len(labels))
        yield Evaluating()
    result = sums.over_all_ranks().result()
    if not math.isfinite(result.loss):
        raise _diverged("val/loss", result.loss, state.step, state.applied["lr"])
    return result


def advance(scheduler: Scheduler, monitor: str, train: Result, val: Result | None) -> None:
    """scheduler.step() at the end of an epoch; one that follows a metric is told it, when there is one.

    The metric is finite, or Diverged was raised, and not negative.
    """
    if not follows_metric(scheduler):
        scheduler.step()
        return
    split, _, name = monitor.partition("_")
    result = train if split == "train" else val
    if result is not None:
        scheduler.step(getattr(result, name))  # type: ignore[call-arg]


def require_finite_weights(state: TrainState) -> None:
    """Raise Diverged where a parameter is not finite, so that it is never saved."""
    for name, parameter in state.model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise _diverged(f"weights of {name}", "a value that is not finite", state.step, state.applied["lr"])


def _require_finite_losses(losses: list[tuple[int, float, Tensor]]) -> None:
    """Raise Diverged for the first of `losses` (update, LR, loss) that is not finite."""
    values = [losses[0][2].item()] if len(losses) == 1 else torch.stack([loss for _, _, loss in losses]).tolist()
    for (step, lr, _), value in zip(losses, values, strict=True):
        if not math.isfinite(value):
            raise _diverged("train/loss", value, step, lr)


def _diverged(tag: str, value: object, step: int, lr: float) -> Diverged:
    return Diverged(
        f"{tag}: got {value} at update {step}, LR {lr:g}; allowed: finite numbers; "
        "do: lower optimizer.lr, warm up (scheduler=warmup_cosine) or set trainer.clip_grad_norm=1"
    )
