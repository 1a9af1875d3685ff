"""Going on with a run: is it still the same run, and how does its state get back in place?"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from lrlab.config import build, identity, length
from lrlab.config.prepare import Prepared
from lrlab.config.scheduler import scheduler_settings
from lrlab.errors import UserError, first_line, wrong
from lrlab.lr.declared import lengths_of
from lrlab.lr.horizon import Horizon, of_updates
from lrlab.lr.hyperparameters import HyperparameterScheduler, count_as_stepped, follows_metric
from lrlab.lr.plan import Plan, side_by_side, simulate
from lrlab.runs.describe import changed, computed_by
from lrlab.runs.ending import due_to_stop, stopped_early
from lrlab.training.state import TrainState
from lrlab.words import counted, epochs_in_words


def require_same_run(saved: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise UserError where the config is not the one that the checkpoint was saved with."""
    extend = prepared.config["extend"]
    may_change = [*identity.LENGTHS, "plan.sha256"] if extend is not None else []

    # The settings with the data, then the other facts. Checkpoints of commit 25a6d11 know nothing of their data.
    facts_before, facts = dict(saved["facts"]), prepared.facts()
    data_before, data = facts_before.pop("contents", None), facts.pop("contents")
    compared = (
        (identity.of(saved["config"], data_before), identity.of(prepared.config, data)),
        (identity.Identity(identity.flatten(facts_before)), identity.Identity(identity.flatten(facts))),
    )
    for before, now in compared:
        if found := identity.difference(before, now, may_change=may_change):
            if found.key in identity.LENGTHS:
                raise _another_length(saved, prepared)
            raise found.refusal(
                "the checkpoint was saved with",
                allowed="the saved value, when a run is resumed",
                do=_what_to_do(found),
            )

    # What is measured, which the columns of its history are.
    _require_same_metrics(saved["progress"], prepared)

    # An extension must be one.
    if extend is not None:
        _require_longer(extend, saved, prepared)


def _another_length(saved: Mapping[str, Any], prepared: Prepared) -> UserError:
    """The error of who types another length for a run that is resumed. A longer one is what `extend` is for."""
    before, now = saved["config"]["trainer"], prepared.config["trainer"]
    key, _, value = length.said(now).partition("=")
    was = length.said(before).removeprefix(f"{key}=")
    do = "leave it out, or start a new run"
    budgets = (before.get("budget"), now.get("budget"))
    if budgets == (None, None) and prepared.horizon.steps > horizon_before(saved, prepared).steps:
        unit = "st" if key == "trainer.steps" and value.isdecimal() else ""
        do = f"extend={value}{unit} in its place, to train longer"
    return wrong(
        key,
        got=f"{value}, but the checkpoint was saved with {was}",
        allowed="the saved value, when a run is resumed",
        do=do,
    )


