"""A run of a sweep: what it is, how it is carried out, what it reports, how it ends."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lrlab.comparison import results
from lrlab.config import identity
from lrlab.config.identity import Identity
from lrlab.config.prepare import Checked, Prepared, equip
from lrlab.data.store import Progress
from lrlab.errors import Interrupted, UserError, in_words
from lrlab.runs import checkpoint, summary, tracking
from lrlab.runs.assemble import unseen
from lrlab.runs.display import Display, View, epoch_line, log_to
from lrlab.runs.files import Saved
from lrlab.runs.folders import require_plain
from lrlab.runs.run import carry_out
from lrlab.system.lock import held
from lrlab.system.signals import stop_request
from lrlab.training.loop import Diverged, Epoch, Event, Update
from lrlab.training.metrics import Means

log = logging.getLogger(__name__)
_SECONDS_BETWEEN_REPORTS = 0.5  # of updates; every epoch is reported


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it was checked when the sweep began."""

    name: str
    folder: Path
    checked: Checked

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as the run saves it."""
        return self.checked.saved_config

    @property
    def identity(self) -> Identity:
        return identity.of(self.config, self.checked.contents)

    @property
    def epochs(self) -> int:
        return self.checked.plan.horizon.epochs

    @property
    def updates(self) -> int:
        return self.checked.plan.horizon.steps


@dataclass(frozen=True)
class Seen:
    """What a run reports while it trains."""

    step: int  # completed updates
    lr: float
    epoch: int | None = None  # complete; None between epochs
    val: Means | None = None  # of the validation split, where the epoch was validated


@dataclass(frozen=True)
class Outcome:
    """How a run ended: finished, failed, diverged, killed, or interrupted; `value` is its validation loss."""

    status: str
    value: float | None = None
    error: str = ""


class Reporter:
    """A run's display where nobody looks at it: what it says goes to its log, what it shows to `send`."""

    def __init__(self, send: Callable[[Seen], None], epochs: int):
        self.send, self.epochs, self._sent = send, epochs, 0.0

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def say(self, *lines: str) -> None:
        for line in lines:
            log.info(line)

    def show(self, event: Event) -> None:
        if isinstance(event, Epoch):
            log.info(epoch_line(event, self.epochs))
            self.send(Seen(event.step, event.lr, event.epoch + 1, event.val))
        elif isinstance(event, Update) and time.monotonic() - self._sent > _SECONDS_BETWEEN_REPORTS:
            self._sent = time.monotonic()
            self.send(Seen(event.step + 1, event.applied["lr"]))

    def reading(self, what: str) -> AbstractContextManager[Progress]:
        return unseen(what)


def attempt(job: Job, send: Callable[[Seen], None]) -> Outcome:
    """Train `job` in this process, from wherever an earlier attempt came to, and say how that ended."""
    handler: logging.Handler | None = None
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        handler = log_to(job.folder)
        value = run_in_sweep(equip(job.checked), job.folder, make_display=lambda epochs, _: Reporter(send, epochs))
        return Outcome("finished", value)
    except UserError as error:
        log.error("error: %s", error)
        return Outcome("diverged" if isinstance(error, Diverged) else "failed", error=str(error))
    except Interrupted:
        return Outcome("interrupted", error="stopped by a signal, saved")
    except SystemExit as leaving:
        return Outcome("failed", error=in_words(leaving))
    except OSError as error:
        log.exception("a file or a device cannot be used")
        return Outcome("failed", error=in_words(error))
    except Exception as error:
        log.exception("this is a bug in lrlab or in code that it was given")
        return Outcome("failed", error=in_words(error))
    finally:
        if handler is not None:
            logging.getLogger().removeHandler(handler)
            handler.close()


def run_in_sweep(
    prepared: Prepared, folder: Path, *, make_display: Callable[[int, int], View] = Display
) -> float | None:
    """Carry out a run that an earlier start of its sweep may have begun in `folder`: it goes on from there.

    What is there without a whole checkpoint is removed. Another process that still trains there is given a minute:
    when a sweep is killed, its runs take a moment to notice. `make_display` gets the epochs and updates of an epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_plain(folder)
    with held(folder, patience_seconds=60), stop_request():
        done = summary.read(folder)
        if done.get("status") == "finished":
            refuse_another(identity_of(folder), identity.of(prepared.config, prepared.checked.contents), folder)
            return done["val_loss"]
        saved = _whole_checkpoint(folder)
        if saved is None:
            _clear(folder)
        return carry_out(prepared, folder, saved, make_display=make_display)


def _whole_checkpoint(folder: Path) -> Saved | None:
    """The latest checkpoint in `folder` that is whole; None where there is none."""
    if not any((folder / name).exists() for name in (checkpoint.LAST, checkpoint.PREVIOUS)):
        return None
    try:
        return Saved(*checkpoint.latest(str(folder), lambda reason: log.warning("warning: %s", reason)))
    except checkpoint.Damaged as error:
        log.warning("warning: %s; the run starts anew", error)
        return None


def _clear(folder: Path) -> None:
    """Remove what a run that came to nothing left in `folder`, but for its log."""
    tracking.clear(folder)
    for path in (folder / "config.yaml", folder / summary.FILE, *(folder / "checkpoints").glob("*.pt")):
        path.unlink(missing_ok=True)


def identity_of(folder: Path) -> Identity:
    """What makes the run in `folder` that run, as its files tell."""
    return Identity(results.settings_of(folder) or {}, summary.read(folder).get("contents"))


def refuse_another(before: Identity, now: Identity, folder: Path) -> None:
    """Raise UserError where the run `before`, which is in `folder`, is another one than that of `now`."""
    if found := identity.difference(before, now):
        raise found.refusal(
            f"{folder} holds a run with",
            allowed="the settings and the data with which the sweep began",
            do="another name, sweep=NAME",
        )


Ended = Callable[[Job, Outcome], None]

Noticed = Callable[[Job, Seen], None]
