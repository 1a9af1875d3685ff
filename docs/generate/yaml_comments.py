"""What a file of `conf/` says of itself: its head, and of every setting its default and what it means."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
_OF_HYDRA = ("_target_", "_partial_", "_convert_", "_args_", "defaults", "hydra")


@dataclass(frozen=True)
class Setting:
    """One key of a file."""

    key: str  # with those above it: lr_lambda.decay
    default: str  # as it is written
    meaning: str  # its comment; empty where it has none


@dataclass(frozen=True)
class Explained:
    """A file of `conf/`."""

    about: str  # the head's text before its example
    example: str  # the command in its head; empty where there is none
    used: str  # the head's text after its example: users and source
    settings: tuple[Setting, ...]


def read(path: Path) -> Explained:
    """The head and the settings of a file."""
    text = path.read_text()
    lines = text.splitlines()
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            head.append(line[1:].removeprefix(" "))
    commands = [number for number, line in enumerate(head) if line.startswith("  ")]
    first = commands[0] if commands else len(head)
    after = [line for line in head[first:] if not line.startswith("  ")]
    return Explained(
        about=" ".join(head[:first]).strip(),
        example=head[first].strip() if commands else "",
        used=" ".join(after).strip(),
        settings=tuple(_settings(yaml.compose(text), lines, "")),
    )


def _settings(node: yaml.Node | None, lines: list[str], above: str) -> Iterator[Setting]:
    """The settings of a mapping, those of mappings inside of it in their place."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value in _OF_HYDRA:
            continue
        name = f"{above}{key.value}"
        is_block = isinstance(value, yaml.MappingNode) and not value.flow_style
        if is_block:
            if meaning := _comment(lines, key.start_mark.line, key.end_mark.column):
                yield Setting(name, "", meaning)
            yield from _settings(value, lines, f"{name}.")
        else:
            written = _written(lines, value)
            yield Setting(name, written, _comment(lines, value.end_mark.line, value.end_mark.column))


def _written(lines: list[str], value: yaml.Node) -> str:
    """A value as it stands in the file."""
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    first, *others = lines[start.line : end.line + 1]
    return " ".join([first[start.column :].strip(), *(line.strip() for line in others)])


def _comment(lines: list[str], line: int, column: int) -> str:
    """The comment behind a value, with the lines below that hold nothing else and are indented as far."""
    before, sign, comment = lines[line].partition(" #") if column == 0 else _split(lines[line], column)
    if not sign:
        return ""
    said, place = [comment.strip()], len(before) + 1
    for below in lines[line + 1 :]:
        if not below.strip().startswith("#") or below.index("#") != place:
            break
        said.append(below.strip().removeprefix("#").strip())
    return " ".join(said)


def _split(line: str, column: int) -> tuple[str, str, str]:
    """A line at the sign of the comment that follows `column`."""
    value, sign, comment = line[column:].partition("#")
    return line[:column] + value[:-1], sign, comment
