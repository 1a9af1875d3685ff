"""The config of a run that was trained before, as it is saved, with what is typed now on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrlab.config import compose, length, trust
from lrlab.config.arguments import key_of, of_the_run, value_of
from lrlab.config.prepare import plan_only
from lrlab.lr.plan import Plan

_PLANNED_WITH = ("model", "task", "optimizer", "scheduler", "trainer")  # no data is read for a plan


def as_it_was(saved: Mapping[str, Any], path: Path, overrides: Sequence[str]) -> DictConfig:
    """The config that the checkpoint `path` holds, with `overrides` on top.

    Raises UserError where it names what a file from somebody else may not name, and what was not typed.
    """
    extend = value_of(overrides, "extend")
    typed = of_the_run(list(overrides))
    new_length = length.extended_to(extend) if extend else length.instead_of_others(typed)
    before = {**trust.on_this_machine(saved), "resume": str(path), "extend": None}
    config = compose.change(before, [*typed, *new_length])
    trust.require_trusted(compose.plain(config), typed, path)
    return config


def planned_instead(
    saved: Mapping[str, Any], overrides: Sequence[str], steps_per_epoch: int, source: Path
) -> tuple[Plan, float]:
    """The plan of the run that `saved`, from the file `source`, would be with `overrides`; and its base LR.

    A scheduler that is chosen is composed for that LR. Raises UserError as `as_it_was`, and where nothing is planned.
    """
    before = {**trust.on_this_machine(saved), "resume": None, "extend": None}
    is_chosen = any(key_of(one) == "scheduler" for one in overrides)
    searched = [one for one in overrides if key_of(one) == "hydra.searchpath"]
    of_scheduler = [one for one in overrides if is_chosen and key_of(one).partition(".")[0] == "scheduler"]
    others = [one for one in overrides if one not in (*searched, *of_scheduler)]
    config = compose.change(before, [*others, *length.instead_of_others(others)])
    if of_scheduler:
        composed = compose.compose([*searched, *of_scheduler, f"optimizer.lr={config.optimizer.lr}"])
        OmegaConf.update(config, "scheduler", compose.resolve(composed)["scheduler"], merge=False)
    used = {name: node for name, node in compose.plain(config).items() if name in _PLANNED_WITH}
    trust.require_trusted(used, overrides, source)
    return plan_only(config, steps_per_epoch)[0], float(config.optimizer.lr)
