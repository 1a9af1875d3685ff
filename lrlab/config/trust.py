"""What files from strangers may make this process do: build the parts that lrlab, torch and torchvision are made of.

A checkpoint and a run's folder hold a config, and a config names what to call. What a user types is the user's own
word; what a file says is not.
"""

import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.loss import _Loss  # the base of all of torch's losses; seen in torch 2.11 to 2.15
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlab.config import secrets
from lrlab.config.compose import parse
from lrlab.config.mistakes import CONF
from lrlab.errors import wrong

_PLACES = ("torch.nn.", "torch.optim.", "torchvision.models.", "lrlab.schedules.")


def require_known_targets(config: Mapping[str, Any], typed: Iterable[str], source: Path) -> None:
    """Raise UserError where `config`, which `source` holds, names code that is neither known nor in what was `typed`.

    Nothing of it is imported or called. References, which could read the environment, are refused as well: a saved
    config has none.
    """
    given = _given(typed)
    for key, value in _leaves(config):
        if isinstance(value, str) and "${" in value:
            raise wrong(key, got=f"'{value}', in {source}", allowed="a plain value", do=f"{key}=VALUE")
    foreign = [(key, value) for key, value in _foreign(config) if (key, value) not in given]
    if foreign:
        key, value = foreign[0]
        raise wrong(
            key,
            got=f"{value}, which {source} names",
            allowed="what lrlab, torch.nn, torch.optim and torchvision.models define, and what is typed",
            do=f"{' '.join(f'{key}={value}' for key, value in foreign)}, if you know and trust what this names",
        )
    for key in secrets.masked_keys(config):
        if key not in {one[0] for one in given}:
            raise wrong(key, got="nothing", allowed="its value, which is not saved", do=f"{key}=VALUE")


def to_type(config: Mapping[str, Any]) -> list[str]:
    """What must be typed along with `resume=` a run of this config: what it names that only its user can vouch for."""
    return [f"{key}={value}" for key, value in _foreign(config)]


def _foreign(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The keys that name code which is not known, with what they name."""
    found = []
    for key, value in _leaves(config):
        if key.rpartition(".")[2] == "_target_":
            is_known = _is_torchs_loss(value) if key == "task.loss._target_" else _is_known(value)
            found += [] if is_known else [(key, value)]
    return found


def _given(typed: Iterable[str]) -> set[tuple[str, Any]]:
    """What was typed, as (key, value); of a whole node, `task.loss={_target_: ...}`, what it holds."""
    given: set[tuple[str, Any]] = set()
    for override in parse(list(typed)):
        value = override.value()
        leaves = (
            _leaves({override.key_or_group: value}) if isinstance(value, dict) else [(override.key_or_group, value)]
        )
        given |= {(key, str(one)) for key, one in leaves}
    return given


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


@lru_cache
def _ours() -> frozenset[str]:
    """What the options that come with lrlab name."""
    text = "\n".join(file.read_text() for file in CONF.rglob("*.yaml"))
    return frozenset(re.findall(r"_target_: *([\w.]+)", text))


def _is_known(target: Any) -> bool:
    """Whether it is one of lrlab's own, or a model, optimizer, scheduler or schedule where those are defined."""
    if not isinstance(target, str) or target in _ours():
        return isinstance(target, str)
    if not re.fullmatch(r"\w+(\.\w+)+", target) or not target.startswith(_PLACES):
        return False
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    if not f"{getattr(found, '__module__', '')}.".startswith(_PLACES):
        return False  # reached through a module that happens to import it
    if isinstance(found, type):
        return issubclass(found, nn.Module | Optimizer | LRScheduler)
    return callable(found) and target.startswith(("torchvision.models.", "lrlab.schedules."))


def _is_torchs_loss(target: Any) -> bool:
    """Whether it is one of the losses in torch.nn, which is all that a saved task may call besides lrlab's own."""
    if not isinstance(target, str) or not re.fullmatch(r"torch\.nn\.\w+", target):
        return False
    found = getattr(nn, target.rpartition(".")[2], None)
    return isinstance(found, type) and issubclass(found, _Loss)
