"""The cells of a table that another program wrote: numbers, texts, and what is not finite."""

import math
from typing import Any


def number(value: Any) -> float | None:
    """A number, as a table writes it; None for what is none, or not finite."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(_as_written(value) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _as_written(text: str) -> str:
    """A number as Python reads it: without a percent sign, and with a point where the table has a decimal comma."""
    bare = text.strip().removesuffix("%").strip()
    return bare.replace(",", ".") if bare.count(",") == 1 and "." not in bare else bare


def is_infinite(value: Any) -> bool:
    """Whether a cell says that a metric was not finite. An empty one, NaN in a data frame, was not measured."""
    if isinstance(value, str):
        return value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")
    return isinstance(value, float) and math.isinf(value)


def text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()
