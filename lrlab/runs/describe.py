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
from lrlab.lr.declared import declared_in
from lrlab.lr.layers import layers_of
from lrlab.lr.plan import Plan
from lrlab.optimizers import Muon
from lrlab.runs import summary
from lrlab.schedules.lengths import clock_of
from lrlab.system import distributed
from lrlab.words import budget_in_words, counted

_NAMED = 4  # parameters of a list
_TOLD = ("lr", "adamw_lr", "momentum", "weight_decay")  # settings of an optimizer


def start_lines(
    config: Mapping[str, Any],
    choices: Mapping[str, str],
    *,
    splits: Splits,
    kept: Choice,
    plan: Plan,
    model: nn.Module,
    device: torch.device,
    folder: Path,
) -> list[str]:
    """What is about to be trained, with a line for each subject."""
    horizon, optimizer = plan.horizon, config["optimizer"]
    settings = [f"{name} {optimizer[name]}" for name in _TOLD if optimizer.get(name)]
    images = f"{len(splits.train):,} training and {counted(len(splits.val), f'validation {splits.each}')}"
    if splits.test is not None:
        counts = f"{len(splits.train):,} training, {len(splits.val):,} validation and {len(splits.test):,} test"
        images = f"{counts} {splits.each}s"
    updates = f"{horizon.passes:.6g} x {counted(horizon.steps_per_epoch, 'update')} = {horizon.steps:,} in all"
    stepped = f"stepped every {_interval(config)}; {updates}{_durations(config, plan)}"
    if horizon.in_shares and horizon.budget_seconds is not None:
        stepped = f"by the used share of {budget_in_words(horizon.budget_seconds)} of training"
    subjects = {
        "data": f"{images} {_shape(splits)}, {_predicted(splits)}; {_kept(kept, device, config['data'])}",
        "model": f"{count_parameters(model):,} parameters",
        "optimizer": ", ".join([*_made_by(optimizer, choices.get("optimizer")), *settings]),
        **_layers(optimizer.get("layer_decay"), model),
        "scheduler": f"{_class(config['scheduler'])}, {stepped}",
        **_schedules(optimizer),
        "device": device_name(device) + _way(config["trainer"]),
        "folder": str(folder),
    }
    lines = []
    for name, text in subjects.items():
        choice = f"{choices[name]}: " if name in choices else ""
        lines.append(f"{name:<9}  {choice}{text}")
    return lines


def _made_by(optimizer: Mapping[str, Any], choice: str | None) -> list[str]:
    """What makes the optimizer; nothing where that is called as the option, whose name stands there already."""
    return [_class(optimizer)] if _class(optimizer) != choice else []


def _shape(splits: Splits) -> str:
    """The shape of a sample: 1x8x8, or of 10 numbers."""
    if len(splits.shape) != 1:
        return "x".join(map(str, splits.shape))
    return f"of {counted(splits.shape[0], 'token' if splits.vocabulary else 'number')}"


def _predicted(splits: Splits) -> str:
    """What is predicted of a sample."""
    if splits.num_classes is None:
        return f"{counted(splits.num_outputs, 'value')} to predict for each"
    if splits.vocabulary:
        return f"a vocabulary of {splits.num_classes}"
    return counted(splits.num_classes, "class", "classes")


def _layers(decay: float | None, model: nn.Module) -> dict[str, str]:
    """The layers of the model and the factor of each, where the LR falls with the depth."""
    if decay is None:
        return {}
    layers = layers_of(model)
    factors = []
    for depth, layer in enumerate(reversed(layers)):
        factors.append(f"{layer.name or 'all of it'} {decay**depth:.3g}")
    told = f"{len(layers)}, each with {decay:g} times the LR of the one after it"
    return {"layers": f"{told}: {', '.join(reversed(factors))}"}


def _schedules(optimizer: Mapping[str, Any]) -> dict[str, str]:
    """The groups that have a schedule of their own."""
    found = []
    for name, settings in (optimizer.get("groups") or {}).items():
        schedule = settings.get("schedule")
        if schedule is not None:
            found.append(f"{name} {schedule if isinstance(schedule, str) else _name_of(schedule)}")
    return {"groups": f"with a schedule of their own: {', '.join(found)}"} if found else {}


def _name_of(schedule: Mapping[str, Any]) -> str:
    """A schedule that is a mapping, in a word: the option or the class."""
    return str(schedule.get("name") or _class(schedule))


def _interval(config: Mapping[str, Any]) -> str:
    """The interval of the run's scheduler itself. A plan may have a shorter one, where a group has."""
    return str(config["scheduler"].get("interval", "epoch"))


def division_lines(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Which parameters Muon updates as matrices, and which AdamW's way; nothing of any other optimizer."""
    if not isinstance(optimizer, Muon):
        return []
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices: list[str] = []
    others: list[str] = []  # what has two dimensions is named before biases and scales
    for group in optimizer.param_groups:
        members = sorted(group["params"], key=lambda one: one.ndim < 2)
        (others if group["adamw"] else matrices).extend(names[id(one)] for one in members)
    return [
        f"{'muon':<9}  {counted(len(matrices), 'matrix', 'matrices')}{_some_of(matrices)}",
        f"{'adamw':<9}  {counted(len(others), 'tensor')}{_some_of(others)}",
    ]


def _some_of(names: Sequence[str]) -> str:
    """Some names, and how many more there are; of tensors there are always some."""
    if not names:
        return ", for the model has no hidden layers"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f": {', '.join(names[:_NAMED])}{more}"


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
    counts = flatten(durations.resolve(config["scheduler"], plan.horizon, _interval(config), "scheduler"))
    changed = [name for name in written if written[name] != counts[name]]
    declared = declared_in(config["scheduler"])
    told = []
    for name in changed:
        interval = clock_of(declared.get(name), _interval(config))
        told.append(f"; {name} {written[name]} = {_in_counts(counts[name], interval)}")
    return "".join(told)


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


def computed_by(device: torch.device, form: str | None = None) -> dict[str, str]:
    """What decides the last bits of a run's result apart from its settings. `form` is that of runs in one step."""
    processor = {"instructions": torch.backends.cpu.get_cpu_capability()} if device.type == "cpu" else {}
    stacked = {"arithmetic": f"{form}, in rows"} if form is not None else {}
    return {"device": device_name(device), **processor, **stacked, **summary.versions()}


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
