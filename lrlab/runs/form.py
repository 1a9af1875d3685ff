"""The form of a checkpoint's contents: which parts there are, and what each may hold.

A checkpoint may come from anybody, and whole bytes say nothing of what they mean. So every part is looked at before one
of it is used, and the first that is not what it should be is named.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lrlab.words import kind_of

Form = Any  # a check of a value, or a dict of forms by key; those that are `_optional` may be missing
_DEEPEST = 50  # of plain values in each other
_MOST = 2**63
_MOST_VALUES = 1_000_000  # far more than the state of any run has


def has_an_end(value: Any) -> bool:
    """Whether plain values, and those inside of them, are few enough to be walked through.

    A file of a few bytes may refer to one of its lists twice, and in that again, or to itself.
    """
    seen, waiting = 0, [value]
    while waiting and seen < _MOST_VALUES:
        seen += 1
        one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
    return not waiting


def first_fault(contents: Mapping[str, Any]) -> str:
    """Which part of a checkpoint is not what it should be, and what it is; empty where all are."""
    return next(_faults(contents, CHECKPOINT, ""), "")


def fault_of_state(state: Mapping[str, Any]) -> str:
    """The same of a run's state alone."""
    return next(_faults(state, CHECKPOINT["state"], "state"), "")


def _faults(value: Any, form: Form, name: str) -> Iterator[str]:
    if isinstance(form, Mapping):
        if not isinstance(value, Mapping):
            yield _told(name, value)
            return
        for key, inner in form.items():
            if key in value:
                yield from _faults(value[key], inner, f"{name}.{key}" if name else key)
            elif not getattr(inner, "optional", False):
                yield f"{name}.{key} is missing" if name else f"{key} is missing"
    elif not form(value):
        yield _told(name, value)


def _told(name: str, value: Any) -> str:
    shown = f"{value!r}" if isinstance(value, int | float | str | None) else kind_of(value)
    return f"{name} is {shown[:60]}"


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _plain(value: Any, depth: int = 0) -> bool:
    """Texts, numbers and flags, and lists and dicts of them."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and _plain(one, depth + 1) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(_plain(one, depth + 1) for one in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2 * _MOST
    return isinstance(value, bool | float | str | None)


def _mapping_of(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(isinstance(key, str) and form(one) for key, one in value.items())

    return check


def _list_of(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, list) and all(map(form, value))

    return check


def _or_none(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return value is None or form(value)

    return check


def _optional(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return form(value)

    check.optional = True  # type: ignore[attr-defined]
    return check


def _tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _dense(value: Any) -> bool:
    """Anything but a tensor of an unusual layout, which no model of lrlab's is trained with."""
    return not isinstance(value, Tensor) or value.layout == torch.strided


def _curve(value: Any) -> bool:
    """The latest points of a curve, each a step, an LR and whether it is recorded, and how many corners were kept."""
    if not isinstance(value, Mapping) or not _count(value.get("corners")) or not isinstance(value.get("recent"), list):
        return False
    return all(isinstance(point, list | tuple) and len(point) == 3 and _plain(point) for point in value["recent"])


def _group(value: Any) -> bool:
    """One of an optimizer's groups: its parameters by number, and whatever it keeps beside them."""
    return isinstance(value, Mapping) and _list_of(_count)(value.get("params")) and "lr" in value


def _measured(value: Any) -> bool:
    """What a run has reached: numbers by name, or nothing where there is none yet."""
    return _mapping_of(_or_none(_number))(value) and _count(value.get("epochs")) and "train_loss" in value


def _config(value: Any) -> bool:
    """Settings of plain values, with the epochs that the run was planned for."""
    if not _mapping_of(_plain)(value):
        return False
    trainer = value.get("trainer")
    if not isinstance(trainer, Mapping):
        return False
    epochs, steps, budget = (trainer.get(name) for name in ("epochs", "steps", "budget"))
    if budget is not None:
        return _text(budget)
    return _number(epochs) if steps is None else _count(steps) or _text(steps)


