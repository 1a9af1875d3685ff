"""What happens when a rank fails, is killed, or keeps the others waiting: they learn why, and all ranks end.

A rank that raises writes its reason into the store that all ranks share, which torchrun keeps. A rank that then fails
to talk to it finds the reason there. A thread of each rank watches the store for ranks that are stuck in such a call.

A rank that is killed writes nothing. torch notices that its connections break, but not always: gloo now and then waits
on for an answer of a rank that is gone. So that thread also looks whether the ranks of its machine are still there.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch.distributed as dist

from lrlab.errors import UserError, first_line, in_words, wrong
from lrlab.system import process
from lrlab.system.signals import unheeded_seconds

_SECONDS_TO_HEAR = 2.0  # a rank that raises says why before the others notice that it is gone
_SECONDS_TO_LEAVE = 5.0  # for a rank to notice by itself that another failed
_SECONDS_TO_HEED = 20.0  # a signal: torchrun sends one when a rank is killed, which NCCL may never notice

# The keys in the store. The last three are followed by the number of a rank.
_REASON = "lrlab/reason"  # why the first rank that failed did
_WAITED = "lrlab/waited"  # somebody waited in vain, so each rank writes down what it does
_HEARD = "lrlab/heard"  # this rank knows that somebody waited in vain, so it does not hang itself
_WHERE = "lrlab/where"  # what this rank does
_PROCESS = "lrlab/process"  # that this rank is, or that it has
_LEFT = "left"


class PeerFailed(UserError):
    """Another rank ended, so this one cannot go on; `told` says whether that rank could say why."""

    told = False


class _Here:
    """What this process knows of the others."""

    store: dist.Store | None = None  # None: this process is alone
    rank = 0
    ranks = 1
    patience_seconds = 0.0  # how long ranks wait for each other
    broken = False  # a rank failed: ranks no longer do the same, so none may wait for another


@contextmanager
def watched(store: dist.Store, *, rank: int, ranks: int, report: Callable[[UserError], object]) -> Iterator[None]:
    """In this block, rank `rank` of `ranks` tells the others why it fails, and ends when another has failed.

    `report` is told why where the main thread cannot say so itself any more.
    """
    _Here.store, _Here.rank, _Here.ranks, _Here.broken = store, rank, ranks, False
    over = threading.Event()
    store.set(f"{_PROCESS}/{rank}", json.dumps(process.myself()))
    own = store.clone()  # a client serves one call at a time, and the main thread may wait in one for long
    watch = threading.Thread(target=_leave_when_another_fails, args=(own, over, report), daemon=True)
    watch.start()
    try:
        yield
    except Exception as error:
        fail(error)
        raise
    finally:
        over.set()
        with suppress(RuntimeError):  # the store may be gone
            store.set(f"{_PROCESS}/{rank}", _LEFT)
        watch.join(_SECONDS_TO_LEAVE)  # a thread that is inside of the store when Python ends would abort the process
        _Here.store = None


def set_patience(seconds: float) -> None:
    """Remember how long ranks wait for each other, for the message about one that was waited for in vain."""
    _Here.patience_seconds = seconds


def broken() -> bool:
    """Whether a rank failed, so that nothing more can be done together."""
    return _Here.broken


def fail(error: BaseException) -> None:
    """Tell the other ranks that this one ends with `error`. Raises PeerFailed where another rank is the cause."""
    lost = lost_with(error)
    _say_why(in_words(error))
    if lost is not None:
        raise lost from error


def lost_with(error: BaseException) -> UserError | None:
    """PeerFailed, with the other rank's own reason, where `error` came of talking to one that is gone; else None."""
    if _Here.store is None or not _came_of_talking(error):
        return None
    _Here.broken = True
    said = first_line(error)[:200]
    hanging = _explain_waiting(said)
    if hanging is not None:
        return hanging
    reason = _reason_of_another()
    failure = _gone(reason or f"killed, or its machine lost: {said}")
    failure.told = bool(reason)
    return failure


def _gone(why: str) -> PeerFailed:
    return wrong(
        "ranks",
        got=f"one that is gone ({why})",
        allowed="all of them until the end",
        do="start the run again, with resume=FOLDER where it has a checkpoint",
        kind=PeerFailed,
    )


