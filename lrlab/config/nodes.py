"""The settings of a schedule by the names of arguments, wherever its YAML has them, and the function that they make."""

import pkgutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lrlab.config import other_names
from lrlab.schedules.law import wrong_argument

ASIDE = ("_target_", "_partial_")
_RAMP = "lrlab.schedules.warmup"  # whose `steps` are called a warm-up elsewhere


def with_settings(
    name: str, node: Mapping[str, Any], settings: Mapping[str, Any], *, beside: Sequence[str] = ()
) -> dict[str, Any]:
    """`node` with `settings` in their places: at the top, or further inside where their names occur once.

    `beside` are names that are no settings of a node, and that somebody may have meant.
    """
    changed = dict(node)
    for setting, value in settings.items():
        path = _place(name, changed, setting, value, beside)
        _put(changed, path, value)
    return changed


def _place(name: str, node: Mapping[str, Any], setting: str, value: Any, beside: Sequence[str]) -> list[str]:
    paths = _paths(node)
    if setting in ("warmup", "warmup_steps") and not any(path[-1] == setting for path in paths):
        setting = "steps" if is_ramp(node) else setting
    found = [path for path in paths if path[-1] == setting]
    outermost = [path for path in found if len(path) == min(map(len, found))]
    if len(outermost) == 1:
        return outermost[0]
    there = sorted({path[-1] for path in paths})
    if not found:
        is_warmup = setting in other_names.WARMUPS and is_ramp(node)
        guess = "steps" if is_warmup else other_names.setting(setting, [*there, *beside])
        hint = f" (did you mean {guess}?)" if guess else ""
        written = repr(value) if isinstance(value, int | float | str) else "..."
        if duration := other_names.as_duration(setting, str(value)):
            written = f'"{duration}"'
        do = f"{guess}={written}" if guess else f"leave {setting} out"
        raise wrong_argument(
            setting, got=f"an argument that {name} does not have{hint}", allowed=", ".join(there), do=do
        )
    parents = [path[-2] for path in found]
    do = f'{parents[0]}={{"{setting}": ...}}'
    got = f"an argument that {name} has {len(found)} times, in {', '.join(parents)}"
    raise wrong_argument(setting, got=got, allowed="one of them", do=do)


def is_ramp(node: Mapping[str, Any]) -> bool:
    """Whether a node is a warm-up, and something after it."""
    return str(node.get("_target_")) == _RAMP


def _paths(node: Mapping[str, Any], before: Sequence[str] = ()) -> list[list[str]]:
    """The way to every setting in a node, those that hold others among them."""
    found = []
    for key, value in node.items():
        if key in ASIDE:
            continue
        found.append([*before, key])
        if isinstance(value, dict):
            found += _paths(value, [*before, key])
    return found


def _put(node: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set what lies at `path`; a dict is put into the one that is there, setting by setting."""
    *before, last = path
    for key in before:
        node[key] = dict(node[key])
        node = node[key]
    old = node.get(last)
    if isinstance(value, dict) and isinstance(old, dict) and "_target_" not in value:
        inside = dict(old)
        for name, part in value.items():
            _put(inside, [name], part)
        node[last] = inside
    else:
        node[last] = list(value) if isinstance(value, tuple) else value


def built(node: Any) -> Any:
    """A resolved node as the function that it describes, with those inside of it."""
    if isinstance(node, list):
        return [built(part) for part in node]
    if not isinstance(node, dict):
        return node
    arguments = {key: built(value) for key, value in node.items() if key not in ASIDE}
    if "_target_" not in node:
        return arguments
    target = node["_target_"]
    function = pkgutil.resolve_name(target) if isinstance(target, str) else target
    return partial(function, **arguments)
