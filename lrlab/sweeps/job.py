"""A run of a sweep: what it is, how it is carried out, what it reports and how it ends."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from lrlab.lr.horizon import Horizon
from lrlab.runs import checkpoint, summary, tracking
from lrlab.runs.assemble import unseen
from lrlab.runs.beginning import Sharing
from lrlab.runs.display import Display, View, epoch_line, log_to
from lrlab.runs.files import Saved
from lrlab.runs.folders import discard_unused, require_plain, reserve
from lrlab.runs.foretelling import Foretold
from lrlab.runs.run import carry_out
from lrlab.system.lock import held
from lrlab.system.signals import stop_request
from lrlab.training.divergence import Diverged
from lrlab.training.loop import Epoch, Event, Update
from lrlab.training.metrics import Means
from lrlab.words import printable

log = logging.getLogger(__name__)
GIVEN_UP = "given_up"  # the folder, in a run's own, of what a damaged run left
_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class Job:
    """One run of a sweep, as it was checked when the sweep began."""

    name: str
    folder: Path
    checked: Checked
    sharing: Sharing | None = None  # with other runs of the sweep
    stack: int | None = None  # the number of the runs with which it trains in one step
    restarts: int = 0  # how often its process was killed in this sweep

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as the run saves it."""
        return self.checked.saved_config

    @property
    def identity(self) -> Identity:
        """What makes it that run."""
        return self.checked.identity

    @property
    def epochs(self) -> int:
        return self.checked.plan.horizon.epochs

    @property
    def budget_seconds(self) -> float | None:
        return self.checked.plan.horizon.budget_seconds

    @property
    def updates_per_epoch(self) -> int:
        return self.checked.plan.horizon.steps_per_epoch

    @property
    def updates(self) -> int:
        """The updates of the whole run; with a time budget, the positions of its plan."""
        return self.checked.plan.horizon.steps

    @property
    def jobs(self) -> tuple["Job"]:
        """The run alone, as a `Stack` has several."""
        return (self,)

    def only(self, jobs: Sequence["Job"]) -> "Job":
        """What is left to do of it: the run, as it goes on."""
        (job,) = jobs
        return job


@dataclass(frozen=True)
class Stack:
    """Runs of a sweep that train in one step, in one process."""

    jobs: tuple[Job, ...]

    @property
    def name(self) -> str:
        return self.jobs[0].name

    @property
    def folder(self) -> Path:
        return self.jobs[0].folder

    @property
    def sharing(self) -> None:
        """They share no beginnings."""

    def only(self, jobs: Sequence[Job]) -> "Stack":
        """What is left to do of it: these runs, as they go on."""
        return Stack(tuple(jobs))


def units(jobs: Sequence[Job]) -> list[Job | Stack]:
    """The runs as they are carried out: those that train in one step together, where the first of them stands."""
    together: dict[int | None, list[Job]] = {}
    for job in jobs:
        together.setdefault(job.stack, []).append(job)
    found: list[Job | Stack] = []
    for job in jobs:
        if job.stack is None:
            found.append(job)
        elif job is together[job.stack][0]:
            found.append(Stack(tuple(together[job.stack])))
    return found


@dataclass(frozen=True)
class Seen:
    """What a run reports while it trains."""

    step: int  # completed updates; with a time budget, the position in the plan
    lr: float
    epoch: int | None = None  # complete; None between epochs
    val: Means | None = None  # of the validation split, where the epoch was validated


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str  # finished, failed, diverged, killed or interrupted
    value: float | None = None  # its validation loss, where it finished
    error: str = ""
    complaint: str = ""  # what is wrong, without what to do about it, where the error says both
    goes_on: bool = False  # from its last checkpoint, in another process

    @property
    def is_final(self) -> bool:
        """Whether the run goes on in no other process."""
        return self.status not in ("killed", "interrupted")


class Reporter:
    """The display of a run that nobody watches. What it says goes to its log, and what it shows goes to `send`."""

    def __init__(self, send: Callable[[Seen], None], epochs: int | None, log: logging.Logger = log):
        self.send = send
        self.epochs = epochs
        self.log = log
        self._position: int | None = None  # in the plan of a run with a time budget, of its latest update
        self._sent = 0.0  # when something was last sent
        self._held: Seen | None = None  # of an epoch that came soon after

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def say(self, *lines: str) -> None:
        """Log `lines`. What was shown before is sent before: a run that has ended has said so."""
        if self._held is not None:
            self._send(self._held)
        for line in lines:
            self.log.info(printable(line))

    def show(self, event: Event | Foretold) -> None:
        if isinstance(event, Epoch):
            self.log.info(epoch_line(event, self.epochs))
            done = event.step if self._position is None else self._position
            self._held = Seen(done, event.lr, event.epoch + 1, event.val)
            if self._is_time():
                self._send(self._held)
            return
        if isinstance(event, Update):
            self._position = event.position
        if isinstance(event, Update) and self._is_time():
            done = event.step + 1 if event.position is None else event.position
            self._send(Seen(done, event.applied["lr"]) if self._held is None else self._held)

    def _is_time(self) -> bool:
        return time.monotonic() - self._sent > _SECONDS_BETWEEN_REPORTS

    def _send(self, report: Seen) -> None:
        self._sent, self._held = time.monotonic(), None
        self.send(report)

    def reading(self, what: str) -> AbstractContextManager[Progress]:
        return unseen(what)