def _came_of_talking(error: BaseException) -> bool:
    """Whether torch raised `error` in a call to other ranks; older calls raise RuntimeError and name their library."""
    if not isinstance(error, RuntimeError) or isinstance(error, UserError):
        return False
    return isinstance(error, dist.DistError) or any(name in str(error) for name in ("gloo/", "Gloo", "NCCL"))


def _say_why(reason: str) -> None:
    """Tell the other ranks why this one ends; the first reason stays."""
    _Here.broken = True
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")  # torchrun's last lines quote it
    if file:
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": reason, "timestamp": int(time.time())}))
    if _Here.store is not None:
        with suppress(RuntimeError, ValueError):  # the machine that keeps it may be gone
            _Here.store.compare_set(_REASON, "", f"rank {_Here.rank}: {reason}")


def _reason_of_another() -> str:
    """Why another rank ended, as it said itself; empty where it says nothing in time."""
    deadline = time.monotonic() + _SECONDS_TO_HEAR
    while _Here.store is not None and time.monotonic() < deadline:
        try:
            if _Here.store.check([_REASON]):
                return _Here.store.get(_REASON).decode()
        except RuntimeError:
            break
        time.sleep(0.1)
    return ""


def _explain_waiting(said: str) -> PeerFailed | None:
    """PeerFailed that names the ranks that hang, where this one waited too long, as torch `said`; else None."""
    silent: list[str] = []
    with suppress(RuntimeError):  # the store may be gone
        if _Here.store is not None:
            _Here.store.set(f"{_HEARD}/{_Here.rank}", "")
            if re.search("timed out|timeout", said, re.IGNORECASE):
                silent = _silent_ranks(_Here.store)
    if not silent:
        return None
    hanging = wrong(
        "ranks",
        got=f"{', '.join(silent)}, for which the others waited {_Here.patience_seconds:g} s",
        allowed="an answer within trainer.timeout seconds",
        do="resume=FOLDER, once it is clear why; or a longer trainer.timeout",
        kind=PeerFailed,
    )
    _say_why(str(hanging))
    return hanging


def _silent_ranks(store: dist.Store) -> list[str]:
    """The ranks that do not notice that others waited for them in vain, each with what it does."""
    store.set(_WAITED, "")
    time.sleep(_SECONDS_TO_HEAR)
    numbers = [number for number in range(_Here.ranks) if not store.check([f"{_HEARD}/{number}"])]
    return [_with_its_place(store, number) for number in numbers]


def _with_its_place(store: dist.Store, number: int) -> str:
    key = f"{_WHERE}/{number}"
    if not store.check([key]):
        return f"rank {number}"
    return f"rank {number} ({store.get(key).decode()})"


def _leave_when_another_fails(store: dist.Store, over: threading.Event, report: Callable[[UserError], object]) -> None:
    """End this process where another rank failed and this one is stuck waiting for it, as NCCL would for long."""
    neighbours: dict[int, process.Known] = {}
    while not over.wait(0.5):
        try:
            failed = store.check([_REASON])
            if store.check([_WAITED]):
                store.set(f"{_WHERE}/{_Here.rank}", process.main_thread_is_in())
            neighbours |= _processes(store, [rank for rank in range(_Here.ranks) if rank not in neighbours])
            gone = [rank for rank, known in neighbours.items() if process.is_gone(known)]
            lost = next((rank for rank in gone if store.get(f"{_PROCESS}/{rank}") != _LEFT.encode()), None)
        except RuntimeError:
            return
        if (failed or lost is not None) and not _Here.broken:
            over.wait(_SECONDS_TO_LEAVE)  # the main thread may notice it too
        if _Here.broken or over.is_set():
            return  # this rank knows, and leaves by itself
        if lost is not None and not failed:
            failure = _gone(f"killed: rank {lost} has no process any more, and this one still waited for it")
            _say_why(in_words(failure))
            report(failure)
        if failed or lost is not None or unheeded_seconds() > _SECONDS_TO_HEED:
            process.leave_at_once(1)


def _processes(store: dist.Store, ranks: Sequence[int]) -> dict[int, process.Known]:
    """The processes of those `ranks` that have told theirs."""
    there = [rank for rank in ranks if store.check([f"{_PROCESS}/{rank}"])]
    told = {rank: store.get(f"{_PROCESS}/{rank}").decode() for rank in there}
    return {rank: process.Known(*json.loads(words)) for rank, words in told.items() if words != _LEFT}
