"""A node that describes a scheduler: from its settings to the object, with every mistake under the node's key."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lrlab.config import checks, own_targets
from lrlab.config.build import make
from lrlab.config.checks import Node
from lrlab.config.identity import flatten
from lrlab.errors import UserError, wrong
from lrlab.lr.hyperparameters import Scheduler

_LAMBDA = "torch.optim.lr_scheduler.LambdaLR"


def maker(resolved: Node, key: str) -> Callable[[torch.optim.Optimizer], Scheduler]:
    """What makes the scheduler of a node, whose durations are counts, for an optimizer; the node is checked now.

    Raises UserError for the first mistake in it, and so does the function that is returned.
    """
    taken = checks.check_target(resolved, key, given=(checks.taker(resolved, key, "optimizer"),))

    def build(optimizer: torch.optim.Optimizer) -> Scheduler:
        # Made anew for each scheduler: an object of the user's may count its calls.
        factory = make(resolved | {"_partial_": True}, key)
        make_it = checks.handing(factory, taken, "optimizer", optimizer)
        scheduler = checks.call(key, resolved["_target_"], make_it)
        _require_protocol(scheduler, resolved["_target_"], key)
        return scheduler

    return build


def _require_protocol(scheduler: Any, target: str, key: str) -> None:
    for name in ("step", "get_last_lr", "state_dict", "load_state_dict"):
        if not hasattr(scheduler, name):
            raise wrong(
                f"{key}._target_",
                got=f"{target}, whose object has no {name}()",
                allowed="a class with step(), get_last_lr(), state_dict() and load_state_dict()",
                do="derive it from torch.optim.lr_scheduler.LRScheduler",
            )


def is_pure(resolved: Node) -> bool:
    """Whether a scheduler's node is torch's LambdaLR with a function of `lrlab.schedules`, and with none of the user's.

    Such a function is the same whoever calls it, and however often.
    """
    is_lambda = resolved["_target_"] == _LAMBDA and isinstance(resolved.get("lr_lambda"), dict)
    return is_lambda and own_targets.is_own(resolved) and all(map(_is_of_schedules, _functions(resolved["lr_lambda"])))


def _functions(node: Any) -> Iterator[str]:
    """The targets inside of a schedule's node, its own among them."""
    parts: Any = node if isinstance(node, list) else ()
    if isinstance(node, dict):
        parts = node.values()
        yield str(node.get("_target_", "lrlab.schedules."))
    for part in parts:
        yield from _functions(part)


def _is_of_schedules(target: str) -> bool:
    return target.startswith("lrlab.schedules.")


def as_partials(node: Any) -> Any:
    """`node` with `_partial_` set in every schedule of lrlab's inside of it: they are functions to be called later."""
    if isinstance(node, list):
        return [as_partials(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {name: as_partials(part) for name, part in node.items()}
    if str(node.get("_target_", "")).startswith("lrlab.schedules."):
        parts["_partial_"] = True
    return parts


@contextmanager
def naming_settings(node: Node, key: str = "scheduler", typed: Node | None = None) -> Iterator[None]:
    """In this block an error about an argument of a schedule inside of `node` names the setting, by its whole path.

    A schedule knows its arguments, and not where a config has them. One of a name that the node has twice stays as it
    is. Where `typed`, the node with its durations as they were written, says it in other words (`50%`), these come
    first.
    """
    try:
        yield
    except UserError as error:
        places = _places(node, key)
        about = (error.key or "").removeprefix(f"{key}: ")
        if about not in places or error.do is None:
            raise
        do = re.sub(r"\b(\w+)=", lambda match: f"{places.get(match[1], match[1])}=", error.do)
        got = _as_typed(places[about].removeprefix(f"{key}."), typed or {}, str(error.got))
        raise wrong(places[about], got=got, allowed=str(error.allowed), do=do) from error


def _as_typed(path: str, typed: Node, counted: str) -> str:
    """What was got in the words of the config, and in counts of the interval where these are others.

    >>> _as_typed("lr_lambda.decay", {"lr_lambda": {"decay": "150%"}}, "630, in a stretch of 399")
    '150%, which is 630, in a stretch of 399'
    """
    value = flatten(typed).get(path)
    return f"{value}, which is {counted}" if isinstance(value, str) and not counted.startswith(value) else counted


def _places(node: Node, key: str) -> dict[str, str]:
    """The paths of the settings inside of a node by their names, of those names that occur once."""
    paths = [f"{key}.{path}" for path in flatten(node)]
    names = [path.rpartition(".")[2] for path in paths]
    counts = Counter(names)
    return {name: path for name, path in zip(names, paths, strict=True) if counts[name] == 1}
