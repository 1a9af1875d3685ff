"""Warm-up, stable, decay: hold the LR, and decide late when to let it fall."""

import itertools
import math
from collections.abc import Callable

from lrlab.schedules.law import settled, wrong_argument
from lrlab.schedules.lengths import Length, LengthOrZero, Level, Moment, Number, Way

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda q: 1 - q,
    "one_minus_sqrt": lambda q: 1 - math.sqrt(q),
    "cosine": lambda q: (1 + math.cos(math.pi * q)) / 2,
    "mirror_cosine": lambda q: 2 * (1 - q) - (1 + math.cos(math.pi * q)) / 2,
    "square": lambda q: 1 - q * q,
}
ALL_SHAPES = (*SHAPES, "power", "exponential", "geometric", "inverse_linear")


def fall(
    q: float, *, shape: str, floor: float = 0.0, exponent: float | None = None, rate: float | None = None
) -> float:
    """How much is left when the share `q`, 0..1, of a decay is done: 1 at q = 0, `floor` at q = 1.

    floor + (1 - floor) d(q) with d(q) =

        linear          1 - q
        one_minus_sqrt  1 - sqrt(q)
        cosine          (1 + cos(pi q)) / 2
        mirror_cosine   2 (1 - q) - (1 + cos(pi q)) / 2, the cosine reflected in the straight line
        square          1 - q^2
        power           1 - q^exponent
        exponential     (rate^q - rate) / (1 - rate); Megatron's is rate 0.5

    and, straight in another scale, for floors above 0:

        geometric       floor^q, straight in the logarithm of the LR (fairseq's tri_stage)
        inverse_linear  1 / (q / floor + 1 - q), straight in 1 / LR (lingua)

    Source: Haegele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024,
    arXiv:2405.18392 (which finds one_minus_sqrt best); inverse_linear: Wen et al., 2024, arXiv:2410.05192.

    >>> [round(fall(0.25, shape=shape), 4) for shape in ("linear", "one_minus_sqrt", "mirror_cosine")]
    [0.75, 0.5, 0.6464]
    """
    if shape not in ALL_SHAPES:
        raise wrong_argument("shape", got=shape, allowed=", ".join(ALL_SHAPES), do="shape=one_minus_sqrt")
    lowest_is_open = shape in ("geometric", "inverse_linear")
    floor_is_right = 0 < floor <= 1 if lowest_is_open else 0 <= floor <= 1
    if not floor_is_right:
        raise wrong_argument(
            "floor",
            got=f"{floor} with shape {shape}",
            allowed="above 0, at most 1" if lowest_is_open else "0 to 1, a fraction of the base LR",
            do="floor=0.01",
        )
    _require_only("exponent", exponent, wanted=shape == "power", below=math.inf, whose="power")
    _require_only("rate", rate, wanted=shape == "exponential", below=1, whose="exponential")
    if shape == "geometric":
        return floor**q
    if shape == "inverse_linear":
        return 1 / (q / floor + 1 - q)
    if exponent is not None:
        left = 1 - q**exponent
    elif rate is not None:
        left = (rate**q - rate) / (1 - rate)
    else:
        left = SHAPES[shape](q)
    return floor + (1 - floor) * left


def _require_only(name: str, value: float | None, *, wanted: bool, below: float, whose: str) -> None:
    """`value` is between 0 and `below` for the shape `whose` it is, and null for all others."""
    if wanted and not (value is not None and 0 < value < below):
        raise wrong_argument(name, got=value, allowed=f"above 0, below {below:g}, for shape {whose}", do=f"{name}=0.5")
    if value is not None and not wanted:
        raise wrong_argument(name, got=value, allowed=f"null, unless the shape is {whose}", do=f"{name}=null")


def wsd(
    t: float,
    *,
    total: Way,
    warmup: LengthOrZero,
    decay: Length,
    shape: str = "one_minus_sqrt",
    floor: Level = 0.0,
    exponent: Number | None = None,
    rate: Level | None = None,
    start: Level | None = None,
) -> float:
    """A straight warm-up, the base LR, and over the last `decay` counts a decay of the given `shape` to `floor`.

    f(t) = (t + 1) / (warmup + 1)  for t < warmup;  1;  d((t - total + decay) / decay)  for the last `decay`

    `fall` in this module lists the shapes. With `start`, a fraction, the warm-up is start + (1 - start) t / warmup,
    as in `warmup`: 0 is Hugging Face's. Both lengths are counted inside `total`; timm's WSD counts warm-up and
    decay outside or inside by its flags. It is `warmup` of a `cooldown` of `constant`, and other warm-ups, or
    a cooldown of another schedule, are made in the same way.

    Source: Hu et al., MiniCPM, 2024, arXiv:2404.06395, section 4.

    >>> [round(wsd(t, total=100, warmup=9, decay=20), 4) for t in (0, 9, 80, 85, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    shapes = {"shape": shape, "floor": floor, "exponent": exponent, "rate": rate}
    return wsd_s(t, total=total, warmup=warmup, decay=decay, ends=(), start=start, **shapes)  # type: ignore[arg-type]


def wsd_s(
    t: float,
    *,
    total: Way,
    warmup: LengthOrZero,
    decay: Length,
    ends: tuple[Moment, ...] | list[Moment] = (),
    shape: str = "inverse_linear",
    floor: Level = 0.1,
    exponent: Number | None = None,
    rate: Level | None = None,
    start: Level | None = None,
) -> float:
    """`wsd` several times over, without another warm-up: it decays before each of `ends` and before `total`.

    f(t) = (t + 1) / (warmup + 1)  for t < warmup;  d((t - e + decay) / decay)  before each end e;  1 elsewhere

    After each of `ends` the LR is at once the base LR again. So one run gives a decayed model at several horizons.
    `ends` rise, and each stretch is at least `decay` long, the first one after the warm-up.

    Source: Wen et al., Understanding Warmup-Stable-Decay Learning Rates, 2024, arXiv:2410.05192 (WSD-S).

    >>> [round(wsd_s(t, total=100, warmup=9, decay=10, ends=[50], floor=0.1), 4) for t in (0, 40, 49, 50, 90, 100)]
    [0.1, 1.0, 0.1099, 1.0, 1.0, 0.1]
    """
    t = settled(t, total)
    edges = [warmup, *ends, total]
    shortest, begin, end = min((end - begin, begin, end) for begin, end in itertools.pairwise(edges))
    if warmup < 0 or decay < 1 or shortest < decay:
        raise wrong_argument(
            "decay",
            got=f"{decay:g}, in a stretch of {shortest:g} (from {begin:g} to {end:g})",
            allowed=f"1 to {shortest:g}" if shortest >= 1 else "at least 1, in a longer stretch",
            do="a shorter decay or warmup, or a longer run",
        )
    if start is not None and not 0 <= start <= 1:
        raise wrong_argument("start", got=start, allowed="0 to 1, or null", do="start=0.1")
    done, ramp = 0.0, 1.0
    if t >= warmup:
        end = next((end for end in edges[1:] if t < end), total)
        done = max(0.0, (t - end + decay) / decay)
    elif start is None:
        ramp = (t + 1) / (warmup + 1)
    else:
        ramp = start + (1 - start) * (t / warmup)
    return ramp * fall(done, shape=shape, floor=floor, exponent=exponent, rate=rate)
