"""Schedules that go up and down."""

import math
from typing import Annotated

from lrlab.schedules.law import between, half, require_length, require_positive, settled, wrong_argument
from lrlab.schedules.lengths import LENGTH, Length, Level, Number, Way

MODES = ("triangular", "triangular2", "exp_range")
ANNEALS = ("cosine", "linear")


def triangular(
    t: float,
    *,
    total: Way,
    up: Length,
    down: Length | None = None,
    floor: Level = 0.1,
    mode: str = "triangular",
    gamma: Level = 1.0,
) -> float:
    """Triangles from `floor` to 1: up for `up`, down for `down` (null: as long), again and again.

    f(t) = floor + (1 - floor) height(t) shrink,  shrink = 1 | 2^-cycle | gamma^t

    `mode` triangular keeps the height, triangular2 halves it each cycle (counted from 0), exp_range multiplies it by
    `gamma`, at most 1, every count.

    Source: Smith, Cyclical Learning Rates, 2015, arXiv:1506.01186, section 3.

    >>> [round(triangular(t, total=60, up=10, floor=0.1), 4) for t in (0, 5, 10, 15, 20, 30)]
    [0.1, 0.55, 1.0, 0.55, 0.1, 1.0]
    >>> [round(triangular(t, total=60, up=10, mode="triangular2"), 4) for t in (10, 30, 50)]
    [1.0, 0.55, 0.325]
    """
    down = up if down is None else down
    require_positive("up", up, 10)
    require_positive("down", down, 10)
    if mode not in MODES:
        raise wrong_argument("mode", got=mode, allowed=", ".join(MODES), do="mode=triangular")
    if not 0 < gamma <= 1:
        raise wrong_argument("gamma", got=gamma, allowed="above 0, at most 1", do="gamma=0.999")
    t = settled(t, total)
    cycle, place = divmod(t, up + down)
    height = place / up if place <= up else (up + down - place) / down
    shrink = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]
    return between(floor, height * shrink)


def slanted_triangular(t: float, *, total: Way, up: Length, ratio: Number = 32.0) -> float:
    """A short way up from 1 / ratio to 1, then a long way down to 1 / ratio again.

    f(t) = (1 + x (ratio - 1)) / ratio,  x = t / up for t < up, then (total - t) / (total - up)

    The paper's cut_frac is up / total.

    Source: Howard and Ruder, ULMFiT, 2018, arXiv:1801.06146, eq. 3.

    >>> [round(slanted_triangular(t, total=100, up=10), 4) for t in (0, 10, 55, 100)]
    [0.0312, 1.0, 0.5156, 0.0312]
    """
    require_length("up", up, total - 1)
    if not 1 <= ratio < math.inf:
        raise wrong_argument("ratio", got=ratio, allowed="a number from 1", do="ratio=32")
    t = settled(t, total)
    height = t / up if t < up else (total - t) / (total - up)
    return (1 + height * (ratio - 1)) / ratio


def warm_restarts(
    t: float,
    *,
    total: Way,
    period: Way | None = None,
    cycles: Number | None = None,
    growth: Number = 1.0,
    peak_decay: Level = 1.0,
    floor: Level = 0.0,
) -> float:
    """Half cosines to `floor`, each restarted at a peak: `period` long, or `cycles` equal ones in the whole run.

    f(t) = floor + (peak - floor) (1 + cos(pi u / T)) / 2,  peak = max(floor, peak_decay^i),  T = period growth^i

    in cycle i, u counts after its start. A cycle that the end of the run cuts off is held where it was cut; one that
    ends there is held at `floor`. As in timm and katsura's scheduler `peak_decay` shrinks the peak and leaves the
    floor; in Keras's CosineDecayRestarts it shrinks what is above the floor: `scale` of a floor 0 with an offset.

    Source: Loshchilov and Hutter, SGDR, 2017, arXiv:1608.03983, eq. 5 (T_0 is `period`, T_mult is `growth`).

    >>> [round(warm_restarts(t, total=30, period=10, growth=2, peak_decay=0.5), 4) for t in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 0.5, 0.25, 0.0]
    """
    index, since, length = cycle(t, total, period, cycles, growth)
    bottom = between(floor, 0.0)
    peak = max(_peak(index, peak_decay), bottom)
    return bottom + (peak - bottom) * (1 + math.cos(math.pi * since / length)) / 2


