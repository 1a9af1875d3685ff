"""Curves that can be trained with, but that hardly anyone means: one line each, with the key and the cure."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from lrlab.plan import Plan

# Lengths of a way to somewhere: longer than the run, and the end is never reached.
_WAYS = {"T_max", "T_0", "total_iters", "total_steps", "total", "period"}
# Moments: past the end of the run, and nothing happens.
_MOMENTS = {"milestones", "step_size", "patience", "ends"}
_ANNEAL_BY_THEMSELVES = re.compile(r"ScheduleFree|Prodigy|DAdapt|L?DoW?G$|Adafactor", re.IGNORECASE)


def warnings(plan: Plan, scheduler: Mapping[str, Any], optimizer: Mapping[str, Any]) -> list[str]:
    """What is probably a mistake in a plan and in the resolved config nodes that it came from."""
    resolved = plan.horizon.resolve(dict(scheduler), plan.interval, "scheduler")
    found = list(_lengths(resolved, plan, "scheduler"))
    if plan.lrs is not None:
        found += _shape(plan.lrs, plan, resolved)
    name = str(optimizer.get("_target_", "")).rpartition(".")[2]
    flat = plan.lrs is not None and min(plan.lrs) == max(plan.lrs)
    if _ANNEAL_BY_THEMSELVES.search(name) and not flat and optimizer.get("relative_step") is not False:
        found.append(
            f"optimizer: {name} anneals its steps by itself, and the schedule comes on top; scheduler=constant"
        )
    return found


def _lengths(node: Any, plan: Plan, key: str) -> Iterator[str]:
    """Lengths and moments that the run is too short for."""
    total = plan.horizon.total(plan.interval)
    run = f"the run of {total} {plan.interval}s"
    for name, value in node.items() if isinstance(node, dict) else ():
        path = f"{key}.{name}"
        if isinstance(value, dict):
            yield from _lengths(value, plan, path)
        elif name in _WAYS and _is_count(value) and value > total:
            yield f"{path}: {value} {plan.interval}s are longer than {run}, so the floor is never reached; {path}=100%"
        elif name in _MOMENTS:
            late = [moment for moment in (value if isinstance(value, list) else [value]) if _is_count(moment)]
            late = [moment for moment in late if moment >= total]
            if late:
                shown = ", ".join(map(str, late))
                cure = f"{path}={'[50%]' if isinstance(value, list) else '25%'}"
                yield f"{path}: {shown} never fires in {run}; {cure}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shape(lrs: tuple[float, ...], plan: Plan, resolved: Mapping[str, Any]) -> Iterator[str]:
    peak, interval = max(lrs), plan.interval
    if peak == 0:
        yield "scheduler: the LR is 0 throughout; choose another end value or factor"
        return
    if lrs[0] == 0:
        cure = "scheduler.lr_lambda.start=null" if "'start': 0" in str(resolved) else "start the warm-up above 0"
        yield f"scheduler: the LR of the first {interval} is 0, which trains nothing; {cure}"
    small = sum(lr < 0.01 * peak for lr in lrs)
    if small > len(lrs) / 2:
        yield (
            f"scheduler: {small} of {len(lrs)} {interval}s have less than 1 % of the highest LR, {peak:g}; "
            "let it fall later or less (gamma, rate, milestones), or train fewer epochs"
        )
    lowest = min(range(len(lrs)), key=lambda count: (lrs[count], -count))
    rise = lrs[lowest:]
    fell_before = max(lrs[: lowest + 1]) > lrs[lowest]
    if fell_before and rise[-1] > rise[0] + 0.01 * peak:
        ends = f"{rise[0]:.3g} in {interval} {lowest} to {rise[-1]:.3g}"
        if all(earlier <= later for earlier, later in pairwise(rise)):
            cure = "scheduler.T_max=100%" if "T_max" in resolved else "make its durations fit the run"
            yield f"scheduler: the LR rises at the end, from {ends}; {cure}"
        elif rise[0] < 0.1 * peak and rise[-1] > 0.5 * peak:
            yield f"scheduler: the run ends in mid-cycle, up from {ends}; choose a period that divides the run"
