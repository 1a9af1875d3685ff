"""`lrlab.schedule`: the LR of every update as a value, for a notebook or for a loop of one's own.

A schedule that is a function is there at once. One that a class of torch's defines is stepped through first, which
takes torch.
"""

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from lrlab.api import warned
from lrlab.api.axes import axis_or_default
from lrlab.api.frames import frame
from lrlab.api.horizons import horizon_of
from lrlab.api.lr_curves import FunctionCurve, TableCurve
from lrlab.api.wording import in_python, of_arguments
from lrlab.config import catalogue, checks, durations
from lrlab.config.nodes import ASIDE, built, with_settings
from lrlab.errors import UserError, closest
from lrlab.lr import hashes
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.schedules.law import wrong_argument

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from lrlab.api.pictures import Picture
    from lrlab.lr.plan import Plan

FOLLOW_A_METRIC = ("greedy", "plateau", "warmup_plateau")
NAMES = tuple(name for name in catalogue.options("scheduler") if name not in FOLLOW_A_METRIC)
_BY_FUNCTION = "torch.optim.lr_scheduler.LambdaLR"
_FACTOR = "lr_lambda"  # the setting of LambdaLR that holds the function


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """The learning rate of a whole run, as a function of the updates that are completed.

    `s(t)` is the LR of update `t`, `s.factor(t)` its share of the base LR; a notebook draws it. Past the end of the run
    it is what the schedule says there, and for one that a class of torch's or a list defines, the last LR. `horizon` is
    how long the run is, `interval` which clock the LR follows, `settings` what was asked for.
    """

    name: str
    lr: float
    horizon: Horizon
    interval: str
    settings: Mapping[str, Any]
    _curve: "FunctionCurve | TableCurve" = field(repr=False)
    _asked: Mapping[str, Any] = field(repr=False)  # how `schedule` was called
    _rebuilt: "Callable[[Mapping[str, Any]], Schedule] | None" = None  # with other arguments, where it was made of LRs

    def __call__(self, t: int) -> float:
        """The LR of update `t`, an integer from 0. Raises ValueError for any other."""
        return self._curve.lr(self._count(t))

    def factor(self, t: int) -> float:
        """The LR of update `t` as a share of the base LR."""
        return self._curve.factor(self._count(t))

    @property
    def is_relative(self) -> bool:
        """Whether no base LR was given, so that the values are factors of an optimizer's own."""
        return "lr" not in self._asked

    def tell_what_stays_behind(self) -> None:
        """Warn of what torch's class drives beside the LR, for whoever takes the LR alone."""
        others = self._curve.others if isinstance(self._curve, TableCurve) else ()
        if others:
            warned.warn(
                f"{self.name} also drives {', '.join(others)}, which stays behind: only the LR is taken "
                "(cycle_momentum=False leaves it as it is)"
            )

    @property
    def is_stepped_through(self) -> bool:
        """Whether a class of torch's defines it, whose every step had to be made, and no function."""
        return isinstance(self._curve, TableCurve)

    def __len__(self) -> int:
        """The updates of the run."""
        return self.horizon.steps

    def values(self) -> list[float]:
        """The LR of every update. Raises ValueError for the first that nothing can be trained with."""
        repeated = []
        for lr in self._counts:
            repeated += [lr] * self._updates_per_count
        return repeated[: self.horizon.steps]  # the last epoch may be cut short

    @property
    def sha256(self) -> str:
        """A hash of the LR of every update, as `summary.json` of a run has it: equal for equal curves."""
        return hashes.of_curve(self._counts, self._updates_per_count, self.horizon.steps)

    @property
    def lint(self) -> list[str]:
        """What is probably a mistake in this curve, a line each."""
        from lrlab.lr import lint

        return list(map(in_python, lint.warnings(self.plan, self.settings, {"lr": self.lr})))

    @property
    def plan(self) -> "Plan":
        """The curve as the rooms below have it: audits and previews take it."""
        from lrlab.lr.plan import Plan

        return Plan(self.horizon, self.interval, {"lr": self._counts})

    def replace(self, **changes: Any) -> "Schedule":
        """The same schedule with other arguments: `s.replace(lr=0.05)`."""
        if self._rebuilt is not None:
            return self._rebuilt(changes)
        kept = dict(self._asked)
        if "total_steps" in changes:
            kept.pop("epochs", None)
            kept.pop("steps_per_epoch", None)
        elif {"epochs", "steps_per_epoch"} & changes.keys():
            kept.pop("total_steps", None)
        return schedule(**{**kept, **changes})

    def to_frame(self) -> Any:
        """Columns `step`, `epoch` and `lr`, a row an update: a pandas DataFrame, or a dict of lists without pandas."""
        steps = range(len(self))
        epochs = [step // self.horizon.steps_per_epoch for step in steps]
        return frame({"step": list(steps), "epoch": epochs, "lr": self.values()})

    def plot(self, *, x: str | None = None, log: bool = False) -> "Picture":
        """The curve as a picture, over `x`: "step", "epoch" or "percent" of the run; `log` for a logarithmic LR."""
        from lrlab.api.lines import line_of, picture

        with of_arguments():
            x = axis_or_default(x, self.horizon)
        return picture([line_of(self.name, self.plan, axis=x)], x=x, log=log)

    def scheduler(
        self,
        optimizer: "Optimizer",
        *,
        groups: "Mapping[str | int, Schedule] | None" = None,
        interval: str | None = None,
    ) -> "LRScheduler":
        """torch's scheduler of this curve, for `optimizer`: each parameter group's own `lr` is its base LR.

        `groups` gives groups, by name or index, a schedule of their own. Call `step()` once an `interval`, which is
        the schedule's own unless you say "step" or "epoch".
        """
        from lrlab.api.stepping import ScheduledLR

        for one in (groups or {}).values():
            require_schedule(one)
        return ScheduledLR(optimizer, self, groups=groups, interval=interval)

    @property
    def _updates_per_count(self) -> int:
        return 1 if self.interval == "step" else self.horizon.steps_per_epoch

    @cached_property
    def _counts(self) -> tuple[float, ...]:
        """The LR of every count of the interval, each checked."""
        lrs = []
        for count in range(self.horizon.total(self.interval)):
            lr = self._curve.lr(count)
            if not 0 <= lr < math.inf:
                got = f"{self.name}, whose LR is {lr:g} at {self.interval} {count}"
                raise wrong_argument("schedule", got=got, allowed="finite and not negative", do="change its settings")
            lrs.append(lr)
        return tuple(lrs)

    def _count(self, t: int) -> int:
        try:
            step = operator.index(t)
        except TypeError:
            raise wrong_argument("t", got=repr(t), allowed="an integer, the updates completed", do="t=0") from None
        if step < 0:
            raise wrong_argument("t", got=step, allowed="0 or more", do="t=0")
        return step // self._updates_per_count

    def __repr__(self) -> str:
        first, *others = self._asked.items()
        written = [_shown(first[1]), *(f"{name}={value!r}" for name, value in others)]
        if "interval" not in self._asked and "steps_per_epoch" in self._asked:
            written.append(f"interval={self.interval!r}")  # which is not the same for all schedules
        return f"lrlab.schedule({', '.join(written)})"

    def _repr_html_(self) -> str:
        return self.plot()._repr_html_()


def _shown(what: Any) -> str:
    """What a schedule was made of, as short as it can be."""
    if isinstance(what, str):
        return repr(what)
    if isinstance(what, list | tuple):
        return f"[{', '.join(f'{lr:g}' for lr in what[:3])}{', ...' if len(what) > 3 else ''}]"
    return getattr(what, "__name__", type(what).__name__)


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
        inside = node[_FACTOR] if node["_target_"] == _BY_FUNCTION else node
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
    epoch; the default is the schedule's own.

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
    _require_number("lr", lr)
    if not isinstance(name, str | Iterable) and not callable(name):
        allowed = "a name, a function, or a list with the LR of every update"
        raise wrong_argument("name", got=repr(name), allowed=allowed, do='lrlab.schedule("cosine", ...)')
    if not isinstance(name, str) and not callable(name):
        return _of_values(name, lr, asked)
    horizon = horizon_of(epochs, steps_per_epoch, total_steps)
    request = _Request(lr, horizon, interval, total_steps is not None, settings, asked)
    if callable(name):
        return _of_callable(name, request)
    with of_arguments():
        return _by_name(name, request)


def require_schedule(given: Any) -> None:
    """Raise ValueError for what is no `Schedule`."""
    if not isinstance(given, Schedule):
        got = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
        allowed = "a Schedule: of a name, a function, a list, or of what makes a scheduler of torch's"
        raise wrong_argument("schedule", got=got, allowed=allowed, do='lrlab.schedule("cosine", ..., total_steps=1000)')


def schedule_names() -> list[str]:
    """The names that `schedule` knows.

    >>> [name for name in schedule_names() if name.startswith("w")]
    ['warmup_constant', 'warmup_cosine', 'warmup_linear', 'warmup_multistep', 'warmup_polynomial', 'wsd', 'wsd_s']
    """
    return list(NAMES)


@dataclass(frozen=True)
class _Request:
    """How `schedule` was called."""

    lr: float
    horizon: Horizon
    interval: str | None
    counts_updates: bool  # the run is so many updates long, and not divided into epochs
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]

    def clock(self, own: str) -> str:
        """The interval: as asked for, or the schedule's `own`."""
        if self.interval is None:
            return "step" if self.counts_updates else own
        with of_arguments():
            checks.choice("interval", self.interval, INTERVALS)
        return self.interval


