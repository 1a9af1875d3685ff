"""Which runs of a sweep train in one step: those that may, where that is faster, which is tried before they start."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lrlab.config import identity
from lrlab.runs import summary
from lrlab.stacking import EAGER
from lrlab.sweeps import server
from lrlab.sweeps.job import Job
from lrlab.sweeps.plan import Planned
from lrlab.sweeps.settings import LauncherSettings
from lrlab.sweeps.shared import share
from lrlab.sweeps.trial import STEPS, Measured, StepTrial, sizes, tell_trial, tried_here
from lrlab.words import counted

# What runs of one step may differ in, apart from their schedulers. The tensors of their updates hold them.
_MAY_DIFFER = (
    "seed",
    *(f"optimizer.{name}" for name in ("lr", "momentum", "dampening", "weight_decay", "betas", "eps", "alpha")),
)


def stack(planned: Planned, settings: LauncherSettings) -> tuple[Planned, list[str]]:
    """The same plan, whose runs know with which others they train in one step, and what to say of that.

    Runs that were begun keep the form of their arithmetic, and what is added to a sweep has that of the others.
    """
    placed = {job.name: _in_form(job, _own_form(job)) for job in planned.begun}
    lines: list[str] = []
    if settings.most_in_a_step > 1:
        sweep = _Sweep.of(planned, settings)
        number = 0
        for jobs in sweep.alike():
            found, said = sweep.step_of(jobs)
            if said:
                lines.append(f"stack      {counted(len(jobs), 'run')}: {said}")
            if found is None:
                continue
            waiting = iter(jobs)
            for size in sizes(len(jobs), found.rows, settings.n_jobs):
                number += 1
                for job in islice(waiting, size):
                    placed[job.name] = replace(_in_form(job, found.form), stack=number)
    return replace(planned, jobs=[placed.get(job.name, job) for job in planned.jobs]), lines


@dataclass(frozen=True)
class _Step:
    """How runs train in one step: in this form, and so many of them at most."""

    form: str
    rows: int


@dataclass(frozen=True)
class _Sweep:
    """A sweep whose runs may train in one step."""

    planned: Planned
    settings: LauncherSettings
    begun: Collection[Path]
    saved: Mapping[str, int]  # updates of each run that another one would train, were they all to train alone

    @classmethod
    def of(cls, planned: Planned, settings: LauncherSettings) -> "_Sweep":
        shared = share(planned).to_do if settings.share else []
        saved = {job.name: job.sharing.begins_at for job in shared if job.sharing is not None}
        return cls(planned, settings, {job.folder for job in planned.begun}, saved)

    def alike(self) -> list[list[Job]]:
        """The runs that are to do, in groups that may train in one step: alike, and all of them new or all begun.

        A run that began alone stays alone.
        """
        groups: dict[object, list[Job]] = {}
        for job in self.planned.to_do:
            is_begun = job.folder in self.begun
            form = _own_form(job) if is_begun else _asked(job)
            if form is not None or not is_begun:
                groups.setdefault((_kind(job), is_begun, form), []).append(job)
        return list(groups.values())

    def step_of(self, jobs: Sequence[Job]) -> tuple[_Step | None, str]:
        """The step in which runs train, and what to say of it; None where each trains alone."""
        if jobs[0].folder in self.begun:
            form = _own_form(jobs[0])
            return (None, "") if form is None else self._as_before(jobs, form)
        kind = _kind(jobs[0])
        earlier = [job for job in (*self.planned.finished, *self.planned.begun) if _kind(job) == kind]
        if form := next(filter(None, map(_own_form, earlier)), None):
            return self._as_before(jobs, form)
        return self._chosen(jobs) if len(jobs) > 1 else (None, "")

    def _as_before(self, jobs: Sequence[Job], form: str) -> tuple[_Step, str]:
        """The form is that of earlier runs; how many rows there is memory for is asked anew."""
        found = self._tried(jobs, form, was_begun=True) if len(jobs) > 1 else None
        rows = found.rows if isinstance(found, Measured) else self.settings.most_in_a_step
        return _Step(form, min(rows, len(jobs))), f"{form}, as before"

    def _tried(self, jobs: Sequence[Job], form: str | None, *, was_begun: bool = False) -> Measured | str:
        settings = self.settings
        updates = jobs[0].updates * math.ceil(len(jobs) / settings.n_jobs)
        most, processes, threads = settings.most_in_a_step, settings.n_jobs, settings.threads_per_run
        trial = StepTrial(jobs[0].checked, len(jobs), most, processes, updates, threads, form, was_begun)
        return tried_here(trial) if settings.in_this_process else _tried_elsewhere(trial)

    def _chosen(self, jobs: Sequence[Job]) -> tuple[_Step | None, str]:
        """The step in which new runs train, None where they do not, and why, in words."""
        asked = _asked(jobs[0])
        found = self._tried(jobs, asked)
        if isinstance(found, str):
            return None, f"alone, {found}"
        wished = max(sizes(len(jobs), self.settings.most_in_a_step, self.settings.n_jobs))
        in_a_step = f"{found.rows} in a step" + (", for which there is memory" if found.rows < wished else "")
        if asked is not None:
            return _Step(asked, found.rows), f"{in_a_step}, {asked}"

        # Whether it pays: runs of one step share no beginnings.
        alone, together = f"{found.alone * 1e3:.2f} ms", f"{found.together * 1e3:.2f} ms"
        if not found.pays():
            why = f"{alone} an update; {in_a_step} would take {together} each ({STEPS} steps each way)"
            return None, f"alone, {why}"
        saved, in_all = sum(self.saved.get(job.name, 0) for job in jobs), sum(job.updates for job in jobs)
        if not found.pays((in_all - saved) / in_all):
            why = f"{alone} for each of {in_all - saved:,} updates, for the other {saved:,} are shared"
            return None, f"alone, {why}; {in_a_step} would take {together} for each of all"
        said = f"{in_a_step}, {found.form}, {together} an update; alone it is {alone} ({STEPS} steps each way)"
        return _Step(found.form, found.rows), said


def _kind(job: Job) -> str:
    """The same text for runs that differ in nothing but what a row may have of its own."""
    telling = identity.of(job.config, job.checked.contents).telling()
    kept = [one for one in telling.items() if one[0] not in _MAY_DIFFER and not one[0].startswith("scheduler.")]
    return f"{kept!r}\n{job.checked.contents!r}"


def _asked(job: Job) -> str | None:
    """The form that `trainer.stacked` asks for; None: alone."""
    asked = job.config["trainer"].get("stacked") or None
    return EAGER if asked is True else asked


def _own_form(job: Job) -> str | None:
    """The form in which a run was begun; None: alone."""
    return summary.read(job.folder).get("stacked")


def _in_form(job: Job, form: str | None) -> Job:
    return job if form is None else replace(job, checked=job.checked.in_form(form))


def _tried_elsewhere(trial: StepTrial) -> Measured | str:
    """What is found in a process like those that will train, which has imported everything."""
    context = server.started(trial.threads)
    ours, theirs = context.Pipe()
    process = context.Process(target=tell_trial, args=(theirs, trial), daemon=True)
    process.start()
    theirs.close()
    try:
        found: Measured | str = ours.recv()
    except (EOFError, ConnectionError):
        return "for the process that tried it died"
    finally:
        process.kill()
        process.join()
    return found
