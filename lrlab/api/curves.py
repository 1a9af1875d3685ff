"""`lrlab.preview` and `lrlab.check`: LR curves before anything is trained, of schedules and of anybody's schedulers."""

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import torch

from lrlab.api import pictures
from lrlab.api.axes import axis_or_default
from lrlab.api.frames import frame
from lrlab.api.horizons import horizon_of
from lrlab.api.lines import line_of, picture
from lrlab.api.schedule import schedule
from lrlab.api.schedule_value import Schedule, refuse_made
from lrlab.api.simulated import makes_scheduler, optimizer_with
from lrlab.api.wording import in_python, of_arguments
from lrlab.config import checks
from lrlab.drawing import curve_table
from lrlab.errors import UserError
from lrlab.lr import lint
from lrlab.lr.declared import declared
from lrlab.lr.horizon import INTERVALS, Horizon
from lrlab.lr.hyperparameters import follows_metric
from lrlab.lr.plan import Plan, simulate
from lrlab.schedules.law import wrong_argument
from lrlab.words import kind_of

_SAME = 1e-9  # relative: torch's recursions differ from each other in their last bits
MakeScheduler = Callable[[torch.optim.Optimizer], Any]
MakeOptimizer = Callable[[], torch.optim.Optimizer]


@dataclass(frozen=True)
class Curve:
    """A planned curve under its name, and what is probably a mistake in it, a line each."""

    name: str
    plan: Plan
    lint: list[str]

    def values(self, name: str = "lr") -> list[float]:
        """The LR of every update, or another hyperparameter that the scheduler drives, "momentum" say."""
        if name not in self.plan.curves:
            raise wrong_argument("name", got=repr(name), allowed=", ".join(self.plan.curves), do='name="lr"')
        return self.plan.per_update(name)


class Curves(Sequence[Curve]):
    """Curves side by side, which a notebook shows as a picture and a table. An item is found by its index."""

    def __init__(self, curves: Sequence[Curve]):
        self._curves = tuple(curves)

    def __getitem__(self, index: Any) -> Any:
        return self._curves[operator.index(index)]

    def __len__(self) -> int:
        return len(self._curves)

    @property
    def lint(self) -> list[str]:
        """What is probably a mistake, and which curves are the same, a line each."""
        found = []
        for curve in self:
            found += [f"{curve.name}: {line.removeprefix('schedule: ')}" for line in curve.lint]
        return [*found, *self._alike()]

    def _alike(self) -> Iterator[str]:
        same: dict[str, list[str]] = {}
        for curve in self:
            same.setdefault(curve.plan.hashes["lr"], []).append(curve.name)
        yield from (f"the same LR at every update: {', '.join(names)}" for names in same.values() if len(names) > 1)

    def to_frame(self) -> Any:
        """A row an update: `step`, then the LR of each curve under its name; None once a curve is over."""
        columns = {curve.name: curve.values() for curve in self}
        longest = max(map(len, columns.values()))
        filled = {name: values + [None] * (longest - len(values)) for name, values in columns.items()}
        return frame({"step": list(range(longest)), **filled})

    def plot(self, *, x: str | None = None, log: bool = False) -> pictures.Picture:
        """The curves as a picture, over `x`: "step", "epoch" or "percent" of the run; `log` for a logarithmic LR."""
        with of_arguments():
            x = axis_or_default(x, self[0].plan.horizon)
        return picture([line_of(curve.name, curve.plan, axis=x) for curve in self], x=x, log=log)

    def __repr__(self) -> str:
        lines = [line_of(curve.name, curve.plan) for curve in self]
        repeats = [(curve.plan.updates_per_count, curve.plan.horizon.steps) for curve in self]
        names = [curve.name for curve in self]
        return "\n".join([*curve_table.table(names, lines, repeats, drawn=True), *self.lint])

    def _repr_html_(self) -> str:
        rows = []
        for curve in self:
            plan = curve.plan
            numbers = curve_table.numbers(plan.curves["lr"], plan.updates_per_count, plan.horizon.steps)
            rows.append([curve.name, *numbers])
        return self.plot()._repr_html_() + pictures.table(curve_table.HEADER, rows) + pictures.notes(self.lint)


class Findings(list[str]):
    """What is probably a mistake, a line each; a notebook shows a list, or that there is nothing."""

    def __repr__(self) -> str:
        return "\n".join(self) or "nothing to complain of"

    def _repr_html_(self) -> str:
        return pictures.notes(self) or f"<p>{escape(repr(self))}</p>"


