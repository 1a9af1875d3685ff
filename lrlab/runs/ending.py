"""Whether a run is at its end, whichever it is: all epochs or updates, a time budget, early stopping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrlab.config.prepare import Prepared
from lrlab.lr.horizon import Horizon
from lrlab.runs import summary
from lrlab.training.state import TrainState
from lrlab.words import budget_in_words, counted


def is_complete(saved: Mapping[str, Any], prepared: Prepared, folder: Path) -> bool:
    """Whether all is trained and the summary says so. A run that was killed in between still has to write that."""
    progress, horizon = saved["state"]["progress"], prepared.horizon
    done = progress["epoch"] >= horizon.epochs and progress["step"] >= horizon.steps
    if horizon.budget_seconds is not None:
        done = saved["state"].get("pace", {}).get("is_over", False)
    done = done or stopped_early(saved) is not None
    return done and summary.read(folder).get("status") == "finished"


def due_to_stop(saved: Mapping[str, Any]) -> dict[str, Any] | None:
    """In which epoch a longer run would have been stopped early, where that was the last of the saved run."""
    return (saved["state"].get("stop_early") or {}).get("due")


def stopped_early(saved: Mapping[str, Any]) -> dict[str, Any] | None:
    """In which epoch the saved run was stopped early, and why; None where it was not."""
    return (saved["state"].get("stop_early") or {}).get("stopped")


def what_is_done(saved: Mapping[str, Any], prepared: Prepared, folder: Path) -> str:
    """Why a run has nothing left to do, and what would go on with it."""
    if stop := stopped_early(saved):
        return f"{folder} was stopped early, in epoch {stop['epoch'] + 1}: {stop['why']}"
    goes_on = "; extend=EPOCHS goes on" if prepared.horizon.budget_seconds is None else ""
    return f"{_all_of_it(prepared.horizon, folder)} done{goes_on}"


def _all_of_it(horizon: Horizon, folder: Path) -> str:
    if horizon.budget_seconds is not None:
        return f"the {budget_in_words(horizon.budget_seconds)} of {folder} are"
    if horizon.updates is not None:
        return f"all {counted(horizon.steps, 'update')} of {folder} are"
    return f"all {horizon.epochs} epochs of {folder} are" if horizon.epochs > 1 else f"the one epoch of {folder} is"


def stopped_early_lines(state: TrainState, prepared: Prepared) -> list[str]:
    """What is said of a run that was stopped early: why, and how far its LR was from its end."""
    early = state.early
    if early is None or early.stopped is None:
        return []
    lrs, lr = prepared.plan.lrs, state.applied["lr"]
    end = "a time budget" if prepared.horizon.budget_seconds is not None else prepared.horizon.in_words
    left = f"; its LR was {lr:.4g}, and would have ended at {lrs[-1]:.4g} after {end}" if lrs is not None else ""
    return [f"stopped early in epoch {early.stopped['epoch'] + 1}: {early.stopped['why']}{left}"]


def used(state: TrainState) -> str:
    """What a run used of its time budget; empty where it has none, or repeats one that had."""
    if state.pace is None or state.pace.recorded is not None:
        return ""
    return f"{state.pace.used:.3g} s of the budget of {budget_in_words(state.pace.seconds)}"


def facts(state: TrainState, prepared: Prepared) -> dict[str, Any]:
    """What a summary says of what ends a run besides its epochs."""
    said: dict[str, Any] = {}
    if state.early is not None:
        said["stopped_early"] = state.early.stopped
    if state.pace is not None:
        repeats = state.pace.recorded is not None
        how = {"replay": prepared.config["replay"]} if repeats else {"used_seconds": round(state.pace.used, 3)}
        said["budget"] = {"seconds": state.pace.seconds, **how}
    return said
