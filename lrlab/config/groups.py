"""Parameter groups: which parameters get an LR, a schedule, a delay and a weight decay of their own.

They are named in `optimizer.groups`, or are the layers of the model, whose LR falls with the depth
(`optimizer.layer_decay`). Where both are, a parameter has the scale of its group times the factor of its layer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.config import checks
from lrlab.errors import closest, wrong
from lrlab.lr.hyperparameters import drive_apart, follow_own, give_weight_decay, is_driven_apart
from lrlab.lr.layers import depths_of, layers_of
from lrlab.optimizers.layers import hidden_weights

_SETTINGS = ("params", "lr_scale", "delay", "weight_decay", "schedule")
Named = tuple[str, Tensor]


@dataclass(frozen=True)
class Group:
    """One entry of `optimizer.groups`, checked."""

    name: str
    patterns: tuple[str, ...]  # of the names of its parameters, with * and ?
    lr_scale: float = 1.0  # of the LR that the scheduler gives
    delay: Any = 0  # duration in which its LR is 0
    weight_decay: float | None = None  # None: the optimizer's
    has_schedule: bool = False  # one of its own, see `config.group_schedules`

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
    scale, decay = settings.get("lr_scale", 1.0), settings.get("weight_decay")
    return Group(name, tuple(patterns), scale, delay, decay, settings.get("schedule") is not None)


class ModelParameters(list[Named]):
    """The named parameters of a model, with what its modules say of each.

    `depths` is the layer of each, counted from the output (see `lrlab.lr.layers`); `hidden` are the names of those that
    are weights of hidden layers (see `lrlab.optimizers.layers`).
    """

    def __init__(self, named: Iterable[Named], depths: Mapping[str, int], hidden: frozenset[str]):
        super().__init__(named)
        self.depths, self.hidden = depths, hidden

    @classmethod
    def of(cls, model: nn.Module) -> "ModelParameters":
        return cls(model.named_parameters(), depths_of(layers_of(model)), hidden_weights(model))

    def learning(self) -> "ModelParameters":
        """Those that are trained."""
        return ModelParameters((one for one in self if one[1].requires_grad), self.depths, self.hidden)


def layer_decay_of(node: Mapping[str, Any]) -> float | None:
    """`optimizer.layer_decay`, checked: the factor from a layer to the next deeper one, or None."""
    decay = node.get("layer_decay")
    if decay is not None:
        checks.number("optimizer.layer_decay", decay, above=0, high=1, example="0.75, or null")
    return decay


def split(
    parameters: Iterable[Named] | None,
    groups: list[Group],
    *,
    decay_bias_and_norm: bool,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """torch's parameter groups for named `parameters`: those of `groups`, and the rest, which has no name.

    With `layer_decay` each one is split by the layers of the model: layer k, counted from the output, has the LR times
    layer_decay^k, in a group `layer_N` or `NAME_layer_N`, where N counts from the input; the output's own is not
    called so. Layers of one LR share a group. With `decay_bias_and_norm` false each one is split again: parameters of
    at most one dimension have no weight decay, in a group `no_decay` or `NAME_no_decay`. Empty groups are left out.
    The first group is one whose LR is the scheduler's own, where there is one. `parameters` None stands for those of a
    model that no one has yet: every group gets a matrix, and a vector where it is split.

    Raises UserError where a group takes no parameter, two take the same, or two have one name.

    Source of the decay by layers: Clark et al., ELECTRA, 2020, arXiv:2003.10555, appendix A; Bao et al., BEiT, 2021,
    arXiv:2106.08254, appendix.
    """
    if parameters is None:
        members = _stand_ins(groups, with_vectors=not decay_bias_and_norm)
    else:
        parameters = parameters if isinstance(parameters, list) else list(parameters)
        members = _members(parameters, groups)
    depths: Mapping[str, int] = {}
    if layer_decay is not None:
        if not isinstance(parameters, ModelParameters):
            raise ValueError("layers are those of a model: ModelParameters.of(model)")
        depths = parameters.depths
    made = []
    for settings in [Group("", ()), *groups]:
        for layer, factor, inside in _by_layer(members[settings.name or None], depths, layer_decay):
            decaying, resting = inside, []
            if not decay_bias_and_norm:
                resting = [parameter for parameter in inside if parameter.ndim <= 1]
                decaying = [parameter for parameter in inside if parameter.ndim > 1]
            scale = settings.lr_scale * factor
            if decaying:
                made.append(_as_torchs(settings, [layer], decaying, settings.weight_decay, scale))
            if resting:
                made.append(_as_torchs(settings, [layer, "no_decay"], resting, 0.0, scale))
    _require_names(made)
    return sorted(made, key=lambda group: (is_driven_apart(group), "name" in group))


def _by_layer(
    members: list[Named], depths: Mapping[str, int], decay: float | None
) -> list[tuple[str, float, list[Tensor]]]:
    """Named parameters by the LR of their layers: the name that is added to a group's, the factor, the parameters."""
    if decay is None or not depths:
        return [("", 1.0, [parameter for _, parameter in members])]
    deepest = max(depths.values())
    digits = len(str(deepest))
    found: dict[float, tuple[str, float, list[Tensor]]] = {}
    for name, parameter in sorted(members, key=lambda member: depths[member[0]]):
        depth = depths[name]
        factor = decay**depth
        added = "" if factor == 1 else f"layer_{deepest - depth:0{digits}}"
        found.setdefault(factor, (added, factor, []))[2].append(parameter)
    return list(found.values())


