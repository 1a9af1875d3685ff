"""`lrlab COMMAND ...`: finds the command, and imports nothing but what it needs."""

import sys
from importlib import import_module

from lrlab.commands import help
from lrlab.commands.entry import enter
from lrlab.errors import UserError, closest, wrong
from lrlab.system import spelling

ABOUT = "lrlab: train with any learning-rate schedule, see what it does, and compare."
# Each is a module of this package with a function `start`, which reads sys.argv.
COMMANDS = {
    "train": "one run, or the rest of one that was stopped",
    "sweep": "a run for every combination of the values that commas separate",
    "cooldown": "a run that was begun, ended by a decay of its LR, from several moments on",
    "preview": "the LR of every update, before anything is trained",
    "find-lr": "an LR to start from",
    "advise": "which schedule to take for a task, at which LR, by few runs",
    "study": "tune, then judge on fresh seeds: a verdict that can be quoted",
    "predict": "what other schedules would have led to, from the loss curve of one run",
    "evaluate": "what runs are worth on test images, which decided nothing",
    "compare": "what runs showed, in the terminal and as a page",
    "noise": "what difference so many seeds can show",
    "completion": "what makes the Tab key complete commands and settings",
}


def main() -> None:
    """The installed command, `lrlab`."""
    spelling.say(spelling.INSTALLED)
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        start(sys.argv[1], sys.argv[2:])
    else:
        enter(_without_a_command)


def module() -> None:
    """`python -m lrlab`, which trains where no command is named, as `python train.py` does."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    spelling.say(spelling.NAMED if first in COMMANDS else spelling.MODULE)
    if first in COMMANDS:
        start(first, sys.argv[2:])
    elif first.isidentifier() and closest(first, COMMANDS):
        enter(_without_a_command)
    else:
        start("train", sys.argv[1:])


def start(command: str, typed: list[str]) -> None:
    """Start one of COMMANDS with its own arguments; a sweep is training with -m."""
    name = command.replace("-", "_")
    if command == "sweep":
        name, typed = "train", ["-m", *typed]
    sys.argv = [sys.argv[0], *typed]
    import_module(f"lrlab.commands.{name}").start()


def _without_a_command(typed: list[str]) -> None:
    if typed and typed[0] not in ("--help", "-h", "help"):
        raise _no_command(typed)
    commands = [(spelling.command(name), text) for name, text in COMMANDS.items()]
    print(help.page(ABOUT, commands, (), "Each says more with --help. --version says which lrlab this is."))


def _no_command(typed: list[str]) -> UserError:
    """What was typed instead of a command, and the command that was probably meant."""
    first = typed[0]
    guess, rest = _meant(typed)
    hint = f" (did you mean {guess}?)" if guess else ""
    do = f"{spelling.command(guess)} {spelling.typed(rest)}".strip() if guess else f"{spelling.program()} --help"
    return wrong("command", got=f"'{first}'{hint}", allowed=", ".join(COMMANDS), do=do)


def _meant(typed: list[str]) -> tuple[str | None, list[str]]:
    """The command that was probably meant, and what was typed for it."""
    first = typed[0]
    if "=" not in first and not first.startswith("-"):
        return closest(first.replace("_", "-"), COMMANDS), typed[1:]
    # Settings alone: train.py takes them without more ado.
    guess = "sweep" if {"-m", "--multirun"} & set(typed) else "train"
    return guess, [one for one in typed if one not in ("-m", "--multirun")]