def attempt(job: Job, send: Callable[[Seen], None]) -> Outcome:
    """Train `job` in this process and say how that ended. It goes on from where an earlier attempt stopped."""
    handler: logging.Handler | None = None
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        handler = log_to(job.folder)
        prepared = equip(job.checked)
        value = run_in_sweep(
            prepared,
            job.folder,
            make_display=lambda horizon: Reporter(send, horizon.known_epochs),
            sharing=job.sharing,
        )
        return Outcome("finished", value)
    except (Exception, SystemExit, Interrupted) as error:
        return outcome_of(error, job.folder, log)
    finally:
        if handler is not None:
            logging.getLogger().removeHandler(handler)
            handler.close()


def outcome_of(error: BaseException, folder: Path, log: logging.Logger) -> Outcome:
    """How the run in `folder` ended, which the `log` is told too."""
    if isinstance(error, UserError):
        log.error("error: %s", error)
        status = "diverged" if isinstance(error, Diverged) else "failed"
        return Outcome(status, error=str(error), complaint=error.complaint)
    if isinstance(error, Interrupted):
        return _stopped(folder)
    if isinstance(error, OSError):
        log.error("a file or a device cannot be used", exc_info=error)
    elif not isinstance(error, SystemExit):
        log.error("this is a bug in lrlab or in code that it was given", exc_info=error)
    return Outcome("failed", error=in_words(error))


def _stopped(folder: Path) -> Outcome:
    """How a run ended that a signal stopped: the signal may have come with its last update."""
    said = summary.read(folder)
    if said.get("status") == "finished":
        return Outcome("finished", said.get("val_loss"))
    return Outcome("interrupted", error="stopped by a signal, saved")


def run_in_sweep(
    prepared: Prepared,
    folder: Path,
    *,
    make_display: Callable[[Horizon], View] = Display,
    sharing: Sharing | None = None,
) -> float | None:
    """Carry out the run in `folder`. It goes on from the checkpoint that an earlier start of the sweep left there.

    Files without a whole checkpoint are put aside. When a sweep is killed, its runs take a moment to notice, so a
    process that still trains there is given a minute. `make_display` is told how long the run is, and `sharing` says
    what it shares with other runs.
    """
    with holding(folder), stop_request():
        done = finished_before(prepared, folder)
        if done is not None:
            return done["val_loss"]
        saved = what_is_there(folder)
        try:
            return carry_out(prepared, folder, saved, make_display=make_display, sharing=sharing)
        except UserError:
            discard_unused(folder)
            raise


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """In this block the folder of a run is there and held, once a process that may still train there has let it go."""
    folder.mkdir(parents=True, exist_ok=True)
    require_plain(folder)
    with held(folder, patience_seconds=60):
        yield


def finished_before(prepared: Prepared, folder: Path) -> dict[str, Any] | None:
    """The summary of a run that another process has finished in the meantime; None where it is not finished."""
    done = summary.read(folder)
    if done.get("status") != "finished":
        return None
    refuse_another(identity_of(folder), identity.of(prepared.config, prepared.checked.contents), folder)
    return done


def what_is_there(folder: Path) -> Saved | None:
    """The checkpoint to go on from; where there is none that is whole, what there is is put aside."""
    saved = _whole_checkpoint(folder)
    if saved is None:
        _give_up(folder)
    return saved


def _whole_checkpoint(folder: Path) -> Saved | None:
    """The latest checkpoint in `folder` that is whole; None where there is none."""
    if not any((folder / name).exists() for name in (checkpoint.LAST, checkpoint.PREVIOUS)):
        return None
    try:
        path, contents = checkpoint.latest(str(folder), lambda reason: log.warning("warning: %s", reason))
        checkpoint.require_form(path, contents)
        return Saved(path, contents)
    except checkpoint.Damaged as error:
        log.warning("warning: %s; the run starts anew", error)
        return None


def _give_up(folder: Path) -> None:
    """Put aside what a run without a whole checkpoint left in `folder`, except its log. Nothing of it is deleted."""
    left = [folder / "config.yaml", folder / summary.FILE, *tracking.log_files(folder)]
    left += (folder / "checkpoints").glob("*.pt")
    left = [path for path in left if path.exists()]
    if left:
        aside = reserve(folder / GIVEN_UP)
        for path in left:
            path.rename(aside / f"{path.name}.{GIVEN_UP}".replace("tfevents", "events"))  # TensorBoard reads tfevents


def identity_of(folder: Path) -> Identity:
    """What makes the run in `folder` that run, according to its files."""
    return Identity(results.settings_of(folder) or {}, summary.read(folder).get("contents"))


def refuse_another(before: Identity, now: Identity, folder: Path) -> None:
    """Raise UserError where the run that is in `folder`, `before`, is not the run `now`."""
    if found := identity.difference(before, now):
        goes_on = f"data.val={found.before} to go on with it, or " if found.key == "data.val" else ""
        raise found.refusal(
            f"{folder} holds a run with",
            allowed="the settings and the data with which the sweep began",
            do=f"{goes_on}another name, sweep=NAME",
        )


Ended = Callable[[Job, Outcome], None]  # is told how a run ended
Noticed = Callable[[Job, Seen], None]  # is told what a run reports
