"""What `--help` prints: the same parts in the same order for every command, and no wider than a terminal."""

import textwrap
from collections.abc import Sequence

WIDTH = 79

Rows = Sequence[tuple[str, str]]


def page(title: str, examples: Rows, settings: Rows = (), *notes: str) -> str:
    """A command's help: what it is for, what is done by typing what, and its own settings."""
    parts = [textwrap.fill(title, WIDTH), table(examples)]
    if settings:
        parts.append(table(settings))
    return "\n\n".join([*parts, *(textwrap.fill(note, WIDTH) for note in notes)])


def table(rows: Rows) -> str:
    """Two columns; what does not fit beside the first goes on below it.

    >>> print(table([("seeds=5", "how many"), ("x=epoch", "epoch, step")]))
    seeds=5  how many
    x=epoch  epoch, step
    """
    first = max(len(left) for left, _ in rows) + 2
    lines: list[str] = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(WIDTH - first, 20), break_long_words=False, break_on_hyphens=False) or [""]
        lines.append(left.ljust(first) + wrapped[0])
        lines += [" " * first + more for more in wrapped[1:]]
    return "\n".join(line.rstrip() for line in lines)
