"""What is wrong with a setting that was typed: the nearest name beside it, or who has it."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrlab.config import other_names
from lrlab.config.catalogue import CONF
from lrlab.config.checks import refuse_moved
from lrlab.config.nodes import is_ramp
from lrlab.errors import UserError, closest, wrong
from lrlab.system import spelling

_HIDDEN = ("_target_", "_partial_", "hydra")
_MOST = 6  # options that a line names


def several_values(override: str) -> UserError:
    """A run was asked for with `key=a,b`."""
    key, _, values = override.partition("=")
    return wrong(
        key,
        got=f"several values, {values}",
        allowed="one, unless this is a sweep",
        do=f"{spelling.as_a_sweep()} to run each of them",
    )


def already_there(key: str, value: Any) -> UserError:
    """`+key=...` was typed for a setting that the config has."""
    return wrong(
        f"+{key}", got=f"a setting that is there already ({value})", allowed="+ for new ones", do=f"{key}=VALUE"
    )


def another_value(key: str, value: Any) -> UserError:
    """`~key=value` was typed, and the setting has another value."""
    return wrong(f"~{key}", got=f"another value than {value}, which it has", allowed=f"~{key}", do=f"~{key}")


def unknown_option(path: str, options: Sequence[str]) -> UserError:
    """`group=option` was typed, and the group has no such option."""
    group, _, option = path.rpartition("/")
    guess = other_names.schedule(option, options) if group == "scheduler" else closest(option, options)
    hint = f" (did you mean {guess}?)" if guess else ""
    more = ", and all of torchvision's as model=torchvision model.name=NAME" if group == "model" else ""
    otherwise = f"{group}={sorted(options)[0]}, or --config-dir FOLDER where yours lies"
    return wrong(
        group or "config",
        got=f"'{option}'{hint}",
        allowed=", ".join(sorted(options)) + more,
        do=f"{group}={guess}" if guess else otherwise,
    )


def unknown_key(config: DictConfig, key: str, typed: str | None = None) -> UserError:
    """A setting was typed that no config has: the nearest name beside it, or one of the same name elsewhere.

    `typed` is the value that was to be its.
    """
    refuse_moved(key)
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    siblings = [str(name) for name in node if name not in _HIDDEN] if isinstance(node, DictConfig) else []
    guess = _guess(config, node, parent, leaf, siblings)
    hint = f" (did you mean {guess}?)" if guess else ""
    return wrong(
        key,
        got=f"a setting that does not exist{hint}",
        allowed=", ".join(sorted(siblings)) or f"nothing under '{parent}'",
        do=_said_so(leaf, guess, typed) if guess else _who_has(parent, leaf),
    )


def _said_so(leaf: str, guess: str, typed: str | None) -> str:
    """How to say with the setting `guess` what was typed for another one."""
    written, what = other_names.value(leaf, guess.rpartition(".")[2], typed or "")
    return f"{guess}={written or 'VALUE'}{f', {what}' if what else ''}"


def _guess(config: DictConfig, node: Any, parent: str, leaf: str, siblings: Sequence[str]) -> str | None:
    """The setting that was probably meant: of this name inside of the node, or in a group, or of a similar name."""
    if exact := _inside(node, parent, leaf) or _in_groups(config, leaf):
        return exact[0]
    if other_names.is_known(leaf):
        return _known_elsewhere(config, node, parent, leaf)
    similar = closest(leaf, siblings)
    if similar is None or "." in similar or not parent:
        return similar
    return f"{parent}.{similar}"


def _known_elsewhere(config: DictConfig, node: Any, parent: str, leaf: str) -> str | None:
    """The setting that others call `leaf`, inside of the node or where a command line has such; None where none is."""
    for name in other_names.elsewhere(leaf):
        place = other_names.ON_A_COMMAND_LINE.get(name)
        found = _inside(node, parent, name) if place is None else [place]
        if len(found) == 1:
            return found[0]
    factor = OmegaConf.select(config, "scheduler.lr_lambda")
    if other_names.is_warmup(leaf) and isinstance(factor, DictConfig) and is_ramp(factor):
        return "scheduler.lr_lambda.steps"
    return None


def _inside(node: Any, parent: str, name: str) -> list[str]:
    """The settings of this name inside of the node, which have a value and are no nodes themselves."""
    if not parent or not isinstance(node, DictConfig):
        return []
    found = [path for path in _values(OmegaConf.to_container(node, resolve=False)) if path.rpartition(".")[2] == name]
    return [f"{parent}.{path}" for path in found]


def _in_groups(config: DictConfig, name: str) -> list[str]:
    """The settings of this name at the top of a group."""
    if name.startswith("_"):  # Hydra's own are no settings
        return []
    groups = [str(group) for group in config if group != "hydra"]
    return [f"{one}.{name}" for one in groups if isinstance(config[one], DictConfig) and name in config[one]]


def _values(node: Any) -> list[str]:
    """The dotted paths of every value inside a plain node."""
    found = []
    for name, value in node.items():
        found += [f"{name}.{inner}" for inner in _values(value)] if isinstance(value, dict) else [str(name)]
    return found


def _has(group: str, option: str, path: str) -> bool:
    """Whether an option of a group has the setting at this path inside of it."""
    node: Any = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))
    for part in path.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def _who_has(group: str, name: str) -> str:
    """Which options of `group` have the setting `name`."""
    group, _, inside = group.partition(".")
    if other_names.is_warmup(name):
        return "choose scheduler=warmup_cosine, or another warmup_*, whose warm-up is scheduler.lr_lambda.steps"
    path = f"{inside}.{name}" if inside else name
    known = [file.stem for file in sorted((CONF / group).glob("*.yaml"))]
    options = [option for option in known if _has(group, option, path)]
    if options:
        others = f" or one of {len(options) - _MOST} others" if len(options) > _MOST else ""
        return f"choose {group}={' or '.join(options[:_MOST])}{others}, which has it"
    return f"{spelling.command('train')} --help shows all settings"
