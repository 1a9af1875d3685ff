"""The only room that knows of ranks: the processes, on one machine or several, that compute one update together.

torchrun starts them. Rank 0 reads the command line, writes all files and says what is trained; the others follow.
Alone, every call here does nothing and costs nothing. What happens when a rank fails stands in `lrlab.system.peers`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from inspect import signature
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lrlab.errors import UserError, wrong
from lrlab.system import peers, process
from lrlab.system.peers import PeerFailed

_PATIENCE = timedelta(hours=3)  # of a rank that waits for another, which may be decoding images


class _Groups:
    """All ranks, once for each patience with which they wait for each other."""

    by_seconds: ClassVar[dict[float, Any]] = {}
    in_use: Any = None  # None: with _PATIENCE


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
def process_group(report: Callable[[UserError], object]) -> Iterator[None]:
    """Connect the ranks for the length of the block: gloo between CPUs, NCCL between GPUs.

    `report` is told why this process is about to leave, where that is all that it can still do.
    """
    if not process.is_one_of_several():
        yield
        return
    store = _connect()
    peers.set_patience(_PATIENCE.total_seconds())
    try:
        with peers.watched(store, rank=rank(), ranks=ranks(), report=report):
            yield
    finally:
        _Groups.by_seconds.clear()
        if not peers.broken():  # or else it would wait for ranks that are gone
            dist.destroy_process_group()


def _connect() -> dist.Store:
    """Meet the other ranks; returns the store that all of them share."""
    store, number, count = next(dist.rendezvous("env://", timeout=_PATIENCE))
    own_gpu = int(os.environ.get("LOCAL_RANK", "0"))
    backend = "gloo"
    if torch.cuda.is_available() and torch.cuda.device_count() > own_gpu:
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(own_gpu)
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_PATIENCE)
    return store


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """In this block, which every rank enters, a rank for which the others wait so long ends the run."""
    if ranks() == 1:
        yield
        return
    if seconds not in _Groups.by_seconds:
        _Groups.by_seconds[seconds] = dist.new_group(timeout=timedelta(seconds=seconds))
    _Groups.in_use = _Groups.by_seconds[seconds]
    peers.set_patience(seconds)  # for good: who was waited for in vain is said after this block
    try:
        yield
    finally:
        _Groups.in_use = None


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
        if peers.broken():
            raise wrong("ranks", got="one that failed before", allowed="all of them", do="start again", kind=PeerFailed)
        from_first(task)
        yield
    except alike:
        raise
    except BaseException as error:
        peers.fail(error)
        raise


def dismiss() -> None:
    """Rank 0: tell the ranks that follow that there is no further task."""
    if not peers.broken():
        with suppress(RuntimeError):  # one that is gone already needs no telling
            from_first(None)


def add_up(values: Tensor) -> Tensor:
    """The sum of every rank's `values`, in place."""
    if ranks() > 1:
        dist.all_reduce(values, group=_Groups.in_use)
    return values


def add_up_each(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums of every rank's `values`, of any shapes, in one exchange."""
    if ranks() == 1:
        return values
    sums = add_up(torch.cat([value.double().flatten() for value in values.values()]))
    parts = sums.split([value.numel() for value in values.values()])
    return {
        name: total.view(value.shape).to(value.dtype)
        for (name, value), total in zip(values.items(), parts, strict=True)
    }


def largest(value: int) -> int:
    """The largest of every rank's `value`."""
    if ranks() == 1:
        return value
    values = torch.tensor([value])
    dist.all_reduce(values, dist.ReduceOp.MAX, group=_Groups.in_use)
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
    # Buffers are not copied in every pass: `copy_buffers_from_first` does that before each evaluation.
    options: dict[str, Any] = {_option_for_buffers(): False}
    return DistributedDataParallel(model, device_ids=where, process_group=_Groups.in_use, **options)


def _option_for_buffers() -> str:
    """What torch calls the option to copy buffers in every forward pass: torch 2.14 gave it a new name."""
    known = signature(DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"


def keep_gradients(network: nn.Module) -> AbstractContextManager[Any]:
    """In this block, gradients of a replicated `network` are only gathered up, to be averaged after it."""
    return network.no_sync() if ranks() > 1 else nullcontext()  # type: ignore[operator]


def copy_buffers_from_first(model: nn.Module) -> None:
    """Rank 0's running statistics (of batch normalization) on every rank."""
    if ranks() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0, group=_Groups.in_use)
