"""A hash of a curve, by which two schedules are known to be the same."""

import hashlib
from collections.abc import Iterable
from itertools import groupby


def of_curve(values: Iterable[float], updates_per_count: int = 1) -> str:
    """The SHA-256 of a curve whose every value holds for so many updates: equal for equal values at every update.

    >>> of_curve([0.1, 0.05], updates_per_count=2) == of_curve([0.1, 0.1, 0.05, 0.05])
    True
    """
    runs = []
    for value, same in groupby(values):  # equal neighbours are one run
        updates = updates_per_count * sum(1 for _ in same)
        runs.append(f"{value + 0.0!r}x{updates}")  # + 0.0 makes a zero of either sign the same
    return hashlib.sha256(" ".join(runs).encode()).hexdigest()