def _require_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise wrong_argument(name, got=repr(value), allowed="a number above 0", do=f"{name}=0.1")


def _by_name(name: str, request: _Request) -> Schedule:
    _require_known(name)
    lr, horizon = request.lr, request.horizon
    node = catalogue.option("scheduler", name, {"optimizer.lr": lr})
    interval = request.clock(node.pop("interval", "epoch"))
    is_function = node["_target_"] == _BY_FUNCTION
    inside = with_settings(name, node[_FACTOR] if is_function else node, request.settings)

    # A function is called as it is; a class of torch's is stepped through the run.
    curve: FunctionCurve | TableCurve
    resolved: Mapping[str, Any]
    if is_function:
        factor = durations.resolve(inside, horizon, interval, "scheduler")
        checks.check_target({**factor, "_partial_": False}, "scheduler", given=("t",))
        curve = FunctionCurve(lr, built(factor))
        resolved = {"_target_": _BY_FUNCTION, _FACTOR: factor}
        _require_sound(curve, horizon.total(interval))
    else:
        from lrlab.api.simulated import planned

        plan, resolved = planned({**inside, "interval": interval}, lr, horizon)
        assert plan.lrs is not None  # those that follow a metric were refused
        others = tuple(one for one in plan.driven() if not one.startswith("lr"))
        curve = TableCurve(lr, plan.lrs, others)
    return Schedule(name, lr, horizon, interval, resolved, curve, request.asked)


