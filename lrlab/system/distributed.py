"""The only room that knows of ranks: the processes, on one machine or several, that compute one update together.

torchrun starts them. Rank 0 reads the command line, writes all files and says what is trained; the others follow.
Alone, every call here does nothing and costs nothing.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from inspect import signature
from pathlib import Path
from traceback import extract_stack
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lrlab.errors import UserError, in_words, wrong
from lrlab.system.signals import unheeded_seconds

_PATIENCE = timedelta(hours=3)  # of a rank that waits for another, which may be decoding images
_SECONDS_TO_HEAR = 2.0  # a rank that raises says why before the others notice that it is gone
_SECONDS_TO_LEAVE = 5.0  # for ranks that know that another failed and are stuck in a call to it
_SECONDS_TO_HEED = 20.0  # a signal: torchrun sends one when a rank is killed, which NCCL may never notice
_REASON, _WAITED, _HEARD, _WHERE = (f"lrlab/{name}" for name in ("reason", "waited", "heard", "where"))


class PeerFailed(UserError):
    """Another rank ended, so this one cannot go on; `told` says whether that rank could say why."""

    told = False


class _Here:
    """What this process knows of the others."""

    store: dist.Store | None = None
    groups: ClassVar[dict[float, Any]] = {}  # all ranks, by the seconds for which they wait for each other
    group: Any = None  # the one in use; None: with _PATIENCE
    seconds = _PATIENCE.total_seconds()
    broken = False  # ranks no longer do the same, so none may wait for another


def launched() -> bool:
    """Whether torchrun (or another launcher that sets its variables) started this process among several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def local_ranks() -> int:
    """How many ranks this machine has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if dist.is_initialized() else 1


def local_rank() -> int:
    """This rank's number on its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if dist.is_initialized() else 0


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the ranks for the length of the block: gloo between CPUs, NCCL between GPUs."""
    if not launched():
        yield
        return
    store, number, count = next(dist.rendezvous("env://", timeout=_PATIENCE))
    backend = "gloo"
    if torch.cuda.is_available() and torch.cuda.device_count() > int(os.environ.get("LOCAL_RANK", "0")):
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_PATIENCE)
    _Here.store, _Here.broken = store, False
    over = threading.Event()
    own = store.clone()  # one client serves one call at a time, and the main thread may wait in one for long
    watch = threading.Thread(target=_leave_when_another_fails, args=(own, over), daemon=True)
    watch.start()
    try:
        yield
    except Exception as error:
        lost = explain(error)
        say_why(in_words(error))
        if lost is None:
            raise
        raise lost from error
    finally:
        over.set()
        watch.join(_SECONDS_TO_LEAVE)  # a thread that is inside of the store when Python ends would abort the process
        _Here.store = None
        _Here.groups.clear()
        if not _Here.broken:  # or else it would wait for ranks that are gone
            dist.destroy_process_group()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """In this block, which every rank enters, one for which the others wait so long ends the run."""
    if ranks() == 1:
        yield
        return
    if seconds not in _Here.groups:
        _Here.groups[seconds] = dist.new_group(timeout=timedelta(seconds=seconds))
    _Here.group, _Here.seconds = _Here.groups[seconds], seconds
    try:
        yield
    finally:
        _Here.group = None


def from_first(value: Any) -> Any:
    """Rank 0's `value`, on every rank."""
    if ranks() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


