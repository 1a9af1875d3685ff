"""The options that lrlab comes with, as their files have them: for Python code, which composes no config.

Imports neither torch nor Hydra, so that a schedule in a notebook is there at once.
"""

from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_INSIDE = _PACKAGE / "conf"  # in a wheel; a checkout has it beside the package
CONF = _INSIDE if _INSIDE.is_dir() else _PACKAGE.parent / "conf"


def options(group: str) -> list[str]:
    """The names of the options of a group, `scheduler` say, in alphabetical order."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


@cache
def _read(group: str, name: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader)


def option(group: str, name: str, references: dict[str, Any] | None = None) -> dict[str, Any]:
    """The settings of an option, a copy; a `${key}` that is all of a value is one of the `references`."""
    return _filled_in(_read(group, name), references or {})


def description(group: str, name: str) -> str:
    """What an option is for: the first line of its file."""
    with (CONF / group / f"{name}.yaml").open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()


def _filled_in(value: Any, references: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled_in(part, references) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled_in(part, references) for part in value]
    if isinstance(value, str) and value.startswith("${"):
        return references[value[2:-1]]
    return value
