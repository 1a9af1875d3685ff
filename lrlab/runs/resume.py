"""Going on with a run: whether it is still the same run, and its state back in place."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from lrlab.config import build, identity
from lrlab.config.prepare import Prepared
from lrlab.config.scheduler import scheduler_settings
from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import HyperparameterScheduler, follows_metric
from lrlab.lr.plan import Plan, side_by_side, simulate
from lrlab.runs.describe import changed, computed_by
from lrlab.training.state import TrainState
from lrlab.words import counted


def require_same_run(saved: Mapping[str, Any], prepared: Prepared) -> None:
    """Raise UserError where the config is not the one that the checkpoint was saved with."""
    extend, before = prepared.config["extend"], saved["config"]["trainer"]["epochs"]
    may_change = ["trainer.epochs", "plan.sha256"] if extend is not None else []
    facts_before, facts = dict(saved["facts"]), prepared.facts()
    data_before, data = facts_before.pop("contents", None), facts.pop("contents")  # none in those of commit 25a6d11
    compared = (
        (identity.of(saved["config"], data_before), identity.of(prepared.config, data)),
        (identity.Identity(identity.flatten(facts_before)), identity.Identity(identity.flatten(facts))),
    )
    for one, other in compared:
        if found := identity.difference(one, other, may_change=may_change):
            raise found.refusal(
                "the checkpoint was saved with",
                allowed="the saved value, when a run is resumed",
                do=_what_to_do(found),
            )
    if extend is not None and extend <= before:
        raise wrong(
            "extend", got=extend, allowed=f"more than the {counted(before, 'epoch')} planned", do=f"extend={2 * before}"
        )


def _what_to_do(found: identity.Difference) -> str:
    if found.in_data:
        return "data.root=FOLDER with the files as they were, or start a new run"
    if found.key == "trainer.epochs":
        return "extend=EPOCHS to train longer"
    return "leave it out, or start a new run"


def restore(state: TrainState, saved: dict[str, Any], prepared: Prepared) -> list[str]:
    """Put the saved state in place; returns what to tell the user about it.

    Under a new horizon the scheduler's saved state would bring its old one back. So a fresh scheduler is stepped to
    where training stopped, and it and the hyperparameters that it set replace the saved ones. One that follows a
    metric keeps its state, but for the durations.
    """
    contents, lines = saved["state"], []
    if prepared.trainer.epochs != saved["config"]["trainer"]["epochs"]:
        old = _old_plan(saved, prepared)
        lines = [f"a longer run: planned for {counted(old.horizon.epochs, 'epoch')}, now for {prepared.trainer.epochs}"]
        lines += side_by_side(old, prepared.plan, joint=contents["progress"]["epoch"])
        if follows_metric(state.scheduler):
            contents = {**contents, "scheduler": _new_durations(contents["scheduler"], state.scheduler)}
        else:
            state.optimizer.step()  # without gradients: changes nothing, and torch wants it before the scheduler's
            counts = contents["progress"]["epoch" if prepared.scheduler.interval == "epoch" else "step"]
            for _ in range(counts):
                state.scheduler.step()
            groups = state.optimizer.state_dict()["param_groups"]
            optimizer = {**contents["optimizer"], "param_groups": groups}
            contents = {**contents, "optimizer": optimizer, "scheduler": state.scheduler.state_dict()}
    try:
        state.load_state_dict(contents)
    except (RuntimeError, ValueError, KeyError) as error:
        raise wrong(
            "resume",
            got=f"a checkpoint that does not fit the model or optimizer ({str(error).splitlines()[0]})",
            allowed="one that this model and optimizer saved",
            do="start a new run",
        ) from error
    if warning := changed(saved["computed_by"], computed_by(prepared.device)):
        lines.append(warning)
    return [*lines, f"resumed after update {state.step}, in epoch {state.epoch + 1} of {prepared.trainer.epochs}"]


def _new_durations(saved: dict[str, Any], scheduler: Any) -> dict[str, Any]:
    """The saved state of a scheduler that follows a metric, with the durations of the one that was built anew."""
    if isinstance(scheduler, HyperparameterScheduler):
        return {**saved, "scheduler": _new_durations(saved["scheduler"], scheduler.scheduler)}
    return {**saved, **{name: getattr(scheduler, name) for name in ("patience", "cooldown") if name in saved}}


def _old_plan(saved: Mapping[str, Any], prepared: Prepared) -> Plan:
    """The plan that the saved run followed: the same scheduler over the old horizon."""
    horizon = Horizon(saved["config"]["trainer"]["epochs"], prepared.plan.horizon.steps_per_epoch)
    optimizer, splits = prepared.config["optimizer"], prepared.splits
    scheduler = scheduler_settings(
        prepared.config["scheduler"], horizon, optimizer.get("schedule"), prepared.task.metrics
    )
    parameters, _ = build.try_model(prepared.config["model"], splits.shape, splits.num_classes, prepared.seed)
    make_optimizer = partial(build.build_optimizer, optimizer, parameters)
    return simulate(scheduler.build, make_optimizer, horizon, scheduler.interval)
