"""torch's compiler, which torch imports as soon as an optimizer is made: a second that planning an LR does not need."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

IMPORTED = "torch._dynamo"  # what torch imports of it whenever an optimizer is made (seen in torch 2.11 to 2.15)
_PARTS = (IMPORTED, "torch._inductor")  # where its errors are defined

# Where torch keeps the function that it calls in place of one that its compiler must leave alone: an attribute of
# that function (torch/_compile.py, seen in torch 2.11 to 2.15). Where it is missing torch imports the compiler.
_INSTEAD = "__dynamo_disable"


@contextmanager
def left_out() -> Iterator[None]:
    """In this block optimizers are made without the compiler, unless it is imported already."""
    if IMPORTED in sys.modules:
        yield
        return
    functions = _uncompiled()
    for function in functions:
        setattr(function, _INSTEAD, function)
    try:
        yield
    finally:
        for function in functions:
            delattr(function, _INSTEAD)


def raised(error: BaseException) -> bool:
    """Whether the compiler raised `error`."""
    return type(error).__module__.startswith(_PARTS)


def _uncompiled() -> list[Any]:
    """The methods of an optimizer that the compiler leaves alone, as they are written."""
    wrapped = [getattr(method, "__wrapped__", None) for method in vars(Optimizer).values()]
    return [function for function in wrapped if function is not None and not hasattr(function, _INSTEAD)]
