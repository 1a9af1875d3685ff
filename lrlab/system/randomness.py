"""Randomness that is addressed, not consumed: every stream is a pure function of (seed, purpose, place).

So the order of the data and its augmentation do not depend on what was drawn before, and need no state in a
checkpoint. The global generators (initial weights, dropout) are the exception; their state is saved.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch


def address(*parts: object) -> int:
    """A 63-bit seed for the stream that `parts` name, such as (seed, "order", epoch).

    >>> address(0, "order", 3) == address(0, "order", 3) != address(0, "order", 4)
    True
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def generator(*parts: object) -> torch.Generator:
    """A fresh generator on the CPU for the stream that `parts` name."""
    return torch.Generator().manual_seed(address(*parts))


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (every device), numpy and Python."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)


def seed_rank(seed: int, step: int, rank: int, ranks: int) -> None:
    """Among several ranks, seed torch's global generators for update `step`; alone, leave them as they are.

    So no two ranks drop out the same units, and a checkpoint needs no rank's state but the first's.
    """
    if ranks > 1:
        torch.manual_seed(address(seed, "update", step, rank))


def seed_sample(seed: int, epoch: int, index: int) -> None:
    """Seed the global CPU generators for one sample: random transforms of a data set draw from them."""
    key = address(seed, "sample", epoch, index)
    torch.default_generator.manual_seed(key)
    random.seed(key)
    numpy.random.seed(key % 2**32)


@contextmanager
def undisturbed() -> Iterator[None]:
    """After the block, the global generators are as they were before it, whatever it draws.

    Those of the GPUs too: `torch.manual_seed`, which data sets call for each of their samples, seeds every device's.
    """
    of_torch = torch.get_rng_state()
    of_python = random.getstate()
    of_numpy = numpy.random.get_state()
    of_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    of_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        if of_mps is not None:
            torch.mps.set_rng_state(of_mps)
        if of_cuda:
            torch.cuda.set_rng_state_all(of_cuda)
        torch.set_rng_state(of_torch)
        random.setstate(of_python)
        numpy.random.set_state(of_numpy)


def get_state(device: torch.device) -> dict[str, Any]:
    """The state of the global generators, as tensors, numbers and strings only."""
    of_numpy: Any = numpy.random.get_state(legacy=False)
    of_numpy["state"]["key"] = of_numpy["state"]["key"].tolist()
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": of_numpy}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore what `get_state` returned; a generator of another kind of device than `device` is left alone."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    of_numpy = state["numpy"]
    key = numpy.array(of_numpy["state"]["key"], dtype="uint32")
    numpy.random.set_state({**of_numpy, "state": {**of_numpy["state"], "key": key}})
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
