"""Numbers of a comparison as text: values, intervals and differences, each in the unit of its metric."""

import math

from lrlab.comparison.statistics import Interval
from lrlab.training.metrics import find


def shown(value: float, metric: str) -> str:
    """A metric as text. Shares are in percent."""
    return find(metric).written(value)


def shown_mean(mean: Interval, metric: str) -> str:
    """A mean and its interval as text. A share is at least 0 and at most 100 %, and so are its bounds.

    >>> shown_mean(Interval(0.998, 0.9924, 1.0036), "val_accuracy")
    '99.80% (99.24 to 100.00)'
    """
    kind = find(metric)
    value = kind.written(float(mean.value))
    if not mean.is_known:
        return value
    return f"{value} ({_ends(inside(mean, metric), metric)})"


def inside(mean: Interval, metric: str) -> Interval:
    """A mean whose interval has no value that the metric cannot have: a share is 0 to 1, and no loss is negative."""
    if not mean.is_known:
        return mean
    return mean.within(0.0, 1.0 if find(metric).is_share else math.inf)


def shown_difference(difference: Interval, metric: str) -> str:
    """A difference with its sign, and its interval. Differences of shares are in points.

    >>> shown_difference(Interval(0.02, 0.01, 0.03), "val_accuracy")
    '+2.00 (1.00 to 3.00)'
    """
    kind = find(metric)
    if math.isnan(difference.value):
        return "--"
    value = _without_sign_of_zero(f"{kind.scale * difference.value:+.{kind.decimals}f}")
    return f"{value} ({_ends(difference, metric)})" if difference.is_known else value


def shown_amount(difference: Interval, metric: str, *, signed: bool) -> str:
    """A difference as it stands in a sentence: with its unit, its interval in parentheses where it is known.

    >>> shown_amount(Interval(-0.02, -0.03, -0.01), "val_accuracy", signed=False)
    '2.00 points (1.00 to 3.00)'
    """
    kind = find(metric)
    turned = difference if signed or difference.value >= 0 else difference.reversed()
    value = _without_sign_of_zero(f"{kind.scale * turned.value:{'+' if signed else ''}.{kind.decimals}f}")
    unit = " points" if kind.is_share else ""
    return f"{value}{unit}" + (f" ({_ends(turned, metric)})" if turned.is_known else "")


def shown_margin(margin: float, metric: str) -> str:
    """A difference that does not matter, with its unit.

    >>> shown_margin(0.005, "val_accuracy")
    '0.5 points'
    """
    kind = find(metric)
    return f"{kind.scale * margin:g}{' points' if kind.is_share else ''}"


def _ends(interval: Interval, metric: str) -> str:
    kind = find(metric)
    ends = (f"{kind.scale * float(end):.{kind.decimals}f}" for end in (interval.low, interval.high))
    return " to ".join(map(_without_sign_of_zero, ends))


def _without_sign_of_zero(number: str) -> str:
    """A number as text, of which nothing but zeros is left: -0.00 is 0.00."""
    return number.lstrip("+-") if not number.strip("+-0.") else number


def shown_chance(chance: Interval) -> str:
    """A probability with its interval, in percent.

    >>> shown_chance(Interval(0.94, 0.39, 1.0))
    '94% (39% to 100%)'
    """
    return f"{chance.value:.0%} ({chance.low:.0%} to {chance.high:.0%})"
