"""Schedules that fall from 1 to a floor over the whole run."""

import math

from lrlab.schedules.law import between, progress, require_length, require_positive, settled, wrong_argument
from lrlab.schedules.lengths import Length, Level, Number, Place, Way


def constant(t: float, *, total: Way, value: Level = 1.0) -> float:  # noqa: ARG001  # the form of all schedules
    """`value` throughout: the baseline, and the plateau of others.

    `value` is a fraction of the base LR, at least 0.

    >>> constant(5, total=10)
    1.0
    """
    if not 0 <= value < math.inf:
        raise wrong_argument("value", got=value, allowed="a number from 0", do="value=1.0")
    return value


def linear(t: float, *, total: Way, floor: Level = 0.0) -> float:
    """A straight line from 1 to `floor`.

    f(t) = floor + (1 - floor) (1 - t / total)

    Source: with floor 0, Bergsma et al., Straight to Zero, 2025, arXiv:2502.15938 (D2Z).

    >>> [linear(t, total=4) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.75, 0.5, 0.0, 0.0]
    """
    return between(floor, 1 - progress(t, total))


def polynomial(t: float, *, total: Way, power: Number = 2.0, floor: Level = 0.0) -> float:
    """A power of what is left of the run, from 1 to `floor`: `power` 1 is linear, 2 square, 0.5 square root.

    f(t) = floor + (1 - floor) (1 - t / total)^power

    Source: Chen et al., DeepLab, 2016, arXiv:1606.00915, section 4.1 ("poly", power 0.9).

    >>> [polynomial(t, total=4) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.5625, 0.25, 0.0, 0.0]
    """
    require_positive("power", power, 2.0)
    return between(floor, (1 - progress(t, total)) ** power)


def polynomial_cycles(t: float, *, total: Way, period: Way, power: Number = 1.0, floor: Level = 0.0) -> float:
    """A polynomial over `period` that jumps up, at each multiple of it, onto the polynomial over one period more.

    f(t) = floor + (1 - floor) (1 - t / (n period))^power,  n = max(1, ceil(t / period))

    Source: TensorFlow's and Keras's PolynomialDecay with cycle=True.

    >>> [polynomial_cycles(t, total=40, period=10) for t in (0, 5, 10, 15, 20, 25)]
    [1.0, 0.5, 0.0, 0.25, 0.0, 0.16666666666666663]
    """
    require_positive("power", power, 1.0)
    require_length("period", period, total)
    t = settled(t, total)
    reached = period * max(1, math.ceil(t / period))
    return between(floor, (1 - t / reached) ** power)


