"""Durations in the nodes of a config become counts of the scheduler's interval, once, before anything is built.

What a parameter is decides what may be written there, and is declared with the parameter (`lrlab.lr.declared`): a
length is whole and has a least count, a level is no duration. Where nothing is declared, as in most schedules of third
parties, a string that reads as a duration is one, unless the parameter takes a text (`decay_type: str`). One that only
starts like a number is a mistake where a number belongs, and elsewhere stays the text that it is.
"""

from collections.abc import Mapping
from typing import Any

from lrlab.errors import wrong
from lrlab.lr.declared import Takes, declared_in, taken_by
from lrlab.lr.horizon import Horizon, is_duration, is_meant_as_duration
from lrlab.schedules.lengths import NEVER_COMES, Counts, Plain, clock_of, counts, marked


def resolve(node: Any, horizon: Horizon, interval: str, key: str) -> Any:
    """A copy of the plain config `node` (dicts, lists, scalars) in which every duration is a count of `interval`.

    Raises UserError, naming the setting below `key`, for the first that is no duration or not what it is declared as.

    >>> node = {"step_size": "25%", "milestones": ["5ep", 8], "mode": "min"}
    >>> resolve(node, Horizon(20, 50), "epoch", "scheduler")
    {'step_size': 5, 'milestones': [5, 8], 'mode': 'min'}
    """
    if isinstance(node, dict):
        return _resolve_settings(node, horizon, interval, key)
    return _resolve_value(node, Takes.NUMBER, horizon, interval, key)


def _resolve_value(value: Any, takes: Takes, horizon: Horizon, interval: str, key: str) -> Any:
    """A setting's `value`, where its parameter `takes` that."""
    if isinstance(value, dict):
        return _resolve_settings(value, horizon, interval, key)
    if isinstance(value, list):
        return [_resolve_value(part, takes, horizon, interval, key) for part in value]
    if not isinstance(value, str) or takes is Takes.TEXT:
        return value
    if is_duration(value) or (takes is Takes.NUMBER and is_meant_as_duration(value)):
        return horizon.count(value, interval, key)
    return value


def _resolve_settings(node: Mapping[str, Any], horizon: Horizon, interval: str, key: str) -> dict[str, Any]:
    declared, taken = declared_in(node), taken_by(node)
    clocks = {name: clock_of(declared.get(name), interval) for name in node}
    for name, value in node.items():
        _require_declared_form(value, declared.get(name), clocks[name], f"{key}.{name}")
    resolved = {}
    for name, value in node.items():
        resolved[name] = _resolve_value(value, taken.get(name, Takes.ANYTHING), horizon, clocks[name], f"{key}.{name}")
    for name, value in resolved.items():
        _require_least_count(node[name], value, declared.get(name), clocks[name], f"{key}.{name}")
        _require_rising_moments(node[name], value, declared.get(name), clocks[name], f"{key}.{name}")
    return resolved


def _require_declared_form(value: Any, annotation: Any, interval: str, key: str) -> None:
    """Raise UserError where a level is written as a duration, or a length is not whole."""
    for part, mark in marked(value, annotation):
        if isinstance(mark, Plain) and isinstance(part, str) and is_duration(part):
            example = f"{float(part[:-1]) / 100:g}" if part.endswith("%") else "0.5"
            do = f"{example} in place of '{part}'" if isinstance(value, list) else f"{key}={example}"
            raise wrong(key, got=f"'{part}', a duration", allowed="a number", do=do)
        if isinstance(mark, Counts) and (isinstance(part, float | bool) or _is_a_word(part)):
            example = "25%"
            if isinstance(part, float) and abs(part) < 1e18:
                example = f"{part:.0%}" if 0 < part < 1 else f"{part:.0f}"
            got = repr(part) if isinstance(part, str) else part
            do = f"{example} in place of {got}" if isinstance(value, list) else f"{key}={example}"
            raise wrong(key, got=got, allowed=f"a whole number of {interval}s, or 5ep, 500st, 50_000im, 25%", do=do)


def _is_a_word(part: Any) -> bool:
    """Whether a text is no duration, and not meant as one either, of which `Horizon.count` says what is wrong."""
    return isinstance(part, str) and not is_duration(part) and not is_meant_as_duration(part)


def _require_least_count(written: Any, value: Any, annotation: Any, interval: str, key: str) -> None:
    for count, mark in counts(value, annotation):
        if mark.least is not None and count < mark.least:
            raise wrong(
                key,
                got=f"{written}, which is {count} {interval}s",
                allowed=f"a duration of at least {mark.least} {interval}{'' if mark.least == 1 else 's'}",
                do=f"{key}={'[50%]' if isinstance(written, list) else '25%'}",
            )


def _require_rising_moments(written: Any, value: Any, annotation: Any, interval: str, key: str) -> None:
    if not isinstance(value, list):
        return
    moments = [count for count, mark in counts(value, annotation) if mark.beyond == NEVER_COMES]
    twice = len({str(one) for one in written}) < len(moments)
    if twice or moments != sorted(moments):  # two durations may fall together in a short run
        raise wrong(
            key,
            got=f"{written}, which is {moments} {interval}s",
            allowed="durations that rise, each of them once",
            do=f"{key}={sorted(set(moments))}".replace(" ", ""),
        )