@contextmanager
def together(task: Any, *, alike: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Rank 0: hand `task` to the ranks that follow, which carry it out along with the block.

    Errors of the kinds `alike` end it on every rank; after any other the ranks are no longer of use to each other.
    """
    if ranks() == 1:
        yield
        return
    try:
        if _Here.broken:
            raise PeerFailed("ranks: got one that failed before; allowed: all of them; do: start again")
        from_first(task)
        yield
    except alike:
        raise
    except BaseException as error:
        lost = explain(error)
        say_why(in_words(error))
        if lost is None:
            raise
        raise lost from error


def dismiss() -> None:
    """Rank 0: tell the ranks that follow that there is no further task."""
    if not _Here.broken:
        with suppress(RuntimeError):  # one that is gone already needs no telling
            from_first(None)


def say_why(reason: str) -> None:
    """Tell the other ranks why this one ends; the first reason stays."""
    _Here.broken = True
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):  # torchrun's last lines quote it
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": reason, "timestamp": int(time.time())}))
    if _Here.store is not None:
        with suppress(RuntimeError, ValueError):  # the machine that keeps it may be gone
            _Here.store.compare_set(_REASON, "", f"rank {rank()}: {reason}")


def broken() -> bool:
    """Whether a rank failed, so that nothing more can be done together."""
    return _Here.broken


def explain(error: BaseException) -> UserError | None:
    """`PeerFailed` with the other rank's own reason where `error` came of talking to one that is gone, else None."""
    if ranks() == 1 or not isinstance(error, RuntimeError) or isinstance(error, UserError):
        return None
    if not isinstance(error, dist.DistError) and not any(name in str(error) for name in ("gloo/", "Gloo", "NCCL")):
        return None
    _Here.broken = True
    said = str(error).strip().splitlines()[0][:200]
    if hangs := _hangs(said):
        return hangs
    reason = _reason()
    lost = wrong(
        "ranks",
        got=f"one that is gone ({reason or f'killed, or its machine lost: {said}'})",
        allowed="all of them until the end",
        do="start the run again, with resume=FOLDER where it has a checkpoint",
    )
    failure = PeerFailed(str(lost))
    failure.told = bool(reason)
    return failure


def _silent(store: dist.Store) -> list[str]:
    """The ranks that do not notice that others waited for them in vain, each with what it does."""
    store.set(_WAITED, "")
    time.sleep(_SECONDS_TO_HEAR)
    silent = [number for number in range(ranks()) if not store.check([f"{_HEARD}/{number}"])]
    places = {number: f"{_WHERE}/{number}" for number in silent}
    return [
        f"rank {number}" + (f" ({store.get(place).decode()})" if store.check([place]) else "")
        for number, place in places.items()
    ]


def _hangs(error: str) -> PeerFailed | None:
    """What to say where this rank waited too long for another, as `error` says; lets the others know that it did not
    hang itself."""
    silent = []
    with suppress(RuntimeError):
        if _Here.store is not None:
            _Here.store.set(f"{_HEARD}/{rank()}", "")
            silent = _silent(_Here.store) if re.search("timed out|timeout", error, re.IGNORECASE) else []
    if not silent:
        return None
    message = wrong(
        "ranks",
        got=f"{', '.join(silent)}, for which the others waited {_Here.seconds:g} s",
        allowed="an answer within trainer.timeout seconds",
        do="resume=FOLDER, once it is clear why; or a longer trainer.timeout",
    )
    say_why(str(message))
    return PeerFailed(str(message))


def _reason() -> str:
    """Why another rank ended, as it said itself; empty if it says nothing in time."""
    deadline = time.monotonic() + _SECONDS_TO_HEAR
    while _Here.store is not None and time.monotonic() < deadline:
        try:
            if _Here.store.check([_REASON]):
                return _Here.store.get(_REASON).decode()
        except RuntimeError:
            break
        time.sleep(0.1)
    return ""


def _leave_when_another_fails(store: dist.Store, over: threading.Event) -> None:
    """End this process where another rank failed and this one is stuck waiting for it, as NCCL would for long."""
    while not over.wait(0.5):
        try:
            failed = store.check([_REASON])
            if store.check([_WAITED]):
                store.set(f"{_WHERE}/{rank()}", _where())
        except RuntimeError:
            return
        if _Here.broken or (failed and over.wait(_SECONDS_TO_LEAVE)) or _Here.broken:
            return  # this rank knows, and leaves by itself
        if failed or unheeded_seconds() > _SECONDS_TO_HEED:
            os._exit(1)


def _where() -> str:
    """What the main thread does."""
    place = extract_stack(sys._current_frames()[threading.main_thread().ident or 0])[-1]
    return f"in {place.name}, {place.filename}:{place.lineno}"


def add_up(values: Tensor) -> Tensor:
    """The sum of every rank's `values`, in place."""
    if ranks() > 1:
        dist.all_reduce(values, group=_Here.group)
    return values


def add_up_both(loss: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of every rank's `loss` () and `count` (), in one exchange."""
    if ranks() == 1:
        return loss, count
    sums = add_up(torch.stack([loss.double(), count.double()]))
    return sums[0].to(loss.dtype), sums[1].to(count.dtype)


def largest(value: int) -> int:
    """The largest of every rank's `value`."""
    if ranks() == 1:
        return value
    values = torch.tensor([value])
    dist.all_reduce(values, dist.ReduceOp.MAX, group=_Here.group)
    return int(values)


def first_on_each_machine(work: Callable[[], Any]) -> Any:
    """`work()`, done by one rank a machine before the others do it, as for files that the first one makes."""
    if ranks() == 1:
        return work()
    result = work() if local_rank() == 0 else None
    _wait_for_all()
    if local_rank() != 0:
        result = work()
    _wait_for_all()
    return result


def _wait_for_all() -> None:
    """As long as it takes, whatever the `patience`: they may be reading."""
    dist.all_reduce(torch.zeros(1))


def replicate(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` as training calls it: its gradients become the means over all ranks."""
    if ranks() == 1:
        return model
    _wait_for_all()
    where = [device.index] if device.type == "cuda" else None
    known = signature(DistributedDataParallel).parameters
    no_buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.14
    options: dict[str, Any] = {no_buffers: False}
    return DistributedDataParallel(model, device_ids=where, process_group=_Here.group, **options)


def keep_gradients(network: nn.Module) -> AbstractContextManager[Any]:
    """In this block, gradients of a replicated `network` are only gathered up, to be averaged after it."""
    return network.no_sync() if ranks() > 1 else nullcontext()  # type: ignore[operator]


def copy_buffers_from_first(model: nn.Module) -> None:
    """Rank 0's running statistics (of batch normalization) on every rank."""
    if ranks() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0, group=_Here.group)
