"""`python -m lrlab.predict` is `lrlab predict`, and `lrlab.predict(...)` is what Python code calls."""

from typing import Any

from lrlab.doors import let_call


def __getattr__(name: str) -> Any:
    """`main`, and what else the command's own room has."""
    from lrlab.commands import predict

    return getattr(predict, name)


if __name__ == "__main__":
    from lrlab.commands.predict import main

    main()
else:
    let_call(__name__, "lrlab.api.predicting")
