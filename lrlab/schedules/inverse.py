"""Schedules by powers of the time that has passed: they need no horizon, so a run may end, or go on, at any time.

They fall for ever; what they give at t = total is held, as in every schedule.
"""

from lrlab.schedules.law import require_positive, settled
from lrlab.schedules.lengths import Length, Level, Number, Way


def inverse_time(
    t: float, *, total: Way, steps: Length, rate: Level = 1.0, power: Number = 1.0, staircase: bool = False
) -> float:
    """One over the time, in units of `steps`, smoothly or, as a `staircase`, at each multiple of `steps`.

    f(t) = (1 + rate t / steps)^-power

    Keras's InverseTimeDecay, Paddle's InverseTimeDecay, and Caffe's `inv` policy with gamma = rate / steps.

    Source: Robbins and Monro, A Stochastic Approximation Method, 1951, whose conditions it meets with power 1.

    >>> [inverse_time(t, total=100, steps=10) for t in (0, 10, 30)]
    [1.0, 0.5, 0.25]
    """
    require_positive("steps", steps, 10)
    require_positive("rate", rate, 1.0)
    require_positive("power", power, 1.0)
    passed = settled(t, total) / steps
    return (1 + rate * (passed // 1 if staircase else passed)) ** -power


def inverse_sqrt(t: float, *, total: Way, timescale: Length) -> float:
    """One over the square root of the time: 1 at t = 0, 1 / sqrt(2) at t = timescale.

    f(t) = sqrt(timescale / (t + timescale))

    After a warm-up of `timescale` steps this is the schedule of Hugging Face (inverse_sqrt), timm (rsqrt) and fairseq.

    Source: Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, eq. 3; with timescale and cooldown,
    Zhai et al., Scaling Vision Transformers, 2021, arXiv:2106.04560.

    >>> [round(inverse_sqrt(t, total=100, timescale=10), 4) for t in (0, 10, 30, 100)]
    [1.0, 0.7071, 0.5, 0.3015]
    """
    require_positive("timescale", timescale, 1000)
    return (timescale / (settled(t, total) + timescale)) ** 0.5


def noam(t: float, *, total: Way, warmup: Length, d_model: Number | None = None) -> float:
    """Up in a straight line for `warmup`, then down with one over the square root of the time.

    f(t) = peak min(n / warmup, sqrt(warmup / n)),  n = t + 1

    The peak is 1, the base LR; with the width `d_model` of a model it is (d_model warmup)^-0.5 as in the paper, so
    that a base LR of 1 gives the paper's LR. Updates count from 1, as in the paper. Paddle's counts from 0, which
    wastes the first update at LR 0 and is one update late.

    Source: Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762, eq. 3.

    >>> [round(noam(t, total=100, warmup=10), 4) for t in (0, 4, 9, 39)]
    [0.1, 0.5, 1.0, 0.5]
    >>> round(noam(9, total=100, warmup=10, d_model=64), 6)
    0.039528
    """
    require_positive("warmup", warmup, 4000)
    peak = 1.0
    if d_model is not None:
        require_positive("d_model", d_model, 512)
        peak = (d_model * warmup) ** -0.5
    n = settled(t, total) + 1
    return peak * min(n / warmup, (warmup / n) ** 0.5)


def power(t: float, *, total: Way, timescale: Length, exponent: Number = 0.51) -> float:
    """Flat until `timescale`, then down with a power of the time.

    f(t) = min(1, (t / timescale)^-exponent)

    With the time in tokens this is the power scheduler: a n^b, capped at the largest LR. As the paper has it, put
    a warm-up and a cooldown around it.

    Source: Shen et al., Power Scheduler, 2024, arXiv:2408.13359 (b = -0.51).

    >>> [round(power(t, total=100, timescale=10), 4) for t in (0, 10, 20, 40)]
    [1.0, 1.0, 0.7022, 0.4931]
    """
    require_positive("timescale", timescale, 1000)
    require_positive("exponent", exponent, 0.51)
    t = settled(t, total)
    return 1.0 if t <= timescale else (t / timescale) ** -exponent
