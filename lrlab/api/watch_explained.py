"""Which mistakes fit the LRs that a watch saw: from its beginning, or else from the first difference on."""

from collections.abc import Sequence

import numpy
import torch

from lrlab.api import explanations
from lrlab.api.explanations import Explanation, Observed
from lrlab.api.watched_groups import WatchedGroup


def explain(
    group: WatchedGroup, groups: Sequence[WatchedGroup], *, start: int, first_difference: int
) -> list[Explanation]:
    """The mistakes that fit the LRs of `group`, one of `groups`; its first LR was of the update `start`."""
    seen = _seen(group, groups, start)
    fitting = explanations.explain(seen)
    joint = first_difference - start
    if any(one.name != "elsewhere" for one in fitting):
        return fitting
    if 0 < joint < len(seen.applied):
        tail = Observed(**{**vars(seen), "applied": seen.applied[joint:], "start": start + joint})
        since = explanations.explain(tail)
        if since:
            return [_since(start + joint, one) for one in since]
    return fitting


def _seen(group: WatchedGroup, groups: Sequence[WatchedGroup], start: int) -> Observed:
    horizon = group.schedule.horizon
    others = []
    for other in groups:
        if other is not group and other.name != group.name:
            others.append((other.name, other.plan()))

    per_epoch = horizon.steps_per_epoch if horizon.epochs > 1 else None
    return Observed(
        planned=group.plan(),
        applied=numpy.array(group.applied),
        start=start,
        tolerance=group.tolerance,
        updates_per_count=horizon.steps_per_epoch if group.schedule.interval == "epoch" else 1,
        knows_epochs=group.schedule.knows_epochs,
        steps_per_epoch=per_epoch,
        longer=group.of_a_run,
        processes=_processes(),
        of_run=len(group.schedule),
        others=tuple(others),
        base=group.noted_share,
    )


def _since(update: int, explanation: Explanation) -> Explanation:
    do = explanation.do
    if explanation.name == "one ahead":
        do = "it was stepped once more than the optimizer, as where fp16 skips an update"
    return Explanation(explanation.name, f"{explanation.said}, since update {update}", do)


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
