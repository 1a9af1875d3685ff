"""The files of a run: its config, its logs, and what a checkpoint says about the run that saved it.

config.yaml  summary.json  history.csv  events.out.tfevents.*  train.log  checkpoints/{last,previous,best}.pt
While best.pt is newer than last.pt knows there is checkpoints/best_before.pt too.
"""

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from lrlab.config.identity import of_the_machine
from lrlab.config.names import run_name
from lrlab.config.prepare import Prepared
from lrlab.config.secrets import mask, mask_overrides
from lrlab.lr.hyperparameters import adapts_its_lr, effective, read
from lrlab.runs import checkpoint
from lrlab.runs.describe import computed_by, hyperparameters
from lrlab.runs.tracking import Tracker, require_as_written
from lrlab.system import disk
from lrlab.training.loop import TrainState


class Saved(NamedTuple):
    """A checkpoint to go on from."""

    path: Path
    contents: dict[str, Any]


def open_logs(folder: Path, prepared: Prepared, state: TrainState, saved: Saved | None) -> Tracker:
    """Write the run's config and open its logs, cut back to what the checkpoint knows."""
    if saved is not None and saved.path.name != checkpoint.LAST.name:
        logs = saved.contents["tracker"]
        require_as_written(folder, logs["lengths"], logs.get("hashes", {}))
        # The cut makes what last.pt says of the logs untrue, so last.pt is replaced first.
        checkpoint.save(folder / checkpoint.LAST, saved.contents)
    tracker = Tracker(
        folder,
        updates=prepared.plan.horizon.steps,
        driven=_driven(prepared, state),
        metrics=prepared.task.metrics,
        averaged=prepared.average is not None,
        hyperparameters=mask(hyperparameters(prepared.config, prepared.checked.choices, prepared.checked.overrides)),
        trial=run_name(prepared.checked.overrides, leave_out=["seed", *of_the_machine(prepared.config)]),
        step=state.step,
        state=saved.contents["tracker"] if saved is not None else None,
        in_shares=prepared.plan.horizon.in_shares,
    )
    try:
        config = OmegaConf.create(mask(prepared.checked.saved_config))
        disk.write_whole(folder / "config.yaml", OmegaConf.to_yaml(config))
    except BaseException:
        tracker.close()
        raise
    return tracker


def _driven(prepared: Prepared, state: TrainState) -> list[str]:
    """The hyperparameters to record: what is planned to change, and every LR, planned, not planned or effective."""
    lrs = [name for name in read(state.optimizer) if name.startswith("lr")]
    found = effective(state.optimizer) if adapts_its_lr(state.optimizer) else {}
    return list(dict.fromkeys([*lrs, *prepared.plan.driven(), *found]))


def origin(prepared: Prepared) -> dict[str, Any]:
    """What a checkpoint says about the run that saved it, by which a later start knows whether it may go on."""
    return {
        "config": mask(prepared.checked.saved_config),
        "overrides": mask_overrides(prepared.checked.overrides),
        "choices": prepared.checked.choices,
        "facts": prepared.facts(),
        "computed_by": computed_by(prepared.device, prepared.trainer.form),
    }


def require_savable(folder: Path) -> None:
    """Raise UserError where the first checkpoint in `folder` cannot be read back, or leaves no room for more.

    A run asks this before it trains: better than to find out after an epoch.
    """
    last = folder / checkpoint.LAST
    checkpoint.require_readable(last)
    # previous.pt, best.pt, best_before.pt, and the one that is being written.
    disk.require_room(folder, 4 * last.stat().st_size, "four checkpoints more")
