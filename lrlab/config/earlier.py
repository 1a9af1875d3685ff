"""Configs that earlier versions saved, in today's words: in checkpoints, and in the config.yaml of a run."""

from typing import Any

from lrlab.moved import current


def in_todays_words(config: Any) -> Any:
    """A copy of a saved config, dicts and lists of plain values, in which every `_target_` has its name of today."""
    if isinstance(config, list):
        return [in_todays_words(value) for value in config]
    if not isinstance(config, dict):
        return config
    words = {key: in_todays_words(value) for key, value in config.items()}
    if isinstance(words.get("_target_"), str):
        words["_target_"] = current(words["_target_"])
    return words
