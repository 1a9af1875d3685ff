"""`python -m lrlab.find_lr` is `lrlab find-lr`, and `lrlab.find_lr(...)` is what Python code calls."""

from typing import Any

from lrlab.doors import let_call


def __getattr__(name: str) -> Any:
    """`main`, and what else the command's own room has."""
    from lrlab.commands import find_lr

    return getattr(find_lr, name)


if __name__ == "__main__":
    from lrlab.commands.find_lr import main

    main()
else:
    let_call(__name__, "lrlab.api.finding")