def _require_sound(curve: "FunctionCurve | TableCurve", total: int) -> None:
    """Let a schedule say at once what is wrong with its arguments, which it does when it is called."""
    for count in sorted({0, total - 1, total}):
        curve.lr(count)


def _require_known(name: str) -> None:
    if name in FOLLOW_A_METRIC:
        raise wrong_argument(
            "name",
            got=f"{name}, which follows a metric, so that its LR is known only once it was trained with",
            allowed="a schedule that is known before",
            do=f'lrlab.train("scheduler={name}")',
        )
    if name not in NAMES:
        guess = closest(name, NAMES)
        hint = f" (did you mean {guess}?)" if guess else ""
        do = f'lrlab.schedule("{guess or "cosine"}", ...)'
        raise wrong_argument("name", got=f"'{name}'{hint}", allowed=", ".join(NAMES), do=do)


def _of_callable(function: Callable[..., Any], request: _Request) -> Schedule:
    """A schedule that a function `t -> factor` defines, or one that makes a scheduler of torch's for an optimizer."""
    try:
        return _of_function(function, request)
    except UserError:
        raise
    except Exception as error:  # whatever a function of an optimizer does that is called with a number
        from lrlab.api.simulated import plan_of_made

        plan = plan_of_made(function, request.lr, request.horizon, request.clock("epoch"))
        if plan is None:
            got = f"a function that fails at a time ({type(error).__name__}: {error})"
            allowed = "t -> factor, or what makes a scheduler for an optimizer"
            raise wrong_argument("name", got=got, allowed=allowed, do="lambda t: 0.9**t") from error
    assert plan.lrs is not None
    others = tuple(one for one in plan.driven() if not one.startswith("lr"))
    name = getattr(function, "__name__", type(function).__name__)
    curve = TableCurve(request.lr, plan.lrs, others)
    return Schedule(name, request.lr, request.horizon, plan.interval, {"_target_": name}, curve, request.asked)