def _require_longer(extend: Any, saved: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise UserError where a run cannot be extended to that length."""
    before = horizon_before(saved, prepared)
    if stop := stopped_early(saved) or due_to_stop(saved):
        got = f"{extend}, for a run that was stopped early in epoch {stop['epoch'] + 1}"
        raise wrong("extend", got=got, allowed="null", do="start a new run without trainer.stop_early")
    if before.budget_seconds is not None:
        raise length.no_longer_budget(extend)
    if prepared.horizon.steps <= before.steps:
        in_epochs = before.is_even and saved["config"]["trainer"].get("steps") is None
        planned = epochs_in_words(before.passes) if in_epochs else counted(before.steps, "update")
        do = f"extend={2 * before.passes:g}" if in_epochs else f"extend={2 * before.steps}st"
        raise wrong("extend", got=extend, allowed=f"more than the {planned} planned", do=do)
    progress = saved["state"]["progress"]
    if _is_cut_short(progress, before) and prepared.plan.lrs is None:
        raise wrong(
            "extend",
            got=f"{extend}, for a run that ended within an epoch, after which its scheduler was told a metric",
            allowed="whole epochs before, where a scheduler follows a metric",
            do="start a new run",
        )


def _require_same_metrics(progress: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise UserError where the run's task measures other metrics than when it was saved."""
    before = [name.removeprefix("train_") for name in progress if name.startswith("train_")]
    now = [metric.name for metric in prepared.task.metrics]
    if sorted(before) != sorted(now):
        raise wrong(
            "task",
            got=f"a task that measures {', '.join(now)}, but the checkpoint was saved with {', '.join(before)}",
            allowed="the same metrics, when a run is resumed",
            do="the task as it was, or start a new run",
        )


def _what_to_do(found: identity.Mismatch) -> str:
    if found.in_data:
        return "data.root=FOLDER with the files as they were, or start a new run"
    return "leave it out, or start a new run"


def restore(state: TrainState, saved: dict[str, Any], prepared: Prepared) -> list[str]:
    """Put the saved state in place; returns what to tell the user about it."""
    contents = saved["state"]
    lines = []
    before, now = horizon_before(saved, prepared), prepared.horizon
    _require_within(contents, before)

    # A longer run has another LR from here on.
    if before != now:
        old = _old_plan(prepared, before)
        lines.append(f"a longer run: planned for {before.in_words}, now for {now.in_words}")
        contents = {**contents, "progress": _within_its_epoch(contents["progress"], before)}
        lines += side_by_side(old, prepared.plan, joint=contents["progress"]["epoch"])
        contents = _under_new_horizon(contents, state, prepared.scheduler.interval)

    # The state itself.
    try:
        state.load_state_dict(contents)
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise wrong(
            "resume",
            got=f"a checkpoint that does not fit the model or optimizer ({first_line(error)})",
            allowed="one that this model and optimizer saved",
            do="start a new run",
        ) from error

    # A longer run may begin to average later.
    if before != now:
        lines += _average_of_longer_run(state)
    of_all = f" of {now.epochs}" if now.budget_seconds is None else ""

    # Can the result still be the same, bit for bit?
    if warning := changed(saved["computed_by"], computed_by(prepared.device, prepared.trainer.form)):
        lines.append(warning)
    lines.append(f"resumed after update {state.step}, in epoch {state.epoch + 1}{of_all}")
    return lines


def _average_of_longer_run(state: TrainState) -> list[str]:
    """Let the average begin anew where a longer run begins with it later than now; returns what to tell the user."""
    average = state.average
    if average is None or not average.exists or state.step > average.settings.start:
        return []
    average.begin_anew()
    return [f"the average begins anew after update {average.settings.start}, where that of a run of this length does"]


def horizon_before(saved: Mapping[str, Any], prepared: Prepared) -> Horizon:
    """How long the saved run was planned to be."""
    now = prepared.horizon
    return length.horizon_of(saved["config"]["trainer"], now.steps_per_epoch, now.samples)


def _is_cut_short(progress: Mapping[str, int], before: Horizon) -> bool:
    """Whether the run is at its end, and that end lies within an epoch."""
    at_its_end = progress["step"] == before.steps and progress["epoch"] == before.epochs
    return before.updates is not None and at_its_end and progress["batch"] == 0


def _within_its_epoch(progress: dict[str, Any], before: Horizon) -> dict[str, Any]:
    """How far a run is that goes on: an epoch that was cut short has the rest of its updates left."""
    if not _is_cut_short(progress, before):
        return progress
    epoch, batch = divmod(progress["step"], before.steps_per_epoch)
    return {**progress, "epoch": epoch, "batch": batch}


def _require_within(state: Mapping[str, Any], horizon: Horizon) -> None:
    """Raise UserError where epoch, batch and step do not say the same."""
    progress: Mapping[str, int] = state["progress"]
    if horizon.budget_seconds is not None and state["pace"]["is_over"]:  # it may have ended within an epoch
        horizon = of_updates(progress["step"], horizon.steps_per_epoch)
    epoch, batch, step = (progress[name] for name in ("epoch", "batch", "step"))
    steps_per_epoch = horizon.steps_per_epoch
    fits = batch <= steps_per_epoch and step == epoch * steps_per_epoch + batch
    if not fits and not _is_cut_short(progress, horizon):
        raise wrong(
            "resume",
            got=f"a checkpoint in epoch {epoch}, after update {batch} of it and {step} in all",
            allowed=f"{steps_per_epoch} updates in every epoch before",
            do="the checkpoint as it was, or start a new run",
        )


def _under_new_horizon(contents: dict[str, Any], state: TrainState, interval: str) -> dict[str, Any]:
    """The saved state, with the scheduler and the hyperparameters of the new horizon.

    The scheduler's saved state would bring the old horizon back. So the fresh scheduler in `state` is stepped to where
    training stopped. It replaces the saved one, and the hyperparameters that it set replace the saved ones. A scheduler
    that follows a metric keeps its state and only gets new durations; schedules of groups beside it are new.
    """
    counts = contents["progress"]["epoch" if interval == "epoch" else "step"]
    if follows_metric(state.scheduler):
        scheduler = _new_durations(contents["scheduler"], state.scheduler)
        if "own" in scheduler:
            for _ in range(counts):
                state.scheduler.step()
            scheduler = {**scheduler, "own": state.scheduler.state_dict()["own"]}
        return {**contents, "scheduler": scheduler}
    driven = _driven_keys(state)
    count_as_stepped(state.optimizer)
    for _ in range(counts):
        before = [dict(group) for group in state.optimizer.param_groups]
        state.scheduler.step()
        for group, earlier in zip(state.optimizer.param_groups, before, strict=True):
            driven |= {key for key in group if key != "params" and not _same(group[key], earlier.get(key))}

    # What the optimizer keeps in its groups besides, a counter or an estimate, is its own and goes on.
    groups = []
    for saved, now in zip(
        contents["optimizer"]["param_groups"], state.optimizer.state_dict()["param_groups"], strict=True
    ):
        groups.append({**saved, **{key: now[key] for key in driven if key in now}})
    optimizer = {**contents["optimizer"], "param_groups": groups}
    return {**contents, "optimizer": optimizer, "scheduler": state.scheduler.state_dict()}


def _driven_keys(state: TrainState) -> set[str]:
    """What a scheduler that was just built has put into the optimizer's groups, and the LR and momentum themselves."""
    of_groups = set().union(*state.optimizer.param_groups)
    own = {"params", "name", *state.optimizer.defaults}
    return {key for key in of_groups if key not in own} | {"lr", "momentum", "betas", "weight_decay"}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    return bool(one == other)


def _new_durations(saved: dict[str, Any], scheduler: Any) -> dict[str, Any]:
    """The saved state of a scheduler that follows a metric, with the durations of `scheduler`, which is new."""
    if isinstance(scheduler, HyperparameterScheduler):
        return {**saved, "scheduler": _new_durations(saved["scheduler"], scheduler.scheduler)}
    lengths = lengths_of(type(scheduler))
    return saved | {name: getattr(scheduler, name) for name in lengths if name in saved and hasattr(scheduler, name)}


def _old_plan(prepared: Prepared, horizon: Horizon) -> Plan:
    """The plan that the saved run followed: the same scheduler over the old horizon."""
    optimizer, splits = prepared.config["optimizer"], prepared.splits
    scheduler = scheduler_settings(prepared.config["scheduler"], horizon, optimizer, prepared.task.metrics)
    tried, _ = build.try_model(prepared.config["model"], splits.interface, prepared.seed)
    make_optimizer = partial(build.build_optimizer, optimizer, tried.parameters)
    return simulate(scheduler.build, make_optimizer, horizon, scheduler.interval)