def _require_names(made: list[dict[str, Any]]) -> None:
    """Raise UserError where two groups have one name, under which their LR is recorded."""
    seen = set()
    for group in made:
        name = group.get("name")
        if name is not None and name in seen:
            raise wrong(
                "optimizer.groups",
                got=f"two groups that are called {name}, as parts of groups are",
                allowed="names of which none is that of a part: NAME_layer_N, NAME_no_decay",
                do=f"another name than optimizer.groups.{name}",
            )
        seen.add(name)


def _members(parameters: list[Named], groups: list[Group]) -> dict[str | None, list[Named]]:
    """The parameters of each group by its name; None is the rest."""
    members: dict[str | None, list[Named]] = {None: [], **{group.name: [] for group in groups}}
    for name, parameter in parameters:
        takers = [group.name for group in groups if group.takes(name)]
        if len(takers) > 1:
            raise wrong(
                "optimizer.groups",
                got=f"{' and '.join(takers)}, which both take {name}",
                allowed="each parameter in one group",
                do=f"narrow the patterns, optimizer.groups.{takers[1]}.params=[...]",
            )
        members[takers[0] if takers else None].append((name, parameter))
    for group in groups:
        if not members[group.name]:
            raise _nothing_taken(group, [name for name, _ in parameters])
    return members


def _stand_ins(groups: list[Group], *, with_vectors: bool) -> dict[str | None, list[Named]]:
    """A matrix for each group by its name, and a vector too where asked for; None is the rest.

    Some optimizers are for matrices alone, as torch's Muon is.
    """
    shapes = [(1, 1), (1,)] if with_vectors else [(1, 1)]
    names = [None, *(group.name for group in groups)]
    return {name: [("", torch.zeros(shape, requires_grad=True)) for shape in shapes] for name in names}


def _as_torchs(
    settings: Group, added: list[str], parameters: list[Tensor], weight_decay: float | None, scale: float
) -> dict[str, Any]:
    group: dict[str, Any] = {"params": parameters}
    name = "_".join(filter(None, (settings.name, *added)))
    if name:
        group["name"] = name
    if weight_decay is not None:
        give_weight_decay(group, weight_decay, record="no_decay" not in added)  # where nothing decays is nothing to see
    if scale != 1 or settings.delay != 0 or settings.has_schedule:
        drive_apart(group, scale=scale, delay=settings.delay)
    if settings.has_schedule:
        follow_own(group, settings.name)
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
