"""Which parameters are lengths of training and which are levels: declared in the annotation of the parameter itself.

    def step(t: float, *, total: Way, step_size: Spacing, gamma: Level = 0.1) -> float: ...

A config writes a length as a duration (`25%`, `5ep`), which becomes a count of the scheduler's interval; a level stays
the number that it is. A schedule of anybody's may use these annotations too. A parameter without one is neither.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType, MethodType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

NEVER_ENDS = "a way that never ends"
NEVER_COMES = "a moment that never comes"
NEVER_RUNS_OUT = "a patience that never runs out"


@dataclass(frozen=True)
class Counts:
    """Marks a length, in counts of the interval."""

    least: int | None = 1  # None: any count
    beyond: str | None = None  # what one means that the run is too short for: NEVER_... above, or None for nothing
    end: str = "the floor"  # where a way leads to
    more: int = 0  # counts that go by before a patience can begin to run out, and after it until the LR is another one
    clock: str | None = None  # the interval that it counts, where that is not the scheduler's: "epoch"


@dataclass(frozen=True)
class Plain:
    """Marks a number that is no length: a level, a factor, an exponent."""


Mark = Counts | Plain
LENGTH, LENGTH_OR_ZERO = Counts(), Counts(least=0)
MOMENT = Counts(least=0, beyond=NEVER_COMES)
EPOCHS_OR_ZERO = Counts(least=0, clock="epoch")
EPOCHS_OF_PATIENCE = Counts(least=0, beyond=NEVER_RUNS_OUT, more=2, clock="epoch")  # the first epoch is the best yet
NUMBER = Plain()

Length = Annotated[float, LENGTH]
LengthOrZero = Annotated[float, LENGTH_OR_ZERO]
Way = Annotated[float, Counts(beyond=NEVER_ENDS)]  # all of a fall, a cycle, a run
Moment = Annotated[float, MOMENT]  # after the start of the run
Spacing = Annotated[float, Counts(beyond=NEVER_COMES)]  # from one moment to the next
Patience = Annotated[float, Counts(least=0, beyond=NEVER_RUNS_OUT, more=2)]  # of torch's ReduceLROnPlateau
Place = Annotated[float, Counts(least=None)]  # a moment that may lie outside of the run
Knot = Annotated[float, Counts(least=None, beyond=NEVER_ENDS, end="the last knot")]
Level = Annotated[float, NUMBER]  # a share of the base LR, or a factor of it
Number = Annotated[float, NUMBER]  # any other that is no length: an exponent, how many cycles


def parameters_of(target: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class or function; none where it does not tell, as some written in C.

    Annotations that are texts, as all are after `from __future__ import annotations`, become what they say.
    """
    if isinstance(target, MethodType) and isinstance(target.__func__, FunctionType):
        parameters = _of_what_stays(target.__func__)
        first = next(iter(parameters.values()), None)  # which is the object, unless it is among `*args`
        if first is not None and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
            return {name: one for name, one in parameters.items() if one is not first}
    return dict(_of_what_stays(target) if isinstance(target, type | FunctionType) else _parameters(target))


@lru_cache(maxsize=1000)
def _of_what_stays(target: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class or a function; a method would keep its object alive."""
    return _parameters(target)


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return {}
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return {
        name: parameter.replace(annotation=_said_by(parameter.annotation, names))
        for name, parameter in parameters.items()
    }


def _said_by(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names)
    except Exception:  # it may name what is imported for type checkers only
        return annotation


def marked(value: Any, annotation: Any, mark: Mark | None = None) -> Iterator[tuple[Any, Mark]]:
    """Every part of `value` that `annotation` declares, with its mark; what it does not declare is left out.

    `mark` is what is known of `value` already. A single value where a list belongs counts as a list of one.

    >>> knots = list[tuple[Length, Level]]
    >>> [(part, type(mark).__name__) for part, mark in marked([["50%", 0.1]], knots)]
    [('50%', 'Counts'), (0.1, 'Plain')]
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        own = next((one for one in arguments[1:] if isinstance(one, Mark)), mark)
        yield from marked(value, arguments[0], own)
    elif origin in (Union, UnionType):
        readings = (list(marked(value, one, mark)) for one in arguments if one is not type(None))
        yield from next(filter(None, readings), [])
    elif origin is tuple and Ellipsis not in arguments:
        if isinstance(value, list | tuple) and len(value) == len(arguments):
            for part, one in zip(value, arguments, strict=True):
                yield from marked(part, one, mark)
    elif arguments and isinstance(origin, type):
        yield from _marked_each(value, arguments[0], mark)
    elif isinstance(value, list | tuple):
        yield from _marked_each(value, annotation, mark)
    elif mark is not None:
        yield value, mark


def counts(value: Any, annotation: Any) -> Iterator[tuple[int, Counts]]:
    """The lengths in a `value` whose durations are counts, each with its mark."""
    for part, mark in marked(value, annotation):
        if isinstance(mark, Counts) and isinstance(part, int) and not isinstance(part, bool):
            yield part, mark


def clock_of(annotation: Any, interval: str) -> str:
    """The interval that a parameter's lengths count: the scheduler's, unless its annotation says another.

    >>> clock_of(Length, "step"), clock_of(Annotated[int, EPOCHS_OF_PATIENCE], "step")
    ('step', 'epoch')
    """
    for part in get_args(annotation):
        if isinstance(part, Counts) and part.clock is not None:
            return part.clock
    return interval


def _marked_each(value: Any, annotation: Any, mark: Mark | None) -> Iterator[tuple[Any, Mark]]:
    parts = value if isinstance(value, list | tuple) else [value]
    for part in parts:
        yield from marked(part, annotation, mark)
