"""What a watch says of the updates that it saw, in words."""

from collections.abc import Mapping
from typing import Any

from lrlab.words import counted

_MOST_BATCHES = 64  # that one expects to make an update


def difference(first: Mapping[str, Any], *, several: bool) -> str:
    """The first difference; with its group's name where there are `several`."""
    of_group = f" of group {first['group']}" if several else ""
    return (
        f"the LR{of_group} at update {first['update']} is {first['applied']:.6g}, and was planned as "
        f"{first['planned']:.6g}"
    )


def said_of_skips(skipped: int) -> str:
    return f", {counted(skipped, 'skipped update')} not counted" if skipped else ""


def said_of_before(before: Mapping[str, Any] | None, start: int) -> str:
    """What the watch found that this one goes on from, at the update `start`."""
    if before is None or not before["differing"]:
        return ""
    return f"; {counted(before['differing'], 'update')} before update {start} had another LR than planned"


def said_of_the_end(step: int, *, planned: int, start: int) -> str:
    """Where a loop that began at `start` ended in the plan, before the update `step`, if that was not at its end."""
    if step < planned:
        times, rest = divmod(planned, max(step, 1))
        batches = f" (if {times} batches make an update, plan by updates: total_steps={step})"
        seems = not start and not rest and 1 < times <= _MOST_BATCHES
        return f"; the plan has {counted(planned, 'update')}, and its end was not reached{batches if seems else ''}"
    if step > planned:
        past = counted(step - max(planned, start), "update")
        return f"; {past} lie past the end of the plan of {planned:,}"
    return ""
