"""The settings of a schedule by the names of arguments, wherever its YAML has them, and the function that they make."""

import pkgutil
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lrlab.config import other_names
from lrlab.schedules.law import wrong_argument

ASIDE = ("_target_", "_partial_")


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
    paths = _paths(node, plain=isinstance(value, int | float | str))
    if setting in ("warmup", "warmup_steps") and not any(path[-1] == setting for path in paths):
        setting = "steps" if _begins_with_a_ramp(node) else setting
    found = [path for path in paths if path[-1] == setting]
    outermost = [path for path in found if len(path) == min(map(len, found))]
    if len(outermost) == 1:
        return outermost[0]
    there = sorted({path[-1] for path in paths})
    if not found:
        is_warmup = other_names.is_warmup(setting) and _begins_with_a_ramp(node)
        guess = "steps" if is_warmup else other_names.setting(setting, [*_told_apart(paths), *beside])
        hint = f" (did you mean {guess}?)" if guess else ""
        got, do = f"an argument that {name} does not have{hint}", f"leave {setting} out"
        if guess:
            do = _said_so(setting, guess, value)
        elif other_names.is_warmup(setting):
            do += ", or take a schedule that warms up, such as warmup_cosine"
        raise wrong_argument(setting, got=got, allowed=", ".join(there), do=do)
    parents = [path[-2] for path in found]
    do = f'{parents[0]}={{"{setting}": ...}}'
    got = f"an argument that {name} has {len(found)} times, in {', '.join(parents)}"
    raise wrong_argument(setting, got=got, allowed="one of them", do=do)


def _said_so(setting: str, guess: str, value: Any) -> str:
    """How to say with the setting `guess` what was said with another one."""
    if not isinstance(value, int | float | str):
        return f"{guess}=..."
    written, what = other_names.value(setting, guess, str(value))
    if written is None:
        return f"{guess}=..., {what}"
    return f"{guess}={value!r}" if written == str(value) else f'{guess}="{written}"'


def is_ramp(node: Mapping[str, Any]) -> bool:
    """Whether a node is a warm-up, and something after it."""
    return str(node.get("_target_")) == other_names.RAMP


def _begins_with_a_ramp(node: Mapping[str, Any]) -> bool:
    """Whether a schedule's node is such, or that of a scheduler which multiplies the LR by one."""
    factor = node.get("lr_lambda")
    return is_ramp(node) or (isinstance(factor, Mapping) and is_ramp(factor))


def _paths(node: Mapping[str, Any], before: Sequence[str] = (), *, plain: bool = False) -> list[list[str]]:
    """The way to every setting in a node, those that hold others among them, unless only `plain` ones are asked for."""
    found = []
    for key, value in node.items():
        if key in ASIDE:
            continue
        if not (plain and isinstance(value, dict)):
            found.append([*before, key])
        if isinstance(value, dict):
            found += _paths(value, [*before, key], plain=plain)
    return found


def _told_apart(paths: Sequence[Sequence[str]]) -> list[str]:
    """The last names of these paths, of which only one is outermost."""
    names = sorted({path[-1] for path in paths})
    lengths = {name: [len(path) for path in paths if path[-1] == name] for name in names}
    return [name for name in names if lengths[name].count(min(lengths[name])) == 1]


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
