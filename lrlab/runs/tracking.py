"""What a run records while it trains: TensorBoard events and `history.csv`.

Both files only grow, and `Tracker.state_dict` knows their lengths at a checkpoint. A resumed run cuts them back to
those lengths and goes on in a new event file, so that no point is doubled and none is missing. A disk that takes no
more never ends training: the points wait in memory until it does.
"""

import csv
import math
import os
import re
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import torch
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from torch import Tensor
from torch.utils.tensorboard.summary import custom_scalars

from lrlab.errors import wrong
from lrlab.system.disk import Log
from lrlab.training.metrics import Metric, known, measured_names

MOST_POINTS = 10_000  # a tag, but for LR changes; TensorBoard has no use for more
_FLUSH_UPDATES, _FLUSH_SECONDS = 1_000, 10.0


class Tracker:
    """Writes a run's events and history into `folder`; `state` is what `state_dict` returned at the checkpoint.

    `driven` names the hyperparameters to record at every update: `lr`, `lr/GROUP`, `momentum`, `weight_decay`.
    `metrics` are the task's, by default all of the table.
    """

    def __init__(
        self,
        folder: Path,
        *,
        updates: int,
        driven: Sequence[str] = ("lr",),
        metrics: Sequence[Metric] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        trial: str = "",
        step: int = 0,
        state: Mapping[str, Any] | None = None,
    ):
        self.folder, self._measured = folder, measured_names(metrics or known(), "train", "val")
        self.stride, self.last_update = max(1, math.ceil(updates / MOST_POINTS)), updates - 1
        self.curves = [Curve(name, self.stride) for name in driven]
        self._pending: list[tuple[int, Tensor | None, list[tuple[int, str, float]]]] = []
        self._flushed = time.monotonic()
        if state is None:
            refuse_second_run(folder)
        else:
            cut_back(folder, state["lengths"])
            for curve, progress in zip(self.curves, state["curves"], strict=True):
                curve.recent, curve.corners = [tuple(point) for point in progress["recent"]], progress["corners"]
        name = f"events.out.tfevents.{_later_than_all(folder):010d}.{socket.gethostname()}.{os.getpid()}"
        self._events, self._history = Log(_unused(folder / name)), Log(folder / "history.csv")
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._rows = csv.writer(self._history, lineterminator="\n")
        # Tells a TensorBoard that is already open to forget what it read beyond `step`, at which the latest epoch's
        # means stand. It only heeds the second such mark of a run, so a new run begins with one too.
        self._write(Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        if state is None:
            self._rows.writerow(["epoch", "step", "lr", *self._measured, "seconds"])
            self._summary(0, custom_scalars(_layout(metrics or known())))
            if hyperparameters is not None:
                self._summary(0, hparams_pb(dict(hyperparameters), trial_id=trial))

    def update(self, step: int, applied: Mapping[str, float], loss: Tensor) -> None:
        """Record update `step`: what is driven of what it used, and the loss (), which stays on its device for now."""
        even = step % self.stride == 0 or step == self.last_update
        points = [
            (at, curve.tag, kept) for curve in self.curves for at, kept in curve.add(step, applied[curve.tag], even)
        ]
        kept_loss = loss if even else None
        if points or kept_loss is not None:
            self._pending.append((step, kept_loss, points))
        if len(self._pending) >= _FLUSH_UPDATES or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def epoch(self, epoch: int, step: int, lr: float, measured: Mapping[str, float], seconds: float) -> None:
        """Record a complete epoch: a row of `history.csv`, and its means at x = `step`, the completed updates.

        `measured` are train_loss and the like and, if it was validated, val_loss and the like; `lr` is that of its
        last update.
        """
        self._rows.writerow([epoch, step, lr, *(measured.get(name) for name in self._measured), round(seconds, 3)])
        means = {name.replace("_", "/", 1): value for name, value in measured.items() if name != "train_loss"}
        self.flush()
        self._scalars(step, means)
        self._events.flush()

    @property
    def refusal(self) -> str:
        """Why points wait in memory that the disk does not take; empty where none do."""
        return self._events.refusal or self._history.refusal

    def flush(self) -> None:
        """Hand everything recorded so far to the operating system; waits for the device."""
        losses = [loss for _, loss, _ in self._pending if loss is not None]
        values = iter(torch.stack(losses).tolist() if losses else [])
        for step, loss, points in self._pending:
            here = {tag: lr for at, tag, lr in points if at == step}
            for at, tag, lr in points:
                if at != step:
                    self._scalars(at, {tag: lr})
            if loss is not None:
                here["train/loss"] = next(values)
            self._scalars(step, here)
        self._pending.clear()
        self._events.flush()
        self._history.flush()
        self._flushed = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to continue these files: their lengths in bytes, once they are on the disk."""
        self.flush()
        for log in (self._events, self._history):
            log.flush(sync=True)
        return {
            "lengths": {path.name: path.stat().st_size for path in log_files(self.folder)},
            "curves": [{"recent": curve.recent, "corners": curve.corners} for curve in self.curves],
        }

    def close(self, status: str | None = None) -> None:
        """Write what is pending and, when the run has ended (`success` or `failure`), say so to TensorBoard."""
        self.flush()
        if status is not None:
            end = SessionEndInfo(status=Status.Value(f"STATUS_{status.upper()}"), end_time_secs=time.time())
            content = HParamsPluginData(session_end_info=end, version=metadata.PLUGIN_DATA_VERSION)
            plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString())
            value = Summary.Value(
                tag=metadata.SESSION_END_INFO_TAG,
                metadata=SummaryMetadata(plugin_data=plugin),
                tensor=metadata.NULL_TENSOR,
            )
            self._summary(0, Summary(value=[value]))
        self._events.close()
        self._history.close()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        if values:
            event = Event(wall_time=time.time(), step=step)
            for tag, value in values.items():
                event.summary.value.add(tag=tag, simple_value=value)
            self._write(event)

    def _summary(self, step: int, summary: Summary) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        data = event.SerializeToString()
        header = struct.pack("<Q", len(data))
        self._events.add(header + _masked_crc(header) + data + _masked_crc(data))


def _layout(metrics: Sequence[Metric]) -> dict[str, dict[str, list[Any]]]:
    """The CUSTOM SCALARS tab: charts of tags that match, of all runs.

    TensorBoard draws equal layouts of several runs once.
    """
    charts: dict[str, list[Any]] = {"LR": ["Multiline", ["^lr$"]]}
    for metric in metrics:
        tags = [f"^{split}/{metric.name}$" for split in ("val", "train")]
        charts[f"validation and training {metric.name}"] = ["Multiline", tags]
    return {"LR and loss": charts}


class Curve:
    """Decides which points of one LR curve are kept: every `stride`-th, and those around every corner between them.

    A corner is where the LR starts or stops changing, turns, or jumps, so staircases and spikes stay exact however
    long the run is. Of an LR that changes at every update, at most four corners are kept between two even points.
    """

    def __init__(self, tag: str, stride: int):
        self.tag, self.stride = tag, stride
        self.recent: list[tuple[int, float, bool]] = []  # the two latest: step, LR, whether it is recorded
        self.corners = 0  # kept since the last evenly spaced point

    def add(self, step: int, lr: float, even: bool) -> list[tuple[int, float]]:
        """The points (step, lr) to record now that update `step` used `lr`; `even` says to record it in any case."""
        if self.stride == 1:
            return [(step, lr)]
        points = []
        if len(self.recent) == 2:
            (_, first, _), (middle_step, middle, recorded) = self.recent
            beside_a_flat = (first == middle) != (middle == lr)
            if not recorded and (beside_a_flat or (self.corners < 4 and _is_corner(first, middle, lr))):
                points.append((middle_step, middle))
                self.corners += not beside_a_flat
        if even:
            points.append((step, lr))
            self.corners = 0
        self.recent = [*self.recent[-1:], (step, lr, even)]
        return points


def _is_corner(first: float, middle: float, last: float) -> bool:
    """Whether three LRs in a row are not on one smooth curve: their two differences differ by more than a factor 4."""
    before, after = middle - first, last - middle
    small, large = sorted((abs(before), abs(after)))
    return before * after < 0 or large > 4 * small + 1e-12 * abs(middle)


def _masked_crc(data: bytes) -> bytes:
    """The checksum of TensorFlow's record format: a CRC-32C, rotated and shifted lest it be one of data that holds one.

    TensorBoard's own writer computes it in Python, which took more time than all the rest of recording.
    Source: tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
    """
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def clear(folder: Path) -> None:
    """Remove what a tracker wrote into `folder`."""
    for path in log_files(folder):
        path.unlink()


def log_files(folder: Path) -> list[Path]:
    """The files in `folder` that a tracker writes."""
    return sorted(folder.glob("events.out.tfevents.*")) + sorted(folder.glob("history.csv"))


def cut_back(folder: Path, lengths: Mapping[str, int]) -> None:
    """Cut the log files in `folder` back to `lengths` (name: bytes), and remove those that are not in it.

    Raises UserError, and changes nothing, where one of them is missing or shorter.
    """
    sizes = {path.name: path.stat().st_size for path in log_files(folder)}
    for name, length in lengths.items():
        if sizes.get(name, -1) < length:
            raise wrong(
                "resume",
                got=f"{folder / name}, which is " + ("missing" if name not in sizes else f"{sizes[name]} bytes long"),
                allowed=f"at least the {length} bytes that the checkpoint knows",
                do="put the file back, or start a new run",
            )
    for path in log_files(folder):
        if path.name in lengths:
            os.truncate(path, lengths[path.name])
        else:
            path.unlink()


def _later_than_all(folder: Path) -> int:
    """The seconds to name the next event file by: TensorBoard reads the files of a run in the order of their names."""
    stamps = [re.match(r"events\.out\.tfevents\.(\d+)", path.name) for path in folder.glob("events.out.tfevents.*")]
    return max([int(time.time()), *(int(stamp[1]) + 1 for stamp in stamps if stamp)])


def _unused(path: Path) -> Path:
    """`path` with the first number behind it that no file has yet."""
    number = 0
    while (candidate := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return candidate


def refuse_second_run(folder: Path) -> None:
    """Raise UserError where `folder` holds the files of a run."""
    if log_files(folder):
        raise wrong(
            "folder",
            got=f"{folder}, which holds a run already",
            allowed="a folder without one",
            do=f"resume={folder} to continue it, or another folder",
        )
