"""`python -m lrlab.advise` is `lrlab advise`, and `lrlab.advise(...)` is what Python code calls."""

from typing import Any

from lrlab.doors import let_call


def __getattr__(name: str) -> Any:
    """`main`, and what else the command's own room has."""
    from lrlab.commands import advise

    return getattr(advise, name)


if __name__ == "__main__":
    from lrlab.commands.advise import main

    main()
else:
    let_call(__name__, "lrlab.api.advising")
