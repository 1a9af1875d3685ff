"""What a user can do about an error that torch raised."""

from collections.abc import Callable

import torch

from lrlab.errors import UserError, first_line, wrong
from lrlab.system import compiler, distributed, peers
from lrlab.training.precision import StepFailed


def explain(error: BaseException, *, in_rows: bool = False) -> UserError | None:
    """The error that tells the user what to do about one that torch raised; None where that is not known.

    It came in a step of several runs where `in_rows` is true.
    """
    if isinstance(error, StepFailed) and error.__cause__ is not None:  # perhaps not the optimizer's doing
        return explain(error.__cause__, in_rows=in_rows)
    if lost := peers.lost_with(error):
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
    return _cannot_compile(error, in_rows) if compiler.raised(error) else None


def _cannot_compile(error: BaseException, in_rows: bool) -> UserError:
    compilers = "a C++ compiler (CPU) or Triton (GPU)"
    if in_rows:
        return wrong(
            "trainer.stacked",
            got=f"compiled, for what torch.compile cannot compile here ({first_line(error)})",
            allowed=f"eager; or {compilers}",
            do="trainer.stacked=eager, with other last bits",
        )
    return wrong(
        "trainer.compile",
        got=f"true, for what torch.compile cannot compile here ({first_line(error)})",
        allowed=f"false; or {compilers}, and a model that it takes",
        do="trainer.compile=false",
    )


def _no_memory(error: BaseException) -> UserError:
    return wrong(
        "data.batch_size",
        got=f"a batch for which the device has no memory ({first_line(error)[:200]})",
        allowed="what the device holds beside the model",
        do="trainer.accumulate=2 (the same batch in two parts), trainer.precision=bf16, or a smaller data.batch_size",
    )


def _lost_reader(error: BaseException) -> UserError:
    """The error about a process that reads images and was killed, or is stuck."""
    said = first_line(error)
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


# The kind of an error, a text that its message contains, and what explains it.
_KNOWN: tuple[tuple[type[BaseException], str, Callable[[BaseException], UserError]], ...] = (
    (torch.OutOfMemoryError, "", _no_memory),
    (RuntimeError, "DataLoader ", _lost_reader),
    (RuntimeError, "deterministic", _no_deterministic_way),
)