def exponential(
    t: float,
    *,
    total: Way,
    rate: Level = 0.01,
    steps: Length | None = None,
    staircase: bool = False,
    floor: Level = 0.0,
) -> float:
    """Multiplied by `rate` every `steps`, smoothly or, as a `staircase`, at once; never below `floor`.

    f(t) = max(floor, rate^(t / steps))

    Three conventions in one: `steps` null is the whole run, so that `rate` is the last factor (fvcore); another
    length is a transition (optax, Keras, TensorFlow); 1 makes `rate` the factor of every count (torch's gamma). The
    natural exponential e^(-gamma t) (Paddle) is steps=1 with rate = e^-gamma. `rate` is above 0 and at most 1.

    >>> [round(exponential(t, total=4, rate=0.01), 4) for t in (0, 2, 4, 9)]
    [1.0, 0.1, 0.01, 0.01]
    >>> [exponential(t, total=8, rate=0.5, steps=2, staircase=True) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if not 0 < rate <= 1:
        raise wrong_argument("rate", got=rate, allowed="above 0, at most 1", do="rate=0.01")
    length = total if steps is None else steps
    require_positive("steps", length, 10)
    passed = settled(t, total) / length
    return max(between(floor, 0.0), rate ** (math.floor(passed) if staircase else passed))


def cosine(t: float, *, total: Way, floor: Level = 0.0, exponent: Number = 1.0, k_decay: Number = 1.0) -> float:
    """Half a cosine, from 1 at t = 0 down to `floor` at t = total, and flat from there on.

    f(t) = floor + (1 - floor) ((1 + cos(pi (t / total)^k_decay)) / 2)^exponent

    `floor` is a fraction of the base LR, in [0, 1]; `total` is in counts of the interval, at least 1. An `exponent`
    above 1 falls earlier (optax calls it cosine power annealing); `k_decay` above 1 stays up longer. Unlike torch's
    and Hugging Face's it does not rise again after `total`.

    Source: Loshchilov and Hutter, SGDR, 2017, arXiv:1608.03983, eq. 5, without restarts. k-decay: Zhang and Li,
    2020, arXiv:2004.05909.

    >>> [round(cosine(t, total=4), 4) for t in (0, 1, 2, 4, 9)]
    [1.0, 0.8536, 0.5, 0.0, 0.0]
    >>> round(cosine(2, total=4, exponent=2.0), 4), round(cosine(2, total=4, k_decay=2.0), 4)
    (0.25, 0.8536)
    """
    require_positive("exponent", exponent, 1.0)
    require_positive("k_decay", k_decay, 1.0)
    return between(floor, ((1 + math.cos(math.pi * progress(t, total) ** k_decay)) / 2) ** exponent)


def tanh(t: float, *, total: Way, lower: Number = -7.0, upper: Number = 3.0, floor: Level = 0.0) -> float:
    """Flat, then down along a hyperbolic tangent, then flat.

    f(t) = floor + (1 - floor) (1 - tanh(lower + (upper - lower) t / total)) / 2  for t < total, then floor

    It starts within (1 - tanh(lower)) / 2 of 1 and falls the last (1 - tanh(upper)) / 2, by default 0.0025, at
    t = total. `lower` < `upper`.

    Source: Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay, 2018, arXiv:1806.01593.

    >>> [round(tanh(t, total=100), 4) for t in (0, 50, 70, 99, 100)]
    [1.0, 0.982, 0.5, 0.003, 0.0]
    """
    if not lower < upper:
        raise wrong_argument(
            "upper", got=f"{upper} with lower={lower}", allowed=f"more than {lower}", do="lower=-7.0 upper=3.0"
        )
    done = progress(t, total)
    return between(floor, 0.0 if done == 1 else (1 - math.tanh(lower + (upper - lower) * done)) / 2)


def sigmoid(t: float, *, total: Way, center: Place, width: Length, floor: Level = 0.0) -> float:
    """Down along a logistic curve around `center`, where it has half its way behind it.

    f(t) = floor + (1 - floor) / (1 + e^((t - center) / width))

    `center` and `width` are counts of the interval; between center - 2 width and center + 2 width it makes three
    quarters of its way. Caffe's `sigmoid` policy with gamma and stepsize is width = -1 / gamma, center = stepsize.

    >>> [round(sigmoid(t, total=100, center=50, width=10), 4) for t in (0, 50, 70, 100)]
    [0.9933, 0.5, 0.1192, 0.0067]
    """
    require_positive("width", width, 10)
    exponent = (settled(t, total) - center) / width
    return between(floor, 1 / (1 + math.exp(exponent)) if exponent < 700 else 0.0)


def rex(t: float, *, total: Way, floor: Level = 0.0) -> float:
    """Reflected exponential: nearly linear, with the steepest fall at the end.

    f(t) = floor + (1 - floor) (1 - p) / (1 - p / 2),  p = t / total

    Source: Chen, Wolfe and Kyrillidis, REX, 2021, arXiv:2107.04197.

    >>> [round(rex(t, total=4), 4) for t in (0, 2, 3, 4, 9)]
    [1.0, 0.6667, 0.4, 0.0, 0.0]
    """
    done = progress(t, total)
    return between(floor, (1 - done) / (1 - done / 2))


def _hyperbola(t: float, total: float, upper_bound: float) -> float:
    if upper_bound < total:
        do = f"upper_bound={int(2.5 * total)}"
        raise wrong_argument("upper_bound", got=upper_bound, allowed=f"at least total, {total:g}", do=do)
    left = total - settled(t, total)
    return math.sqrt(left / upper_bound * (2 - (2 * total - left) / upper_bound))


def hyperbolic(t: float, *, total: Way, upper_bound: Length, floor: Level = 0.01) -> float:
    """Down along a hyperbola whose beginning depends on `upper_bound`, not on the length of the run.

    f(t) = 1 + (1 - floor) (h(t) - h(0)),  h(t) = sqrt((N - t) / U (2 - (N + t) / U)),  N = total, U = upper_bound

    So runs of different lengths start alike. `upper_bound` is a count, at least `total`; `floor` is reached only
    where they are equal.

    Source: Kim, HyperbolicLR, 2024, arXiv:2407.15200.

    >>> [round(hyperbolic(t, total=100, upper_bound=250, floor=0.001), 4) for t in (0, 50, 100, 101)]
    [1.0, 0.7294, 0.2008, 0.2008]
    """
    return 1 + (1 - between(floor, 0.0)) * (_hyperbola(t, total, upper_bound) - _hyperbola(0, total, upper_bound))


def exponential_hyperbolic(t: float, *, total: Way, upper_bound: Length, floor: Level = 0.01) -> float:
    """`hyperbolic` in the logarithm of the LR.

    f(t) = floor^(h(0) - h(t)),  with h of `hyperbolic`; floor above 0

    Source: Kim, HyperbolicLR, 2024, arXiv:2407.15200 (ExpHyperbolicLR).

    >>> [round(exponential_hyperbolic(t, total=100, upper_bound=250, floor=0.001), 4) for t in (0, 50, 100)]
    [1.0, 0.154, 0.004]
    """
    if not 0 < floor <= 1:
        raise wrong_argument("floor", got=floor, allowed="above 0, at most 1", do="floor=0.001")
    return floor ** (_hyperbola(0, total, upper_bound) - _hyperbola(t, total, upper_bound))
