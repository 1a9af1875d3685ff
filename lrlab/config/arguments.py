"""The command line as it was typed: what goes to Hydra's grammar, what lrlab reads itself, what is refused."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lrlab.config.hydra_inside import argument_parser
from lrlab.errors import wrong

_OTHER_THAN_TEXT = ("true", "false", "null", "nan", "inf")  # in Hydra's grammar


@dataclass(frozen=True)
class Arguments:
    """A command line, taken apart."""

    overrides: list[str]
    flags: list[str]  # Hydra's, with which nothing runs: --help, --cfg and the like
    multirun: bool
    resume: str | None  # a path, exactly as it was typed


def split_off(arguments: Sequence[str], prefix: str) -> tuple[dict[str, str], list[str]]:
    """The values typed for `prefix.NAME=...`, by NAME and without quotes, and all other arguments.

    >>> split_off(["scheduler=step", "preview.file='a b.png'", "+preview.x="], "preview")
    ({'file': 'a b.png', 'x': ''}, ['scheduler=step'])
    """
    ours = [argument for argument in arguments if argument.lstrip("+").startswith(f"{prefix}.")]
    pairs = [argument.lstrip("+").partition("=") for argument in ours]
    values = {key.removeprefix(f"{prefix}."): _unquoted(value) for key, _, value in pairs}
    return values, [argument for argument in arguments if argument not in ours]


def split_off_named(arguments: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The values typed as `NAME=...` for one of `names`, without quotes, and all other arguments.

    >>> split_off_named(["a/b=c", "at=40%", "seed=1"], ["at"])
    ({'at': '40%'}, ['a/b=c', 'seed=1'])
    """
    ours = [argument for argument in arguments if "=" in argument and argument.partition("=")[0] in names]
    pairs = [argument.partition("=") for argument in ours]
    values = {key: _unquoted(value) for key, _, value in pairs}
    return values, [argument for argument in arguments if argument not in ours]


def read(arguments: Sequence[str]) -> Arguments:
    """Take a command line apart; options and overrides may stand in any order."""
    resume, others = _take_resume(arguments)
    parser = argument_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse would print its usage and exit with 2
    parsed = parser.parse_intermixed_args([_quote_path(argument) for argument in others])
    return Arguments(_take_config_dir(parsed), _flags(parsed), parsed.multirun, resume)


def _quote_path(argument: str) -> str:
    """`data.root=PATH` and `replay=PATH` with the path in quotes, and any other argument as it is.

    A path that the shell completed may hold characters that mean something in Hydra's grammar, such as = and ~.
    """
    key, _, value = argument.partition("=")
    if key not in ("data.root", "replay") or value[:1] in ("'", '"', "") or "," in value:
        return argument
    return f"{key}={quoted(value)}"


def quoted(text: str) -> str:
    r"""`text` as a quoted string of Hydra's grammar.

    >>> print(quoted("it's"))
    'it\'s'
    """
    escaped = re.sub(r"(\\*)(\'|$)", lambda match: match[1] * 2 + match[2].replace("'", r"\'"), text)
    return "'" + escaped.replace("${", r"\${") + "'"


def as_override(key: str, value: object) -> str:
    """The override that sets `key` to a plain value, as Hydra's grammar reads it.

    >>> as_override("data.root", "a b"), as_override("data.download", True), as_override("data.root", "/x/y")
    ("data.root='a b'", 'data.download=true', 'data.root=/x/y')
    """
    if not isinstance(value, str):
        return f"{key}={str(value).lower()}"
    is_plain = re.fullmatch(r"[/A-Za-z_][A-Za-z0-9_./-]*", value) and value.lower() not in _OTHER_THAN_TEXT
    return f"{key}={value if is_plain else quoted(value)}"


def key_of(override: str) -> str:
    """The key that an override sets, adds or deletes."""
    return override.lstrip("+~").partition("=")[0]


def of_the_run(overrides: Sequence[str]) -> list[str]:
    """The overrides that are about the run itself, without Hydra's own settings.

    >>> of_the_run(["seed=1", "hydra.run.dir=x", "~trainer.timeout"])
    ['seed=1', '~trainer.timeout']
    """
    return [override for override in overrides if not key_of(override).startswith("hydra")]


def without_deletions(overrides: Sequence[str]) -> list[str]:
    """The overrides that give a setting a value."""
    return [override for override in overrides if not override.startswith("~")]


def value_of(overrides: Sequence[str], key: str) -> str | None:
    """The value that was typed for `key`, without quotes; None where it was not, or was null."""
    typed = [override.partition("=")[2] for override in overrides if key_of(override) == key]
    if not typed or typed[-1] in ("", "null"):
        return None
    return _unquoted(typed[-1])


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in ("'", '"'):
        return text[1:-1].replace(rf"\{text[0]}", text[0])
    return text


def _take_resume(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """What `resume=PATH` says, exactly as it was typed or completed by the shell, and all other arguments."""
    targets = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if "" in targets:
        raise wrong("resume", got="nothing", allowed="a run's folder, or one of its checkpoints/*.pt", do="resume=PATH")
    others = [argument for argument in arguments if not argument.startswith("resume=")]
    if not targets or targets[-1] == "null":
        return None, others
    return _unquoted(targets[-1]), others


def _refuse(message: str) -> NoReturn:
    raise wrong("command line", got=message, allowed="KEY=VALUE, -m, --config-dir, --cfg, --help", do="see --help")


def _take_config_dir(parsed: argparse.Namespace) -> list[str]:
    """The overrides, with `--config-dir` as one of them: whatever composes the config then finds the folder."""
    if parsed.config_path:
        raise wrong(
            "--config-path", got=parsed.config_path, allowed="--config-dir", do=f"--config-dir {parsed.config_path}"
        )
    if not parsed.config_dir:
        return parsed.overrides
    folder = Path(parsed.config_dir).absolute()
    if not folder.is_dir():
        raise wrong(
            "--config-dir",
            got=f"{folder}, which is no folder",
            allowed="a folder with GROUP/OPTION.yaml files in it",
            do="make it, or correct its path",
        )
    return [*parsed.overrides, f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]


def _flags(parsed: argparse.Namespace) -> list[str]:
    """The options of Hydra's command line with which nothing runs, to pass on to it."""
    for name in ("config_name", "experimental_rerun"):
        value = getattr(parsed, name)
        if value:
            raise wrong(_option(name), got=value, allowed="--config-dir", do="put your YAML into a group of yours")
    flags = [_option(name) for name in ("help", "hydra_help", "shell_completion") if getattr(parsed, name)]
    for name in ("cfg", "info"):
        value = getattr(parsed, name)
        if value:
            flags += [_option(name), value]
    if parsed.cfg:
        flags += ["--resolve"] if parsed.resolve else []
        flags += ["--package", parsed.package] if parsed.package else []
    return flags


def _option(name: str) -> str:
    """How argparse's `name` is typed."""
    return f"--{name.replace('_', '-')}"
