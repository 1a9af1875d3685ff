"""Schedules of groups that are options of the user's own (`--config-dir`), replaced by what their files say."""

from collections.abc import Callable, Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrlab.config import catalogue
from lrlab.config.nodes import with_settings


def spell_out(config: DictConfig, found: Callable[[], Collection[str]], read: Callable[[str], Any]) -> None:
    """Change a composed `config` in place: options of lrlab's own stay names, which read better.

    `found` lists the options of `scheduler` that Hydra finds, and `read` gives the node of one.
    """
    groups = OmegaConf.select(config, "optimizer.groups", default=None)
    for name in map(str, groups if isinstance(groups, DictConfig) else ()):
        key = f"optimizer.groups.{name}.schedule"
        entry = OmegaConf.select(config, key, default=None)
        settings: dict[str, Any] = {"name": entry}
        if isinstance(entry, DictConfig):
            settings = {str(setting): value for setting, value in _plain(entry).items()}
        option = settings.pop("name", None)
        if not isinstance(option, str) or option in catalogue.options("scheduler"):
            continue
        if option in found():
            node = with_settings(option, _plain(read(option)), settings)
            OmegaConf.update(config, key, node, merge=False)


def _plain(node: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(node, resolve=False)  # type: ignore[return-value]  # of a mapping, it is one
