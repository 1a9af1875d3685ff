"""Doctests of docstrings as blocks of code on the page of names, where Markdown would take them for prose."""

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Fences the doctests of every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """`text` with a fence around every doctest and what it prints, up to the next empty line."""
    lines, is_open = [], False
    for line in text.splitlines():
        if line.startswith(">>>") and not is_open:
            lines.append("```pycon")
            is_open = True
        elif is_open and not line.strip():
            lines.append("```")
            is_open = False
        lines.append(line)
    return "\n".join([*lines, "```"] if is_open else lines)
