"""What makes a `Schedule`: of a name, of a function, or of the LRs themselves."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lrlab.api.lr_curves import FunctionCurve, TableCurve
from lrlab.api.schedule_value import Schedule
from lrlab.api.wording import of_arguments
from lrlab.config import catalogue, checks, durations, other_names
from lrlab.config.nodes import ASIDE, built, with_settings
from lrlab.errors import UserError
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.schedules.law import wrong_argument

FOLLOW_A_METRIC = ("greedy", "plateau", "warmup_plateau")
NAMES = tuple(name for name in catalogue.options("scheduler") if name not in FOLLOW_A_METRIC)
BY_FUNCTION = "torch.optim.lr_scheduler.LambdaLR"
ARGUMENTS = ("lr", "epochs", "steps_per_epoch", "total_steps", "interval")  # that a schedule takes beside its settings
FACTOR = "lr_lambda"  # the setting of LambdaLR that holds the function


@dataclass(frozen=True)
class ScheduleRequest:
    """How `schedule` was called."""

    lr: float
    horizon: Horizon
    interval: str | None
    counts_updates: bool  # the run is so many updates long, and not divided into epochs
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]
    again: Callable[[Mapping[str, Any]], Schedule]  # with other arguments

    def clock(self, own: str) -> str:
        """The interval: as asked for, or the schedule's `own`."""
        if self.interval is None:
            return "step" if self.counts_updates else own
        with of_arguments():
            checks.choice("interval", self.interval, INTERVALS)
        if self.interval == "epoch" and self.horizon.unknown == "ep":
            got = "epoch, beside total_steps alone, which says nothing of epochs"
            raise wrong_argument(
                "interval", got=got, allowed="step", do="give steps_per_epoch, the updates of an epoch, too"
            )
        return self.interval


def require_number(name: str, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        try:
            meant = float(value) if isinstance(value, str) else 0.1
        except ValueError:
            meant = 0.1
        do = f"{name}={meant if 0 < meant < math.inf else 0.1:g}"
        raise wrong_argument(name, got=repr(value), allowed="a number above 0", do=do)


def by_name(name: str, request: ScheduleRequest) -> Schedule:
    _require_known(name)
    lr, horizon = request.lr, request.horizon
    node = catalogue.option("scheduler", name, {"optimizer.lr": lr})
    interval = request.clock(node.pop("interval", "epoch"))
    is_function = node["_target_"] == BY_FUNCTION
    inside = with_settings(name, node[FACTOR] if is_function else node, request.settings, beside=ARGUMENTS)

    # A function is called as it is; a class of torch's is stepped through the run.
    curve: FunctionCurve | TableCurve
    resolved: Mapping[str, Any]
    if is_function:
        factor = durations.resolve(inside, horizon, interval, "scheduler")
        checks.check_target({**factor, "_partial_": False}, "scheduler", given=("t",))
        curve = FunctionCurve(lr, built(factor))
        resolved = {"_target_": BY_FUNCTION, FACTOR: factor}
        _require_sound(curve, horizon.total(interval))
    else:
        from lrlab.api.simulated import planned

        plan, resolved = planned({**inside, "interval": interval}, lr, horizon)
        assert plan.lrs is not None  # those that follow a metric were refused
        others = tuple(one for one in plan.driven() if not one.startswith("lr"))
        curve = TableCurve(lr, plan.lrs, others)
    return Schedule(name, lr, horizon, interval, resolved, curve, request.asked, request.again)


def _require_sound(curve: "FunctionCurve | TableCurve", total: int) -> None:
    """Let a schedule say at once what is wrong with its arguments, which it does when it is called."""
    for count in sorted({0, total - 1, total}):
        curve.lr(count)


def _require_known(name: str) -> None:
    if name in FOLLOW_A_METRIC:
        raise _following(name)
    if name not in NAMES:
        guess = other_names.schedule(name, (*NAMES, *FOLLOW_A_METRIC))
        if guess in FOLLOW_A_METRIC:
            raise _following(guess)
        hint = f" (did you mean {guess}?)" if guess else ""
        do = f'lrlab.schedule("{guess or "cosine"}", ...)'
        raise wrong_argument("name", got=f"'{name}'{hint}", allowed=", ".join(NAMES), do=do)


def _following(name: str) -> UserError:
    got = f"{name}, which follows a metric, so that its LR is known only once it was trained with"
    return wrong_argument(
        "name", got=got, allowed="a schedule that is known before", do=f'lrlab.train("scheduler={name}")'
    )


def of_callable(function: Callable[..., Any], request: ScheduleRequest) -> Schedule:
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
    return Schedule(
        name, request.lr, request.horizon, plan.interval, {"_target_": name}, curve, request.asked, request.again
    )


def _of_function(function: Callable[..., float], request: ScheduleRequest) -> Schedule:
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
    settings = {"_target_": BY_FUNCTION, FACTOR: resolved}
    return Schedule(name, request.lr, request.horizon, interval, settings, curve, request.asked, request.again)


def of_values(values: Iterable[float], lr: float, asked: Mapping[str, Any]) -> Schedule:
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


def of_table(
    name: str, lrs: Sequence[float], lr: float, horizon: Horizon, interval: str, *, is_relative: bool = False
) -> Schedule:
    """A schedule of that name whose LR at every count of `interval` is known, or its share where it is relative."""
    for count, one in enumerate(lrs):
        if not 0 <= one < math.inf:
            got = f"{one:g} at {interval} {count}"
            raise wrong_argument("name", got=got, allowed="LRs that are finite and not negative", do="mend the list")
    table = TableCurve(lr, tuple(lrs))

    def rebuilt(changes: Mapping[str, Any]) -> Schedule:
        if set(changes) - {"lr"}:
            got = f"{', '.join(changes)} of a schedule that is a list of LRs"
            raise wrong_argument("replace", got=got, allowed="lr", do="another list")
        require_number("lr", changes.get("lr", lr))
        times = changes.get("lr", lr) / lr
        still = is_relative and "lr" not in changes
        return of_table(name, [times * one for one in lrs], lr * times, horizon, interval, is_relative=still)

    asked = {"name": list(lrs)} if is_relative else {"name": list(lrs), "lr": lr}
    return Schedule(name, lr, horizon, interval, {"_target_": name}, table, asked, rebuilt)
