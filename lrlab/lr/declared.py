"""What the parameters of a schedule's or scheduler's class are: lengths, levels, or neither.

lrlab's own say it in their signatures, and so may anybody's. torch's do not, so one table says it for them.
"""

import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cache
from typing import Any, Literal, get_args, get_origin

from lrlab.moved import imported
from lrlab.schedules.lengths import (
    Length,
    LengthOrZero,
    Level,
    Moment,
    Number,
    Patience,
    Spacing,
    Way,
    counts,
    parameters_of,
)


@cache
def of_torch() -> Mapping[type, Mapping[str, Any]]:
    """The annotations that torch's schedulers lack, by class and parameter. Imports torch, which a function needs not.

    With less than the least count, some raise late (StepLR), some train at a wrong LR (LinearLR stays at its first
    factor), some count from the wrong end (StepLR below 0).
    """
    from torch.optim import lr_scheduler as torchs
    from torch.optim.swa_utils import SWALR

    return {
        torchs.StepLR: {"step_size": Spacing, "gamma": Level},
        torchs.MultiStepLR: {"milestones": Sequence[Moment], "gamma": Level},
        torchs.ConstantLR: {"factor": Level, "total_iters": Way},
        torchs.LinearLR: {"start_factor": Level, "end_factor": Level, "total_iters": Way},
        torchs.ExponentialLR: {"gamma": Level},
        torchs.PolynomialLR: {"total_iters": Way, "power": Number},
        torchs.CosineAnnealingLR: {"T_max": Way, "eta_min": Level},
        torchs.CosineAnnealingWarmRestarts: {"T_0": Way, "T_mult": Number, "eta_min": Level},
        torchs.SequentialLR: {"milestones": Sequence[Moment]},
        torchs.ReduceLROnPlateau: {
            "factor": Level,
            "patience": Patience,
            "threshold": Level,
            "cooldown": LengthOrZero,
            "min_lr": Level | Sequence[Level],
            "eps": Level,
        },
        torchs.CyclicLR: {
            "base_lr": Level | Sequence[Level],
            "max_lr": Level | Sequence[Level],
            "step_size_up": Length,
            "step_size_down": Length,
            "gamma": Level,
            "base_momentum": Level,
            "max_momentum": Level,
        },
        torchs.OneCycleLR: {
            "max_lr": Level | Sequence[Level],
            "total_steps": Way,
            "epochs": Number,  # not in counts of the interval, and no more than a factor of total_steps
            "steps_per_epoch": Number,
            "pct_start": Level,
            "base_momentum": Level | Sequence[Level],
            "max_momentum": Level | Sequence[Level],
            "div_factor": Number,
            "final_div_factor": Number,
        },
        SWALR: {"swa_lr": Level, "anneal_epochs": Way},
    }


def declared(target: Any) -> Mapping[str, Any]:
    """The annotations, by parameter, in which `lrlab.schedules.lengths.marked` finds what `target` declares.

    A class that inherits the `__init__` of one of torch's has that one's parameters.
    """
    if isinstance(target, type):
        owner = next(base for base in target.__mro__ if "__init__" in vars(base))
        if owner.__module__.startswith("torch.") and owner in of_torch():
            return of_torch()[owner]
    return {name: parameter.annotation for name, parameter in parameters_of(target).items()}


def lengths_of(target: Any) -> list[str]:
    """The parameters that `target` declares as lengths."""
    return [name for name, annotation in declared(target).items() if list(counts(1, annotation))]


def declared_in(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the `_target_` of a config's node declares; nothing where it has none, or none that can be imported."""
    target = _target_of(node)
    return {} if target is None else declared(target)


class Takes(Enum):
    """What kind of value a parameter takes, as far as its annotation or its default says."""

    NUMBER = auto()
    TEXT = auto()
    ANYTHING = auto()


def taken_by(node: Mapping[str, Any]) -> Mapping[str, Takes]:
    """What the parameters of a node's `_target_` take, by name."""
    target = _target_of(node)
    if target is None:
        return {}
    lengths = lengths_of(target)
    return {
        name: Takes.NUMBER if name in lengths else _taken(parameter)
        for name, parameter in parameters_of(target).items()
    }


def _taken(parameter: inspect.Parameter) -> Takes:
    """What a parameter takes that is not declared as a length."""
    if parameter.annotation is parameter.empty:
        return Takes.TEXT if isinstance(parameter.default, str) else Takes.NUMBER  # most that say nothing are lengths
    kinds = set(_kinds(parameter.annotation))
    if kinds & {int, float}:
        return Takes.NUMBER
    return Takes.TEXT if str in kinds else Takes.ANYTHING


def _kinds(annotation: Any) -> Iterator[type]:
    """The plain types that an annotation names."""
    if get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _target_of(node: Mapping[str, Any]) -> Any:
    """What a node's `_target_` names, or is; None where it has none, or none that can be imported."""
    target = node.get("_target_")
    if not isinstance(target, str):
        return target if callable(target) else None
    if (found := imported(target)) is not None:
        return found
    try:
        return pkgutil.resolve_name(target)
    except Exception:  # the check of the node says what is wrong with it
        return None
