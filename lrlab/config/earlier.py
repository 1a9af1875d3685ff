"""Configs that earlier versions saved, in today's words: in checkpoints, and in the config.yaml of a run."""

from typing import Any

from lrlab.moved import current

_NEW_IN_TRAINER = ("steps", "budget", "stop_early")  # null where a run was written before there was such a setting
OFFICIAL = "official"  # lrlab.data.held_out's, which imports torch
_OF_AVERAGE = ("average", "average_start", "average_every", "average_window", "average_last")
_WITHOUT_AVERAGE = dict.fromkeys(_OF_AVERAGE)  # as all runs were before there were averages


def in_todays_words(config: Any) -> Any:
    """A copy of a saved config, dicts and lists of plain values, with the names and the places of today."""
    config = _with_todays_targets(config)
    if isinstance(config, dict) and isinstance(config.get("data"), dict):
        config = {**config, "data": _with_holding(config["data"])}
    if isinstance(config, dict) and isinstance(config.get("trainer"), dict):
        before = {**_WITHOUT_AVERAGE, **dict.fromkeys(_NEW_IN_TRAINER), "forecast": False}
        config = {**config, "trainer": config["trainer"] | {**before, **config["trainer"]}}
        return config if "task" in config else _with_task(config)
    return config


def moved_targets(config: Any, prefix: str = "") -> list[str]:
    """What to tell the user of every `_target_` in a config that has another name today.

    >>> moved_targets({"data": {"_target_": "lrlab.datasets.digits"}})
    ['data._target_: lrlab.datasets.digits is lrlab.data.datasets.digits now']
    """
    if isinstance(config, list):
        return moved_targets(dict(enumerate(config)), prefix)
    if not isinstance(config, dict):
        return []
    told: list[str] = []
    for key, value in config.items():
        if key == "_target_" and isinstance(value, str) and current(value) != value:
            told.append(f"{prefix}{key}: {value} is {current(value)} now")
        if isinstance(value, dict | list):
            told += moved_targets(value, f"{prefix}{key}.")
    return told


def _with_holding(data: dict[str, Any]) -> dict[str, Any]:
    """A `data` group from before validation images were held out: those of the official test split were used.

    A share has one form, for the same images are the same data.
    """
    if not str(data.get("_target_")).startswith("lrlab.data.datasets."):
        return data
    val = data.get("val")
    return {**data, "val": OFFICIAL if val is None else _as_percent(val), "split_seed": data.get("split_seed", 0)}


def _as_percent(val: Any) -> Any:
    """A share as a text in percent, and anything else as it is.

    >>> _as_percent(0.1), _as_percent("10.0%"), _as_percent("official"), _as_percent(0)
    ('10%', '10%', 'official', 0)
    """
    text = f"{100 * val}%" if isinstance(val, float) else val
    if not isinstance(text, str) or not text.endswith("%"):
        return val
    try:
        share = float(text[:-1])
    except ValueError:
        return val
    return f"{share:.10g}%"


def _with_task(config: dict[str, Any]) -> dict[str, Any]:
    """A config from before there were tasks: all were classification, and the trainer had its label smoothing."""
    trainer = dict(config["trainer"])
    task = {
        "_target_": "lrlab.training.task.Classification",
        "label_smoothing": trainer.pop("label_smoothing", 0.0),
        "loss": None,
    }
    return {**config, "task": task, "trainer": trainer}


def _with_todays_targets(config: Any) -> Any:
    """A copy in which every `_target_` has its name of today."""
    if isinstance(config, list):
        return [_with_todays_targets(value) for value in config]
    if not isinstance(config, dict):
        return config
    words = dict(config)
    for key, value in config.items():
        if isinstance(value, dict | list):
            words[key] = _with_todays_targets(value)
    if isinstance(words.get("_target_"), str):
        words["_target_"] = current(words["_target_"])
    return words
