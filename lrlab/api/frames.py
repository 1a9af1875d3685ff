"""Tables as people have them in notebooks: pandas where it is installed, and else a dict of columns."""

from collections.abc import Mapping, Sequence
from typing import Any


def frame(columns: Mapping[str, Sequence[Any]]) -> Any:
    """A `pandas.DataFrame` of the columns; where pandas is not installed, a dict of lists."""
    try:
        import pandas
    except ImportError:
        return {name: list(values) for name, values in columns.items()}
    return pandas.DataFrame(dict(columns))
