"""What a run records while it trains: TensorBoard events and `history.csv`.

Both files only grow, and a checkpoint knows how long they were. A resumed run cuts them back to those lengths and goes
on in a new event file, so that no point is doubled and none is missing. A full disk never ends training: the points
wait in memory until it takes them.
"""

import csv
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch import Tensor
from torch.utils.tensorboard.summary import custom_scalars

from lrlab.errors import wrong
from lrlab.lr import shares
from lrlab.runs.curve import RecordedCurve
from lrlab.runs.event_file import OURS, EventFile
from lrlab.system import disk
from lrlab.system.disk import Log
from lrlab.training.metrics import AVERAGE, Metric, measured_names, usual

HISTORY = "history.csv"
SHARES = "shares.csv"  # of a run with a time budget: from which update on it was at which share
_NAMES = re.compile(r"(?:history|shares)\.csv|events\.out\.tfevents\.[\w.-]+")
MOST_POINTS = 10_000  # of a tag, besides changes of the LR; TensorBoard has no use for more
_FLUSH_UPDATES, _FLUSH_SECONDS = 1_000, 10.0


class Tracker:
    """Writes a run's events and history into `folder`; `state` is what `state_dict` returned at the checkpoint.

    `driven` names the hyperparameters to record at every update: `lr`, `lr/GROUP`, `momentum`, `weight_decay`, and
    last, where the optimizer finds a step size by itself, `lr/effective`.
    `metrics` are those of the task, by default a classification's; `averaged` weights measure them too. Where updates
    are at positions of a time budget, these are recorded too, `in_shares` of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        updates: int,
        driven: Sequence[str] = ("lr",),
        metrics: Sequence[Metric] | None = None,
        averaged: bool = False,
        hyperparameters: Mapping[str, Any] | None = None,
        trial: str = "",
        step: int = 0,
        state: Mapping[str, Any] | None = None,
        in_shares: bool = False,
    ):
        self.folder = folder
        splits = ("train", "val", f"{AVERAGE}val") if averaged else ("train", "val")
        self._measured = measured_names(metrics or usual(), *splits)
        self.stride = max(1, math.ceil(updates / MOST_POINTS))
        self.last_update = updates - 1
        self.curves = [RecordedCurve(name, self.stride) for name in driven]
        self._pending: list[tuple[int, Tensor | None, list[tuple[int, str, float]]]] = []
        self._flushed = time.monotonic()

        # Where the files stand.
        if state is None:
            refuse_second_run(folder)
        else:
            cut_back(folder, state["lengths"], state.get("hashes", {}))
            if len(state["curves"]) > len(self.curves):
                raise ValueError(f"{len(state['curves'])} curves, where {len(self.curves)} are recorded")
            for curve, progress in zip(self.curves, state["curves"], strict=False):  # `lr/effective` came later
                curve.recent = [tuple(point) for point in progress["recent"]]
                curve.corners = progress["corners"]

        # Open them.
        self._events = EventFile(folder)
        self._history = Log(folder / HISTORY)
        self._shares = Log(folder / SHARES) if in_shares else None
        self._position: int | None = None  # that was recorded last
        self._earlier = state or {"lengths": {}, "hashes": {}}  # of the event files before this one
        self._rows = csv.writer(self._history, lineterminator="\n")
        self._events.begin(step + 1)  # at `step` stand the latest epoch's means
        if state is None:
            self._rows.writerow(["epoch", "step", "lr", *self._measured, "seconds"])
            if self._shares is not None:
                self._shares.write("update,share,lr\n")
            self._events.summary(0, custom_scalars(_layout(metrics or usual(), averaged=averaged)))
            if hyperparameters is not None:
                self._events.summary(0, hparams_pb(dict(hyperparameters), trial_id=trial))

    def update(self, step: int, applied: Mapping[str, float], loss: Tensor, position: int | None = None) -> None:
        """Record update `step`: the driven hyperparameters that it used, and its loss (), which stays on its device.

        With its `position` in a plan over a time budget, the first update at each position is recorded.
        """
        points: list[tuple[int, str, float]] = []
        if position is None:
            even = step % self.stride == 0 or step == self.last_update
        else:
            even = self._is_at_a_new(position, step, applied["lr"])
        if even and position is not None:
            points = [(step, curve.tag, applied[curve.tag]) for curve in self.curves]
        for curve in self.curves if position is None else ():
            points += [(at, curve.tag, lr) for at, lr in curve.add(step, applied[curve.tag], even)]
        kept_loss = loss if even else None
        if points or kept_loss is not None:
            self._pending.append((step, kept_loss, points))
        if len(self._pending) >= _FLUSH_UPDATES or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def _is_at_a_new(self, position: int, step: int, lr: float) -> bool:
        """Whether update `step` is the first at a position, which is then recorded with the LR that holds there."""
        if position == self._position or self._shares is None:
            return False
        self._position = position
        self._shares.write(f"{step},{shares.written(position)},{lr!r}\n")
        return True

    def epoch(self, epoch: int, step: int, lr: float, measured: Mapping[str, float], seconds: float) -> None:
        """Record a complete epoch: a row of `history.csv`, and its means at x = `step`, the completed updates.

        `measured` has train_loss and the like and, if the epoch was validated, val_loss and the like. `lr` is that of
        its last update.
        """
        columns = [measured.get(name) for name in self._measured]
        self._rows.writerow([epoch, step, lr, *columns, round(seconds, 3)])
        means = {name.replace("_", "/", 1): value for name, value in measured.items() if name != "train_loss"}
        self.flush()
        self._events.scalars(step, means)
        self._events.log.flush()

    def foretold(self, step: int, points: Mapping[str, float]) -> None:
        """Record how the run will end, as it is foretold after `step` updates."""
        self.flush()
        self._events.scalars(step, points)
        self._events.log.flush()

    @property
    def refusal(self) -> str:
        """Why points wait in memory that the disk does not take; empty where none do."""
        return self._events.log.refusal or self._history.refusal or (self._shares.refusal if self._shares else "")

    def flush(self) -> None:
        """Hand everything recorded so far to the operating system. Waits for the device."""
        # All losses in one copy from the device.
        losses = [loss for _, loss, _ in self._pending if loss is not None]
        values = iter(torch.stack(losses).tolist() if losses else [])

        # The points of each update. A corner is known only after its update, so it has a step of its own.
        for step, loss, points in self._pending:
            here = {tag: lr for at, tag, lr in points if at == step}
            for at, tag, lr in points:
                if at != step:
                    self._events.scalars(at, {tag: lr})
            if loss is not None:
                here["train/loss"] = next(values)
            self._events.scalars(step, here)
        self._pending.clear()

        # Out of this process.
        for log in self._logs():
            log.flush()
        self._flushed = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to continue these files: their lengths in bytes.

        They are to be on the disk, by `sync`, before the checkpoint is.
        """
        self.flush()
        lengths, hashes = dict(self._earlier["lengths"]), dict(self._earlier.get("hashes", {}))
        for log in self._logs():
            lengths[log.path.name], hashes[log.path.name] = log.length, log.sha256
        return {
            "lengths": lengths,
            "hashes": hashes,
            "curves": [{"recent": curve.recent, "corners": curve.corners} for curve in self.curves],
        }

    def sync(self) -> None:
        """Have the disk itself hold what was recorded so far."""
        for log in self._logs():
            log.flush(sync=True)

    def close(self, status: str | None = None) -> None:
        """Write what is pending. When the run has ended, with `success` or `failure`, TensorBoard is told."""
        self.flush()
        if status is not None:
            self._events.summary(0, _end_of_run(status))
        for log in self._logs():
            log.close()

    def _logs(self) -> list[Log]:
        return [self._events.log, self._history, *([self._shares] if self._shares is not None else [])]


