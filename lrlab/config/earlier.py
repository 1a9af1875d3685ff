"""Configs that earlier versions saved, in today's words: in checkpoints, and in the config.yaml of a run."""

from typing import Any

from lrlab.moved import current


def in_todays_words(config: Any) -> Any:
    """A copy of a saved config, dicts and lists of plain values, in which every `_target_` has the name it has today."""
    if isinstance(config, dict):
        return {
            key: current(value) if _is_target(key, value) else in_todays_words(value) for key, value in config.items()
        }
    return [in_todays_words(value) for value in config] if isinstance(config, list) else config


def _is_target(key: Any, value: Any) -> bool:
    return key == "_target_" and isinstance(value, str)
