"""What all schedules share: how far a run is, and checks of arguments."""

from collections.abc import Callable

from lrlab.errors import WrongArgument, wrong

ScheduleFunction = Callable[..., float]


def wrong_argument(name: str, *, got: object, allowed: str, do: str) -> WrongArgument:
    """`wrong` for an argument of a schedule, so that a notebook sees the ValueError that it expects."""
    return wrong(name, got=got, allowed=allowed, do=do, kind=WrongArgument)


def progress(t: float, total: float) -> float:
    """The share of `total` that is done, 0..1. Raises ValueError where there is nothing to share."""
    if total < 1:
        raise wrong_argument("total", got=total, allowed="at least 1", do="train longer")
    return min(t / total, 1.0)


def settled(t: float, total: float) -> float:
    """`t`, and `total` for ever after."""
    if total < 1:
        raise wrong_argument("total", got=total, allowed="at least 1", do="train longer")
    return min(t, total)


def between(floor: float, share: float) -> float:
    """The level that is `share` of the way up from `floor` to 1."""
    if not 0 <= floor <= 1:
        raise wrong_argument("floor", got=floor, allowed="0 to 1, a fraction of the base LR", do="floor=0.01")
    return floor + (1 - floor) * share


def require_positive(name: str, value: float, example: float) -> None:
    if not 0 < value < float("inf"):
        raise wrong_argument(name, got=value, allowed="a number above 0", do=f"{name}={example}")


def require_length(name: str, count: float, total: float, *, least: float = 1) -> None:
    """`count` is a length within the run."""
    if not least <= count <= total:
        do = f"{name}={half(total)}"
        raise wrong_argument(name, got=f"{count:g} of {total:g}", allowed=f"{least:g} to {total:g}", do=do)


def half(total: float) -> int:
    """Half of a length, in whole counts, but at least one."""
    return max(int(total / 2), 1)


def evenly_spaced(name: str, count: int, total: float) -> str:
    """What to type for so many moments `name` within `total`.

    >>> evenly_spaced("milestones", 3, total=80)
    'milestones=[20,40,60]'
    """
    moments = [str(int(total * (index + 1) / (count + 1))) for index in range(count)]
    return f"{name}=[{','.join(moments)}]"
