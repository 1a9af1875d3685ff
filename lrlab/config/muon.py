"""How a model is divided between lrlab's Muon and its AdamW: which parameters of each group go where, at which LR."""

import inspect
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from lrlab.config import checks
from lrlab.config.checks import Node
from lrlab.config.groups import ModelParameters
from lrlab.errors import closest, wrong
from lrlab.lr.hyperparameters import ParameterGroup, delay_of, drive_apart, give_weight_decay, is_driven_apart, scale_of
from lrlab.optimizers import Muon
from lrlab.optimizers.layers import is_matrix

PATTERNS = "adamw"  # the setting that says which matrices AdamW updates
_KEY = f"optimizer.{PATTERNS}"
_OF_ADAMW = "adamw"  # how its groups are called: this, or NAME_adamw


def divides(target: Any) -> bool:
    """Whether an optimizer's class is Muon, or derived from it."""
    return inspect.isclass(target) and issubclass(target, Muon)


def divided(
    groups: list[ParameterGroup],
    parameters: list[tuple[str, Tensor]] | None,
    hidden: Collection[str] | None,
    patterns: Any,
    settings: Mapping[str, Any],
) -> list[ParameterGroup]:
    """`groups` with what AdamW updates in groups of its own, named `adamw` or `NAME_adamw`.

    The others keep the matrices that are weights of `hidden` layers, by name; where `patterns` are given, all matrices
    whose names match none of them. AdamW's LR is what `settings` call `adamw_lr`, so it is a scale of the scheduler's
    LR, which is that of the matrices. `parameters` None stands for those of a model that no one has yet: every group
    has both kinds. Raises UserError where a pattern matches nothing.
    """
    checks.number("optimizer.adamw_lr", settings["adamw_lr"], above=0, example=0.001)
    matrices = None if parameters is None else _matrices(parameters, hidden, _read(patterns, parameters))
    made: list[ParameterGroup] = []
    for group in groups:
        own, others = _parts(group["params"], matrices)
        if own:
            made.append({**group, "params": own})
        if others:
            made.append(_as_adamws(group, others, settings))
    _require_names(made)
    return sorted(made, key=lambda group: (is_driven_apart(group), "name" in group))


def _read(patterns: Any, parameters: list[tuple[str, Tensor]]) -> list[str] | None:
    """The patterns of names, checked; None where the model's layers decide."""
    if patterns is None:
        return None
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise wrong(_KEY, got=repr(patterns), allowed="a list of patterns of parameter names", do=f"{_KEY}=[head.*]")
    names = [name for name, _ in parameters]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
            guess = closest(pattern.partition(".")[0], parts) or parts[-1]
            raise wrong(
                _KEY,
                got=f"{pattern}, which no parameter of the model matches",
                allowed=f"names or patterns of parameters, which begin with {', '.join(parts)}",
                do=f"{_KEY}=[{guess}.*]",
            )
    return patterns


def _matrices(
    parameters: list[tuple[str, Tensor]], hidden: Collection[str] | None, patterns: list[str] | None
) -> set[int]:
    """The ids of the parameters that Muon updates. Where no one knows the layers, all matrices are."""
    taken = set()
    for name, parameter in parameters:
        is_hidden = hidden is None or name in hidden
        if patterns is not None:
            is_hidden = not any(fnmatchcase(name, pattern) for pattern in patterns)
        if is_hidden and is_matrix(parameter):
            taken.add(id(parameter))
    return taken


def _parts(members: list[Tensor], matrices: set[int] | None) -> tuple[list[Tensor], list[Tensor]]:
    """A group's matrices, and what AdamW updates. Where there is no model yet, a vector stands for the latter."""
    if matrices is None:
        own = [member for member in members if member.ndim > 1]
        return own, [torch.zeros(1, requires_grad=True)]
    return (
        [member for member in members if id(member) in matrices],
        [member for member in members if id(member) not in matrices],
    )


def _as_adamws(group: ParameterGroup, members: list[Tensor], settings: Mapping[str, Any]) -> ParameterGroup:
    before = str(group.get("name", ""))
    suffix = "no_decay" if before == "no_decay" or before.endswith("_no_decay") else ""
    own_name = before.removesuffix(suffix).removesuffix("_")
    made = {**group, "params": members, "adamw": True, "lr": settings["lr"]}
    made["name"] = "_".join(filter(None, (own_name, _OF_ADAMW, suffix)))
    if "weight_decay" not in group:
        give_weight_decay(made, settings["adamw_weight_decay"], record=True)
    drive_apart(made, scale=scale_of(group) * settings["adamw_lr"] / settings["lr"], delay=delay_of(group))
    return made


def _require_names(groups: list[ParameterGroup]) -> None:
    """Raise UserError where a group of the user's has the name of one of AdamW's."""
    names = [group["name"] for group in groups if "name" in group]
    for name in names:
        if names.count(name) > 1:
            raise wrong(
                f"optimizer.groups.{name}",
                got=f"{name}, which is what the part of a group is called that AdamW updates",
                allowed="another name",
                do=f"optimizer.groups.{name}_layers.params=[{name}.*]",
            )


def settings_of(node: Node, taken: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What the node says of LRs and weight decays, or else the class's defaults."""
    names = ("lr", "adamw_lr", "adamw_weight_decay")
    return {name: node.get(name, taken[name].default) for name in names}


def hidden_of(parameters: Any) -> frozenset[str] | None:
    """The names of the weights of hidden layers, where `parameters` know them."""
    return parameters.hidden if isinstance(parameters, ModelParameters) else None
