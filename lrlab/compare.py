"""`python -m lrlab.compare` is `lrlab compare`, and `lrlab.compare(...)` is what Python code calls."""

from typing import Any

from lrlab.doors import let_call


def __getattr__(name: str) -> Any:
    """`main`, and what else the command's own room has."""
    from lrlab.commands import compare

    return getattr(compare, name)


if __name__ == "__main__":
    from lrlab.commands.compare import main

    main()
else:
    let_call(__name__, "lrlab.api.comparing")
