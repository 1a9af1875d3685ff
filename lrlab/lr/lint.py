"""Curves that can be trained with, but that hardly anyone means: one line each, with the key and the cure."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from lrlab.lr.declared import declared_in
from lrlab.lr.plan import Plan
from lrlab.schedules.lengths import NEVER_COMES, NEVER_ENDS, counts
from lrlab.words import counted

_ANNEAL_BY_THEMSELVES = re.compile(r"ScheduleFree|Prodigy|DAdapt|L?DoW?G$|Adafactor", re.IGNORECASE)


def warnings(plan: Plan, scheduler: Mapping[str, Any], optimizer: Mapping[str, Any]) -> list[str]:
    """What is probably a mistake in a plan and in the nodes that it came from; the durations in them are counts."""
    found = list(_lengths(scheduler, plan.horizon.total(plan.interval), plan.interval, "scheduler"))
    if plan.lrs is not None:
        found += _shape(plan.lrs, plan, scheduler)
    for name, values in plan.curves.items():
        if name.startswith("lr/") and max(values) == 0 < max(plan.lrs or (0,)):
            group = name.removeprefix("lr/").removesuffix("_no_decay")
            found.append(f"optimizer.groups.{group}: its LR is 0 throughout; a shorter delay, or a scale above 0")
    name = str(optimizer.get("_target_", "")).rpartition(".")[2]
    flat = plan.lrs is not None and min(plan.lrs) == max(plan.lrs)
    if _ANNEAL_BY_THEMSELVES.search(name) and not flat and optimizer.get("relative_step") is not False:
        found.append(
            f"optimizer: {name} anneals its steps by itself, and the schedule comes on top; scheduler=constant"
        )
    return list(dict.fromkeys(found))


def _lengths(node: Any, total: float, interval: str, key: str) -> Iterator[str]:
    """Lengths and moments that the `total` of a node is too short for; parts have the horizon that is left to them."""
    if not isinstance(node, dict):
        return
    declared = declared_in(node)
    for name, value in node.items():
        path = f"{key}.{name}"
        if name in ("schedules", "schedulers"):
            yield from _parts(node, value, total, interval, path)
        elif isinstance(value, dict):
            shorter = node.get("steps", 0) if name == "then" else 0
            yield from _lengths(value, total - shorter if _is_count(shorter) else total, interval, path)
        elif name in declared:
            yield from _too_long(value, declared[name], total, interval, path)


def _too_long(value: Any, annotation: Any, total: float, interval: str, key: str) -> Iterator[str]:
    """What of one parameter's lengths the `total` is too short for."""
    run = f"its {counted(int(total), interval)}"
    lengths = list(counts(value, annotation))
    ways = [(count, mark.end) for count, mark in lengths if mark.beyond == NEVER_ENDS and count > total]
    if ways:
        longest, end = max(ways)
        cure = "100%" if isinstance(value, list) else f"{key}=100%"
        yield f"{key}: {longest} {interval}s are longer than {run}, so {end} is never reached; {cure}"
    late = [str(count) for count, mark in lengths if mark.beyond == NEVER_COMES and count >= total]
    if late:
        yield f"{key}: {', '.join(late)} never fires in {run}; an earlier one, or a longer run"


def _parts(node: Mapping[str, Any], parts: Any, total: float, interval: str, key: str) -> Iterator[str]:
    """The lengths of parts that run one after the other, where there are milestones, or all at the same time."""
    named = parts.items() if isinstance(parts, dict) else enumerate(parts)
    edges = [0, *node.get("milestones", ()), total]
    for index, (name, part) in enumerate(named):
        own = edges[index + 1] - edges[index] if "milestones" in node and index + 1 < len(edges) else total
        yield from _lengths(part, own, interval, f"{key}.{name}")


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
    lowest = min(range(len(lrs)), key=lambda count: (lrs[count], -count))
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
