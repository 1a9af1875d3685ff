"""Times as a config writes them."""

import re
from typing import Any

from lrlab.errors import wrong

_BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def seconds_of(budget: Any) -> float:
    """The seconds of `trainer.budget`.

    >>> seconds_of("30min"), seconds_of("1.5h"), seconds_of("10s")
    (1800.0, 5400.0, 10.0)
    """
    match = _BUDGET.fullmatch(budget) if isinstance(budget, str) else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise wrong("trainer.budget", got=repr(budget), allowed="a time: 90s, 30min, 2h", do="trainer.budget=30min")
    return seconds
