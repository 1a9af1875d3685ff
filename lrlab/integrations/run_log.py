"""The folder of a run that another program trains, as `lrlab compare` and TensorBoard read it.

It has settings, history, summary and an event file.
"""

import csv
import io
import json
import math
import time
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import distributed
from torch.optim import Optimizer

from lrlab.api import warned
from lrlab.api.schedule_value import Schedule, require_schedule
from lrlab.api.watching import Watch
from lrlab.integrations.events import LoopEvents
from lrlab.runs import folders, summary
from lrlab.runs.describe import device_name
from lrlab.runs.machine import finite
from lrlab.runs.tracking import HISTORY
from lrlab.schedules.law import wrong_argument
from lrlab.system import disk, repository
from lrlab.training.metrics import find, known, measured_names
from lrlab.words import counted, kind_of

OUTPUTS = Path("outputs/runs")
_NOT_MEASURED = ("epoch", "step", "lr", "seconds")
_ALIKE = 0.9  # of two names, of which one is meant as the other: test_accuracy and train_accuracy are 0.81


class RunLog:
    """Watches an optimizer, and writes what a run reached into a folder of its own.

    `data`, `model` and `schedule` are the names under which it is compared. `epoch` is called with the metrics of each
    epoch (`val_loss`, `val_accuracy`, `train_loss`, ...), `end` once. A resumed run goes on in its folder. Metrics that
    lrlab does not know are kept in the history and in TensorBoard, and no run is judged by them.
    """

    def __init__(
        self,
        optimizer: Any,
        schedule: Schedule,
        *,
        program: str,
        data: str,
        model: str,
        seed: int | None,
        epochs: int,
        folder: str | Path | None = None,
        start: int | None = None,
    ):
        require_schedule(schedule)
        for name, value in (("data", data), ("model", model)):
            if not isinstance(value, str):
                allowed = "the name by which runs are compared"
                raise wrong_argument(name, got=kind_of(value), allowed=allowed, do=f'{name}="mine"')
        self.watch = Watch(optimizer, schedule, start=start)
        self.schedule, self.program, self.epochs = schedule, program, epochs
        self.choices = {
            "data": data,
            "model": model,
            "optimizer": type(self.watch.optimizer).__name__.lower(),
            "scheduler": schedule.name if schedule.name != "<lambda>" else "schedule",
        }
        self.seed = torch.initial_seed() % 2**31 if seed is None else seed  # another one where nothing was seeded
        self._notes: list[str] = []  # of the run before it was resumed
        self._audited = 0  # updates before that
        self._device = self.watch.optimizer.param_groups[0]["params"][0].device
        self._rows: list[dict[str, Any]] = []
        self._unknown: list[str] = []  # metrics that lrlab does not know
        self._seconds = 0.0
        self._since = time.monotonic()
        self._writes = not distributed.is_initialized() or distributed.get_rank() == 0
        self.folder = _ready(folder, self.choices, self.seed, resumes=bool(start), writes=self._writes)
        if start:
            self._go_on(seed)
        self._write_config(self.watch.optimizer)
        self._events: LoopEvents | None = None
        if self._writes:
            first = self.watch.start
            measured: dict[str, float] = {}
            for row in self._rows:
                if row["step"] == first:
                    measured |= _metrics_of(row)
            self._events = LoopEvents(self.folder, updates=len(schedule), start=first, measured=measured)
        self.watch.begin()
        self._write_summary("running")

    @property
    def lr(self) -> dict[str, float]:
        """The planned and the applied LR of the latest update, under the names that a logger shows side by side."""
        latest = self.watch.latest
        return {} if latest is None else {"lr/planned": latest[0], "lr/applied": latest[1]}

    def epoch(self, **measured: float) -> None:
        """Write a row of the history, with the metrics of the epoch that is complete.

        Raises ValueError for a metric whose name is mistyped, and for an accuracy in percent.
        """
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        self._seconds += seconds
        latest = self.watch.latest
        values = {name: float(value) for name, value in measured.items()}
        _require_metrics(values)
        self._warn_of_unknown(values)
        lr = latest[1] if latest is not None else float(self.watch.optimizer.param_groups[0]["lr"])
        row = {"epoch": len(self._rows), "step": self.watch.step, "lr": lr, **values, "seconds": round(seconds, 3)}
        self._rows.append(row)
        if self._events is not None:
            self._events.epoch(self.watch, values)
        self._write_history()
        self._write_summary("running")

    def end(self, status: str = "finished", error: BaseException | None = None) -> None:
        """Look on no more, and say in `summary.json` how the run ended."""
        self.watch.end()
        if self._events is not None:
            self._events.end(self.watch)
        if status == "finished" and any(not math.isfinite(value) for value in self._last().values()):
            status = "diverged"
        self._write_config(self.watch.optimizer)
        self._write_summary(status, **({"error": f"{type(error).__name__}: {error}"} if error is not None else {}))

    def _warn_of_unknown(self, measured: Mapping[str, float]) -> None:
        """Warn, the first time, of metrics that lrlab does not know."""
        known_names = measured_names(known(), "train", "val")
        new = [name for name in measured if name not in [*known_names, *self._unknown]]
        self._unknown += new
        if new:
            are = "is a metric" if len(new) == 1 else "are metrics"
            kept = "in the history and in TensorBoard, and no run is judged by it"
            warned.warn(f"{', '.join(new)} {are} that lrlab does not know: kept {kept}")

    def _last(self) -> dict[str, float]:
        """The metrics of the last epoch, those that lrlab knows."""
        measured = _metrics_of(self._rows[-1]) if self._rows else {}
        return {name: value for name, value in measured.items() if name not in self._unknown}

    def _columns(self) -> list[str]:
        """What is written of each epoch: the losses, and every other metric that some epoch has on both splits."""
        measured = set(chain.from_iterable(self._rows))
        names = []
        for metric in known():
            own = measured_names([metric], "train", "val")
            if metric.name == "loss" or measured & set(own):
                names += own
        return names + self._unknown

    def _write_history(self) -> None:
        text = io.StringIO()
        names = ["epoch", "step", "lr", *self._columns(), "seconds"]
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(names)
        for row in self._rows:
            rows.writerow([_cell(row.get(name, "")) for name in names])
        self._write(HISTORY, text.getvalue())

    def _write_config(self, optimizer: Optimizer) -> None:
        group = optimizer.param_groups[0]
        base = float(group.get("initial_lr", group["lr"])) if self.schedule.is_relative else self.schedule.lr
        kind = type(optimizer)
        own = {name: value for name, value in group.items() if isinstance(value, bool | int | float | str)}
        own = {name: value for name, value in own.items() if name not in ("lr", "initial_lr")}
        config = {
            "seed": self.seed,
            "optimizer": {"_target_": f"{kind.__module__}.{kind.__qualname__}", "lr": base, **own},
            "scheduler": _plain(self.schedule.settings),
            # How long it is: in epochs as far as the loop has such, and in updates.
            "trainer": {"epochs": max(self.epochs, len(self._rows), 1), "updates": len(self.schedule)},
        }
        self._write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))

    def _write(self, file: str, text: str) -> None:
        if self._writes:
            disk.write_whole(self.folder / file, text)

    def _write_summary(self, status: str, **facts: Any) -> None:
        measured = {name: value for name, value in self._last().items() if math.isfinite(value)}
        best = self._best()
        watch, found = self.watch, self.watch.state_dict()
        said = {
            "status": status,
            "epochs": len(self._rows),
            "seconds": self._seconds,
            **measured,
            **best,
            "updates": watch.step,
            "choices": self.choices,
            "device": device_name(self._device),
            "versions": summary.versions(),
            "commit": repository.commit(),
            "plan": self.schedule.plan.summary(),
            "audit": {
                "equal": watch.equal,
                "updates": self._audited + watch.updates,
                "differing": found["differing"],
                "first_difference": found["first_difference"],
                "verdict": watch.verdict,
            },
            "warnings": [*self._notes, *watch.notes],
            "logged_by": self.program,
            **facts,
        }
        self._write(summary.FILE, json.dumps(finite(said), indent=2, allow_nan=False) + "\n")

    def _best(self) -> dict[str, float]:
        found = {}
        for metric in known():
            name = f"val_{metric.name}"
            values = [row[name] for row in self._rows if math.isfinite(row.get(name, math.nan))]
            if values:
                found[f"best_{name}"] = min(values) if metric.lower_is_better else max(values)
        return found

    def _go_on(self, seed: int | None) -> None:
        """Take up what the run wrote before it was resumed, up to the update at which it goes on.

        Raises ValueError where the folder holds another run, or not so many updates.
        """
        said = summary.read(self.folder)
        if not said:
            return
        self._require_same(said, seed)

        # Its epochs.
        file = self.folder / HISTORY
        rows = csv.DictReader(io.StringIO(file.read_text(), newline="")) if file.is_file() else []
        start, epochs = self.watch.start, [{name: float(value) for name, value in row.items() if value} for row in rows]
        reached = int(said["updates"])
        is_past = start > reached and said["status"] != "running"  # of one that was killed, some updates were not told
        is_count_of_epochs = bool(epochs) and start < epochs[0]["step"]
        if is_past or is_count_of_epochs:
            got = f"{start}, of a run in {self.folder} that has made {counted(reached, 'update')}"
            raise wrong_argument("start", got=got, allowed="the updates made before", do=f"start={reached}")
        for row in epochs:
            if row["step"] <= start:
                self._rows.append({**row, "epoch": int(row["epoch"]), "step": int(row["step"])})
        known_names = measured_names(known(), "train", "val")
        seen = dict.fromkeys(chain.from_iterable(map(_metrics_of, self._rows)))
        self._unknown = [name for name in seen if name not in known_names]
        self._seconds = sum(row["seconds"] for row in self._rows)

        # What was seen of its LR.
        audit = said["audit"]
        first = audit["first_difference"]
        self._audited = min(audit["updates"], start)
        self._notes = said["warnings"]
        if first is not None and first["update"] < start:
            self.watch.before = {"differing": audit["differing"], "first_difference": first}

    def _require_same(self, said: Mapping[str, Any], seed: int | None) -> None:
        """Raise ValueError where the run in the folder has another plan, or another seed than is given."""
        if said["plan"]["sha256"] != self.schedule.plan.summary()["sha256"]:
            got = f"another than that of the run in {self.folder}"
            do = "the schedule that it was begun with, or another folder"
            raise wrong_argument("schedule", got=got, allowed="the same LR at every update", do=do)
        begun_with = OmegaConf.load(self.folder / "config.yaml").seed
        if seed is not None and seed != begun_with:
            got = f"{seed}, of a run in {self.folder} that began with {begun_with}"
            raise wrong_argument("seed", got=got, allowed="the same", do=f"seed={begun_with}, or another folder")
        self.seed = begun_with

    def __repr__(self) -> str:
        return f"<lrlab run in {self.folder}: {counted(len(self._rows), 'epoch')}, {self.watch.verdict}>"


