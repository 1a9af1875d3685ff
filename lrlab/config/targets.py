"""What was typed, put into a composed config: a class takes whatever its signature names, so none needs a YAML."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from lrlab.config.arguments import key_of, value_of
from lrlab.config.identity import GROUPS
from lrlab.config.mistakes import already_there, another_value, several_values, unknown_key
from lrlab.moved import current

_FREE = ("optimizer.groups", "optimizer.schedule")  # their keys are the user's
_GROUP_SCHEDULE = re.compile(r"optimizer\.groups\.[^.]+\.schedule")
# Said of one data set: unless typed, another one is split as it comes. Where nobody chose an option of `data`, the
# images of another one stay as they are, too: what suits those of the default is no choice.
_HOW_SPLIT = ("data.val", "data.split_seed")
_DEFAULT_DATA = "digits"
_OF_ITS_IMAGES = ("data.shift", "data.flip", "data.cutout", "data.resized_crop", "data.mean", "data.std")
_ABSENT = object()


def chosen(config: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """What was chosen in each group: an option of it, or the class that was typed for it."""
    options = config.hydra.runtime.choices
    named = {group: value_of(list(overrides), f"{group}._target_") for group in GROUPS}
    return {group: current(name) if name else str(options.get(group)) for group, name in named.items()}


def is_for_hydra(override: Override) -> bool:
    """Whether Hydra composes it: options of groups, its own settings, and what stands at the top of the config."""
    key = override.key_or_group
    return key.startswith("hydra") or ("." not in key and not _is_node(override))


def forced(overrides: Sequence[str]) -> list[str]:
    """`overrides` such that Hydra takes a setting that no YAML lists; `apply` then says whether the class takes it."""
    return [f"++{one}" if _is_plain_setting(one) else one for one in overrides]


def _is_plain_setting(override: str) -> bool:
    key = key_of(override)
    return override[0] not in "+~" and "." in key and not key.startswith("hydra")


def apply(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Put `overrides` into a composed `config`, in place.

    A setting that a node's `_target_` names, or that lrlab reads beside it, is added where it is missing
    (`data.flip=true`, `optimizer.groups.head.lr_scale=10`). Where `NODE._target_=...` was typed, what the new target
    does not take is deleted unless it was typed too, so that `scheduler._target_=my_pkg.MyLR` needs no YAML. A whole
    node, `NODE={_target_:...}`, replaces the one that is there. Raises UserError for a setting that does not exist.
    """
    typed = {override.key_or_group for override in overrides}
    with open_dict(config):
        for override in sorted(overrides, key=_turn):
            before = OmegaConf.select(config, override.key_or_group)
            _apply_one(config, override)
            if override.key_or_group.endswith("._target_") and not override.is_delete():
                is_another = current(str(before)) != current(str(override.value()))
                left_over = _of_one_data_set(config) if is_another else ()
                _drop_left_overs(config, override.key_or_group.removesuffix("._target_"), typed, left_over)


def _of_one_data_set(config: DictConfig) -> tuple[str, ...]:
    """The settings that another data set does not inherit from the option of `data`."""
    is_default = config.hydra.runtime.choices.get("data") == _DEFAULT_DATA
    return (*_HOW_SPLIT, *_OF_ITS_IMAGES) if is_default else _HOW_SPLIT


def _turn(override: Override) -> int:
    """Nodes come before targets, and targets before settings: they decide which settings there are."""
    if _is_node(override):
        return 0
    key = override.key_or_group
    return 1 if key.endswith("._target_") or _GROUP_SCHEDULE.fullmatch(key) else 2


def _is_node(override: Override) -> bool:
    return isinstance(override.value(), dict) and "_target_" in override.value()  # type: ignore[operator]


def _apply_one(config: DictConfig, override: Override) -> None:
    key = override.key_or_group
    if override.is_sweep_override():
        raise several_values(str(override.input_line))
    there = OmegaConf.select(config, key, default=_ABSENT)
    if override.is_delete():
        _delete(config, override, there)
        return
    _make_room_for_settings(config, key)
    value = override.value()
    if override.is_add() and there is not _ABSENT and there is not None and not isinstance(value, dict | list):
        raise already_there(key, there)
    if not override.is_add() and not override.is_force_add() and there is _ABSENT and not _may_be_added(config, key):
        raise unknown_key(config, key, str(override.input_line).partition("=")[2])
    OmegaConf.update(config, key, value, merge=not _replaces(there, value), force_add=True)


def _make_room_for_settings(config: DictConfig, key: str) -> None:
    """Where `key` is a setting of a group's schedule that is a name alone, make that a mapping with the name.

    So `optimizer.groups.head.schedule=wsd optimizer.groups.head.schedule.decay=30%` is typed as for the scheduler.
    """
    found = _GROUP_SCHEDULE.match(key)
    if found is not None and key[found.end() : found.end() + 1] == ".":
        there = OmegaConf.select(config, found[0], default=None)
        if isinstance(there, str):
            OmegaConf.update(config, found[0], {"name": there}, force_add=True)


def _replaces(there: Any, value: Any) -> bool:
    """Whether a typed value takes the place of what is there as a whole: nodes do, and so do several of them.

    Any other mapping is merged into the one that is there, as Hydra does it.
    """
    if not isinstance(value, dict) or not isinstance(there, DictConfig):
        return True
    return "_target_" in value or any(isinstance(part, dict) and "_target_" in part for part in value.values())


def _delete(config: DictConfig, override: Override, there: Any) -> None:
    key = override.key_or_group
    if there is _ABSENT:
        raise unknown_key(config, key)
    if override.value() not in (None, "", there):
        raise another_value(key, there)
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    del node[name]


def _may_be_added(config: DictConfig, key: str) -> bool:
    """Whether a setting that is missing is one that its node takes."""
    if any(key == free or key.startswith(f"{free}.") for free in _FREE):
        return True
    path, _, name = key.rpartition(".")
    node = OmegaConf.select(config, path, default=_ABSENT) if path else None
    if name == "_target_" and node is None:  # a place for a node, `task.loss` say
        return bool(path)
    return isinstance(node, DictConfig) and "_target_" in node and name in _known(path, node)


def _drop_left_overs(config: DictConfig, path: str, typed: set[str], left_over: Sequence[str]) -> None:
    """Delete the settings of the former target that the new one does not take, and those that are `left_over`."""
    node = OmegaConf.select(config, path)
    if not isinstance(node, DictConfig):
        return
    known = _known(path, node)
    for name in map(str, list(node)):
        stays = name in known and f"{path}.{name}" not in left_over
        if not stays and not name.startswith("_") and f"{path}.{name}" not in typed:
            del node[name]


def _known(path: str, node: Mapping[Any, Any]) -> set[str]:
    from lrlab.config import build  # imports torch, which a command line without classes in it does not need

    return build.known_settings(path, {"_target_": node["_target_"]})
