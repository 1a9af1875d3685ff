"""The run that is cooled down, its trunk: what it was, and what it has trained that its cooldowns may begin with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lrlab.comparison import event_files, results
from lrlab.config import compose, cooled, identity
from lrlab.config.again import as_it_was
from lrlab.config.identity import Identity
from lrlab.config.prepare import Prepared, prepare
from lrlab.errors import UserError, wrong
from lrlab.lr.controls import Controls
from lrlab.runs import beginning, checkpoint, summary, tracking
from lrlab.runs.beginning import Sharing
from lrlab.runs.describe import computed_by, device_name
from lrlab.runs.ending import due_to_stop, stopped_early
from lrlab.runs.resume import require_same_run
from lrlab.sweeps import shared
from lrlab.sweeps.plan import Planned
from lrlab.system import disk
from lrlab.words import counted

_CHECKPOINTS_OF_A_RUN = 4  # at most, at one time; the disk must have room for them first


def trunk_in(folder: Path, typed: Sequence[str]) -> Prepared:
    """The run in `folder` as it would start now, with what was `typed` about where it reads and computes.

    Raises UserError where nobody can cool it down, and where what was typed makes it another run.
    """
    # What it was.
    file = folder / "config.yaml"
    saved = results.config_of(folder)
    if saved is None:
        got = f"{folder}, whose config.yaml cannot be read"
        raise wrong("run", got=got, allowed="the file as the run wrote it", do="another run")
    said = summary.read(folder)
    with checkpoint.restoring(file, "config"):
        before = Identity(identity.identity(saved), said.get("contents"))
        config = as_it_was(saved, file.resolve(), typed)
        config.resume = None
        cooled.require_coolable(compose.resolve(config))

    # What it is now.
    choices = said.get("choices")
    trunk = prepare(config, choices if isinstance(choices, dict) else {}, [])
    if found := identity.difference(before, identity.of(trunk.config, trunk.checked.contents)):
        raise found.refusal(
            "the run that is cooled down has",
            allowed="its own settings and data",
            do="leave it out, or cool down a run that was trained so",
        )
    cooled.require_known(trunk)
    return trunk


@dataclass(frozen=True)
class OwnBeginning:
    """What of a trunk its cooldowns may begin with: so many updates, or why there are none."""

    updates: int = 0
    why_not: str = ""
    for_all: bool = False  # of the runs that are to do


def leave(folder: Path, trunk: Prepared, planned: Planned, threads: int) -> OwnBeginning:
    """Leave what the trunk in `folder` has trained where the runs of the sweep look for beginnings; how much it is.

    It is the state of its last checkpoint. `threads` are those of each run: where the trunk was computed in another
    way its last bits differ, and it is not taken.
    """
    try:
        held = _held(folder, trunk, threads)
    except (UserError, OSError, KeyError, TypeError, ValueError) as error:
        return OwnBeginning(why_not=_reason(error))
    updates = held["updates"]
    takers = _takers(trunk, planned, updates)
    files = list(dict.fromkeys(takers))
    if not files:
        return OwnBeginning(why_not=f"its checkpoint is of update {updates:,}, after which no decay begins")
    for file in files:
        if beginning.is_there(file):
            continue
        try:
            size = (folder / checkpoint.LAST).stat().st_size
            room = _CHECKPOINTS_OF_A_RUN * len(planned.to_do) * size
            disk.require_room(planned.folder, room, "the checkpoints of all runs")
            checkpoint.save(file, held)
        except (UserError, OSError) as error:
            return OwnBeginning(why_not=_reason(error))
    return OwnBeginning(updates, for_all=len(takers) == len(planned.to_do))


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return error.complaint if error.key is None else str(error.got)
    return f"its files are not complete ({type(error).__name__})"


def _takers(trunk: Prepared, planned: Planned, updates: int) -> list[Path]:
    """For each run of the sweep that is the trunk for so many updates: the file in which it looks for them."""
    place = planned.folder.absolute() / shared.FOLDER
    begun = {job.folder for job in planned.begun}
    found = []
    for job in planned.to_do:
        salt = shared.salt(job.checked)
        if salt is None or job.folder in begun or job.updates <= updates:
            continue
        sharing = Sharing(place, salt)
        (own,) = sharing.files(Controls.of(job.checked.plan), [updates]).values() or (None,)
        (its,) = sharing.files(Controls.of(trunk.plan), [updates]).values() or (None,)
        if own is not None and own == its:
            found.append(own)
    return found


def _held(folder: Path, trunk: Prepared, threads: int) -> dict[str, Any]:
    """What a beginning holds, of all that the trunk has trained. Raises an error that says why there is none."""
    contents = checkpoint.load(checkpoint.find(str(folder / checkpoint.LAST)))
    checkpoint.require_form(folder / checkpoint.LAST, contents)
    _require_usable(folder, contents, trunk)
    now = computed_by(trunk.device)
    if trunk.device.type == "cpu":
        now["device"] = device_name(trunk.device, threads)
    if contents["computed_by"] != now:
        before = contents["computed_by"]
        name = next(name for name in {**now, **before} if before.get(name) != now.get(name))
        found, here = (one.get(name, f"no {name} of its own") for one in (before, now))
        raise UserError(f"it was computed with {found}, not {here}")

    updates = contents["state"]["progress"]["step"]
    return {
        "updates": updates,
        "state": contents["state"],
        "best": _best(folder, contents),
        "computed_by": contents["computed_by"],
        "losses": _losses(folder, updates),
        "epochs": _epochs(folder, trunk, contents["state"]["progress"]["epoch"]),
    }


def _require_usable(folder: Path, contents: dict[str, Any], trunk: Prepared) -> None:
    """Raise UserError where a longer or shorter run would not have come by the same state."""
    require_same_run(contents, trunk)
    logs = contents["tracker"]
    tracking.require_as_written(folder, logs["lengths"], logs["hashes"])
    progress, horizon = contents["state"]["progress"], trunk.horizon
    if trunk.average is not None:
        raise UserError("its weights are averaged")
    if horizon.steps > tracking.MOST_POINTS:
        raise UserError(f"not every one of its {counted(horizon.steps, 'update')} is recorded")
    if contents["audit"]["differing"] or contents["audit"]["updates"] != progress["step"]:
        raise UserError("its LR was not the planned one")
    if contents["progress"]["extended_from"] is not None or stopped_early(contents) or due_to_stop(contents):
        raise UserError("it was extended, or stopped early")
    within = progress["epoch"] * horizon.steps_per_epoch + progress["batch"]
    if progress["step"] != within:
        raise UserError("its last epoch is cut short")
    unmeasured = progress["epoch"] % trunk.trainer.eval_every and progress["epoch"] == horizon.epochs
    if unmeasured:
        raise UserError("its last epoch was validated out of turn")


def _best(folder: Path, contents: dict[str, Any]) -> dict[str, Any] | None:
    """The state after the best epoch of which the last checkpoint speaks."""
    best_epoch = contents["progress"]["best_epoch"]
    if best_epoch is None:
        return None
    best = checkpoint.load(folder / checkpoint.BEST)
    checkpoint.require_form(folder / checkpoint.BEST, best)
    if best["progress"]["best_epoch"] != best_epoch:
        raise UserError("its best.pt is of another epoch than its last.pt says")
    return best["state"]


def _losses(folder: Path, updates: int) -> torch.Tensor:
    """The training loss (updates,) float32 of every update."""
    by_step = dict(event_files.scalar(folder, "train/loss"))
    missing = [step for step in range(updates) if step not in by_step]
    if missing:
        raise UserError(f"the loss of update {missing[0]:,} is not recorded")
    return torch.tensor([by_step[step] for step in range(updates)], dtype=torch.float32)


def _epochs(folder: Path, trunk: Prepared, epochs: int) -> list[dict[str, Any]]:
    """What was measured in each complete epoch."""
    rows = results.history_of(folder)[:epochs]
    if [row.epoch for row in rows] != list(range(epochs)):
        raise UserError("its history is not complete")
    found = []
    for row in rows:
        means = {split: _means(row.measured, split, trunk) for split in ("train", "val")}
        speed = trunk.splits.counts["train"] / row.seconds if row.seconds else 0.0  # which nobody records
        found.append({**means, "seconds": row.seconds, "images_per_second": speed, "average": None})
    return found


def _means(measured: dict[str, float | None], split: str, trunk: Prepared) -> dict[str, float] | None:
    """What was measured of a split; None where it was not."""
    found: dict[str, float] = {}
    for metric in trunk.task.metrics:
        value = measured[f"{split}_{metric.name}"]
        if value is None:
            return None
        found[metric.name] = value
    return found
