"""The LR of a run that is given a time, and no number of updates: its plan is followed by the used share of the time.

All of it is arithmetic of seconds that others have measured.
"""

import math

from lrlab.lr.horizon import POSITIONS

LAST = POSITIONS - 1


def position_at(used: float, end: float, each: float, between: float = 0.0) -> tuple[int, bool]:
    """The position of an update in the plan, from 0 to `LAST`, and whether the update is the last of the run.

    `used` seconds have gone by when it begins, training may go on until `end`, and an update takes `each` seconds.
    Until the next one begins, `between` more go by. The last update is that after which there is no time for another.
    It has the last position, whatever its share is, so that the LR ends where its plan ends.

    >>> position_at(0, 60, 0.1), position_at(15, 60, 0.1), position_at(59.85, 60, 0.1)
    ((0, False), (2500, False), (9999, True))
    """
    if used + 2 * each + between > end or used >= end:
        return LAST, True
    return min(math.floor(used / end * POSITIONS), LAST), False


def written(position: int) -> str:
    """A position as the share of the budget that it stands for; `read` is its inverse.

    >>> written(2500), read("0.2500")
    ('0.2500', 2500)
    """
    return f"{position / POSITIONS:.4f}"


def read(share: str) -> int:
    """The position that `written` wrote. Raises ValueError for any other text."""
    position = round(float(share) * POSITIONS)
    if not 0 <= position <= LAST or written(position) != share:
        raise ValueError(f"'{share}' is no share of a budget")
    return position
