"""Schedules: pure functions `(t, *, total, ...) -> factor` of the base learning rate.

One clock law holds for all of them. `t` counts completed updates of the interval (epochs or steps), and every
integer t >= 0 is defined. Updates run at t = 0 .. total-1; the floor is reached at t = total, and whatever a
schedule gives there it gives for ever. A schedule that combines others hands down a clock that starts at 0 and the
horizon that is left, so that composition is function composition.

    decays      from 1 down to a floor over the whole run
    steps       staircases and knots
    inverse     powers of the time that has passed, which need no horizon
    cycles      up and down: triangles, restarts, one cycle, Chebyshev steps
    stable      warm-up, stable, decay
    combine     schedules made of schedules: warmup, cooldown, sequence, product, ...

Lengths (`total`, `steps`, `period`, `milestones`, ...) are counts of the interval; `floor` and all other levels are
fractions of the base LR. The annotation of a parameter says which it is (`lrlab.schedules.lengths`). Any other function
of this form works as well, in Python and in YAML.
"""

from lrlab.schedules.combine import (
    ceiling,
    cooldown,
    floor,
    noise,
    product,
    restart,
    scale,
    sequence,
    untuned_warmup,
    warmup,
)
from lrlab.schedules.cycles import fractal_chebyshev, one_cycle, slanted_triangular, triangular, warm_restarts
from lrlab.schedules.decays import (
    constant,
    cosine,
    exponential,
    exponential_hyperbolic,
    hyperbolic,
    linear,
    polynomial,
    polynomial_cycles,
    rex,
    sigmoid,
    tanh,
)
from lrlab.schedules.inverse import inverse_sqrt, inverse_time, noam, power
from lrlab.schedules.stable import wsd, wsd_s
from lrlab.schedules.steps import multistep, piecewise_constant, piecewise_linear, step

__all__ = [
    "ceiling",
    "constant",
    "cooldown",
    "cosine",
    "exponential",
    "exponential_hyperbolic",
    "floor",
    "fractal_chebyshev",
    "hyperbolic",
    "inverse_sqrt",
    "inverse_time",
    "linear",
    "multistep",
    "noam",
    "noise",
    "one_cycle",
    "piecewise_constant",
    "piecewise_linear",
    "polynomial",
    "polynomial_cycles",
    "power",
    "product",
    "restart",
    "rex",
    "scale",
    "sequence",
    "sigmoid",
    "slanted_triangular",
    "step",
    "tanh",
    "triangular",
    "untuned_warmup",
    "warm_restarts",
    "warmup",
    "wsd",
    "wsd_s",
]
