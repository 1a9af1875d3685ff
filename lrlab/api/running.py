"""`lrlab.train`, `lrlab.sweep` and `lrlab.Run`: runs from a notebook or a script, and what they left."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from lrlab.api import pictures, warned
from lrlab.api.axes import LABELS
from lrlab.api.frames import frame
from lrlab.api.one_run import Attempt
from lrlab.api.progress import RunBar, SweepBar
from lrlab.api.wording import require_texts
from lrlab.comparison import results
from lrlab.config.arguments import key_of, read, value_of
from lrlab.drawing.panels import Band, Panel, draw_panels
from lrlab.errors import Interrupted, wrong
from lrlab.runs import summary
from lrlab.runs.guest import guest, logging_to
from lrlab.schedules.law import wrong_argument
from lrlab.sweeps import launch
from lrlab.sweeps import request as requests
from lrlab.training.metrics import find, split_and_metric
from lrlab.words import counted


class Run:
    """A run and what it left in its folder, which is read when it is asked for. A notebook shows its curves."""

    def __init__(self, folder: str | Path, *typed: str):
        """Raises ValueError where `folder` holds no run. `typed` vouches for classes of yours, as in `load_model`."""
        if not isinstance(folder, str | Path):
            do = 'lrlab.Run("outputs/runs/NAME")'
            raise wrong_argument("folder", got=repr(folder), allowed="the folder of a run", do=do)
        self.folder = Path(folder).absolute()
        self._typed = typed
        if not (self.folder / summary.FILE).is_file():
            do = 'lrlab.Run("outputs/runs/NAME")'
            raise wrong_argument("folder", got=str(folder), allowed="the folder of a run", do=do)

    @property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` says: `status`, `val_loss`, `best_val_accuracy`, `audit`, `plan`, `versions`, ..."""
        return summary.read(self.folder)

    @property
    def status(self) -> str:
        """How it ended: "finished", "interrupted", "diverged", "failed"; or "running"."""
        return str(self.summary.get("status"))

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting that makes it that run, by its whole name, such as `optimizer.lr`."""
        return results.settings_of(self.folder) or {}

    @property
    def history(self) -> Any:
        """A row an epoch: a pandas DataFrame, or a dict of lists without pandas.

        Its columns are `epoch`, `step` (the updates completed), `lr`, `train_loss`, `val_loss`, ..., `seconds`.
        """
        rows = self._rows()
        columns: dict[str, list[Any]] = {"epoch": [], "step": [], "lr": []}
        for row in rows:
            for name in ("epoch", "step", "lr"):
                columns[name].append(getattr(row, name))
            for name, value in row.measured.items():
                columns.setdefault(name, []).append(value)
        columns["seconds"] = [row.seconds for row in rows]
        return frame(columns)

    @property
    def model(self) -> nn.Module:
        """The model with the weights of the end, on the CPU, in evaluation mode."""
        return self.load_model("last")

    def load_model(self, weights: str = "last", *overrides: str) -> nn.Module:
        """The model with the weights of the end ("last"), of the best epoch ("best") or averaged ones ("average").

        It is on the CPU. A folder may come from anybody, so classes of yours that it names have to be typed again:
        `"model._target_=my_code.Net"`. Those of a run that was trained in this session are known.
        """
        from lrlab.api.trained import load_model

        with guest():
            return load_model(self.folder, weights, [*self._typed, *overrides])

    def plot(self) -> pictures.Picture:
        """Loss, the monitored metric and LR over the epochs, side by side."""
        return pictures.Picture(lambda: draw_panels(self._panels()))

    def _rows(self) -> list[results.HistoryRow]:
        return self._result().history

    def _result(self) -> results.Result:
        return results.read_result(self.folder, self.folder.name)

    def _panels(self) -> list[Panel]:
        result = self._result()
        rows = result.history
        ends = [result.epochs_at(row) for row in rows]  # the last epoch may be cut short
        names = rows[0].measured if rows else {}
        metrics = dict.fromkeys(split_and_metric(name)[1] for name in names)
        panels = []
        for metric in metrics:
            kind = find(f"val_{metric}")
            bands = []
            for split in ("train", "val", "average_val"):
                shown = [row for row in rows if row.measured.get(f"{split}_{metric}") is not None]
                values = [kind.scale * float(row.measured[f"{split}_{metric}"] or 0.0) for row in shown]
                if not shown and split == "average_val":
                    continue
                bands.append(Band(split.replace("_", " "), [result.epochs_at(row) for row in shown], values))
            unit = " (%)" if kind.is_share else ""
            panels.append(Panel(bands, "epoch", metric + unit))
        lrs = [row.lr for row in rows]  # each of its epoch's last update
        stairs = Band("LR", [*(row.epoch for row in rows), *ends[-1:]], [*lrs, *lrs[-1:]])
        panels.append(Panel([stairs], "epoch", LABELS["lr"], stairs=True))
        return panels

    def __repr__(self) -> str:
        return f"<lrlab.Run {self.folder}: {self.status}>"

    def _repr_html_(self) -> str:
        drawn = self.plot()._repr_html_() if self._rows() else ""
        said = self.summary
        reached = [f"{name} {said[name]:.4g}" for name in ("val_loss", "val_accuracy") if said.get(name) is not None]
        lines = [", ".join([f"{self.folder}: {self.status}", *reached]), *said.get("warnings", [])]
        return drawn + pictures.notes(lines)


class Runs(Sequence[Run]):
    """The runs of a sweep, or any others; a notebook shows them as a table."""

    def __init__(self, runs: Sequence[Run], folder: Path | None = None):
        self._runs, self.folder = tuple(runs), folder

    def __getitem__(self, index: Any) -> Any:
        chosen = self._runs[index]
        return Runs(chosen) if isinstance(index, slice) else chosen

    def __len__(self) -> int:
        return len(self._runs)

    def to_frame(self) -> Any:
        """A row a run: its name, what was chosen, LR, seed, how it ended and what it reached."""
        columns: dict[str, list[Any]] = {}
        rows = [_row_of(run) for run in self]
        for name in dict.fromkeys(chain.from_iterable(rows)):
            columns[name] = [row.get(name) for row in rows]
        return frame(columns)

    def __repr__(self) -> str:
        return f"<lrlab.Runs: {counted(len(self), 'run')}{f' in {self.folder}' if self.folder else ''}>"

    def _repr_html_(self) -> str:
        rows = [_row_of(run) for run in self]
        if not rows:
            return f"<p>{self!r}</p>".replace("<lrlab", "&lt;lrlab")
        names = list(dict.fromkeys(chain.from_iterable(rows)))
        return pictures.table(names, [[_written(row.get(name)) for name in names] for row in rows])


def train(*overrides: str, **named: Any) -> Run:
    """Train one run, as `lrlab train` does with the same words: `lrlab.train("scheduler=step", "trainer.epochs=5")`.

    Also `"resume=FOLDER"`, with `"extend=40"` to train on, and `"replay=FOLDER"` of a run with a time budget. Its
    folder is below `outputs/runs` in the current folder. Ctrl-C saves the run and returns it, its status
    "interrupted". Classes of yours are named by where they are, those of a notebook's cells as `__main__.NAME`.

    Raises UserError, a line that says what to change, for a setting that is not allowed and for a loss that diverges.
    """
    require_texts("train", named)
    arguments = read(_texts(overrides, "train"))
    _require_settings(arguments.flags, multirun=arguments.multirun)
    attempt = Attempt(RunBar, logging_to)
    try:
        with guest():
            if arguments.resume:
                folder = attempt.resume(arguments.overrides, arguments.resume, warned.warn)
            elif repeated := value_of(arguments.overrides, "replay"):
                folder = attempt.replay(arguments.overrides, repeated, warned.warn)
            else:
                folder = attempt.begin(arguments.overrides)
    except Interrupted as stop:
        if attempt.folder is None:
            raise KeyboardInterrupt from None
        folder = attempt.folder
        if stop.signal_number != signal.SIGINT:
            os.kill(os.getpid(), stop.signal_number)  # the run is saved, and the host decides what it means
    return Run(folder, *(one for one in arguments.overrides if "_target_" in one))


def sweep(*overrides: str, **named: Any) -> Runs:
    """Train every combination of the values that commas separate: `lrlab.sweep("scheduler=step,cosine", "seed=0,1,2")`.

    Runs have processes of their own, so classes of yours have to be in a module that such a process can import;
    `"hydra.launcher.in_process=true"` trains in this one.
    With `"sweep=NAME"` the same call goes on with the sweep, or returns what is finished. Ctrl-C saves what is under
    way and returns it. Runs that fail are among those returned, and a warning names them.
    """
    require_texts("sweep", named)
    typed = [one for one in _texts(overrides, "sweep") if one not in ("-m", "--multirun")]
    _require_settings(read(typed).flags, multirun=False)
    request = None
    try:
        with guest():
            request = requests.read_request(typed)
            if not request.is_ours:
                do = "lrlab's own launcher and sweeper; others work on the command line"
                raise wrong_argument("overrides", got="another launcher or sweeper", allowed="lrlab's", do=do)
            with _alone(), requests.checked(request) as (planned, reserved, settings):
                request = reserved
                if not settings.in_this_process:
                    _require_importable(typed)
                outcomes = launch.carry_out(planned, settings, SweepBar)
    except Interrupted as stop:
        if stop.signal_number != signal.SIGINT:
            os.kill(os.getpid(), stop.signal_number)
        if request is None or not request.folder.is_dir():
            raise KeyboardInterrupt from None
        return _runs_in(request.folder)
    failed = [f"{name} ({outcome.status}: {outcome.error})" for name, outcome in outcomes.items() if outcome.error]
    if failed:
        warned.warn(f"{len(failed)} of {counted(len(outcomes), 'run')} did not finish: {'; '.join(failed)}")
    return _runs_in(request.folder)


def _runs_in(folder: Path) -> Runs:
    with_summary = [one.folder for one in results.find([folder]) if (one.folder / summary.FILE).is_file()]
    return Runs([Run(one) for one in with_summary], folder)


def _texts(overrides: Sequence[Any], function: str) -> list[str]:
    for one in overrides:
        if not isinstance(one, str):
            do = f'lrlab.{function}("scheduler=step")'
            raise wrong_argument("overrides", got=repr(one), allowed='texts such as "scheduler=step"', do=do)
        if one.startswith("-") and one not in ("-m", "--multirun"):
            do = f"`lrlab train {one}` on the command line"
            raise wrong_argument("overrides", got=one, allowed="settings, as in trainer.epochs=5", do=do)
    return list(overrides)


def _require_settings(flags: Sequence[str], *, multirun: bool) -> None:
    if flags or multirun:
        got = " ".join(flags) if flags else "-m"
        do = 'lrlab.sweep("scheduler=step,cosine")' if multirun else f"`lrlab train {got}` on the command line"
        raise wrong_argument("overrides", got=got, allowed="settings, as in trainer.epochs=5", do=do)


@contextmanager
def _alone() -> Iterator[None]:
    """In this block new processes do not run the host's script again, as multiprocessing has them do.

    It finds the script by these two attributes of `__main__` (multiprocessing/spawn.py, seen in Python 3.11 to 3.14).
    """
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _require_importable(overrides: Sequence[str]) -> None:
    """Raise UserError for a class of this very session, which another process cannot import."""
    for override in overrides:
        for part in override.replace(",", " ").replace("{", " ").replace("}", " ").replace("=", " ").split():
            if part.startswith("__main__."):
                raise wrong(
                    key_of(override),
                    got=f"{part}, which was defined in this session, and runs of a sweep have processes of their own",
                    allowed="a class or function in a module",
                    do='put it into a file of its own, or add "hydra.launcher.in_process=true"',
                )


def _row_of(run: Run) -> dict[str, Any]:
    said = run.summary
    chosen = said.get("choices", {})
    settings = run.settings
    row: dict[str, Any] = {"name": run.folder.name}
    row |= {group: chosen.get(group) for group in ("data", "model", "optimizer", "scheduler")}
    row |= {"lr": settings.get("optimizer.lr"), "seed": settings.get("seed"), "status": said.get("status")}
    for name in ("val_loss", "val_accuracy", "best_val_loss", "best_val_accuracy"):
        if name in said:
            row[name] = said[name]
    return row


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
