"""What a run computes with, built from its checked config: the training state, its batches, and the loop over them.

Every rank does this. Rank 0, or the only process, also does what `runs.run` holds.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import nn
from torch.utils import deterministic

from lrlab.config import build
from lrlab.config.groups import ModelParameters
from lrlab.config.prepare import Prepared
from lrlab.data import store
from lrlab.data.batches import Batches
from lrlab.errors import Interrupted, UserError
from lrlab.stacking import EAGER
from lrlab.stacking.lanes import Lane
from lrlab.stacking.loop import Happened, fit_together
from lrlab.system import allocator, distributed, randomness
from lrlab.system.signals import Request
from lrlab.training.averages import Average
from lrlab.training.loop import Event, Update, fit
from lrlab.training.pace import Pace
from lrlab.training.precision import Precision
from lrlab.training.state import TrainState
from lrlab.training.validation import Evaluating

_UPDATES_BETWEEN_AGREEMENTS = 8  # after so many, the ranks ask each other whether a signal came

Reading = Callable[[str], AbstractContextManager[store.Progress]]  # shows the progress of reading what it names


def build_state(prepared: Prepared) -> TrainState:
    """What the run computes with, as it is at its start."""
    trainer, device = prepared.trainer, prepared.device

    # The process: its random numbers, its algorithms, its memory.
    randomness.seed_everything(prepared.seed)
    _set_deterministic(trainer.deterministic, device)
    model = _model(prepared)
    if device.type == "cpu":
        allocator.keep_freed_memory()

    # The model, on its device before the optimizer sees its parameters.
    channels_last = trainer.channels_last
    if channels_last == "auto":
        channels_last = device.type == "cuda" and trainer.precision != "fp32"
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)

    # What trains it.
    optimizer = build.build_optimizer(
        prepared.config["optimizer"], ModelParameters.of(model), device.type, is_stand_in=False
    )
    scheduler = prepared.scheduler.build(optimizer)
    average = Average(model, prepared.average) if prepared.average is not None else None
    network = distributed.replicate(model, device)
    if trainer.compile:
        network = torch.compile(network, mode=None if trainer.compile is True else trainer.compile)  # type: ignore[assignment]
    seconds = prepared.horizon.budget_seconds
    return TrainState(
        model,
        optimizer,
        scheduler,
        device,
        Precision(trainer.precision, device.type),
        wrapped=network,
        average=average,
        pace=Pace(seconds) if seconds is not None else None,
        early=replace(prepared.early) if prepared.early is not None else None,
        random=randomness.get_state(device) if trainer.form is not None else None,  # of which nothing is drawn
    )


def _model(prepared: Prepared) -> nn.Module:
    """The model that was tried when the run was checked. If that was in another process, one like it."""
    tried = prepared.trial.take(prepared.seed) if prepared.trial is not None else None
    if tried is not None:
        return tried
    return build.build_model(prepared.config["model"], prepared.splits.interface)


def _set_deterministic(wanted: bool, device: torch.device) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with this
    torch.use_deterministic_algorithms(wanted, warn_only=device.type == "mps")  # MPS has no such max-pooling
    torch.backends.cudnn.benchmark = not wanted
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # an aid to debugging; costs time


def read_images(prepared: Prepared, reading: Reading, request: Request, *, train: bool) -> Batches:
    """The batches of a split. Images that are kept are read now. Raises Interrupted where a signal ends the reading."""
    splits = prepared.splits
    with reading(f"{'training' if train else 'validation'} {splits.each}s") as show:

        def waiting() -> None:
            if request.number and distributed.ranks() == 1:  # of several ranks, the others would wait for this one
                raise Interrupted(request.number)

        def progress(done: int, total: int) -> None:
            show(done, total)
            waiting()

        return distributed.first_on_each_machine(
            lambda: Batches(
                splits.train if train else splits.val,
                prepared.batching,
                num_classes=splits.num_classes,
                seed=prepared.seed,
                device=prepared.device,
                train=train,
                rank=distributed.rank(),
                ranks=distributed.ranks(),
                progress=progress,
                waiting=waiting,
                each=splits.each,
            )
        )


def unseen(_what: str) -> AbstractContextManager[store.Progress]:
    """What shows the progress of reading where nobody looks: nothing."""
    return nullcontext(lambda _done, _total: None)


def events(prepared: Prepared, state: TrainState, train: Batches, val: Batches) -> Iterator[Event]:
    """The events of the run from where `state` is to the end."""
    trainer, scheduler, horizon = prepared.trainer, prepared.scheduler, prepared.horizon
    if trainer.form is not None:
        return _alone(prepared, lane(prepared, state, train, val))
    return fit(
        state,
        train,
        val,
        task=prepared.task.to(prepared.device),
        epochs=horizon.epochs,
        steps=horizon.updates,
        interval=scheduler.interval,
        monitor=scheduler.monitor,
        eval_every=trainer.eval_every,
        clip_grad_norm=trainer.clip_grad_norm,
        accumulate=trainer.accumulate,
    )


def lane(prepared: Prepared, state: TrainState, train: Batches, val: Batches) -> Lane:
    """The run as one of several that train in one step."""
    return Lane(state, train, val, prepared.scheduler.interval, prepared.scheduler.monitor)


def together(prepared: Prepared, lanes: Sequence[Lane], until: tuple[int, int] | None = None) -> Iterator[Happened]:
    """The events of all `lanes` from where they are to the end, or `until` they are at an update and a batch.

    `prepared` is one of their runs.
    """
    return fit_together(
        lanes,
        task=prepared.task.to(prepared.device),
        epochs=prepared.horizon.epochs,
        steps=prepared.horizon.updates,
        eval_every=prepared.trainer.eval_every,
        clip_grad_norm=prepared.trainer.clip_grad_norm,
        form=prepared.trainer.form or EAGER,
        until=until,
    )


def _alone(prepared: Prepared, own: Lane) -> Iterator[Event]:
    """The events of a single run in the arithmetic of several."""
    for _, event in together(prepared, [own]):
        if isinstance(event, UserError):
            raise event
        yield event


def is_complete(prepared: Prepared, state: TrainState) -> bool:
    """Whether nothing is left to train."""
    return state.has_ended or state.epoch == prepared.horizon.epochs


def stop_is_agreed(event: Event, request: Request) -> bool:
    """Whether a signal asked for an end. It is enough that it asked one of several ranks, and then all know it."""
    if distributed.ranks() == 1:
        return bool(request.number)

    # All ranks have to ask at the same event, and some evaluate a batch more than others. Asking also takes time.
    if isinstance(event, Evaluating):
        return False
    if isinstance(event, Update) and event.step % _UPDATES_BETWEEN_AGREEMENTS:
        return False

    # A signal that arrives while this asks stays noted, and the others hear of it the next time.
    agreed = distributed.largest(request.number)
    if agreed:
        request.note(agreed)
        request.heeded = True
    return bool(agreed)
