"""lrlab as a guest in somebody else's process: it leaves what it found."""

import logging
import multiprocessing
import os
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy
import torch
from hydra.core.hydra_config import HydraConfig
from torch.utils import deterministic

from lrlab.errors import UserError
from lrlab.runs.display import LogFile
from lrlab.system import spelling

_ONE_AT_A_TIME = threading.RLock()  # the states are those of the process, and two threads would mix them up


@contextmanager
def guest() -> Iterator[None]:
    """After the block, whatever happens in it, the process is as it was.

    That is: the random states of Python, numpy and torch on every device in use, torch's flags and threads, the
    logging of everybody else, environment, working directory, `sys.argv`, `sys.path` and a running Hydra. Signal
    handlers are put back where they are set. Other threads wait for their turn. What stays is what was imported, that
    freed memory is kept (see docs/speed.md), and after a sweep the server from which the next one forks its processes.
    """
    with _ONE_AT_A_TIME, _as_it_was():
        try:
            yield
        except UserError as error:
            if os.environ.get("LRLAB_DEBUG"):
                raise
            raise _in_python(error) from None  # its line says all; what raised it inside is no concern of the host's


def _in_python(error: UserError) -> UserError:
    """The mistake, with what a command line has another command for as the function that does it."""
    if error.do is None or spelling.as_a_sweep() not in error.do:
        return error
    return error.doing(error.do.replace(spelling.as_a_sweep(), "lrlab.sweep(...)"))


@contextmanager
def _as_it_was() -> Iterator[None]:
    before = _flags()
    randomness = _random_states()
    environment, argv, path = dict(os.environ), list(sys.argv), list(sys.path)
    directory = _directory()
    filters = list(warnings.filters)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    running = HydraConfig.instance().cfg
    start_method = multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = running
        if start_method is None:
            multiprocessing.set_start_method(None, force=True)
        root.handlers[:], root.level = handlers, level
        warnings.filters[:] = filters  # type: ignore[index]
        sys.argv[:], sys.path[:] = argv, path
        _restore_environment(environment)
        if directory is not None and _directory() != directory:
            os.chdir(directory)
        _set_flags(before)
        _set_random_states(randomness)


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """In this block lrlab's own log goes to the `train.log` of the run in `folder`."""
    own = logging.getLogger("lrlab")
    handler = LogFile(folder / "train.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level, propagates = own.level, own.propagate
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    own.propagate = False
    try:
        yield
    finally:
        own.removeHandler(handler)
        handler.close()
        own.setLevel(level)
        own.propagate = propagates


def _flags() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn": torch.backends.cudnn.deterministic,
        "fill": deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "matmul": torch.get_float32_matmul_precision(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "cudnn_enabled": torch.backends.cudnn.enabled,
        "anomaly": torch.is_anomaly_enabled(),
    }


def _set_flags(before: dict[str, Any]) -> None:
    if torch.get_num_threads() != before["threads"]:
        torch.set_num_threads(before["threads"])
    torch.use_deterministic_algorithms(before["deterministic"], warn_only=before["warn_only"])
    torch.backends.cudnn.benchmark = before["benchmark"]
    torch.backends.cudnn.deterministic = before["cudnn"]
    deterministic.fill_uninitialized_memory = before["fill"]  # type: ignore[attr-defined]
    if torch.get_float32_matmul_precision() != before["matmul"]:
        torch.set_float32_matmul_precision(before["matmul"])
    torch.set_grad_enabled(before["grad"])
    torch.set_default_dtype(before["dtype"])
    if torch.backends.mkldnn.enabled != before["mkldnn"]:
        torch.backends.mkldnn.set_flags(before["mkldnn"])
    torch.backends.cudnn.enabled = before["cudnn_enabled"]
    torch.set_anomaly_enabled(before["anomaly"])


def _random_states() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    numpy.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state_all(states["cuda"])


def _directory() -> str | None:
    """The working directory; None where it is gone."""
    with suppress(FileNotFoundError):
        return os.getcwd()
    return None


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
