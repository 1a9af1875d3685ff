"""From what the user typed to a composed config; every mistake in it becomes one line that says what to do.

A command line is composed once: Hydra puts the options of the groups together, and lrlab puts the settings into them.
Imports no torch, so that `--help` answers at once.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lrlab.config.arguments import key_of, value_of
from lrlab.config.catalogue import CONF
from lrlab.config.checks import refuse_moved
from lrlab.config.hydra_inside import AS_OF_VERSION, register_resolver, split_arguments
from lrlab.config.mistakes import several_values, unknown_key, unknown_option
from lrlab.config.names import run_name, sweep_name
from lrlab.config.own_options import spell_out
from lrlab.config.targets import apply, is_for_hydra
from lrlab.errors import UserError, first_line, wrong
from lrlab.system import spelling

NAME = "config"
_ABSENT = object()

_PLUGINS = str(Path(__file__).parents[1] / "plugins")

register_resolver("lrlab.run_name", run_name)
register_resolver("lrlab.sweep_name", sweep_name)
register_resolver("lrlab.command", spelling.command)


Composing = Callable[[list[str]], DictConfig]  # what Hydra composes of overrides that are for it


_REFERENCE = re.compile(r"\$\{[^}]*\}?")
_PLAIN_REFERENCE = re.compile(r"\$\{[\w.]+\}")


def compose(overrides: Sequence[str], *, by: "Composing | None" = None) -> DictConfig:
    """The config of one run, with its `hydra` node. Raises UserError for whatever cannot be composed.

    `by` composes what is for Hydra; for the runs of a sweep a `Shared` one does that once for all that have it in
    common.
    """
    by = by or by_hydra
    typed = parse(overrides)
    _require_names_of_options(typed)
    try:
        config = by([str(override.input_line) for override in typed if is_for_hydra(override)])
        apply(config, [override for override in typed if not is_for_hydra(override)])
        spell_out(
            config,
            found=lambda: _options("scheduler", config.hydra.searchpath),
            read=lambda option: by([*_hydra_only(overrides), f"scheduler={option}"]).scheduler,
        )
    except (HydraException, OmegaConfBaseException) as error:
        raise in_one_line(error, overrides) from error
    _note(config, typed)
    return config


def _require_names_of_options(typed: Sequence[Override]) -> None:
    """Raise UserError where a group was given a number, a flag or null: Hydra has a traceback for these."""
    for override in typed:
        group = override.key_or_group
        is_group = bool(group) and "." not in group and (CONF / group).is_dir()
        if not is_group or override.is_delete() or override.is_sweep_override():
            continue
        if group == "hydra":
            do = "leave it out"
            raise wrong(
                "hydra", got=override.value(), allowed="settings inside of it, such as hydra.run.dir=FOLDER", do=do
            )
        if not isinstance(override.value(), str | list | dict):
            written = str(override.input_line).partition("=")[2]
            raise unknown_option(f"{group}/{written}", sorted(file.stem for file in (CONF / group).glob("*.yaml")))


def _note(config: DictConfig, typed: Sequence[Override]) -> None:
    """Let `hydra.overrides` and `hydra.job.override_dirname` say all that was typed, as if Hydra had composed it."""
    task = [override for override in typed if not override.key_or_group.startswith("hydra")]
    naming = config.hydra.job.config.override_dirname
    parts = [str(one.input_line) for one in task if one.key_or_group not in naming.exclude_keys]
    with open_dict(config.hydra):
        config.hydra.overrides.task = [str(override.input_line) for override in task]
        config.hydra.job.override_dirname = naming.item_sep.join(sorted(parts)).replace("=", naming.kv_sep)


def settle(config: DictConfig, overrides: Sequence[str]) -> None:
    """Fit a config that Hydra composed of `overrides`, which were `targets.forced`, to the classes that they name."""
    typed = [one for one in parse(overrides) if not is_for_hydra(one) and not one.is_delete()]
    apply(config, typed)


def plain(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, without the `hydra` node and with every `${...}` as it is written."""
    return everything(_without_hydra(config))


