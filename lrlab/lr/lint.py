"""Curves that can be trained with, but that hardly anyone means: one line each, with the key and the cure."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lrlab.lr.declared import declared_in
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import setting_of
from lrlab.lr.plan import Plan
from lrlab.schedules.lengths import NEVER_COMES, NEVER_ENDS, NEVER_RUNS_OUT, clock_of, counts
from lrlab.words import counted

_FAR = 0.1  # of the base LR: what is below, or as far above, was hardly meant
_MANY_HALF_COSINES = 8
_SOON, _LONG = 0.05, 40  # a share of the run, of runs with at least so many counts
_ANNEAL_BY_THEMSELVES = re.compile(r"L?DoW?G$|Adafactor", re.IGNORECASE)
_AVERAGE_BY_THEMSELVES = re.compile(r"Schedule_?Free", re.IGNORECASE)
_OF_TORCH = "torch.optim.Adafactor"
_BY_FACTORS = ("ExponentialLR", "MultiplicativeLR")  # their factor is one a step, and meant for few of them


def warnings(plan: Plan, scheduler: Mapping[str, Any], optimizer: Mapping[str, Any]) -> list[str]:
    """What is probably a mistake in a plan and in the nodes that it came from; the durations in them are counts."""
    run = _Room(plan.horizon.total(plan.interval), plan.interval, horizon=plan.horizon)
    found = list(_lengths(scheduler, run, "scheduler"))
    if plan.lrs is not None:
        found += _shape(plan.lrs, plan, scheduler)
        found += [] if found else _single_count(plan, scheduler, optimizer)
        found += [] if found else _level(plan.lrs, scheduler, optimizer.get("lr"))
        found += _pace(plan.lrs, plan.interval, scheduler)
    for name, values in plan.curves.items():
        if name.startswith("lr/") and max(values) == 0 < max(plan.lrs or (0,)):
            group = setting_of(name.removeprefix("lr/"))
            found.append(f"optimizer.groups.{group}: its LR is 0 throughout; a shorter delay, or a scale above 0")
    found += _beside_optimizer(plan, optimizer)
    return list(dict.fromkeys(found))


def _beside_optimizer(plan: Plan, optimizer: Mapping[str, Any]) -> Iterator[str]:
    """A schedule for an optimizer that has one of its own, or that heeds none."""
    target = str(optimizer.get("_target_", ""))
    name = target.rpartition(".")[2]
    lrs = plan.lrs
    known = lrs or plan.curves.get("lr", ())
    changes = lrs is None or min(lrs) < max(lrs)
    if name == "Rprop" and lrs is not None and changes:
        yield "optimizer: Rprop takes the LR for its first update only, then its own steps; scheduler=constant"
    elif target == _OF_TORCH:
        yield from _beyond_adafactors(plan, optimizer.get("lr")) if changes else ()
    elif averages_by_itself(target) and (lrs is None or any(one > other for one, other in pairwise(lrs))):
        yield (
            f"optimizer: {name} averages its weights in place of a falling LR, which comes on top; scheduler=constant, "
            "or scheduler=warmup_constant"
        )
    elif _is_unguarded(name, optimizer) and any(one < other for one, other in pairwise(known)):
        yield (
            f"optimizer.safeguard_warmup: {name} may take too large a step size where its LR rises; "
            "optimizer.safeguard_warmup=true"
        )
    elif _ANNEAL_BY_THEMSELVES.search(name) and changes and optimizer.get("relative_step") is not False:
        yield f"optimizer: {name} anneals its steps by itself, and the schedule comes on top; scheduler=constant"


def _is_unguarded(name: str, optimizer: Mapping[str, Any]) -> bool:
    """Whether this is a Prodigy that looks for its step size as if the LR never rose (its README)."""
    return name.lower() == "prodigy" and not optimizer.get("safeguard_warmup")


def averages_by_itself(target: str) -> bool:
    """Whether a schedule-free optimizer is meant, by its class or the function that makes it."""
    return _AVERAGE_BY_THEMSELVES.search(target.rpartition(".")[2]) is not None


def _beyond_adafactors(plan: Plan, base: Any) -> Iterator[str]:
    """LRs of a schedule that torch's Adafactor does not use: of update t, from 1 on, it takes at most 1 / sqrt(t)."""
    roots = [math.sqrt((count + 1) * plan.updates_per_count) for count in range(len(plan.lrs or ()))]
    times = max((lr * root for lr, root in zip(plan.lrs or (), roots, strict=True)), default=0.0)
    if times > 1 and _is_number(base):
        yield (
            f"optimizer: Adafactor takes at most 1 / sqrt(t) as the LR of update t, and the schedule has up to "
            f"{times:.3g} times that; optimizer.lr={0.9 * base / times:.2g}, or scheduler=constant"
        )


