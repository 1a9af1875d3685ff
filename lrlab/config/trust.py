"""What the config of a checkpoint may make this process do, when nobody knows whose checkpoint it is.

A config names what to call, and where to read and write. What a user types is the user's own word; what a file says is
not. So a file may name what `lrlab.config.allowed` lists, and reach for what lrlab's own options reach for. All else
has to be typed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from lrlab.config import secrets
from lrlab.config.allowed import REACHING, is_allowed
from lrlab.config.arguments import as_override
from lrlab.config.catalogue import CONF
from lrlab.config.compose import parse
from lrlab.errors import wrong
from lrlab.system import spelling

_HOW_IT_IS_CALLED = ("_partial_", "_recursive_", "_convert_")  # Hydra's
_PARTIAL = ("optimizer", "scheduler")  # groups whose options are called later
CACHE_DIR = "~/.cache/lrlab"
_LISTED = "the classes of lrlab, torch and torchvision that are listed for this place, and what is typed"


@dataclass(frozen=True)
class Doubtful:
    """A setting that a file does not decide, and what may stand there unless it is typed."""

    key: str
    value: Any
    allowed: str


def on_this_machine(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A saved config without the place of its caches: where to keep is the business of the machine that goes on."""
    data = saved.get("data")
    if not isinstance(data, Mapping) or "cache_dir" not in data:
        return dict(saved)
    return {**saved, "data": {**data, "cache_dir": CACHE_DIR}}


def require_trusted(config: Mapping[str, Any], typed: Iterable[str], source: Path) -> None:
    """Raise UserError where `config`, which `source` holds, asks for more than a file may, and it was not `typed`.

    Nothing of it is imported or called. References, which could read the environment, are refused as well: a saved
    config has none.
    """
    for key, value in _leaves(config):
        if isinstance(value, str) and "${" in value:
            raise wrong(key, got=f"'{value}', in {source}", allowed="a plain value", do=f"{key}=VALUE")

    given = _given(typed)
    doubtful = [one for one in _doubtful(config) if not _is_given(one, given)]
    if doubtful:
        first = doubtful[0]
        type_again = spelling.typed(as_override(one.key, one.value) for one in doubtful)
        raise wrong(
            first.key,
            got=f"{first.value}, which {source} names",
            allowed=first.allowed,
            do=f"{type_again}, if you know and trust what this names",
        )

    for key in secrets.masked_keys(config):
        if key not in given:
            raise wrong(key, got="nothing", allowed="its value, which is not saved", do=f"{key}=VALUE")


def to_type(config: Mapping[str, Any]) -> list[str]:
    """What must be typed along with `resume=` a run of this config: what only its user can vouch for."""
    return [as_override(one.key, one.value) for one in _doubtful(config)]


def _doubtful(config: Mapping[str, Any]) -> Iterator[Doubtful]:
    """The settings of a config that a file does not decide."""
    for key, value in _leaves(config):
        parts = key.split(".")
        if parts[-1] == "_target_" and not is_allowed(key, value):
            yield Doubtful(
                key,
                value,
                "the classes of lrlab, torch and torchvision that are listed for this place, and what is typed",
            )
        elif set(parts) & set(REACHING) and not _is_harmless(config, key, value):
            yield Doubtful(key, value, "what lrlab's own options say, and what is typed")
        elif key == "replay" and value is not None:
            yield Doubtful(key, value, "null, and what is typed")
        elif "_args_" in parts:
            yield Doubtful(key, value, "settings by name, and what is typed")
        elif parts[-1] in _HOW_IT_IS_CALLED and not (parts[-1] == "_partial_" and parts[0] in _PARTIAL):
            yield Doubtful(key, value, "nodes that are called as lrlab's own options are, and what is typed")


def _is_harmless(config: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a setting reaches for nothing, or for what an option of lrlab's with the same target reaches for."""
    if value is None or value is False:
        return True
    group, _, name = key.partition(".")
    node = config[group]
    target = node.get("_target_") if isinstance(node, Mapping) else None
    return any(option.get("_target_") == target and option.get(name) == value for option in _options(group))


@lru_cache
def _options(group: str) -> list[dict[str, Any]]:
    """The options that lrlab comes with for a group of the config."""
    files = sorted((CONF / group).glob("*.yaml"))
    return [cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file))) for file in files]


def _given(typed: Iterable[str]) -> dict[str, Any]:
    """The values that were typed, by key; of a whole node, `task.loss={_target_: ...}`, those that it holds."""
    given: dict[str, Any] = {}
    for override in parse(list(typed)):
        given[override.key_or_group] = override.value()
        given |= _leaves({override.key_or_group: override.value()})
    return given


def _is_given(one: Doubtful, given: Mapping[str, Any]) -> bool:
    """Whether a setting was typed, or comes with an option that was: `data=mine`."""
    return one.key in given or isinstance(given.get(one.key.partition(".")[0]), str)


def _leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its dotted key; a `_target_` in any case."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(config, Mapping):
        pairs = config.items()
    elif isinstance(config, list | tuple):
        pairs = enumerate(config)
    for key, value in pairs:
        if isinstance(value, Mapping | list | tuple) and key != "_target_":
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
