"""Schedules that torch lacks: pure functions `(t, *, total, ...) -> factor` of the base learning rate.

One clock law holds for all of them. `t` counts completed updates of the interval (epochs or steps), and every
integer t >= 0 is defined. Updates run at t = 0 .. total-1; the floor is reached at t = total and held for ever.
"""

import math
from collections.abc import Callable


def cosine(t: int, *, total: int, floor: float = 0.0) -> float:
    """Half a cosine, from 1 at t = 0 down to `floor` at t = total, and flat from there on.

    f(t) = floor + (1 - floor) (1 + cos(pi t / total)) / 2

    `floor` is a fraction of the base LR, in [0, 1]; `total` is in counts of the interval, at least 1.

    Source: Loshchilov and Hutter, SGDR, 2017, arXiv:1608.03983, eq. 5, without restarts.

    >>> [round(cosine(t, total=4), 4) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.8536, 0.5, 0.0, 0.0]
    """
    if total < 1:
        raise ValueError(f"total: got {total}; allowed: at least 1; do: train longer")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor: got {floor}; allowed: 0 to 1, a fraction of the base LR; do: floor=0.01")
    progress = min(t / total, 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def warmup(t: int, *, steps: int, total: int, then: Callable[..., float]) -> float:
    """A straight ramp over the first `steps`, then the schedule `then` over what is left.

    f(t) = (t + 1) / (steps + 1) * then(0)      for t < steps
    f(t) = then(t - steps, total=total - steps)  from there on

    No update is wasted at zero, and the ramp meets `then` exactly at t = steps. `then` starts its own clock at 0
    and gets the rest of the horizon, so that warm-up is counted inside `total`. `steps` is in counts of the
    interval, 0 <= steps < total; 0 means no warm-up.

    Source: Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv:1706.02677, section 2.2 (gradual warm-up).

    >>> from functools import partial
    >>> [round(warmup(t, steps=3, total=7, then=cosine), 4) for t in (0, 1, 2, 3, 5, 7, 8)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    >>> warmup(0, steps=0, total=7, then=partial(cosine, floor=0.1))
    1.0
    """
    if not 0 <= steps < total:
        raise ValueError(
            f"warm-up steps: got {steps} of {total}; allowed: 0 to {total - 1}; do: lower it or train longer"
        )
    if t < steps:
        return (t + 1) / (steps + 1) * then(0, total=total - steps)
    return then(t - steps, total=total - steps)
