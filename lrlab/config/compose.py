"""From what the user typed to a composed config; every mistake in it becomes one line that says what to do.

Imports no torch, so that `--help` answers at once.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lrlab.config.hydra_inside import split_arguments
from lrlab.config.names import run_name, sweep_name
from lrlab.errors import UserError, closest, wrong
from lrlab.system import spelling

_PACKAGE = Path(__file__).parents[1]
_INSIDE = _PACKAGE / "conf"  # in a wheel; a checkout has it beside the package
CONF = _INSIDE if _INSIDE.is_dir() else _PACKAGE.parent / "conf"
NAME = "config"
VERSION_BASE = "1.3"

_ABSENT = object()

sys.path.append(str(_PACKAGE / "plugins"))  # where Hydra looks for the package `hydra_plugins`

OmegaConf.register_new_resolver("lrlab.run_name", run_name, replace=True)
OmegaConf.register_new_resolver("lrlab.sweep_name", sweep_name, replace=True)
OmegaConf.register_new_resolver("lrlab.command", spelling.command, replace=True)


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config of one run, with its `hydra` node. Raises UserError for whatever Hydra cannot compose."""
    try:
        return _compose(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error


def plain(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, without the `hydra` node and with every `${...}` as it is written."""
    keys = [str(key) for key in config if key != "hydra"]
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=False))


def everything(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, with its `hydra` node and with every `${...}` as it is written."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))


def resolve(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, without the `hydra` node and with every `${...}` filled in."""
    keys = [str(key) for key in config if key != "hydra"]
    try:
        return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True))
    except OmegaConfBaseException as error:
        raise wrong(
            error.full_key or "config",
            got=f"a reference that leads nowhere ({_first_line(error)})",
            allowed="${key} of a setting that exists, or ${oc.env:NAME} of a variable that is set",
            do="set it to a plain value",
        ) from error


def change(saved: Mapping[str, Any], overrides: Sequence[str]) -> DictConfig:
    """The resolved config `saved` of an earlier run with `overrides` on top: options of groups, or settings it has."""
    config = OmegaConf.create(dict(saved))
    for override in parse(overrides):
        key = override.key_or_group
        if key in config and isinstance(config[key], DictConfig) and isinstance(override.value(), str):
            OmegaConf.update(config, key, resolve(compose([str(override.input_line)]))[key], merge=False)
        elif override.is_delete() or OmegaConf.select(config, key, default=_ABSENT) is _ABSENT:
            siblings = list(OmegaConf.select(config, key.rpartition(".")[0]) or {})
            raise wrong(key, got="a setting that the run does not have", allowed=", ".join(siblings), do="leave it out")
        else:
            OmegaConf.update(config, key, override.value(), merge=False)
    return config


