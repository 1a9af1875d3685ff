"""Several runs in one step: their parameters as tensors with a run in each row, updated together.

In which form a step is computed decides the last bits of its runs: `eager`, or `compiled-16`, which is compiled for so
many rows, whether they are all in use or not.
"""

import re

FEWEST = 2  # rows: a batched product of one row may be computed in another way, and so to other bits
EAGER = "eager"
_COMPILED = re.compile(r"compiled-([2-9]|[1-9]\d{1,3})")


def compiled(rows: int) -> str:
    """The form of a step that is compiled for so many rows."""
    return f"compiled-{rows}"


def is_compiled(form: str) -> bool:
    return form != EAGER


def is_form(text: object) -> bool:
    return text == EAGER or (isinstance(text, str) and _COMPILED.fullmatch(text) is not None)


def rows_of(form: str) -> int:
    """How many rows a step of that form has at least.

    >>> rows_of("eager"), rows_of("compiled-16")
    (2, 16)
    """
    found = _COMPILED.fullmatch(form)
    return int(found[1]) if found else FEWEST
