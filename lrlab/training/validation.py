"""The validation of a model, and of its averaged weights, batch by batch."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lrlab.data.batches import Batches
from lrlab.system import distributed, randomness
from lrlab.training.divergence import diverged
from lrlab.training.metrics import Means
from lrlab.training.state import TrainState
from lrlab.training.sums import Sums
from lrlab.training.task import Task, measure

_BATCHES_TO_MEASURE = 50  # statistics of normalization, as schedulefree advises


@dataclass(frozen=True)
class Evaluating:
    """One batch of the split that is evaluated is done."""

    outputs: Tensor  # of the model, (B, classes)
    labels: Tensor  # (B,)


Validating = Callable[[], Generator[Evaluating, None, Means]]


def validate(
    state: TrainState, task: Task, train: Batches, val: Batches, validating: Validating | None
) -> Generator[Evaluating, None, tuple[Means, Means | None]]:
    """The means over the validation split, and those of the averaged weights where there are any."""
    means = yield from validating() if validating is not None else evaluate(state, task, val)
    if state.average is None or not state.average.exists:
        return means, None
    averaged = state.average.settled()
    _measure_statistics(state, averaged, train, state.epoch)
    return means, (yield from evaluate(state, task, val, averaged))


def to_evaluated_point(state: TrainState, train: Batches, epoch: int) -> None:
    """Give the model the weights that are evaluated, where its optimizer knows others than those it trains.

    Normalization has seen the activations of those, so its statistics are measured anew.
    """
    if state.has_two_points:
        state.at_training_point(False)
        _measure_statistics(state, state.model, train, epoch)


def _measure_statistics(state: TrainState, model: nn.Module, train: Batches, epoch: int) -> None:
    """Measure the statistics of normalization of `model` anew, on the first batches of the epoch."""
    # What is drawn meanwhile, by dropout say, is drawn again where this is done again after a resume.
    devices = [state.device] if state.device.type == "cuda" else []
    with torch.random.fork_rng(devices), state.precision.autocast():
        if state.random is not None:  # of one of several runs in this process
            torch.manual_seed(randomness.address(train.seed, "statistics", state.step))
        update_bn(islice(train.epoch(epoch), _BATCHES_TO_MEASURE), model)


def evaluate(
    state: TrainState, task: Task, val: Batches, averaged: nn.Module | None = None
) -> Generator[Evaluating, None, Means]:
    """The means over the validation split, as the generator's return value: of the model, or of the `averaged` one."""
    network = state.network if averaged is None else averaged
    distributed.copy_buffers_from_first(state.model if averaged is None else averaged)
    network.eval()
    sums = Sums(state.device)
    for images, labels in val.epoch(0):
        with torch.no_grad(), state.precision.autocast():
            outputs = network(images)
            loss = task.validation_loss(outputs, labels)
            sums.count({"loss": loss, **measure(task, outputs, labels)}, len(labels))
        yield Evaluating(outputs, labels)
    return means_of(sums, state, task, "val/loss" if averaged is None else "average/val_loss")


def means_of(sums: Sums, state: TrainState, task: Task, tag: str) -> Means:
    """The means over a split that was evaluated. Raises Diverged where the loss, recorded as `tag`, is not finite."""
    means = sums.over_all_ranks(task.metrics).means(task.metrics)
    if not math.isfinite(means["loss"]):
        raise diverged(state, tag, means["loss"])
    return means