def explain(error: Exception, overrides: Sequence[str]) -> UserError:
    """The one line for an error that Hydra raised while it composed `overrides`."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_option(error.missing_cfg_file or "", error.options)
    if isinstance(error, OverrideParseException):
        return wrong(
            "command line",
            got=f"'{error.override}'",
            allowed="key=value, with quotes around a value that has spaces or any of = , [ ] { }",
            do="\"key='value'\"" if "=" in str(error.override) else "write it with =, as in scheduler=cosine",
        )
    several = re.match(r"Ambiguous value for argument '([^']*)'", str(error))
    if several:
        key, _, values = several[1].partition("=")
        return wrong(
            key,
            got=f"several values, {values}",
            allowed="one, unless this is a sweep",
            do=f"{spelling.as_a_sweep()} to run each of them",
        )
    unknown = re.match(r"Could not (?:override|append to|delete from)[^']*'([^']+)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        return _unknown_key(unknown[1], overrides)
    return wrong(
        "config",
        got=_first_line(error),
        allowed="a config that Hydra can compose",
        do=f"see {spelling.command('train')} --help, and https://hydra.cc for the syntax of overrides",
    )


def with_recipe(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep, after those that its recipe, `experiment=NAME`, holds in hydra.sweeper.params.

    What is typed replaces what the recipe says, in the recipe's order.
    """
    typed = {override.lstrip("+~").partition("=")[0] for override in overrides}
    base = _hydra_only(overrides)
    for override in parse([override for override in overrides if override.startswith("experiment=")]):
        if override.is_sweep_override():
            raise wrong(
                "experiment", got=f"'{override.input_line}'", allowed="one recipe", do="one sweep for each recipe"
            )
        base.append(str(override.input_line))
    params = compose(base).hydra.sweeper.get("params") or {}
    own = {key: [one for one in overrides if one.lstrip("+~").partition("=")[0] == key] for key in params}
    inside = [one for key, value in params.items() for one in (own[key] if key in typed else [f"{key}={value}"])]
    return inside + [one for one in overrides if one not in inside]


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every run of a sweep over `overrides`, as Hydra's basic sweeper multiplies them out."""
    try:
        with _hydra():
            parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
            runs = split_arguments(parser.parse_overrides(list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    if not runs:
        raise wrong("command line", got="a sweep without values", allowed="at least one", do="name the values, a,b,c")
    return runs


def options(group: str, overrides: Sequence[str] = ()) -> list[str]:
    """The names that can be chosen in `group`, those in the user's folders (`--config-dir`) among them."""
    return _options(group, compose(_hydra_only(overrides)).hydra.searchpath)


def groups() -> list[str]:
    """The names of the groups, `scheduler` and `hydra/launcher` say."""
    return sorted({str(file.parent.relative_to(CONF)) for file in CONF.glob("*/**/*.yaml")})


def _options(group: str, searched: Iterable[str]) -> list[str]:
    """The options of `group` in conf/ and in the folders of Hydra's search path."""
    folders = [CONF, *(Path(str(path).removeprefix("file://")) for path in searched)]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def _choices(searched: Iterable[str]) -> str:
    """What can be chosen in each group, for the help."""
    own = [group for group in groups() if not group.startswith("hydra")]
    lines = [f"{group}: {', '.join(_options(group, searched))}" for group in own]
    return "\n".join(textwrap.fill(line, 79, subsequent_indent="  ") for line in lines)


OmegaConf.register_new_resolver("lrlab.groups", _choices, replace=True)


def without_sweeps(overrides: Sequence[str]) -> list[str]:
    """The overrides that have one value."""
    return [
        text for text, override in zip(overrides, parse(overrides), strict=True) if not override.is_sweep_override()
    ]


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra's grammar understands them. Raises UserError for the first that it does not."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise explain(error, overrides) from error


def _hydra_only(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if override.lstrip("+~").startswith("hydra")]


def _hydra() -> initialize_config_dir:
    GlobalHydra.instance().clear()
    return initialize_config_dir(str(CONF), version_base=VERSION_BASE, job_name="train")


def _compose(overrides: Sequence[str]) -> DictConfig:
    with _hydra():
        return hydra_compose(NAME, list(overrides), return_hydra_config=True)


def _unknown_option(path: str, options: Sequence[str]) -> UserError:
    group, _, option = path.rpartition("/")
    guess = closest(option, options)
    return wrong(
        group or "config",
        got=f"'{option}'" + (f" (did you mean {guess}?)" if guess else ""),
        allowed=", ".join(sorted(options))
        + (", and all of torchvision's as model=torchvision model.name=NAME" if group == "model" else ""),
        do=f"{group}={guess}" if guess else f"{group}={sorted(options)[0]}, or --config-dir FOLDER where yours lies",
    )


def _unknown_key(key: str, overrides: Sequence[str]) -> UserError:
    """The message for a setting that no config has: the nearest name beside it, or of the same name elsewhere."""
    chosen = [
        override for override in overrides if re.match(r"(?!hydra)\w+=", override) and not override.startswith(key)
    ]
    try:
        config = _compose(chosen)
    except (HydraException, OmegaConfBaseException):  # a second mistake
        config = _compose([])
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    hidden = ("_target_", "_partial_", "hydra")
    siblings = [str(name) for name in node if name not in hidden] if isinstance(node, DictConfig) else []
    elsewhere = [f"{group}.{leaf}" for group in map(str, config) if group != "hydra" and _has(config[group], leaf)]
    inside = [f"{parent}.{path}" for path in _paths(node) if path.rpartition(".")[2] == leaf] if parent else []
    exact = inside or elsewhere
    guess = exact[0] if exact else closest(leaf, siblings)
    full_guess = guess if guess is None or "." in guess or not parent else f"{parent}.{guess}"
    return wrong(
        key,
        got="a setting that does not exist" + (f" (did you mean {full_guess}?)" if full_guess else ""),
        allowed=", ".join(sorted(siblings)) or f"nothing under '{parent}'",
        do=f"{full_guess}=VALUE" if full_guess else _who_has(parent, leaf),
    )


def _paths(node: Any) -> list[str]:
    """The dotted paths of everything inside a config node."""
    if not isinstance(node, DictConfig):
        return []
    return [path for name in map(str, node) for path in (name, *(f"{name}.{inner}" for inner in _paths(node[name])))]


def _who_has(group: str, name: str) -> str:
    """Which options of `group` have the setting `name`."""
    setting = re.compile(rf"^{re.escape(name)}:", re.MULTILINE)
    options = [path.stem for path in sorted((CONF / group).glob("*.yaml")) if setting.search(path.read_text())]
    if options:
        return f"choose {group}={' or '.join(options)}, which has it"
    return f"{spelling.command('train')} --help shows all settings"


def _has(node: Any, name: str) -> bool:
    return isinstance(node, DictConfig) and name in node


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