def _single_count(plan: Plan, resolved: Mapping[str, Any], optimizer: Mapping[str, Any]) -> Iterator[str]:
    """Schedules that are stepped after the only epoch of a run, which is too late to change anything."""
    if plan.interval != "epoch" or plan.horizon.total("epoch") > 1 or plan.horizon.steps == 1:
        return
    stepped = "stepped by epochs, and this run has one, so"
    if not _is_constant(resolved):
        name = _name_of(resolved.get("_target_"))
        by_itself = "scheduler=exponential_decay" if name in _BY_FACTORS else "scheduler.interval=step"
        yield f"scheduler: {name} is {stepped} its LR never changes; {by_itself} moves it with every update"
    schedules = optimizer.get("schedule") or {}
    fixed = [name for name, schedule in schedules.items() if schedule != "constant"]
    if fixed:
        name = f"optimizer.schedule.{fixed[0]}"
        yield f"{name}: it is {stepped} it never changes; scheduler.interval=step moves it with every update"


def _level(lrs: tuple[float, ...], resolved: Mapping[str, Any], base: Any) -> Iterator[str]:
    """An LR that a schedule leaves as it is, or never brings near the base LR."""
    peak = max(lrs)
    if len(lrs) > 1 and min(lrs) == peak > 0 and not _is_constant(resolved):
        name = _name_of(resolved.get("_target_"))
        yield f"scheduler: {name} never changes the LR in this run; durations that fit the run, or scheduler=constant"

    # Where a node names its own highest LR, that may be as far above the base LR as was wanted.
    if not _is_number(base) or base <= 0:
        return
    if "max_lr" in resolved and peak > base:
        return
    far = f"optimizer.lr={base:g}"
    if 0 < peak < _FAR * base:
        yield f"scheduler: the LR never comes near {far}, its highest is {peak:.3g}; a longer run, or another warm-up"
    if peak > base / _FAR:
        yield f"scheduler: the LR rises to {peak:.3g}, {peak / base:.3g} times {far}; a factor that was meant as one"


def _is_constant(resolved: Mapping[str, Any]) -> bool:
    """Whether a node asks for the same LR throughout."""
    schedule = resolved.get("lr_lambda")
    named = schedule if isinstance(schedule, Mapping) else resolved
    if _name_of(resolved.get("_target_")) == "MultiplicativeLR" and named.get("value") != 1:
        return False  # it multiplies by a constant again and again
    return _name_of(named.get("_target_")) in ("constant", "ConstantLR")


def _name_of(target: Any) -> str:
    """The last part of a target's name; a target may be the class or the function itself."""
    return getattr(target, "__name__", None) or str(target).rpartition(".")[2]


def _pace(lrs: tuple[float, ...], interval: str, resolved: Mapping[str, Any]) -> Iterator[str]:
    """A schedule that is over, or has turned many times, because its lengths were meant for another unit."""
    total = len(lrs)
    half = resolved.get("T_max")
    if _is_count(half) and half and total / half > _MANY_HALF_COSINES:
        turns = f"{total / half:.0f} half cosines, of {counted(half, interval)} each"
        yield f"scheduler.T_max: {turns}; scheduler.T_max=100% goes down once"
    last_change = next((count for count in range(total - 1, 0, -1) if lrs[count] != lrs[count - 1]), None)
    if last_change is not None and total >= _LONG and last_change < _SOON * total and lrs[-1] < lrs[0]:
        yield (
            f"scheduler: the LR falls in the first {counted(last_change, interval)} of {total} and then stays at "
            f"{lrs[-1]:.3g}; longer durations, for example in percent"
        )


@dataclass(frozen=True)
class _Room:
    """The time that a part of a schedule has, in counts of the interval."""

    total: float
    interval: str
    is_whole_run: bool = True
    horizon: Horizon | None = None

    def part(self, total: float) -> "_Room":
        return self if total == self.total else _Room(total, self.interval, is_whole_run=False, horizon=self.horizon)

    def by(self, interval: str) -> "_Room":
        """The whole run by another clock, for lengths that have one of their own."""
        if interval == self.interval or self.horizon is None:
            return self
        return _Room(self.horizon.total(interval), interval, horizon=self.horizon)

    @property
    def all_of_it(self) -> str:
        """How a length is written that takes all of it: a share is always one of the run."""
        return "100%" if self.is_whole_run else str(int(self.total))


def _lengths(node: Any, room: _Room, key: str) -> Iterator[str]:
    """Lengths and moments that the `room` of a node is too short for; parts have the horizon that is left to them."""
    if not isinstance(node, dict):
        return
    declared = declared_in(node)
    for name, value in node.items():
        path = f"{key}.{name}"
        if name == "trunk":  # planned for a run of its own, of which this one is a part
            continue
        if name in ("schedules", "schedulers"):
            yield from _parts(node, value, room, path)
        elif isinstance(value, dict):
            shorter = node.get("steps", 0) if name == "then" else 0
            yield from _lengths(value, room.part(room.total - shorter) if _is_count(shorter) else room, path)
        elif name in declared:
            yield from _too_long(value, declared[name], room.by(clock_of(declared[name], room.interval)), path)


