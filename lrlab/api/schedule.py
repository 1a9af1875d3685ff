"""`lrlab.schedule`: the LR of every update as a value, for a notebook or for a loop of one's own.

A schedule that is a function is there at once. One that a class of torch's defines is stepped through first, which
takes torch.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lrlab.api.horizons import horizon_of
from lrlab.api.schedule_makers import (
    BY_FUNCTION,
    FACTOR,
    NAMES,
    ScheduleRequest,
    by_name,
    of_callable,
    of_values,
    require_number,
)
from lrlab.api.schedule_value import Schedule, refuse_made
from lrlab.api.wording import of_arguments
from lrlab.config import catalogue, other_names
from lrlab.config.nodes import ASIDE
from lrlab.schedules.law import wrong_argument


@dataclass(frozen=True, repr=False)
class NamedSchedule:
    """`lrlab.schedule` with its first argument given: `lrlab.wsd(lr=0.1, total_steps=9380)`."""

    name: str

    def __call__(
        self,
        *,
        lr: float | None = None,
        epochs: int | float | None = None,
        steps_per_epoch: int | None = None,
        total_steps: int | None = None,
        interval: str | None = None,
        **settings: Any,
    ) -> Schedule:
        """The `Schedule` of this name; see `lrlab.schedule`."""
        lengths: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
        return schedule(self.name, lr=lr, interval=interval, **lengths, **settings)

    @property
    def __signature__(self) -> inspect.Signature:
        """The arguments, with the settings that the schedule's YAML has and their defaults there."""
        parameters = [one for one in inspect.signature(schedule).parameters.values() if one.kind is one.KEYWORD_ONLY]
        node = catalogue.option("scheduler", self.name, {"optimizer.lr": "lr"})
        inside = node[FACTOR] if node["_target_"] == BY_FUNCTION else node
        for name, value in inside.items():
            if name not in (*ASIDE, *(one.name for one in parameters)):
                parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value))
        return inspect.Signature(parameters, return_annotation=Schedule)

    def __repr__(self) -> str:
        return f"<lrlab.{self.name}: {catalogue.description('scheduler', self.name)}>"


def schedule(
    name: str | Callable[..., float] | Sequence[float],
    *,
    lr: float | None = None,
    epochs: int | float | None = None,
    steps_per_epoch: int | None = None,
    total_steps: int | None = None,
    interval: str | None = None,
    **settings: Any,
) -> Schedule:
    """A schedule by its name, with base LR and horizon.

    `name` is one that `scheduler=` takes on the command line (`lrlab.schedule_names()`), or a function
    `t -> factor` of the base LR, as those of `lrlab.schedules`, or one that makes a scheduler of torch's for an
    optimizer, or a list with the LR of every update. `settings` are
    those of its YAML in `conf/scheduler/`, also the ones further inside, and durations have a unit: `"20%"`, `"2ep"`,
    `"500st"`, or a plain count. Without `lr` it is relative: its values are shares of an optimizer's own base LR.

    The run is `total_steps` updates long, or `epochs` times `steps_per_epoch`; without `steps_per_epoch`, time is
    counted in epochs. The last epoch may be cut short: `epochs=2.5`, or `total_steps` beside `steps_per_epoch`.
    `interval` is "step" where the LR changes after each update, "epoch" where it changes after each
    epoch; the default is "step" where `total_steps` is given, and else the schedule's own. Durations in epochs, and
    that interval, need `steps_per_epoch` beside `total_steps`; durations in steps need it beside `epochs`.

    >>> s = schedule("wsd", lr=0.1, epochs=20, steps_per_epoch=469, warmup=0, decay="20%", shape="linear")
    >>> s(0), s(7503), s(8442)
    (0.1, 0.1, 0.05)
    >>> round(schedule("linear", lr=0.1, epochs=100)(50), 4)
    0.0505

    Raises ValueError where an argument is none that the schedule has, or of a value that it cannot have.
    """
    asked: dict[str, Any] = {"name": name}
    given = {
        "lr": lr,
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "total_steps": total_steps,
        "interval": interval,
    }
    asked |= {key: value for key, value in given.items() if value is not None} | settings
    lr = 1.0 if lr is None else lr
    require_number("lr", lr)
    refuse_made(name, "name")
    if not isinstance(name, str | Iterable) and not callable(name):
        allowed = "a name, a function, or a list with the LR of every update"
        raise wrong_argument("name", got=repr(name), allowed=allowed, do='lrlab.schedule("cosine", ...)')
    if not isinstance(name, str) and not callable(name):
        return of_values(name, lr, asked)
    if epochs is None and total_steps is None:
        _refuse_mistyped(settings, given)
    horizon = horizon_of(epochs, steps_per_epoch, total_steps)
    request = ScheduleRequest(lr, horizon, interval, total_steps is not None, settings, asked, partial(_again, asked))
    if callable(name):
        return of_callable(name, request)
    with of_arguments():
        return by_name(name, request)


def _refuse_mistyped(settings: Mapping[str, Any], arguments: Iterable[str]) -> None:
    """Raise ValueError for the first of `settings` that is nearly one of the `arguments`: the length is missing."""
    for name, value in settings.items():
        if guess := other_names.setting(name, list(arguments)):
            got = f"an argument that no schedule has (did you mean {guess}?)"
            raise wrong_argument(name, got=got, allowed=", ".join(arguments), do=f"{guess}={value!r}")


def _again(asked: Mapping[str, Any], changes: Mapping[str, Any]) -> Schedule:
    """The schedule that was made as `asked`, with other arguments; a length that is said replaces the one before."""
    kept = dict(asked)
    if "total_steps" in changes:
        kept.pop("epochs", None)
    elif {"epochs", "steps_per_epoch"} & changes.keys():
        kept.pop("total_steps", None)
    return schedule(**{**kept, **changes})


def schedule_names() -> list[str]:
    """The names that `schedule` knows.

    >>> [name for name in schedule_names() if name.startswith("w")]
    ['warmup_constant', 'warmup_cosine', 'warmup_linear', 'warmup_multistep', 'warmup_polynomial', 'wsd', 'wsd_s']
    """
    return list(NAMES)
