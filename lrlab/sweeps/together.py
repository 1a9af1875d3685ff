"""Runs of a sweep that train in one step: how a process carries them out."""

import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from lrlab.config.found_out import FoundOut
from lrlab.config.prepare import Prepared, equip
from lrlab.errors import Interrupted, UserError
from lrlab.runs.display import log_to, run_log
from lrlab.runs.folders import discard_unused
from lrlab.runs.run import RunUnderWay, is_done
from lrlab.runs.together import to_their_ends
from lrlab.sweeps.job import Job, Outcome, Reporter, Seen, Stack, finished_before, holding, outcome_of, what_is_there
from lrlab.system.signals import Request, stop_request

Tell = Callable[[Job, Seen | Outcome], None]


def attempt_together(stack: Stack, tell: Tell) -> None:
    """Train the runs of `stack` in this process. `tell` hears what each reports, and how it ended.

    Each goes on from where an earlier attempt stopped.
    """
    with ExitStack() as opened, stop_request() as request:
        stack.jobs[0].folder.mkdir(parents=True, exist_ok=True)
        opened.callback(log_to(stack.jobs[0].folder).close)  # of what is said of none of them
        team = _Opened(tell, request, opened)
        for job in stack.jobs:
            team.open(job)
        try:
            to_their_ends(list(team.jobs), request, team.ended)
        finally:
            for run in team.jobs:
                run.close()


@dataclass
class _Opened:
    """The runs that are opened in this process, each with a log of its own."""

    tell: Tell
    request: Request
    opened: ExitStack
    jobs: dict[RunUnderWay, Job] = field(default_factory=dict)
    logs: dict[str, logging.Logger] = field(default_factory=dict)
    known: FoundOut = field(default_factory=FoundOut)  # the data is opened once

    def open(self, job: Job) -> None:
        """Build a run, and hold its folder. Where that fails, it has ended."""
        try:
            log = self._log(job)
            like = next(iter(self.jobs), None)
            prepared = equip(job.checked, self.known)
            self.opened.enter_context(holding(job.folder))
            value, run = self._started(job, prepared, log, like)
        except (Exception, SystemExit, Interrupted) as error:
            if isinstance(error, UserError):
                with suppress(OSError):
                    discard_unused(job.folder)
            self.tell(job, outcome_of(error, job.folder, self.logs.get(job.name, logging.getLogger(__name__))))
            return
        if run is None:
            self.tell(job, Outcome("finished", value))
        else:
            self.jobs[run] = job

    def _log(self, job: Job) -> logging.Logger:
        job.folder.mkdir(parents=True, exist_ok=True)
        self.logs[job.name] = log = run_log(job.folder)
        self.opened.callback(log.handlers[0].close)
        return log

    def _started(
        self, job: Job, prepared: Prepared, log: logging.Logger, like: RunUnderWay | None
    ) -> tuple[float | None, RunUnderWay | None]:
        """The run; of one that is finished already, its value."""
        done = finished_before(prepared, job.folder)
        if done is not None:
            return done["val_loss"], None
        saved = what_is_there(job.folder)
        if saved is not None and is_done(prepared, job.folder, saved):
            return saved.contents["progress"]["val_loss"], None
        send = self.tell
        run = RunUnderWay(
            prepared,
            job.folder,
            saved,
            lambda horizon: Reporter(lambda report: send(job, report), horizon.known_epochs, log),
            self.request,
            like=like,
        )
        return None, run

    def ended(self, run: RunUnderWay, how: float | BaseException | None) -> None:
        """Tell how a run ended: with its validation loss, or with an error."""
        job = self.jobs[run]
        if not isinstance(how, BaseException):
            self.tell(job, Outcome("finished", how))
            return
        if isinstance(how, UserError):
            with suppress(OSError):
                discard_unused(job.folder)
        self.tell(job, outcome_of(how, job.folder, self.logs[job.name]))