def _too_long(value: Any, annotation: Any, room: _Room, key: str) -> Iterator[str]:
    """What of one parameter's lengths the `room` is too short for."""
    total, interval = room.total, room.interval
    run = f"its {counted(int(total), interval)}"
    lengths = list(counts(value, annotation))
    ways = [(count, mark.end) for count, mark in lengths if mark.beyond == NEVER_ENDS and count > total]
    if ways:
        longest, end = max(ways)
        cure = room.all_of_it if isinstance(value, list) else f"{key}={room.all_of_it}"
        yield f"{key}: {longest} {interval}s are longer than {run}, so {end} is never reached; {cure}"
    late = [str(count) for count, mark in lengths if mark.beyond == NEVER_COMES and count >= total]
    if late:
        cure = "an earlier one"
        if total == 1 and interval == "epoch":
            cure = "scheduler.interval=step with durations in percent"
        yield f"{key}: {', '.join(late)} never fires in {run}; {cure}, or a longer run"
    for count, mark in lengths:
        if mark.beyond == NEVER_RUNS_OUT and count + mark.more >= total:
            most = int(total) - mark.more - 1
            shorter = f"{key}={most}, or " if most >= 0 else ""
            yield f"{key}: {count} never runs out in {run}; {shorter}a longer run"


def _parts(node: Mapping[str, Any], parts: Any, room: _Room, key: str) -> Iterator[str]:
    """The lengths of parts that run one after the other, where there are milestones, or all at the same time."""
    named = parts.items() if isinstance(parts, dict) else enumerate(parts)
    edges = [0, *node.get("milestones", ()), room.total]
    for index, (name, part) in enumerate(named):
        path = f"{key}.{name}"
        if "milestones" not in node or index + 1 >= len(edges):
            yield from _lengths(part, room, path)
        elif edges[index + 1] <= edges[index]:
            milestones = f"{key.rpartition('.')[0]}.milestones"
            yield f"{milestones}: they leave {path} no {room.interval}; milestones that leave every part some"
        else:
            yield from _lengths(part, room.part(edges[index + 1] - edges[index]), path)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shape(lrs: tuple[float, ...], plan: Plan, resolved: Mapping[str, Any]) -> Iterator[str]:
    peak, interval = max(lrs), plan.interval
    if peak == 0:
        yield "scheduler: the LR is 0 throughout; choose another end value or factor"
        return
    if lrs[0] == 0:
        schedule = resolved.get("lr_lambda")
        asked_for = isinstance(schedule, dict) and schedule.get("start") == 0
        cure = "scheduler.lr_lambda.start=null" if asked_for else "start the warm-up above 0"
        yield f"scheduler: the LR of the first {interval} is 0, which trains nothing; {cure}"
    if _is_number(resolved.get("eta_min")) and resolved["eta_min"] > lrs[0]:
        yield (
            f"scheduler.eta_min: {resolved['eta_min']:g} is above the first LR, {lrs[0]:g}, so the LR rises; "
            "a smaller one (it is an LR, no factor)"
        )
    small = sum(lr < 0.01 * peak for lr in lrs)
    if small > len(lrs) / 2:
        yield (
            f"scheduler: {small} of {len(lrs)} {interval}s have less than 1 % of the highest LR, {peak:g}; "
            "let it fall later or less (gamma, rate, milestones), or train fewer epochs"
        )
    yield from _end(lrs, interval, resolved)


def _end(lrs: tuple[float, ...], interval: str, resolved: Mapping[str, Any]) -> Iterator[str]:
    """An LR that has fallen and is up again when the run ends."""
    lowest = len(lrs) - 1 - lrs[::-1].index(min(lrs))  # the last of them
    rise, peak = lrs[lowest:], max(lrs)
    fell_before = max(lrs[: lowest + 1]) > lrs[lowest]
    if not fell_before or rise[-1] <= rise[0] + 0.01 * peak:
        return
    ends = f"{rise[0]:.3g} in {interval} {lowest} to {rise[-1]:.3g}"
    if all(earlier <= later for earlier, later in pairwise(rise)):
        cure = "scheduler.T_max=100% goes down once" if "T_max" in resolved else "make its durations fit the run"
        yield f"scheduler: the LR rises at the end, from {ends}; {cure}"
    elif rise[0] < 0.1 * peak and rise[-1] > 0.5 * peak:
        yield f"scheduler: the run ends in mid-cycle, up from {ends}; choose a period that divides the run"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
