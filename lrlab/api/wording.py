"""Messages that speak of Python's arguments, where the rooms below speak of settings on a command line."""

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrlab.errors import UserError, WrongArgument, wrong
from lrlab.schedules.law import wrong_argument

# A setting's whole name. What stands before the last dot is where a config has it, and an argument is there by itself.
_GROUPS = r"(?:scheduler|optimizer|trainer|find_lr|compare|preview)"
_SETTING = re.compile(rf"\b{_GROUPS}\.(?:\w+\.)*(\w+)")
_ASSIGNMENT = re.compile(rf"'?\+?\b{_GROUPS}\.(?:\w+\.)*(\w+)=(\[[^\]]*\]|[^\s,;()']+)'?")
_COMMAND = re.compile(r"\b(?:lrlab |python -m lrlab[ .])(train|sweep|preview|compare|find[-_]lr)\b((?: [\w./=-]+)*)")
_CHOICE = re.compile(r"\bscheduler=(\w+)")
# `shape=cosine`, as the check of an argument says it.
_BARE = re.compile(r"(?<![\"'])\b([a-z]\w*)=([A-Za-z]\w*)(?![\w(.])")
_WORDS = {
    "true": "True",
    "false": "False",
    "null": "None",
    "VALUE": "...",
    "None": "None",
    "True": "True",
    "False": "False",
}


@contextmanager
def of_arguments() -> Iterator[None]:
    """In this block a mistake in a setting is raised as a ValueError about an argument of that name."""
    try:
        yield
    except UserError as error:
        raise about_arguments(error) from None


def about_arguments(error: UserError) -> WrongArgument:
    """The same mistake, said of an argument.

    >>> mistake = wrong("scheduler.step_size", got="0ep", allowed="a duration", do="scheduler.step_size=25%")
    >>> about = about_arguments(mistake)
    >>> about.key, about.do
    ('step_size', 'step_size="25%"')
    """
    if error.key is None:
        return WrongArgument(in_python(str(error)))
    if isinstance(error, WrongArgument):
        do = _BARE.sub(lambda match: f"{match[1]}={_literal(match[2])}", str(error.do))
        return wrong(error.key, got=error.got, allowed=str(error.allowed), do=do, kind=WrongArgument)
    key = in_python(error.key) if "." in error.key else error.key.replace("scheduler", "schedule")
    allowed, do = in_python(str(error.allowed)), in_python(str(error.do))
    do = _BARE.sub(lambda match: f"{match[1]}={_literal(match[2])}", do)
    return wrong(key, got=in_python(str(error.got)), allowed=allowed, do=do, kind=WrongArgument)


def in_python(text: str) -> str:
    """`text` with every setting as the argument that it is in Python.

    >>> in_python("scheduler.T_max: 5 half cosines, of 4 epochs each; scheduler.T_max=100% goes down once")
    'T_max: 5 half cosines, of 4 epochs each; T_max="100%" goes down once'
    """
    text = _COMMAND.sub(_called, text)
    text = _ASSIGNMENT.sub(lambda match: f"{match[1]}={_literal(match[2])}", text)
    text = _SETTING.sub(r"\1", text)
    text = _CHOICE.sub(r'lrlab.schedule("\1")', text)
    return re.sub(r"^scheduler:", "schedule:", text)


def _called(match: re.Match[str]) -> str:
    """A command as the call that does the same."""
    arguments = ", ".join(f'"{one}"' for one in match[2].split())
    return f"lrlab.{match[1].replace('-', '_')}({arguments})"


def require_texts(function: str, named: Mapping[str, Any]) -> None:
    """Raise ValueError where a setting was given to `function` as Python's keyword, and not as a text."""
    for name, value in named.items():
        written = value if isinstance(value, str | int | float) else "..."
        do = f'lrlab.{function}("{name}={written}")'
        raise wrong_argument(name, got="a keyword", allowed="a text, as on a command line", do=do)


def _literal(written: str) -> str:
    """How Python writes a value that stands on a command line."""
    if written in _WORDS:
        return _WORDS[written]
    try:
        ast.literal_eval(written)
    except (ValueError, SyntaxError):
        return f'"{written}"'
    return written
