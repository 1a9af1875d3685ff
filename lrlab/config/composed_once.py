"""The configs of many runs, of which what they have in common is composed once."""

import copy

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from lrlab.config import compose
from lrlab.config.catalogue import CONF


class Shared:
    """Composes the configs of many runs, what they have in common once.

    Hydra composes each choice of options once. A plain setting at the top of the config, such as `seed=3`, is put into
    a copy of that, as Hydra does it after it has put the options together. `by` is what composes, Hydra by default.
    """

    def __init__(self, by: compose.Composing | None = None) -> None:
        self._by = by
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        typed = compose.parse(overrides)
        plain = [one for one in typed if _is_plain(one)]
        config = self._with_options([str(one.input_line) for one in typed if one not in plain])
        if any(not _is_scalar_of(config, one.key_or_group) for one in plain):
            return self._with_options(overrides)  # Hydra says what is wrong, or means something else
        for override in plain:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return config

    def _with_options(self, overrides: list[str]) -> DictConfig:
        """A copy of what Hydra composes of `overrides`."""
        key = tuple(overrides)
        if key not in self._composed:
            self._composed[key] = (self._by or compose.by_hydra)(overrides)
        return copy.deepcopy(self._composed[key])


def _is_plain(override: Override) -> bool:
    """Whether it seems to set one value at the top of the config."""
    key = override.key_or_group
    is_simple = override.type is OverrideType.CHANGE and override.package is None and "." not in key
    is_value = not override.is_sweep_override() and not isinstance(override.value(), dict | list)
    return is_simple and is_value and not (CONF / key).is_dir()


def _is_scalar_of(config: DictConfig, key: str) -> bool:
    """Whether `key` is a setting with one value, and no node, as a group of the user's own would be."""
    there = dict(config.items_ex(resolve=False))
    return key in there and not OmegaConf.is_config(there[key])
