"""The config of a run that was trained before, as its checkpoint holds it, with what is typed now on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lrlab.config import compose, length, trust
from lrlab.config.arguments import of_the_run, value_of


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
