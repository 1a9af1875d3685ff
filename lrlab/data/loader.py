"""How the processes of torch's DataLoader are started, ended and killed: the only room that knows its private names.

`_iterator`, `_shutdown_workers`, `_worker_pids_set`, `_workers` and `signal_handling._remove_worker_pids` are not
documented. Nothing public ends a loader's processes before Python collects it, nor ends one that is stuck. Seen to work
with torch 2.14.1.
"""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from lrlab.errors import UserError
from lrlab.system.signals import leave_to_the_parent

SECONDS_BETWEEN_LOOKS = 1.0  # at what else may have happened, while an item does not come
# Of processes that decode while another trains: an image that is waited for goes before one that is not.
_NICENESS = 5


class TimedOut(RuntimeError):
    """No item came in time."""


def start(dataset: Dataset, *, workers: int, ahead: int, in_background: bool = False, **settings: Any) -> DataLoader:
    """A loader that hands on what `dataset` returns as it is, made by `workers` processes, or by this one where 0.

    Each process makes `ahead` items before they are asked for. Those `in_background` leave the cores to training.
    """
    return DataLoader(
        dataset,
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_in_background if in_background else leave_to_the_parent,
        timeout=SECONDS_BETWEEN_LOOKS if workers else 0,  # `each` waits on
        generator=torch.Generator(),  # otherwise the loader draws from the generator that dropout uses
        **settings,
    )


def each(items: Iterator[Any], *, most_seconds: float = 0, waiting: Callable[[], None]) -> Iterator[Any]:
    """The items of one pass over a loader.

    While one does not come, `waiting` is called again and again, and may raise. Raises TimedOut after `most_seconds` of
    such looks, or never where that is 0. Time in which the process itself was stopped, as by Ctrl-Z, is one look.
    """
    looks = 0
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except RuntimeError as error:
            # A loader that timed out can be asked again. What a worker raised begins in another way.
            if not str(error).startswith("DataLoader timed out after"):
                raise
            looks += 1
            waiting()
            if most_seconds and looks * SECONDS_BETWEEN_LOOKS >= most_seconds:
                raise TimedOut(f"DataLoader timed out after {most_seconds:g} seconds") from error
        else:
            looks = 0
            yield item


def end(iterator: Iterator[Any]) -> None:
    """End the processes of one pass over a loader; one that has none is left alone."""
    shut_down = getattr(iterator, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


def end_persistent(loader: DataLoader) -> None:
    """End the processes that a loader keeps from one pass to the next; it starts new ones if it is used again."""
    iterator, loader._iterator = loader._iterator, None
    if iterator is not None:
        end(iterator)


def kill_persistent(loader: DataLoader) -> None:
    """Kill the processes that a loader keeps: those that are stuck would be waited for."""
    iterator: Any = loader._iterator
    if not getattr(iterator, "_worker_pids_set", False):
        return
    signal_handling._remove_worker_pids(id(iterator))  # or else torch raises for each that ends
    iterator._worker_pids_set = False
    for worker in iterator._workers:
        worker.kill()


def _as_it_is(item: Any) -> Any:
    return item


def _in_background(_worker: int) -> None:
    leave_to_the_parent()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def as_raised(error: UserError, kind: type[UserError] = UserError) -> UserError:
    """`error` as an error of `kind`, and as a loader's worker raised it, without the worker's traceback around it.

    A loader hands on the traceback's text, which ends in the name of the error and its message; the parts are lost.
    """
    if error.key is not None:
        return error.of_kind(kind)
    name = rf"^(?:\w+\.)*{type(error).__name__}: "  # at the beginning of a line, for a message may hold it too
    return kind(re.split(name, str(error), flags=re.MULTILINE)[-1].strip())