def preview(
    *schedules: "str | Schedule | MakeScheduler | Callable[..., float]",
    lr: float | None = None,
    epochs: int | float | None = None,
    steps_per_epoch: int | None = None,
    total_steps: int | None = None,
    interval: str | None = None,
) -> Curves:
    """The LR curves of `schedules`, side by side, before anything is trained.

    Each is a name that `lrlab.schedule` knows, a `Schedule`, a function `t -> factor`, or a function that makes
    torch's scheduler for an optimizer, such as `lambda optimizer: StepLR(optimizer, 30)`. `lr` is the base LR, and the
    run is `epochs` times `steps_per_epoch`, or `total_steps`, long. `interval` says when a scheduler of torch's is
    stepped, after each "epoch" or after each "step", and is otherwise each schedule's own ("epoch" for torch's).

    >>> curves = preview("step", "cosine", lr=0.1, epochs=100)
    >>> curves[0].values()[25], [round(value, 3) for value in curves[1].values()[::25]]
    (0.05, [0.1, 0.085, 0.05, 0.015])

    Raises ValueError where one of them cannot be trained with.
    """
    if not schedules:
        do = 'lrlab.preview("step", "cosine", lr=0.1, epochs=100)'
        raise wrong_argument("schedules", got="none", allowed="at least one", do=do)
    lengths: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "total_steps": total_steps}
    curves: list[Curve] = []
    for one in schedules:
        curve = _curve_of(one, lr, lengths, interval)
        taken = [other.name for other in curves]
        curves.append(Curve(_apart(curve.name, taken), curve.plan, curve.lint))
    return Curves(curves)


def check(
    make_scheduler: MakeScheduler,
    make_optimizer: MakeOptimizer | None = None,
    *,
    epochs: int | float | None = None,
    steps_per_epoch: int | None = None,
    total_steps: int | None = None,
    interval: str | None = None,
) -> Findings:
    """What is probably wrong with the LR that a scheduler of torch's, or of your own, will give; empty for nothing.

    `make_scheduler` is called with an optimizer, and `make_optimizer` makes one, as your own code does (SGD at an LR of
    0.1 without it); parameter groups whose LR has another curve are looked at, too. The scheduler is stepped through
    the whole run, and nothing is trained. `interval` says after what your loop calls `step()`, each "epoch" or each
    "step"; without it, where both are possible, both are tried, and a line says for which it holds.

    >>> from torch.optim.lr_scheduler import CosineAnnealingLR
    >>> check(lambda optimizer: CosineAnnealingLR(optimizer, T_max=60), epochs=100)
    schedule: the LR rises at the end, from 0 in epoch 60 to 0.0727; T_max=100 goes down once
    """
    _require_makes("make_scheduler", make_scheduler)
    horizon = horizon_of(epochs, steps_per_epoch, total_steps)
    if epochs is None and interval is None:
        interval = "step"
    if interval is not None:
        with of_arguments():
            checks.choice("interval", interval, INTERVALS)
    make_optimizer = make_optimizer or (lambda: optimizer_with(0.1))
    _require_makes("make_optimizer", make_optimizer)
    made = make_scheduler(make_optimizer())
    if not hasattr(made, "step"):
        got = f"a function that makes {kind_of(made)}"
        allowed = "one that makes what has step()"
        raise wrong_argument("make_scheduler", got=got, allowed=allowed, do="lambda optimizer: StepLR(optimizer, 30)")
    if follows_metric(made):
        kind = type(made).__name__
        return Findings(
            [f"schedule: {kind} follows a metric, so its LR is known only in training; nothing was checked"]
        )
    if interval is not None:
        return Findings(_complaints(make_scheduler, make_optimizer, horizon, interval))
    if horizon.steps_per_epoch == 1:
        return Findings(_complaints(make_scheduler, make_optimizer, horizon, "epoch"))
    found = []
    for clock, unit in (("epoch", "epoch"), ("step", "update")):
        for line in _complaints(make_scheduler, make_optimizer, horizon, clock):
            found.append(f'if step() is called after every {unit} (interval="{clock}"): {line}')
    return Findings(found)


def _complaints(
    make_scheduler: MakeScheduler, make_optimizer: MakeOptimizer, horizon: Horizon, interval: str
) -> list[str]:
    """What is probably wrong where the scheduler is stepped once an `interval`, or what ends it."""
    try:
        return _simulated("schedule", make_scheduler, make_optimizer, horizon, interval).lint
    except UserError as error:
        return [in_python(str(error))]


def _require_makes(name: str, function: Any) -> None:
    if isinstance(function, Schedule):
        allowed = "a function that makes a scheduler for an optimizer"
        raise wrong_argument(name, got="a Schedule", allowed=allowed, do="schedule.lint, or lrlab.preview(schedule)")
    if not callable(function):
        do = f"{name}=lambda{' optimizer' if name == 'make_scheduler' else ''}: ..."
        got = f"{kind_of(function)}, which is made already"
        raise wrong_argument(name, got=got, allowed="a function that makes one", do=do)