def everything(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, with its `hydra` node and with every `${...}` as it is written."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))


def resolve(config: DictConfig) -> dict[str, Any]:
    """`config` as plain dicts, lists and scalars, without the `hydra` node and with every `${...}` filled in."""
    try:
        return cast(dict[str, Any], OmegaConf.to_container(_without_hydra(config), resolve=True))
    except OmegaConfBaseException as error:
        raise wrong(
            error.full_key or "config",
            got=f"a reference that leads nowhere ({first_line(error)})",
            allowed="${key} of a setting that exists, or ${oc.env:NAME} of a variable that is set",
            do="set it to a plain value",
        ) from error


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def depends_on(key: str, config: DictConfig) -> bool:
    """Whether a setting of a run may be made of that of `key`: it refers to it, or to what only a resolver knows."""
    written = repr(OmegaConf.to_container(_without_hydra(config), resolve=False))
    return any(key in one or not _PLAIN_REFERENCE.fullmatch(one) for one in _REFERENCE.findall(written))


def change(saved: Mapping[str, Any], overrides: Sequence[str]) -> DictConfig:
    """The resolved config `saved` of an earlier run with `overrides` on top: options of groups, or settings it has."""
    config = OmegaConf.create(dict(saved))
    for override in parse(overrides):
        key = override.key_or_group
        if override.is_sweep_override():
            raise several_values(str(override.input_line))
        if _is_about_tracking(override):
            continue
        if key in config and isinstance(config[key], DictConfig) and isinstance(override.value(), str):
            OmegaConf.update(config, key, resolve(compose([str(override.input_line)]))[key], merge=False)
        elif override.is_delete() or OmegaConf.select(config, key, default=_ABSENT) is _ABSENT:
            refuse_moved(key)
            siblings = list(OmegaConf.select(config, key.rpartition(".")[0]) or {})
            raise wrong(key, got="a setting that the run does not have", allowed=", ".join(siblings), do="leave it out")
        else:
            OmegaConf.update(config, key, override.value(), merge=False)

    # Who else is told of a run is not saved with it, and composed anew.
    told = [str(override.input_line) for override in parse(overrides) if _is_about_tracking(override)]
    if told:
        config.tracking = resolve(compose(told)).get("tracking")
    return config


def _is_about_tracking(override: Override) -> bool:
    return override.key_or_group == "tracking" or override.key_or_group.startswith("tracking.")


def in_one_line(error: Exception, overrides: Sequence[str]) -> UserError:
    """The one line for an error that Hydra raised while it composed `overrides`."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        return unknown_option(error.missing_cfg_file or "", error.options)
    if isinstance(error, OverrideParseException):
        return wrong(
            "command line",
            got=f"'{error.override}'",
            allowed="key=value, with quotes around a value that has spaces or any of = , [ ] { }",
            do="\"key='value'\"" if "=" in str(error.override) else "write it with =, as in scheduler=cosine",
        )
    several = re.match(r"Ambiguous value for argument '([^']*)'", str(error))
    if several:
        return several_values(several[1])
    unknown = re.match(r"Could not (?:override|append to|delete from)[^']*'([^']+)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        return unknown_key(_without(unknown[1], overrides), unknown[1], value_of(list(overrides), unknown[1]))
    return wrong(
        "config",
        got=first_line(error),
        allowed="a config that Hydra can compose",
        do=f"see {spelling.command('train')} --help, and https://hydra.cc for the syntax of overrides",
    )


def _without(key: str, overrides: Sequence[str]) -> DictConfig:
    """The config of the groups that were chosen, without the setting `key` that Hydra does not know."""
    groups = [one for one in overrides if re.match(r"(?!hydra)\w+=", one) and not one.startswith(key)]
    try:
        return by_hydra(groups)
    except (HydraException, OmegaConfBaseException):  # a second mistake
        return by_hydra([])


def with_recipe(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep, after those that its recipe, `experiment=NAME`, holds in hydra.sweeper.params.

    What is typed replaces what the recipe says, in the recipe's order.
    """
    typed = {key_of(override) for override in overrides}
    if not any(key == "experiment" or key.startswith("hydra.sweeper.params") for key in typed):
        return list(overrides)
    base = _hydra_only(overrides)
    for override in parse([override for override in overrides if override.startswith("experiment=")]):
        if override.is_sweep_override():
            raise wrong(
                "experiment", got=f"'{override.input_line}'", allowed="one recipe", do="one sweep for each recipe"
            )
        base.append(str(override.input_line))
    params = compose(base).hydra.sweeper.get("params") or {}
    inside = []
    for key, value in params.items():
        if key in typed:
            inside += [one for one in overrides if key_of(one) == key]
        else:
            inside.append(f"{key}={value}")
    return inside + [one for one in overrides if one not in inside]


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every run of a sweep over `overrides`, as Hydra's basic sweeper multiplies them out."""
    try:
        with _hydra():
            parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
            runs = split_arguments(parser.parse_overrides(list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise in_one_line(error, overrides) from error
    except ValueError as error:
        raise _too_long(overrides, error) from error
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
    found: set[str] = set()
    for folder in folders:
        found |= {file.stem for file in (folder / group).glob("*.yaml")}
    return sorted(found)


def _choices(searched: Iterable[str]) -> str:
    """What can be chosen in each group, for the help."""
    own = [group for group in groups() if not group.startswith("hydra")]
    lines = [f"{group}: {', '.join(_options(group, searched))}" for group in own]
    return "\n".join(textwrap.fill(line, 79, subsequent_indent="  ") for line in lines)


register_resolver("lrlab.groups", _choices)


def without_sweeps(overrides: Sequence[str]) -> list[str]:
    """The overrides that have one value."""
    typed = zip(overrides, parse(overrides), strict=True)
    return [text for text, override in typed if not override.is_sweep_override()]


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra's grammar understands them. Raises UserError for the first that it does not."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise in_one_line(error, overrides) from error
    except ValueError as error:
        raise _too_long(overrides, error) from error
    for override in parsed:
        if not override.key_or_group:
            got, do = f"'{override.input_line}'", "write the setting before =, as in trainer.epochs=3"
            raise wrong("command line", got=got, allowed="key=value", do=do)
    return parsed


def _too_long(overrides: Sequence[str], error: ValueError) -> UserError:
    """The error about a number of more than 4,300 digits, which Python does not read."""
    got = f"'{max(overrides, key=len)[:40]}...' ({first_line(error)})"
    return wrong("command line", got=got, allowed="numbers of fewer digits", do="a shorter number")


def _hydra_only(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if key_of(override).startswith("hydra")]


def let_hydra_find_plugins() -> None:
    """Have lrlab's plugins among the folders in which Hydra looks for the package `hydra_plugins`."""
    if _PLUGINS not in sys.path:
        sys.path.append(_PLUGINS)


@contextmanager
def _hydra() -> Iterator[None]:
    """In this block Hydra composes from lrlab's conf/; one that runs already, of a host's own, goes on after it."""
    let_hydra_find_plugins()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), job_name="train", **AS_OF_VERSION):
            yield
    finally:
        GlobalHydra.instance().hydra = running


def by_hydra(overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes of `overrides`, its own settings included."""
    with _hydra():
        return hydra_compose(NAME, list(overrides), return_hydra_config=True)