def _metrics_of(row: Mapping[str, Any]) -> dict[str, float]:
    """What a row of the history measured."""
    return {name: value for name, value in row.items() if name not in _NOT_MEASURED}


def _ready(folder: str | Path | None, choices: Mapping[str, str], seed: int, *, resumes: bool, writes: bool) -> Path:
    """The folder, made: the one that was named, or a new one below `outputs/runs`. Of several ranks one has it."""
    if not writes:
        return Path(folder or OUTPUTS)
    if folder is None:
        now = time.strftime("%Y-%m-%d_%H-%M-%S")
        return folders.reserve(OUTPUTS / f"{now}_scheduler={choices['scheduler']},{choices['model']},seed={seed}")
    place = Path(folder)
    said = summary.read(place)
    if said and "logged_by" not in said:
        got = f"{place}, which holds a run of lrlab's"
        raise wrong_argument("folder", got=got, allowed="a folder of its own", do="another folder")
    if said and not resumes:
        got = f"{place}, which holds a run already"
        do = "another folder, or start=, the update at which that run goes on"
        raise wrong_argument("folder", got=got, allowed="a folder without one", do=do)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _require_metrics(measured: Mapping[str, float]) -> None:
    """Raise ValueError for a metric whose name is mistyped or says no split, and for an accuracy in percent."""
    names = measured_names(known(), "train", "val")
    bare = [one.name for one in known()]
    for name, value in measured.items():
        if name in _NOT_MEASURED or name.startswith("lr_"):  # which TensorBoard would show among the LRs
            raise wrong_argument(name, got="what lrlab writes itself", allowed="metrics", do=f"leave {name} out")
        if not name.isidentifier():
            raise wrong_argument(repr(name), got="a name of more", allowed="letters, digits and _", do="val_top5=...")
        if name in bare:
            allowed = f"one with its split: train_{name}, val_{name}"
            raise wrong_argument(name, got="a metric of no split", allowed=allowed, do=f"val_{name}=...")
        guess = next((one for one in names if _is_meant(name, one)), None)
        if name not in names and guess:
            got = f"a metric that lrlab does not know (did you mean {guess}?)"
            raise wrong_argument(name, got=got, allowed=", ".join(names), do=f"{guess}=...")
        if name in names and find(name).is_share and not 0 <= value <= 1 and math.isfinite(value):
            raise wrong_argument(name, got=value, allowed="a share, 0 to 1", do=f"{name}={value / 100:g}")


def _is_meant(typed: str, known_name: str) -> bool:
    """Whether a name is `known_name` with a slip, or its beginning; another metric is not, nor one with more letters.

    >>> _is_meant("val_acuracy", "val_accuracy"), _is_meant("val_acc", "val_accuracy"), _is_meant("val_f1", "val_r2")
    (True, True, False)
    >>> _is_meant("val_mape", "val_mae"), _is_meant("val_accuracy5", "val_accuracy")
    (False, False)
    """
    if len(typed) > len(known_name):
        return False
    split, _, metric = typed.partition("_")
    is_start = known_name.startswith(f"{split}_{metric}") and len(metric) > 2
    return is_start or SequenceMatcher(None, typed, known_name).ratio() > _ALIKE


def _plain(node: Any) -> Any:
    """Settings as a config can hold them: functions by their names."""
    if isinstance(node, Mapping):
        return {str(name): _plain(part) for name, part in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(part) for part in node]
    if callable(node):
        return f"{getattr(node, '__module__', '')}.{getattr(node, '__qualname__', type(node).__name__)}"
    return node


def _cell(value: Any) -> Any:
    """What a history can hold: a value that is not finite is none."""
    return "" if isinstance(value, float) and not math.isfinite(value) else value