def _end_of_run(status: str) -> Summary:
    """What tells the HPARAMS tab how a run ended."""
    end = SessionEndInfo(status=Status.Value(f"STATUS_{status.upper()}"), end_time_secs=time.time())
    content = HParamsPluginData(session_end_info=end, version=metadata.PLUGIN_DATA_VERSION)
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=SummaryMetadata(plugin_data=plugin),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])


def _layout(metrics: Sequence[Metric], *, averaged: bool) -> dict[str, dict[str, list[Any]]]:
    """The charts of the CUSTOM SCALARS tab. TensorBoard draws equal layouts of several runs once."""
    charts: dict[str, list[Any]] = {"LR": ["Multiline", ["^lr$"]]}
    for metric in metrics:
        tags = [f"^{split}/{metric.name}$" for split in ("val", "train")]
        name = f"validation and training {metric.name}"
        if averaged:  # under a name of its own, for a chart of a name is drawn once for all runs
            tags.append(f"^average/val_{metric.name}$")
            name += ", and of averaged weights"
        charts[name] = ["Multiline", tags]
    return {"LR and loss": charts}


def log_files(folder: Path) -> list[Path]:
    """The files in `folder` that a tracker writes."""
    tables = [folder / name for name in (HISTORY, SHARES) if (folder / name).exists()]
    return [*sorted(folder.glob(f"events.out.tfevents.*{OURS}")), *tables]


def require_as_written(folder: Path, lengths: Mapping[str, int], hashes: Mapping[str, str]) -> None:
    """Raise UserError unless the log files in `folder` begin with what the checkpoint knows of them.

    `lengths` are in bytes, `hashes` the SHA-256 of so many bytes; checkpoints of commit 25a6d11 have no hashes.
    """
    for name, length in lengths.items():
        path = folder / name
        size = path.stat().st_size if path.exists() else None
        found = None
        if not _NAMES.fullmatch(name):
            found = "no log of a run"
        elif size is None:
            found = "missing"
        elif size < length:
            found = f"{size} bytes long"
        elif name in hashes and disk.sha256_of(path, length) != hashes[name]:
            found = "not as the run wrote it: another program has changed it"
        if found is not None:
            raise wrong(
                "resume",
                got=f"{path}, which is {found}",
                allowed=f"the {length} bytes that the checkpoint knows, and whatever follows",
                do="put the file back as it was, or start a new run",
            )


def cut_back(folder: Path, lengths: Mapping[str, int], hashes: Mapping[str, str]) -> None:
    """Cut the log files in `folder` back to `lengths` (name: bytes), and remove those that the run wrote after them.

    Raises UserError, and changes nothing, where one of them is not what the checkpoint knows. A file of somebody else,
    another writer of event files say, stays as it is.
    """
    require_as_written(folder, lengths, hashes)
    for name, length in lengths.items():
        os.truncate(folder / name, length)
    for path in log_files(folder):
        if path.name not in lengths:
            path.unlink()


def refuse_second_run(folder: Path) -> None:
    """Raise UserError where `folder` holds the files of a run."""
    if log_files(folder):
        raise wrong(
            "folder",
            got=f"{folder}, which holds a run already",
            allowed="a folder without one",
            do=f"resume={folder} to continue it, or another folder",
        )
