"""Nodes whose classes are torch's optimizers and schedulers or lrlab's own, made without Hydra.

Hydra copies a node twice and asks of each target whether it may be called: a millisecond a node, of which the runs of a
sweep have thousands. What it makes of these nodes is what is made here; a test holds the two against each other.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name
from types import FunctionType
from typing import Any

from lrlab.moved import imported

_PLACES = ("lrlab.", "torch.optim.")
_RESERVED = ("_args_", "_convert_", "_recursive_")  # of Hydra's, for which it is asked


def is_own(node: Any) -> bool:
    """Whether `make` makes of a node what Hydra makes of it: plain values, and no target but torch's and lrlab's."""
    return isinstance(node, dict) and "_target_" in node and all(map(_is_plain, _parts(node)))


def make(node: Any) -> Any:
    """What the `_target_` of a node returns, called with what the node's other values are made into."""
    if isinstance(node, list):
        return [make(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {name: make(part) for name, part in node.items() if name not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return made
    function = _found(node["_target_"])
    return partial(function, **made) if node.get("_partial_") else function(**made)


def _parts(node: Any) -> Iterator[Any]:
    """The node and all that is in it."""
    yield node
    inside: Any = ()
    if isinstance(node, dict):
        inside = node.values()
    elif isinstance(node, list):
        inside = node
    for part in inside:
        yield from _parts(part)


def _is_plain(part: Any) -> bool:
    if type(part) is str:
        return "${" not in part and part != "???"  # which Hydra fills in, or finds missing
    if type(part) is dict:
        return _is_plain_mapping(part)
    return part is None or type(part) in (bool, int, float, list)


def _is_plain_mapping(part: Mapping[Any, Any]) -> bool:
    if not all(type(name) is str for name in part) or any(name in part for name in _RESERVED):
        return False
    if "_target_" not in part:
        return "_partial_" not in part
    target = part["_target_"]
    return isinstance(part.get("_partial_", False), bool) and isinstance(target, str) and _found(target) is not None


def _found(target: str) -> Any:
    """The class or function of that name where it is one of torch's optimizers and schedulers, or lrlab's; else None.

    What another module has only imported, as `lrlab.system.disk.os.system`, is not its own.
    """
    found = imported(target)
    if found is None and target.startswith(_PLACES):
        with suppress(Exception):  # which Hydra says in its words
            found = resolve_name(target)
    is_theirs = isinstance(found, type | FunctionType) and f"{found.__module__}.".startswith(_PLACES)
    return found if is_theirs else None
