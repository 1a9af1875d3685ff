"""What was typed, fitted to the classes and functions that it names, so that none of them needs a YAML."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from lrlab.config import compose
from lrlab.config.arguments import key_of, value_of

GROUPS = ("data", "model", "optimizer", "scheduler")
_FREE = ("optimizer.groups", "optimizer.schedule")  # their keys are the user's


def chosen(config: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """What was chosen in each group: an option of it, or the class that was typed for it."""
    options = config.hydra.runtime.choices
    return {group: value_of(list(overrides), f"{group}._target_") or str(options.get(group)) for group in GROUPS}


def fit_to_targets(overrides: list[str]) -> list[str]:
    """`overrides`, such that what a class takes can be typed although its YAML does not list it, or there is none.

    A setting that a node's `_target_` names, or that lrlab reads beside it, is added where it is missing
    (`data.flip=true`, `optimizer.groups.head.lr_scale=10`). Where `NODE._target_=...` was typed, what only the former
    target takes is deleted unless it was typed too, so that `scheduler._target_=my_pkg.MyLR` needs no YAML. A whole
    node, `NODE={_target_:...}`, replaces the one that is there.
    """
    single = compose.without_sweeps(overrides)
    swept = {key_of(override) for override in overrides} - {key_of(override) for override in single}
    typed = {key_of(override): override for override in overrides if override[0] not in "+~"}
    keys = [key for key in typed if "." in key and key.partition(".")[0] in {*GROUPS, "task"} - swept]
    added = {key for key in typed if key in _FREE or key.startswith(tuple(f"{free}." for free in _FREE))}
    replaced, left_over = set(), []
    if keys:
        base = [o for o in single if "." not in key_of(o) or "_target_" in key_of(o) or o.startswith("hydra")]
        config = compose.resolve(compose.compose([override for override in base if not override.startswith("~")]))
        replaced = {key for key in keys if _is_node(typed[key]) and "_target_" in (_at(config, key) or {})}
        added |= {key for key in keys if key not in replaced and _is_missing(config, key)}
        left_over = [f"~{key}" for key in _left_over(config, keys) if key not in typed]
    fitted = []
    for override in overrides:
        key = key_of(override)
        if typed.get(key) == override and key in replaced:
            fitted += [f"~{key}", f"+{override}"]
        else:
            fitted.append(f"++{override}" if typed.get(key) == override and key in added else override)
    return fitted + left_over


def _is_node(override: str) -> bool:
    value = override.partition("=")[2]
    return value.startswith("{") and "_target_" in value


def _at(config: Mapping[str, Any], path: str) -> Any:
    """What is at a dotted path of a config, None where it has no such place."""
    place: Any = config
    for name in path.split("."):
        place = place.get(name) if isinstance(place, Mapping) else None
    return place


def _is_missing(config: Mapping[str, Any], key: str) -> bool:
    """Whether the config lacks a setting that its node takes."""
    path, _, name = key.rpartition(".")
    node = _at(config, path)
    return isinstance(node, Mapping) and "_target_" in node and name not in node and name in _known(path, node)


def _left_over(config: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """The settings that a node whose `_target_` was typed has and no longer takes.

    Those that are null stay: Hydra 1.3 says of them that they do not exist, and so cannot be deleted.
    """
    found = []
    for path in (key.removesuffix("._target_") for key in keys if key.endswith("._target_")):
        node = _at(config, path)
        if isinstance(node, Mapping):
            known = _known(path, node)
            settings = [name for name, value in node.items() if value is not None and not name.startswith("_")]
            found += [f"{path}.{name}" for name in settings if name not in known]
    return found


def _known(path: str, node: Mapping[str, Any]) -> set[str]:
    from lrlab.config import build

    return build.known_settings(path, dict(node))
