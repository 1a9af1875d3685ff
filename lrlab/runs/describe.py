"""A run in words: for the screen, for TensorBoard's HPARAMS tab and for the summary."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrlab.config import durations, identity
from lrlab.config.arguments import key_of
from lrlab.config.identity import flatten
from lrlab.data.batches import Batching
from lrlab.data.room import Choice, in_words
from lrlab.data.splits import Splits
from lrlab.lr.plan import Plan
from lrlab.runs import summary
from lrlab.system import distributed
from lrlab.words import budget_in_words, counted


def start_lines(
    config: Mapping[str, Any],
    choices: Mapping[str, str],
    *,
    splits: Splits,
    kept: Choice,
    plan: Plan,
    parameters: int,
    device: torch.device,
    folder: Path,
) -> list[str]:
    """What is about to be trained, with a line for each subject."""
    horizon, optimizer = plan.horizon, config["optimizer"]
    settings = [f"{name} {optimizer[name]}" for name in ("lr", "momentum", "weight_decay") if optimizer.get(name)]
    images = f"{len(splits.train):,} training and {counted(len(splits.val), 'validation image')}"
    if splits.test is not None:
        images = f"{len(splits.train):,} training, {len(splits.val):,} validation and {len(splits.test):,} test images"
    classes = counted(splits.num_classes, "class", "classes")
    updates = f"{horizon.passes:.6g} x {counted(horizon.steps_per_epoch, 'update')} = {horizon.steps:,} in all"
    stepped = f"stepped every {plan.interval}; {updates}{_durations(config, plan)}"
    if horizon.in_shares and horizon.budget_seconds is not None:
        stepped = f"by the used share of {budget_in_words(horizon.budget_seconds)} of training"
    subjects = {
        "data": f"{images} {'x'.join(map(str, splits.shape))}, {classes}; {_kept(kept, device, config['data'])}",
        "model": f"{parameters:,} parameters",
        "optimizer": f"{_class(optimizer)}, {', '.join(settings)}",
        "scheduler": f"{_class(config['scheduler'])}, {stepped}",
        "device": device_name(device) + _way(config["trainer"]),
        "folder": str(folder),
    }
    lines = []
    for name, text in subjects.items():
        choice = f"{choices[name]}: " if name in choices else ""
        lines.append(f"{name:<9}  {choice}{text}")
    return lines


def _kept(choice: Choice, device: torch.device, data: Mapping[str, Any]) -> str:
    """Where the images are while they are trained on."""
    if choice.place == "none":
        workers = data.get("workers", 0)
        return "read when needed" + (f", by {counted(workers, 'worker')}" if workers else "")
    if choice.place == "disk":
        return f"kept on disk, {in_words(choice.size_bytes)}, below {data.get('cache_dir', Batching.cache_dir)}"
    on_device = choice.place == "device" and device.type != "cpu"
    where = f"on {device}" if on_device else "in memory"
    return f"kept {where}, {in_words(choice.size_bytes)}"


def _way(trainer: Mapping[str, Any]) -> str:
    """What is unusual about the way an update is computed."""
    ways = []
    precision = trainer.get("precision", "fp32")
    if precision != "fp32":
        ways.append(precision)
    if trainer.get("compile"):
        ways.append("compiled")
    parts = trainer.get("accumulate", 1)
    if parts > 1:
        ways.append(f"batches in {parts} parts")
    return "".join(f", {way}" for way in ways)


def _durations(config: Mapping[str, Any], plan: Plan) -> str:
    """The durations of the scheduler that were rounded to its interval, as written and as rounded."""
    written = flatten(config["scheduler"])
    counts = flatten(durations.resolve(config["scheduler"], plan.horizon, plan.interval, "scheduler"))
    changed = [name for name in written if written[name] != counts[name]]
    return "".join(f"; {name} {written[name]} = {_in_counts(counts[name], plan.interval)}" for name in changed)


def _in_counts(value: Any, interval: str) -> str:
    return counted(value, interval) if isinstance(value, int) else f"{value} {interval}s"


_ALWAYS_COMPARED = ("optimizer.lr", "data.batch_size", *identity.LENGTHS)


def hyperparameters(
    config: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """What the HPARAMS tab compares: the choices, what was typed, and the settings that are nearly always chosen.

    All settings would be so many columns that no metric is in sight. The seed is left out, so that runs that differ in
    nothing else are averaged.
    """
    typed = {key_of(override) for override in overrides}
    settings = {}
    for key, value in identity.watched(config).items():
        is_chosen = key in _ALWAYS_COMPARED or any(key == one or key.startswith(f"{one}.") for one in typed)
        is_private = key.rpartition(".")[2].startswith("_")
        if is_chosen and value is not None and not is_private:
            settings[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return {**choices, **settings}


def count_parameters(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def device_name(device: torch.device, threads: int | None = None) -> str:
    """The device as the user knows it. Without `threads`, those of this process count."""
    ranks = f", {distributed.ranks()} ranks" if distributed.ranks() > 1 else ""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)}){ranks}"
    threads = threads or torch.get_num_threads()
    name = f"cpu ({counted(threads, 'thread')})" if device.type == "cpu" else str(device)
    return name + ranks


def computed_by(device: torch.device) -> dict[str, str]:
    """What decides the last bits of a run's result apart from its settings."""
    processor = {"instructions": torch.backends.cpu.get_cpu_capability()} if device.type == "cpu" else {}
    return {"device": device_name(device), **processor, **summary.versions()}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A warning about what `computed_by` said `before` and says otherwise now; empty where nothing changed.

    >>> changed({"torch": "2.11.0", "device": "cpu (1 thread)"}, {"torch": "2.15.0", "device": "cpu (1 thread)"})
    'warning: the last bits may differ from those of a run that was not stopped: torch was 2.11.0, is 2.15.0'
    """
    names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
    if not names:
        return ""
    differences = "; ".join(f"{name} was {before.get(name, 'none')}, is {now.get(name, 'none')}" for name in names)
    return f"warning: the last bits may differ from those of a run that was not stopped: {differences}"


def _class(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]
