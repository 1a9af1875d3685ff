"""Named parameter groups: which parameters get an LR, a delay and a weight decay of their own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from lrlab.config import checks
from lrlab.errors import closest, wrong
from lrlab.lr.hyperparameters import drive_apart, give_weight_decay, is_driven_apart

_SETTINGS = ("params", "lr_scale", "delay", "weight_decay")


@dataclass(frozen=True)
class Group:
    """One entry of `optimizer.groups`, checked."""

    name: str
    patterns: tuple[str, ...]  # of the names of its parameters, with * and ?
    lr_scale: float = 1.0  # of the LR that the scheduler gives
    delay: Any = 0  # duration in which its LR is 0
    weight_decay: float | None = None  # None: the optimizer's

    def takes(self, parameter: str) -> bool:
        return any(fnmatchcase(parameter, pattern) for pattern in self.patterns)


def read_groups(node: Any) -> list[Group]:
    """The groups that `optimizer.groups` describes. Raises UserError for the first mistake in it."""
    if not isinstance(node, Mapping):
        raise wrong(
            "optimizer.groups", got=repr(node), allowed="a mapping of names", do="optimizer.groups.head.lr_scale=10"
        )
    return [_read(str(name), settings) for name, settings in node.items()]


def _read(name: str, settings: Any) -> Group:
    key = f"optimizer.groups.{name}"
    if not isinstance(settings, Mapping):
        raise wrong(key, got=repr(settings), allowed=f"a mapping of {', '.join(_SETTINGS)}", do=f"{key}.lr_scale=0.1")
    checks.require_names(settings, key, _SETTINGS)
    checks.number(f"{key}.lr_scale", settings.get("lr_scale", 1.0), low=0, high=1e9, example=0.1)
    if settings.get("weight_decay") is not None:
        checks.number(f"{key}.weight_decay", settings["weight_decay"], low=0, high=1e9, example="0.0, or null")
    delay = settings.get("delay", 0)
    if not isinstance(delay, str):
        checks.number(f"{key}.delay", delay, whole=True, low=0, example="2ep")
    patterns = settings.get("params", [name, f"{name}.*"])
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list) or not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise wrong(
            f"{key}.params", got=repr(patterns), allowed="patterns of parameter names", do=f"{key}.params=[fc.*]"
        )
    return Group(name, tuple(patterns), settings.get("lr_scale", 1.0), delay, settings.get("weight_decay"))


def split(
    parameters: Iterable[tuple[str, Tensor]] | None, groups: list[Group], *, decay_bias_and_norm: bool
) -> list[dict[str, Any]]:
    """torch's parameter groups for named `parameters`: those of `groups`, and the rest, which has no name.

    With `decay_bias_and_norm` false each one is split again: parameters of at most one dimension have no weight
    decay, in a group `no_decay` or `NAME_no_decay`. Empty groups are left out. The first group is one whose LR is the
    scheduler's own, where there is one. `parameters` None stands for those of a model that no one has yet: every
    group gets a matrix, and a vector where it is split. Raises UserError where a group takes no parameter, or two take
    the same.
    """
    if parameters is None:
        members = _stand_ins(groups, with_vectors=not decay_bias_and_norm)
    else:
        members = _members(list(parameters), groups)
    made = []
    for settings in [Group("", ()), *groups]:
        decaying, resting = members[settings.name or None], []
        if not decay_bias_and_norm:
            resting = [parameter for parameter in decaying if parameter.ndim <= 1]
            decaying = [parameter for parameter in decaying if parameter.ndim > 1]
        if decaying:
            made.append(_as_torchs(settings, "", decaying, settings.weight_decay))
        if resting:
            made.append(_as_torchs(settings, "no_decay", resting, 0.0))
    return sorted(made, key=lambda group: (is_driven_apart(group), "name" in group))


def _members(parameters: list[tuple[str, Tensor]], groups: list[Group]) -> dict[str | None, list[Tensor]]:
    """The parameters of each group by its name; None is the rest."""
    members: dict[str | None, list[Tensor]] = {None: [], **{group.name: [] for group in groups}}
    for name, parameter in parameters:
        takers = [group.name for group in groups if group.takes(name)]
        if len(takers) > 1:
            raise wrong(
                "optimizer.groups",
                got=f"{' and '.join(takers)}, which both take {name}",
                allowed="each parameter in one group",
                do=f"narrow the patterns, optimizer.groups.{takers[1]}.params=[...]",
            )
        members[takers[0] if takers else None].append(parameter)
    for group in groups:
        if not members[group.name]:
            raise _nothing_taken(group, [name for name, _ in parameters])
    return members


def _stand_ins(groups: list[Group], *, with_vectors: bool) -> dict[str | None, list[Tensor]]:
    """A matrix for each group by its name, and a vector too where asked for; None is the rest.

    Some optimizers are for matrices alone, as torch's Muon is.
    """
    shapes = [(1, 1), (1,)] if with_vectors else [(1, 1)]
    names = [None, *(group.name for group in groups)]
    return {name: [torch.zeros(shape, requires_grad=True) for shape in shapes] for name in names}


def _as_torchs(settings: Group, suffix: str, parameters: list[Tensor], weight_decay: float | None) -> dict[str, Any]:
    group: dict[str, Any] = {"params": parameters}
    name = "_".join(filter(None, (settings.name, suffix)))
    if name:
        group["name"] = name
    if weight_decay is not None:
        give_weight_decay(group, weight_decay, record=suffix != "no_decay")  # where nothing decays is nothing to see
    if settings.lr_scale != 1 or settings.delay != 0:
        drive_apart(group, scale=settings.lr_scale, delay=settings.delay)
    return group


def _nothing_taken(group: Group, names: list[str]) -> Exception:
    parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
    guess = closest(group.name, parts)
    hint = f" (did you mean {guess}?)" if guess else ""
    return wrong(
        f"optimizer.groups.{group.name}",
        got=f"{' '.join(group.patterns)}, which no parameter of the model matches{hint}",
        allowed=f"names or patterns of parameters, which begin with {', '.join(parts)}",
        do=f"optimizer.groups.{group.name}.params=[{guess or parts[0]}.*]",
    )