def _curve_of(one: Any, lr: float | None, lengths: dict[str, Any], interval: str | None) -> Curve:
    if isinstance(one, Curve):
        return one
    if isinstance(one, str):
        one = schedule(one, lr=lr, interval=interval, **lengths)
    elif callable(one) and not isinstance(one, Schedule):
        if makes_scheduler(one):
            name = getattr(one, "__name__", type(one).__name__)
            return _of_a_scheduler(name, one, lr, lengths, interval)
        one = schedule(one, lr=lr, interval=interval, **lengths)
    if not isinstance(one, Schedule):
        refuse_made(one, "schedules")
        allowed = "a name, an lrlab.schedule(...), a function t -> factor, or one that makes a scheduler"
        raise wrong_argument("schedules", got=kind_of(one), allowed=allowed, do='"cosine"')
    return Curve(one.name, one.plan, one.lint)


def _of_a_scheduler(
    name: str, make: MakeScheduler, lr: float | None, lengths: dict[str, Any], interval: str | None
) -> Curve:
    horizon = horizon_of(lengths["epochs"], lengths["steps_per_epoch"], lengths["total_steps"])
    lr = 1.0 if lr is None else lr
    if interval is None:
        interval = "step" if lengths["epochs"] is None else "epoch"
    with of_arguments():
        checks.choice("interval", interval, INTERVALS)
        made = make(optimizer_with(lr))
        if follows_metric(made):
            got = (
                f"{type(made).__name__}, which follows a metric, so that its LR is known only once it was trained with"
            )
            allowed, do = "a scheduler whose LR is known before", "leave it out"
            raise wrong_argument("schedules", got=got, allowed=allowed, do=do)
        named = type(made).__name__ if name == "<lambda>" else name
        return _simulated(named, make, lambda: optimizer_with(lr), horizon, interval)


def _simulated(
    name: str, make_scheduler: MakeScheduler, make_optimizer: MakeOptimizer, horizon: Horizon, interval: str
) -> Curve:
    plan = simulate(make_scheduler, make_optimizer, horizon, interval)
    optimizer = make_optimizer()
    node = _as_node(make_scheduler(optimizer))
    first = optimizer.param_groups[0]
    base, guard = first.get("initial_lr", first["lr"]), first.get("safeguard_warmup")
    total = horizon.total(interval)
    told_of = {"lr": float(base), "_target_": type(optimizer).__name__, "safeguard_warmup": guard}
    found = lint.warnings(plan, node, told_of)
    others = _of_other_groups(plan)
    of_others = {group: lint.warnings(curve, {"_target_": node["_target_"]}, {}) for group, curve in others.items()}
    own = f"group {first.get('name', 0)}: "
    told = []
    for line in found:  # of the first group, unless every one has it
        is_of_all = all(line in lines for lines in of_others.values())
        told.append(f"{'' if is_of_all else own}{_in_counts(line, total)}")
    for group, lines in of_others.items():
        told += [f"group {group}: {_in_counts(line, total)}" for line in lines if line not in found]
    return Curve(name, plan, told)


def _of_other_groups(plan: Plan) -> dict[str, Plan]:
    """The plans of the parameter groups whose LR is no multiple of the first group's, by their names or indices."""
    others = {}
    for name, values in plan.curves.items():
        if name.startswith("lr/") and max(values) > 0 and not _is_multiple(values, plan.curves["lr"]):
            others[name.removeprefix("lr/")] = replace(plan, curves={"lr": values})
    return others


def _is_multiple(values: Sequence[float], first: Sequence[float]) -> bool:
    """Whether one curve is another one times a number, which their highest values tell."""
    highest, other = max(values), max(first)
    gaps = (abs(one * other - two * highest) for one, two in zip(values, first, strict=True))
    return max(gaps) <= _SAME * highest * other


def _as_node(scheduler: Any) -> dict[str, Any]:
    """What a config would say of a scheduler that is made already, as far as its attributes tell."""
    kind = type(scheduler)
    settings = {name: getattr(scheduler, name) for name in declared(kind) if hasattr(scheduler, name)}
    if isinstance(settings.get("milestones"), Counter):  # as torch's MultiStepLR keeps them
        settings["milestones"] = sorted(settings["milestones"].elements())
    plain = {name: value for name, value in settings.items() if isinstance(value, int | float | str | list)}
    return {"_target_": kind, **plain}


def _in_counts(line: str, total: int) -> str:
    """A line of the lint without durations, which a scheduler that is called directly does not know."""
    return in_python(line.replace("=100%", f"={total}"))


def _apart(name: str, taken: Sequence[str]) -> str:
    """`name`, with a number where it is taken."""
    count = 2
    apart = name
    while apart in taken:
        apart = f"{name} ({count})"
        count += 1
    return apart
