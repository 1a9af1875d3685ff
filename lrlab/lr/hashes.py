"""A hash of a curve, by which two schedules are known to be the same."""

import hashlib
import math
from collections.abc import Iterable
from itertools import groupby


def of_curve(values: Iterable[float], updates_per_count: int = 1, updates: int | None = None) -> str:
    """The SHA-256 of a curve whose every value holds for so many updates: equal for equal values at every update.

    The last value may hold for fewer, where the curve has so many `updates` in all.

    >>> of_curve([0.1, 0.05], updates_per_count=2) == of_curve([0.1, 0.1, 0.05, 0.05])
    True
    >>> of_curve([0.1, 0.05], updates_per_count=2, updates=3) == of_curve([0.1, 0.1, 0.05])
    True
    """
    runs = []
    left = math.inf if updates is None else updates
    for value, same in groupby(values):  # equal neighbours are one run
        held = min(updates_per_count * sum(1 for _ in same), left)
        left -= held
        runs.append(f"{value + 0.0!r}x{held}")  # + 0.0 makes a zero of either sign the same
    return hashlib.sha256(" ".join(runs).encode()).hexdigest()
