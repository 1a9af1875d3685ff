"""What every rank of a run does: it builds what it computes with, reads its data, and drives the loop.

Rank 0, or the only process, does the rest besides: see `experiment`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.utils import deterministic

from lrlab.config import build
from lrlab.config.prepare import Prepared, place_images, prepare
from lrlab.data import store
from lrlab.data.batches import Batches
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.runs.resume import restore
from lrlab.system import allocator, distributed, peers, randomness
from lrlab.system.signals import Request, stop_request
from lrlab.training.loop import Diverged, Evaluating, Event, TrainState, Update, fit
from lrlab.training.precision import Precision

_UPDATES_BETWEEN_AGREEMENTS = 8  # of ranks, on whether a signal asked one of them to stop

Reading = Callable[[str], AbstractContextManager[store.Progress]]  # shows the progress of reading what it names


def build_state(prepared: Prepared) -> TrainState:
    """What the run computes with, from its seed on."""
    randomness.seed_everything(prepared.seed)
    _set_deterministic(prepared.trainer.deterministic, prepared.device)
    model = build.build_model(prepared.config["model"], prepared.splits.shape, prepared.splits.num_classes)
    trainer, device = prepared.trainer, prepared.device
    if device.type == "cpu":
        allocator.keep_freed_memory()
    channels_last = trainer.channels_last
    if channels_last == "auto":
        channels_last = device.type == "cuda" and trainer.precision != "fp32"
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = build.build_optimizer(prepared.config["optimizer"], model.named_parameters(), device.type)
    scheduler = prepared.scheduler.build(optimizer)
    network = distributed.replicate(model, device)
    if trainer.compile:
        network = torch.compile(network, mode=None if trainer.compile is True else trainer.compile)  # type: ignore[assignment]
    return TrainState(model, optimizer, scheduler, device, Precision(trainer.precision, device.type), wrapped=network)


def _set_deterministic(wanted: bool, device: torch.device) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with this
    torch.use_deterministic_algorithms(wanted, warn_only=device.type == "mps")  # MPS has no such max-pooling
    torch.backends.cudnn.benchmark = not wanted
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # an aid to debugging; costs time


def read_images(prepared: Prepared, reading: Reading, request: Request, *, train: bool) -> Batches:
    """The batches of a split, its images read if they are kept. Raises Interrupted where a signal ends the reading."""
    splits = prepared.splits
    with reading("training images" if train else "validation images") as show:

        def progress(done: int, total: int) -> None:
            show(done, total)
            if request.number and distributed.ranks() == 1:  # or else the others would wait for this one
                raise Interrupted(request.number)

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
            )
        )


def events(prepared: Prepared, state: TrainState, train: Batches, val: Batches) -> Iterator[Event]:
    """What happens from where `state` is to the end of the run."""
    trainer, scheduler = prepared.trainer, prepared.scheduler
    return fit(
        state,
        train,
        val,
        epochs=trainer.epochs,
        interval=scheduler.interval,
        monitor=scheduler.monitor,
        eval_every=trainer.eval_every,
        clip_grad_norm=trainer.clip_grad_norm,
        label_smoothing=trainer.label_smoothing,
        accumulate=trainer.accumulate,
    )


def stop_is_agreed(event: Event, request: Request) -> bool:
    """Whether a signal asked for an end; of several ranks, whether it asked any of them, which all then know."""
    if distributed.ranks() > 1:
        if isinstance(event, Evaluating) or (isinstance(event, Update) and event.step % _UPDATES_BETWEEN_AGREEMENTS):
            return False  # some ranks evaluate a batch more than others; and asking takes time
        if agreed := distributed.largest(request.number):
            request.note(agreed)
            request.heeded = True
        return bool(agreed)  # a signal that arrives while this asks stays noted, and the others hear of it next time
    return bool(request.number)


@dataclass(frozen=True)
class Task:
    """What the ranks that follow need to train along."""

    config: dict[str, Any]  # resolved
    saved: dict[str, Any] | None  # the checkpoint to go on from
    timeout_seconds: float  # for which they wait for each other


def follow() -> None:
    """Every rank but the first: train along with each task that rank 0 hands out, and write nothing.

    Ends when rank 0 has no more, as after a signal. Raises PeerFailed where a rank is gone.
    """
    with stop_request() as request:  # between runs too: rank 0 decides when all end
        while (task := distributed.from_first(None)) is not None:
            try:
                _train_along(task, request)
            except Diverged:  # rank 0 says so
                continue


def unseen(_what: str) -> AbstractContextManager[store.Progress]:
    """The progress of reading where nobody looks."""
    return nullcontext(lambda _done, _total: None)


def _train_along(task: Task, request: Request) -> None:
    with distributed.patience(task.timeout_seconds):
        prepared, _ = place_images(prepare(OmegaConf.create(task.config)))
        state = build_state(prepared)
        if task.saved is not None:
            restore(state, task.saved, prepared)
        train, val = (read_images(prepared, unseen, request, train=train) for train in (True, False))
        try:
            for event in events(prepared, state, train, val):
                if stop_is_agreed(event, request):
                    break
        finally:
            train.close()
            val.close()


def explain(error: BaseException) -> UserError | None:
    """What the user can do about an error that torch raised, None where that is not known."""
    if lost := peers.explain(error):
        return lost
    if isinstance(error, RuntimeError) and "finished reduction in the prior iteration" in str(error):
        return wrong(
            "model",
            got=f"parameters that get no gradient, with {distributed.ranks()} ranks",
            allowed="a model that uses all of its parameters in every forward pass",
            do="freeze or remove them, or train with one process",
        )
    for kind, said, explained in _KNOWN:
        if isinstance(error, kind) and said in str(error):
            return explained(error)
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return wrong(
            "trainer.compile",
            got=f"true, for what torch.compile cannot compile here ({str(error).strip().splitlines()[0]})",
            allowed="false; or a C++ compiler (CPU) or Triton (GPU), and a model that it takes",
            do="trainer.compile=false",
        )
    return None


def _no_memory(error: BaseException) -> UserError:
    return wrong(
        "data.batch_size",
        got=f"a batch for which the device has no memory ({str(error).splitlines()[0][:200]})",
        allowed="what the device holds beside the model",
        do="trainer.accumulate=2 (the same batch in two parts), trainer.precision=bf16, or a smaller data.batch_size",
    )


def _lost_reader(error: BaseException) -> UserError:
    """About a process that reads images and that was killed, or is stuck."""
    said = str(error).splitlines()[0].rstrip(".")
    if "timed out" in said:
        return wrong(
            "data.timeout",
            got=f"no batch from the processes that read images ({said})",
            allowed="a batch within data.timeout seconds",
            do="look at the disk that data.root lies on, or data.timeout=0 to wait for ever",
        )
    return wrong(
        "data.workers",
        got=f"a process that reads images and is gone ({said})",
        allowed="all of them until the end: the system kills one where memory, also /dev/shm, runs out",
        do="fewer data.workers, or 0; then resume=FOLDER",
    )


def _no_deterministic_way(error: BaseException) -> UserError:
    return wrong(
        "trainer.deterministic",
        got=f"true, for an operation that this device has no deterministic way to compute ({str(error).split('.')[0]})",
        allowed="false, with this model on this device",
        do="trainer.deterministic=false",
    )


# The kind of an error, what it says, and what to make of it.
_KNOWN: tuple[tuple[type[BaseException], str, Callable[[BaseException], UserError]], ...] = (
    (torch.OutOfMemoryError, "", _no_memory),
    (RuntimeError, "DataLoader ", _lost_reader),
    (RuntimeError, "deterministic", _no_deterministic_way),
)