def _facts(value: Any) -> bool:
    """What a run knows of its data and its plan, each by name; of the contents of its data perhaps nothing."""
    return _mapping_of(_or_none(_any_mapping))(value) and _plain(value)


def _sums(value: Any) -> bool:
    """Running sums, by name; checkpoints of commit 25a6d11 have theirs beside the samples."""
    if not isinstance(value, Mapping) or not _count(value.get("samples")):
        return False
    inside = value.get("sums")
    return _mapping_of(_amount)(value if inside is None else inside)


def _amount(value: Any) -> bool:
    """A sum, or one of each output of a model."""
    return _number(value) or _list_of(_number)(value)


def _average(value: Any) -> bool:
    """The average of the weights: its model, or the trained one, and perhaps the weights that it is made of."""
    if not isinstance(value, Mapping) or not isinstance(value.get("latest"), list):
        return False
    models = [value[name] for name in ("model", "trained") if name in value]
    latest = [one for one in value["latest"] if isinstance(one, Mapping) and _count(one.get("step"))]
    return (
        len(models) == 1
        and _mapping_of(_dense)(models[0])
        and _number(value.get("gathered"))
        and _number(value.get("mean_step"))
        and len(latest) == len(value["latest"])
        and all(_list_of(_tensor)(one.get("weights")) for one in latest)
    )


def _pace(value: Any) -> bool:
    """How far a run with a time budget is: times, a position in its plan, and whether it is at its end."""
    if not isinstance(value, Mapping):
        return False
    times = [_list_of(_number)(value.get(name)) for name in ("updates", "endings", "closings")]
    flags = [isinstance(value.get(name), bool) for name in ("is_last", "is_over")]
    return _number(value.get("used")) and _count(value.get("position")) and all([*times, *flags])


def _stop_early(value: Any) -> bool:
    """The best value of a metric, when it was reached, and in which epoch that stopped the run, if it did."""
    if not isinstance(value, Mapping) or not _count(value.get("best_step")):
        return False
    stopped = value.get("stopped")
    is_known = isinstance(stopped, Mapping) and _count(stopped.get("epoch")) and _text(stopped.get("why"))
    due = value.get("due")
    may_be_due = due is None or (isinstance(due, Mapping) and _count(due.get("epoch")) and _text(due.get("why")))
    return _or_none(_number)(value.get("best")) and (stopped is None or is_known) and may_be_due


def _forecast(value: Any) -> bool:
    """The losses that a run under way has gathered: sums and counts by bin, validations, and marks."""
    if not isinstance(value, Mapping) or not (_count(value.get("marks")) and _count(value.get("updates"))):
        return False
    lists = [value.get(name) for name in ("bins", "val")]
    return all(isinstance(rows, list) and all(_list_of(_number)(row) for row in rows) for rows in lists)


def _any_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


CHECKPOINT: dict[str, Form] = {
    "config": _config,
    "overrides": _list_of(_text),
    "choices": _mapping_of(_text),
    "facts": _facts,
    "computed_by": _mapping_of(_text),
    "progress": _measured,
    "forecast": _optional(_forecast),
    "audit": {
        "updates": _count,
        "differing": _count,
        "first_difference": _or_none(_mapping_of(_or_none(lambda one: _text(one) or _number(one)))),
        "largest_difference": _number,
    },
    "tracker": {
        "lengths": _mapping_of(_count),
        "hashes": _optional(_mapping_of(_text)),
        "curves": _list_of(_curve),
    },
    "state": {
        "model": _mapping_of(_dense),  # a module of the user's may have a state of its own
        "optimizer": {"state": _any_mapping, "param_groups": _list_of(_group)},
        "scheduler": _any_mapping,
        "precision": _optional(_any_mapping),
        "is_training": _optional(lambda one: isinstance(one, bool)),
        "average": _optional(_average),
        "progress": {
            "epoch": _count,
            "batch": _count,
            "step": _count,
            "applied": _mapping_of(_number),
            "seconds": _number,
        },
        "sums": _sums,
        "pace": _optional(_pace),
        "stop_early": _optional(_stop_early),
        "random": {"torch": _tensor, "python": _plain, "numpy": _mapping_of(_plain)},
    },
}
