"""Settings that lrlab reads itself, `preview.x=step` say: a dataclass whose fields carry kind, help and example.

    @dataclass(frozen=True)
    class Settings:
        seeds: int = option(5, whole(low=1, example=5), "how many range tests")

`read` takes them from a command line, `check` from a config, and `rows` describes them in a command's help.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from lrlab.config import checks
from lrlab.errors import wrong
from lrlab.system import disk

T = TypeVar("T")


@dataclass(frozen=True)
class OptionKind:
    """What values a setting takes."""

    parse: Callable[[str], Any]  # a text that is not of this kind stays a text, which `check` refuses
    check: Callable[[str, Any], None]  # raises UserError for the key and a value that is not allowed
    values: Callable[[], Sequence[str]] = tuple  # all there are, where they can be listed


def option(default: Any, kind: OptionKind, help: str = "", shown: str | None = None) -> Any:
    """A field of a dataclass of settings; its help shows the value `shown`, or else the default."""
    written = str(default).lower() if isinstance(default, bool) else f"{default}"
    return field(default=default, metadata={"kind": kind, "help": help, "shown": written if shown is None else shown})


def read(settings: type[T], typed: Mapping[str, str], prefix: str) -> T:
    """The settings that were typed as `PREFIX.NAME=TEXT`; null means the default."""
    checks.require_names(typed, prefix, names(settings))
    given = {name: text for name, text in typed.items() if text != "null"}
    return check(settings, {name: kind_of(settings, name).parse(text) for name, text in given.items()}, prefix)


def check(settings: type[T], given: Mapping[str, Any], prefix: str) -> T:
    """The settings with the values `given`. Raises UserError for the first that is unknown or not allowed."""
    checks.require_names(given, prefix, names(settings))
    made = settings(**given)
    for name in names(settings):
        value = getattr(made, name)
        if name in given and not (value is None and _default(settings, name) is None):
            kind_of(settings, name).check(typed_as(prefix, name), value)
    return made


def typed_as(prefix: str, name: str) -> str:
    """How a setting is typed: `PREFIX.NAME`, or NAME alone where there is no prefix."""
    return f"{prefix}.{name}" if prefix else name


def rows(settings: type, prefix: str) -> list[tuple[str, str]]:
    """What a command's help says of its settings: how to type each, and what it is."""
    described = [(one.name, one.metadata) for one in fields(settings)]
    return [(f"{typed_as(prefix, name)}={said['shown']}", said["help"]) for name, said in described]


def names(settings: type) -> list[str]:
    return [one.name for one in fields(settings)]


def kind_of(settings: type, name: str) -> OptionKind:
    return next(one.metadata["kind"] for one in fields(settings) if one.name == name)


def _default(settings: type, name: str) -> Any:
    return next(one.default for one in fields(settings) if one.name == name)


def text() -> OptionKind:
    """Any text."""
    return OptionKind(str, lambda key, value: None)  # noqa: ARG005


def flag() -> OptionKind:
    """True or false."""

    def parse(text: str) -> Any:
        return {"true": True, "false": False}.get(text.lower(), text)

    return OptionKind(parse, checks.flag, lambda: ("true", "false"))


def whole(*, low: float, example: int, high: float | None = None) -> OptionKind:
    """An integer from `low` on, up to `high` where that is given."""

    def parse(text: str) -> Any:
        return int(text) if text.isdecimal() else text

    return OptionKind(
        parse, lambda key, value: checks.number(key, value, whole=True, low=low, high=high, example=example)
    )


def flag_or_whole(*, low: int, example: int) -> OptionKind:
    """True, false, or an integer from `low` on."""
    yes_or_no, count = flag(), whole(low=low, example=example)

    def parse(text: str) -> Any:
        return count.parse(text) if text.isdecimal() else yes_or_no.parse(text)

    def check(key: str, value: Any) -> None:
        is_whole = isinstance(value, int) and value >= low
        if not isinstance(value, bool) and not is_whole:
            raise wrong(key, got=value, allowed=f"true, false, or an integer >= {low}", do=f"{key}=true")

    return OptionKind(parse, check, yes_or_no.values)


def number(*, low: float | None = None, above: float | None = None, example: float) -> OptionKind:
    """A number in a range."""

    def parse(text: str) -> Any:
        try:
            return int(text) if text.isdecimal() else float(text)
        except ValueError:
            return text

    return OptionKind(parse, lambda key, value: checks.number(key, value, low=low, above=above, example=example))


def choice(values: Callable[[], Sequence[str]]) -> OptionKind:
    """One of a list, which is asked for when it is needed."""
    return OptionKind(str, lambda key, value: checks.choice(key, value, tuple(values())), values)


def folder() -> OptionKind:
    """A folder, which need not exist."""
    return OptionKind(lambda text: disk.expanded(text, "folder") if text else None, lambda key, value: None)  # noqa: ARG005


def file(*suffixes: str) -> OptionKind:
    """A file to write, in a folder that exists."""
    return OptionKind(str, lambda key, name: _require_file_name(key, name, suffixes))


def _require_file_name(key: str, name: str, suffixes: Sequence[str]) -> None:
    path, example = Path(name), f"{key}=curves{suffixes[0]}"
    if path.suffix not in suffixes:
        raise wrong(key, got=name, allowed=f"a name that ends with {', '.join(suffixes)}", do=example)
    if not path.parent.is_dir():
        raise wrong(key, got=f"{path.parent}, which is no folder", allowed="a folder that exists", do="make it first")
    if path.is_dir():
        raise wrong(key, got=f"{path}, which is a folder", allowed="the name of a file", do=example)