def cycle(
    t: float, total: float, period: float | None, cycles: float | None, growth: float
) -> tuple[int, float, float]:
    """In which cycle `t` is, how long it has been in it, and how long that cycle is.

    Cycle i takes period growth^i. The first moment of a cycle belongs to it, but what ends at `total` has ended.
    Moments that differ by no more than rounding are the same.
    """
    t = settled(t, total)
    if (period is None) == (cycles is None):
        do = f"period={half(total)}" if period is None else "cycles=null"
        got = f"{period} and cycles {cycles}"
        raise wrong_argument("period", got=got, allowed="one of them, the other null", do=do)
    if cycles is not None and not 0 < cycles <= total:
        raise wrong_argument(
            "cycles", got=cycles, allowed=f"above 0, at most {total:g}", do=f"cycles={min(4, int(total))}"
        )
    if not 1 <= growth < math.inf:
        raise wrong_argument("growth", got=growth, allowed="a number from 1", do="growth=2.0")
    length = total / cycles if cycles is not None else period
    assert length is not None
    if not 1 <= length < math.inf:
        raise wrong_argument("period", got=length, allowed="at least 1", do=f"period={half(total)}")

    def start(index: int) -> float:
        if growth != 1:
            return length * (growth**index - 1) / (growth - 1)
        return index * total / cycles if cycles is not None else index * length

    rounding = 1e-9 * max(t, length)
    index = int(t // length if growth == 1 else math.log1p(t * (growth - 1) / length) / math.log(growth))
    while index and start(index) > t + rounding:  # the guess may be off by one
        index -= 1
    while start(index + 1) <= t + rounding:
        index += 1
    if index and t >= total and start(index) >= t - rounding:
        return index - 1, length * growth ** (index - 1), length * growth ** (index - 1)
    since = t - start(index)
    return index, since if since > rounding else 0.0, length * growth**index


def _peak(index: int, peak_decay: float) -> float:
    if not 0 < peak_decay <= 1:
        raise wrong_argument("peak_decay", got=peak_decay, allowed="above 0, at most 1", do="peak_decay=0.5")
    return peak_decay**index


def one_cycle(
    t: float,
    *,
    total: Way,
    up: Length,
    div_factor: Number = 25.0,
    final_div_factor: Number = 10000.0,
    anneal: str = "cosine",
    three_phase: bool = False,
) -> float:
    """Up from 1 / div_factor to 1 at t = up, then down to 1 / (div_factor final_div_factor) at t = total.

    f(t) = a + (b - a) s(q)  from a to b over the share q of each way,  s(q) = (1 - cos(pi q)) / 2 (cosine) | q (linear)

    With `three_phase` it is back at 1 / div_factor at t = 2 up, and goes on down from there. `anneal` is cosine or
    linear. The conventions differ by an update and by a factor: optax is as here; torch's OneCycleLR peaks and ends
    one update earlier; fastai ends at 1 / final_div, which is final_div_factor = final_div / div_factor here.

    Source: Smith and Topin, Super-Convergence, 2017, arXiv:1708.07120.

    >>> [round(one_cycle(t, total=100, up=30), 4) for t in (0, 15, 30, 65, 100)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    >>> round(one_cycle(60, total=100, up=30, three_phase=True), 4)
    0.04
    """
    require_length("up", up, (total - 1) / 2 if three_phase else total - 1)
    for name, value, example in (("div_factor", div_factor, 25), ("final_div_factor", final_div_factor, 10000)):
        if not 1 <= value < math.inf:
            raise wrong_argument(name, got=value, allowed="a number from 1", do=f"{name}={example}")
    if anneal not in ANNEALS:
        raise wrong_argument("anneal", got=anneal, allowed=", ".join(ANNEALS), do="anneal=cosine")
    first, last = 1 / div_factor, 1 / div_factor / final_div_factor
    points = [(0.0, first), (up, 1.0), (total, last)]
    if three_phase:
        points.insert(2, (2 * up, first))
    t = settled(t, total)
    phase = next(i for i in range(1, len(points)) if t <= points[i][0])
    (start, level), (end, target) = points[phase - 1], points[phase]
    share = (t - start) / (end - start)
    if anneal == "cosine":
        share = (1 - math.cos(math.pi * share)) / 2
    return level + (target - level) * share


def fractal_chebyshev(
    t: float, *, total: Way, period: Annotated[int, LENGTH], low: Number = 1.0, high: Number = 10.0
) -> float:
    """The steps of Chebyshev iteration, in an order that keeps them stable: large steps among many small ones.

    f(t) = 1 / (c - r cos((s(t) + 1/2) pi / period)),  c = (high + low) / 2,  r = (high - low) / 2

    s is the fractal permutation of 0 .. period-1. `period` is a power of 2; `low` and `high`, above 0, bound the
    eigenvalues of the loss's Hessian that are to be damped. Factors lie in [1 / high, 1 / low].

    Source: Agarwal, Goel and Zhang, Acceleration via Fractal Learning Rate Schedules, 2021, arXiv:2103.01338.

    >>> [round(fractal_chebyshev(t, total=8, period=4), 3) for t in range(4)]
    [0.745, 0.104, 0.265, 0.138]
    """
    if period < 1 or period != int(period) or int(period) & (int(period) - 1):
        raise wrong_argument("period", got=period, allowed="a power of 2", do="period=16")
    if not 0 < low <= high < math.inf:
        raise wrong_argument(
            "low", got=f"{low} with high={high}", allowed="above 0, at most high", do="low=1.0 high=10.0"
        )
    place = _fractal(int(settled(t, total)) % int(period), int(period))
    return 2 / (high + low - (high - low) * math.cos((place + 0.5) * math.pi / period))


def _fractal(t: int, period: int) -> int:
    """Place t of the permutation: that of half the period, interlaced with its mirror image."""
    if period == 1:
        return 0
    place = _fractal(t // 2, period // 2)
    return period - 1 - place if t % 2 else place
