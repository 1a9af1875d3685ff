"""What makes the Tab key complete commands, groups, options and settings: `eval "$(lrlab completion bash)"`.

The shell's part is a few lines (completions/), which hand the words to `lrlab completion answer` and show its answers.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lrlab.commands import help
from lrlab.commands.entry import enter
from lrlab.commands.main import COMMANDS
from lrlab.errors import UserError, closest, wrong
from lrlab.system import spelling

SHELLS = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}
_SCRIPTS = Path(__file__).parent / "completions"
_OWN_SETTINGS = ("cooldown", "preview", "find-lr", "advise", "compare", "evaluate", "study", "predict", "noise")
_OF_RUNS = (
    "train",
    "sweep",
    "preview",
    "find-lr",
    "advise",
    "study",
    "noise",
    "python -m lrlab",
)  # take what a run takes


def start() -> None:
    """Run the command with what was typed."""
    enter(_main)


def help_text() -> str:
    command = spelling.command("completion")
    lines = [(f"for {shell}, in {file}", _line(command, shell)) for shell, file in SHELLS.items()]
    title = "lrlab completion: lets the Tab key complete commands, options and settings."
    return help.page(title, lines, (), "In bash, for `python train.py` and `python -m lrlab` as well.")


def _line(command: str, shell: str) -> str:
    return f"{command} fish | source" if shell == "fish" else f'eval "$({command} {shell})"'


def _main(typed: list[str]) -> None:
    if typed[:2] == ["answer", "--"]:
        sys.stdout.write("".join(f"{answer}\n" for answer in answers(typed[2:])))
    elif not typed or {"--help", "-h"} & set(typed):
        print(help_text())
    elif typed[0] not in SHELLS or len(typed) > 1:
        guess = closest(typed[0], SHELLS) or "bash"
        do = f"{spelling.command('completion')} {guess}"
        raise wrong("completion", got=" ".join(typed), allowed=", ".join(SHELLS), do=do)
    else:
        print((_SCRIPTS / f"{typed[0]}.sh").read_text(), end="")


def answers(words: Sequence[str]) -> list[str]:
    """What the last of `words`, which is being typed, may become; an answer that is complete ends with a space.

    No answers mean that the shell completes the names of files.
    """
    command, typed = _command_of(words)
    *before, word = typed or [""]
    found: list[str] = []
    if command in ("", "python -m lrlab") and not before:
        found = [f"{name} " for name in (*COMMANDS, "--help", "--version")]
    if command == "completion":
        found = [f"{shell} " for shell in SHELLS]
    if command in _OWN_SETTINGS:
        found += _own_answers(command, word)
    if command in _OF_RUNS:
        found += _answers_of_a_run(before, word)
    return sorted({answer for answer in found if answer.startswith(word)})


def _command_of(words: Sequence[str]) -> tuple[str, list[str]]:
    """Which command is being typed, and what is typed of its arguments; "" where none is named yet."""
    typed = list(words[1:])
    if not Path(words[0]).name.startswith("python"):
        return _named(typed, without="")
    if typed[:1] == ["-m"]:
        module = typed[1] if len(typed) > 1 else ""
        if module == "lrlab":
            return _named(typed[2:], without="python -m lrlab")
        return module.removeprefix("lrlab.").replace("_", "-"), typed[2:]
    return "train", typed[1:]


def _named(typed: list[str], without: str) -> tuple[str, list[str]]:
    """The command that the first word names, unless that is still being typed, or else `without`."""
    if len(typed) > 1 and typed[0] in COMMANDS:
        return typed[0], typed[1:]
    return without, typed


def _own_answers(command: str, word: str) -> list[str]:
    """The settings that are the command's own, or the values of the one that is being typed."""
    from lrlab.config import options

    own = import_module(f"lrlab.commands.{command.replace('-', '_')}").COMMAND
    prefix, settings = own.prefix, own.settings
    key, typed, _ = word.partition("=")
    name = key.removeprefix(f"{prefix}.")
    if typed and name in options.names(settings):
        return [f"{key}={value} " for value in options.kind_of(settings, name).values()]
    return [f"{options.typed_as(prefix, name)}=" for name in options.names(settings)]


def _answers_of_a_run(before: Sequence[str], word: str) -> list[str]:
    """Groups and settings that begin with `word`, or the values of the one that is being typed."""
    if word.startswith("-"):
        return [f"{flag} " for flag in ("--help", "--version", "--multirun", "--cfg", "--config-dir")]
    bare = word.lstrip("+~")
    sign = word.removesuffix(bare)
    key, typed, value = bare.partition("=")
    overrides = _overrides(before)
    if typed:
        several = value[: value.rfind(",") + 1]  # the values of a sweep before the one that is being typed
        return [f"{sign}{key}={several}{one}" for one in _values(key, overrides)]
    return [sign + one for one in _keys(key, overrides)]


def _overrides(typed: Sequence[str]) -> list[str]:
    """The settings among complete words, with the user's folder of `--config-dir` as one of them."""
    from lrlab.config.arguments import read

    try:
        overrides = read(typed).overrides
    except UserError:
        overrides = list(typed)
    return [one for one in overrides if "=" in one]


def _values(key: str, overrides: Sequence[str]) -> list[str]:
    from lrlab.config import compose

    if key in compose.groups():
        return [f"{one} " for one in compose.options(key, overrides)]
    value = _inside(_settings(overrides), key)
    if isinstance(value, bool):
        return ["false ", "true "]
    if isinstance(value, str) and "/" in value:
        return []  # the shell completes a file
    return [f"{value} "] if isinstance(value, int | float | str) else []


def _keys(word: str, overrides: Sequence[str]) -> list[str]:
    from lrlab.config import compose

    parent = word.rpartition(".")[0]
    before = f"{parent}." if parent else ""
    node = _settings(overrides)
    if parent:
        node = _inside(node, parent)
    keys = [f"{group}=" for group in compose.groups()]
    for name, value in node.items() if isinstance(node, dict) else ():
        goes_on = isinstance(value, dict) and value
        keys.append(f"{before}{name}{'.' if goes_on else '='}")
    return [key for key in keys if not key.rpartition(".")[2].startswith("_")]


def _inside(node: Any, key: str) -> Any:
    """What is at the dotted `key` in plain dicts; None where nothing is."""
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _settings(overrides: Sequence[str]) -> Any:
    """Every setting under what has been typed so far, or under the default choice where that cannot be composed."""
    from lrlab.config import compose

    try:
        return compose.everything(compose.compose(compose.without_sweeps(overrides)))
    except UserError:
        return compose.everything(compose.compose([]))
