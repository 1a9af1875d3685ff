"""`python -m lrlab.preview` is `lrlab preview`, and `lrlab.preview(...)` is what Python code calls."""

from typing import Any

from lrlab.doors import let_call


def __getattr__(name: str) -> Any:
    """`main`, and what else the command's own room has."""
    from lrlab.commands import preview

    return getattr(preview, name)


if __name__ == "__main__":
    from lrlab.commands.preview import main

    main()
else:
    let_call(__name__, "lrlab.api.curves")
