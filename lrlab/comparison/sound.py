"""What may be believed of a run's summary: it may come from anybody."""

import re
from collections.abc import Mapping
from typing import Any

from lrlab.training.metrics import AVERAGE, METRICS, Metric, declare, known, measured_names
from lrlab.words import printable

_NUMBERS = ("epochs", "updates", "seconds", "best_epoch", "extended_from")
_MOST = 1e150
_METRIC_NAME = re.compile(r"[A-Za-z]\w{0,60}")
_MOST_METRICS = 50
SPLITS, AVERAGED = ("train", "val", "best_val"), (f"{AVERAGE}val", f"best_{AVERAGE}val")
MOST_COUNTED = 2**53


def sound_summary(said: dict[str, Any]) -> dict[str, Any]:
    """What a summary says, without what no run could have written. The file may come from anybody."""
    own = _sound_metrics(said.get("metrics"))
    names = measured_names([*known(), *own_metrics({"metrics": own})], *SPLITS, *AVERAGED)
    kept = {name: said[name] for name in (*_NUMBERS, *names) if is_number(said.get(name))}
    if own:
        kept["metrics"] = own
    for name in ("status", "error", "complaint", "device", "commit", "logged_by"):
        if isinstance(said.get(name), str):
            kept[name] = printable(said[name])
    for name in ("choices", "versions"):
        if isinstance(said.get(name), dict):
            texts = {key: value for key, value in said[name].items() if isinstance(value, str)}
            kept[name] = all_printable(texts)
    if isinstance(said.get("data"), dict):
        sizes = said["data"].items()
        kept["data"] = {name: size for name, size in sizes if type(size) is int and 0 < size < MOST_COUNTED}
    audit = said.get("audit")
    if isinstance(audit, dict) and isinstance(audit.get("equal"), bool):
        kept["audit"] = {"equal": audit["equal"]}
    stop = said.get("stopped_early")
    if isinstance(stop, dict) and is_number(stop.get("epoch")) and isinstance(stop.get("why"), str):
        kept["stopped_early"] = {"epoch": int(stop["epoch"]), "why": printable(stop["why"])}
    if isinstance(said.get("contents"), dict):  # only compared, by a function that takes anything
        kept["contents"] = said["contents"]
    if _is_plan(said.get("plan")):
        plan = said["plan"]
        kept["plan"] = {name: plan[name] for name in ("steps_per_epoch", "updates", "interval", "lr") if name in plan}
    return kept


def _is_plan(said: Any) -> bool:
    """Whether a summary's plan has the LRs by update, as numbers."""
    if not isinstance(said, dict) or not isinstance(said.get("lr"), dict):
        return False
    if not is_number(said.get("steps_per_epoch")) or not is_number(said.get("updates")):
        return False
    return all(step.isdecimal() and is_number(lr) for step, lr in said["lr"].items())


def _sound_metrics(said: Any) -> list[dict[str, Any]]:
    """What a summary says of the metrics of a user's own task, as far as a run could have written it."""
    kept = []
    for one in said if isinstance(said, list) else []:
        is_whole = isinstance(one, dict) and isinstance(one.get("name"), str) and _METRIC_NAME.fullmatch(one["name"])
        if is_whole and all(isinstance(one.get(fact), bool) for fact in ("lower_is_better", "is_share")):
            kept.append({fact: one[fact] for fact in ("name", "lower_is_better", "is_share")})
    return kept[:_MOST_METRICS]


def own_metrics(said: Mapping[str, Any]) -> list[Metric]:
    """The metrics that a summary tells of and lrlab's table does not.

    One whose name means another thing in other runs is left out: whoever reads the name could not know which.
    """
    found = []
    for one in said.get("metrics", []):
        metric = Metric(one["name"], lower_is_better=one["lower_is_better"], is_share=one["is_share"])
        if metric.name not in METRICS and declare(metric).name == metric.name:
            found.append(metric)
    return found


def is_number(value: Any) -> bool:
    """Whether `value` is a number that can be reckoned with, and no flag: finite, and so is its square."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


def all_printable(value: Any) -> Any:
    """`value` with all of its texts made `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(str(key)): all_printable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [all_printable(one) for one in value]
    return value