def _of_function(function: Callable[..., float], request: _Request) -> Schedule:
    """A schedule that a function `t -> factor` defines; durations among its arguments are those it declares."""
    inner = function.func if isinstance(function, partial) else function
    name = getattr(inner, "__name__", type(inner).__name__)
    interval = request.clock("step")

    # Its arguments.
    takes = inspect.signature(function).parameters
    bound = function.keywords if isinstance(function, partial) else {}
    node: dict[str, Any] = {"_target_": inner, **request.settings}
    if "total" in takes and "total" not in {**bound, **request.settings}:
        node["total"] = "100%"
    with of_arguments():
        resolved = durations.resolve(node, request.horizon, interval, "scheduler")
    arguments = {key: built(value) for key, value in resolved.items() if key not in ASIDE}
    try:
        inspect.signature(function).bind(0, **arguments)
    except TypeError as error:
        allowed = ", ".join(one for one in takes if one != "t") or "none beside t"
        got = f"arguments that do not fit ({error})"
        raise wrong_argument(name, got=got, allowed=allowed, do="call it as its signature says") from error

    curve = FunctionCurve(request.lr, partial(function, **arguments))
    _require_sound(curve, request.horizon.total(interval))
    settings = {"_target_": _BY_FUNCTION, _FACTOR: resolved}
    return Schedule(name, request.lr, request.horizon, interval, settings, curve, request.asked)


def _of_values(values: Iterable[float], lr: float, asked: Mapping[str, Any]) -> Schedule:
    """A schedule that is a list of LRs."""
    try:
        lrs = tuple(map(float, values))
    except (TypeError, ValueError) as error:
        allowed = "the LR of every update, numbers"
        raise wrong_argument(
            "name", got=f"a list that holds no numbers ({error})", allowed=allowed, do="[0.1] * 100"
        ) from error
    if not lrs:
        raise wrong_argument("name", got="an empty list", allowed="the LR of every update", do="[0.1] * 100")
    extra = [name for name in asked if name not in ("name", "lr")]
    if extra:
        got = f"{extra[0]}, beside the LR of every update"
        raise wrong_argument(extra[0], got=got, allowed="nothing", do=f"leave {extra[0]} out")
    base = lr if "lr" in asked else max(lrs) or 1.0
    return of_table("values", lrs, base, Horizon(1, len(lrs)), "step")


def of_table(name: str, lrs: Sequence[float], lr: float, horizon: Horizon, interval: str) -> Schedule:
    """A schedule of that name whose LR at every count of `interval` is known."""
    for count, one in enumerate(lrs):
        if not 0 <= one < math.inf:
            got = f"{one:g} at {interval} {count}"
            raise wrong_argument("name", got=got, allowed="LRs that are finite and not negative", do="mend the list")
    table = TableCurve(lr, tuple(lrs))

    def rebuilt(changes: Mapping[str, Any]) -> Schedule:
        if set(changes) - {"lr"}:
            got = f"{', '.join(changes)} of a schedule that is a list of LRs"
            raise wrong_argument("replace", got=got, allowed="lr", do="another list")
        _require_number("lr", changes.get("lr", lr))
        times = changes.get("lr", lr) / lr
        return of_table(name, [times * one for one in lrs], lr * times, horizon, interval)

    asked = {"name": list(lrs), "lr": lr}
    return Schedule(name, lr, horizon, interval, {"_target_": name}, table, asked, rebuilt)
