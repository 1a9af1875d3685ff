"""Schedules made of schedules.

Each hands its parts a clock that starts at 0 and the horizon that they have, so that parts may be combinations too.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from lrlab.schedules.cycles import cycle
from lrlab.schedules.law import ScheduleFunction, evenly_spaced, half, settled, wrong_argument
from lrlab.schedules.lengths import NUMBER, LengthOrZero, Level, Moment, Number, Way
from lrlab.schedules.stable import fall

RAMPS = {
    "linear": lambda p: p,
    "cosine": lambda p: (1 - math.cos(math.pi * p)) / 2,
    "square": lambda p: p * p,
    "sqrt": math.sqrt,
    "exponential": lambda p: math.expm1(-5 * p) / math.expm1(-5),
}
UNTUNED = ("linear", "exponential", "radam")
SPREADS = ("uniform", "normal")
Several = Mapping[str, ScheduleFunction] | Sequence[ScheduleFunction]


def warmup(
    t: float,
    *,
    steps: LengthOrZero,
    total: Way,
    then: ScheduleFunction,
    shape: str = "linear",
    start: Level | None = None,
) -> float:
    """A ramp over the first `steps`, then the schedule `then` over what is left.

    f(t) = ramp(p) then(0),  p = (t + 1) / (steps + 1)  for t < steps
    f(t) = then(t - steps, total=total - steps)         from there on

    ramp(p) = p (linear) | (1 - cos(pi p)) / 2 (cosine) | p^2 (square) | sqrt(p) (sqrt)
            | (1 - e^(-5p)) / (1 - e^-5) (exponential: fast first) | `start` (constant)

    No update is wasted at zero, and the ramp meets `then` exactly at t = steps. `then` starts its own clock at 0
    and gets the rest of the horizon, so that warm-up is counted inside `total`: for warm-up outside of it (Keras's
    CosineDecay), train `steps` longer. `steps` is in counts of the interval, 0 <= steps < total; 0 means no warm-up.

    Others begin elsewhere. With `start`, a fraction, it is start + (1 - start) ramp(t / steps): start 0 is Hugging
    Face's, optax's, Megatron's and Composer's t / steps, whose first update is wasted at LR 0; torch's LinearLR and
    timm's warmup_lr_init start above it. torchtitan's (t + 1) / W is steps = W - 1, nanoGPT's is ours.

    Source: Goyal et al., Accurate, Large Minibatch SGD, 2017, arXiv:1706.02677, section 2.2 (gradual, constant).

    >>> from lrlab.schedules import cosine
    >>> [round(warmup(t, steps=3, total=7, then=cosine), 4) for t in (0, 1, 2, 3, 5, 7, 8)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    >>> [warmup(t, steps=4, total=8, then=cosine, start=0.0) for t in (0, 1, 4)]
    [0.0, 0.25, 1.0]
    """
    if not 0 <= steps < total:
        got = f"{steps} of {total}"
        raise wrong_argument("steps", got=got, allowed=f"0 to {total - 1}", do=f"steps={int(total / 10)}")
    if shape not in RAMPS and shape != "constant":
        raise wrong_argument("shape", got=shape, allowed=", ".join([*RAMPS, "constant"]), do="shape=linear")
    start_is_right = shape != "constant" if start is None else 0 <= start <= 1
    if not start_is_right:
        raise wrong_argument("start", got=start, allowed="0 to 1, for shape constant never null", do="start=0.1")
    if t >= steps:
        return then(t - steps, total=total - steps)
    if start is None:
        ramp = RAMPS[shape]((t + 1) / (steps + 1))
    elif shape == "constant":
        ramp = start
    else:
        ramp = start + (1 - start) * RAMPS[shape](t / steps)
    return ramp * then(0, total=total - steps)


def untuned_warmup(t: float, *, total: Way, beta2: Level, then: ScheduleFunction, shape: str = "exponential") -> float:
    """`then`, dampened at first by as much as Adam's `beta2` asks for: a warm-up with nothing to tune.

    f(t) = w(t) then(t),  w(t) = min(1, (1 - beta2) (t + 1) / 2) (linear) | 1 - e^(-(1 - beta2) (t + 1)) (exponential)

    The linear one takes 2 / (1 - beta2) updates, 2,000 for 0.999; so its interval is the step. `then` has its whole
    horizon: the two are multiplied. pytorch_warmup truncates the length (0.99: 199, here 200). Shape `radam` is the
    rectification of RAdam, from the first update at which it is defined.

    Sources: Ma and Yarats, On the adequacy of untuned warmup, 2019, arXiv:1910.04209; for `radam` Liu et al., On the
    variance of the adaptive learning rate and beyond, 2019, arXiv:1908.03265, algorithm 2.

    >>> from lrlab.schedules import constant
    >>> [round(untuned_warmup(t, total=99, beta2=0.9, then=constant), 4) for t in (0, 9, 49)]
    [0.0952, 0.6321, 0.9933]
    >>> [round(untuned_warmup(t, total=99, beta2=0.9, then=constant, shape="linear"), 4) for t in (0, 9, 19)]
    [0.05, 0.5, 1.0]
    """
    if not 0 <= beta2 < 1:
        raise wrong_argument("beta2", got=beta2, allowed="0 to 1, 1 excluded", do="beta2=0.999")
    if shape not in UNTUNED:
        raise wrong_argument("shape", got=shape, allowed=", ".join(UNTUNED), do="shape=exponential")
    dampened = (1 - beta2) * (settled(t, total) + 1)
    if shape == "radam":
        weight = _rectification(settled(t, total), beta2)
    elif shape == "linear":
        weight = min(1.0, dampened / 2)
    else:
        weight = -math.expm1(-dampened)
    return weight * then(t, total=total)


def _rectification(t: float, beta2: float) -> float:
    """RAdam's factor r of its step, `t` updates after the first at which the variance of that step is finite."""
    longest = 2 / (1 - beta2) - 1  # of the average of squared gradients
    if longest <= 4:
        raise wrong_argument("beta2", got=beta2, allowed="above 0.6 for shape radam", do="beta2=0.999")

    def length(step: float) -> float:
        power = beta2**step
        return longest - 2 * step * power / (1 - power)

    first = 1
    while length(first) <= 4:
        first += 1
    now = length(t + first)
    return math.sqrt((now - 4) * (now - 2) * longest / ((longest - 4) * (longest - 2) * now))


def cooldown(
    t: float,
    *,
    total: Way,
    steps: LengthOrZero,
    of: ScheduleFunction,
    shape: str = "linear",
    floor: Level = 0.0,
    exponent: Number | None = None,
    rate: Level | None = None,
    freeze: bool = True,
) -> float:
    """The schedule `of`, over the whole horizon, and over the last `steps` a decay of the given `shape` from it.

    f(t) = of(t)                                  for t < total - steps
    f(t) = of(total - steps) d(q),  q = (t - total + steps) / steps  from there on

    With `freeze` false it is of(t) d(q): `of` goes on underneath, as in timm's WSD and in big_vision. The shapes d
    and their parameters are those of `wsd`; `floor` is a fraction of what `of` gives. `steps` may be 0.

    Source: Zhai et al., Scaling Vision Transformers, 2021, arXiv:2106.04560 (cooldown of an inverse square root).

    >>> from functools import partial
    >>> from lrlab.schedules import inverse_sqrt
    >>> of = partial(inverse_sqrt, timescale=10)
    >>> [round(cooldown(t, total=100, steps=10, of=of), 4) for t in (0, 30, 90, 95, 100)]
    [1.0, 0.5, 0.3162, 0.1581, 0.0]
    """
    if not 0 <= steps <= total:
        raise wrong_argument(
            "cooldown steps", got=f"{steps} of {total}", allowed=f"0 to {total}", do=f"steps={half(total)}"
        )
    t, joint = settled(t, total), total - steps
    if t < joint or steps == 0:
        return of(t, total=total)
    left = fall((t - joint) / steps, shape=shape, floor=floor, exponent=exponent, rate=rate)
    return of(joint if freeze else t, total=total) * left


def sequence(t: float, *, total: Way, schedules: Several, milestones: Sequence[Moment]) -> float:
    """One schedule after the other, each with its own clock and horizon; `milestones` say when the next one starts.

    f(t) = f_i(t - m_i, total=m_(i+1) - m_i)  for m_i <= t < m_(i+1),  m_0 = 0, the last ends at total

    Nesting makes no difference: a sequence of sequences is the sequence of all parts. (torch's SequentialLR is wrong
    when nested, pytorch#196243.) What a part would jump to at its end is never seen, the next one has begun.

    `schedules` is a list, or a mapping whose names say what each part is; one more than the `milestones`, which rise.

    >>> from lrlab.schedules import constant, cosine
    >>> [round(sequence(t, total=10, schedules=[constant, cosine], milestones=[6]), 4) for t in (0, 6, 8, 10)]
    [1.0, 1.0, 0.5, 0.0]
    """
    parts = _parts(schedules)
    edges = [0, *milestones, total]
    if len(parts) != len(edges) - 1:
        raise wrong_argument(
            "milestones",
            got=f"{len(milestones)} for {len(parts)} schedules",
            allowed=str(len(parts) - 1),
            do=evenly_spaced("milestones", len(parts) - 1, total),
        )
    if any(start >= end for start, end in itertools.pairwise(edges)):
        do = evenly_spaced("milestones", len(milestones), total)
        raise wrong_argument("milestones", got=list(milestones), allowed=f"rising, 1 to {total - 1}", do=do)
    index = sum(milestone <= t for milestone in milestones)
    return parts[index](t - edges[index], total=edges[index + 1] - edges[index])


def product(t: float, *, total: Way, schedules: Several) -> float:
    """The product of schedules that run at the same time. (torch's ChainedScheduler is not always one.)

    f(t) = f_1(t) f_2(t) ...

    >>> from lrlab.schedules import linear
    >>> product(2, total=4, schedules=[linear, linear])
    0.25
    """
    return math.prod(part(t, total=total) for part in _parts(schedules))


def scale(t: float, *, total: Way, of: ScheduleFunction, factor: Level = 1.0, offset: Level = 0.0) -> float:
    """A schedule stretched and moved.

    f(t) = offset + factor of(t)

    >>> from lrlab.schedules import linear
    >>> scale(2, total=4, of=linear, factor=0.9, offset=0.1)
    0.55
    """
    for name, value in (("factor", factor), ("offset", offset)):
        if not 0 <= value < math.inf:
            raise wrong_argument(name, got=value, allowed="a number from 0", do=f"{name}=0.5")
    return offset + factor * of(t, total=total)


def floor(t: float, *, total: Way, of: ScheduleFunction, value: Level) -> float:
    """A schedule that is never below `value`, a fraction of the base LR.

    >>> from lrlab.schedules import linear
    >>> [floor(t, total=4, of=linear, value=0.3) for t in range(5)]
    [1.0, 0.75, 0.5, 0.3, 0.3]
    """
    return max(_level(value), of(t, total=total))


def ceiling(t: float, *, total: Way, of: ScheduleFunction, value: Level) -> float:
    """A schedule that is never above `value`, a fraction of the base LR.

    >>> from lrlab.schedules import linear
    >>> [ceiling(t, total=4, of=linear, value=0.6) for t in range(5)]
    [0.6, 0.6, 0.5, 0.25, 0.0]
    """
    return min(_level(value), of(t, total=total))


def _level(value: float) -> float:
    if not 0 <= value < math.inf:
        raise wrong_argument("value", got=value, allowed="a number from 0", do="value=0.1")
    return value


def restart(
    t: float,
    *,
    total: Way,
    of: ScheduleFunction,
    period: Way | None = None,
    cycles: Number | None = None,
    growth: Number = 1.0,
    peak_decay: Level = 1.0,
) -> float:
    """Any schedule, again and again: cycle i takes period growth^i and is multiplied by peak_decay^i.

    `cycles` equal ones fill the run instead of a `period`. What ends at `total` is held as it ended.

    >>> from lrlab.schedules import linear
    >>> [restart(t, total=6, of=linear, period=2, growth=2, peak_decay=0.5) for t in range(7)]
    [1.0, 0.5, 0.5, 0.375, 0.25, 0.125, 0.0]
    """
    if not 0 < peak_decay <= 1:
        raise wrong_argument("peak_decay", got=peak_decay, allowed="above 0, at most 1", do="peak_decay=0.5")
    index, since, length = cycle(t, total, period, cycles, growth)
    return peak_decay**index * of(since, total=length)


def noise(
    t: float,
    *,
    total: Way,
    of: ScheduleFunction,
    amount: Level,
    seed: Annotated[int, NUMBER] = 0,
    spread: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
) -> float:
    """A schedule times a random number of its own for each t, spread over 1 - amount .. 1 + amount.

    The number is a function of (seed, t), so that any t can be asked for, in any order. `amount` is in [0, 1]. The
    `spread` is "uniform", or "normal": a standard normal number that lies within -amount .. amount, as in timm. There
    is noise from `start` on, to `end` (excluded), by default throughout.

    >>> from lrlab.schedules import constant
    >>> noisy = [noise(t, total=9, of=constant, amount=0.1) for t in range(3)]
    >>> noisy == [noise(t, total=9, of=constant, amount=0.1) for t in range(3)], len({*noisy})
    (True, 3)
    >>> [noise(t, total=9, of=constant, amount=0.1, spread="normal", start=1, end=2) == 1 for t in range(3)]
    [True, False, True]
    """
    if not 0 <= amount <= 1:
        raise wrong_argument("amount", got=amount, allowed="0 to 1", do="amount=0.1")
    if spread not in (None, *SPREADS):
        raise wrong_argument("spread", got=spread, allowed=", ".join(SPREADS), do="spread=normal")
    place = settled(t, total)
    if place < (start or 0) or (end is not None and place >= end):
        return of(t, total=total)
    drawn = _uniform(seed, place)
    if spread == "normal" and amount > 0:
        from statistics import NormalDist  # which takes longer to import than all schedules together

        normal = NormalDist()
        below = normal.cdf(-amount)
        swing = normal.inv_cdf(below + (1 - 2 * below) * drawn)  # within -amount to amount
        return (1 + swing) * of(t, total=total)
    swing = 2 * drawn - 1  # -1 to 1
    return (1 + amount * swing) * of(t, total=total)


def _uniform(seed: int, t: float) -> float:
    """A number in [0, 1) for each (seed, t): the output function of SplitMix64 (Steele, Lea and Flood, 2014), twice."""
    return (_mix(_mix(seed) + hash(t)) >> 11) / 2**53


def _mix(number: int) -> int:
    mask = 2**64 - 1
    bits = (number + 1) * 0x9E3779B97F4A7C15 & mask
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & mask
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & mask
    return bits ^ bits >> 31


def _parts(schedules: Several) -> Sequence[ScheduleFunction]:
    parts = list(schedules.values()) if isinstance(schedules, Mapping) else list(schedules)
    if not parts or not all(map(callable, parts)):
        raise wrong_argument(
            "schedules", got=schedules, allowed="schedules, at least one", do="name their _target_ and _partial_"
        )
    return parts
