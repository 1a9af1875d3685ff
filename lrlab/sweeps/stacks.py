"""Which runs of a sweep train in one step: those that may, where that is faster, which is tried before they start."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lrlab.config import identity
from lrlab.runs import summary
from lrlab.stacking import EAGER
from lrlab.sweeps import server
from lrlab.sweeps.job import Job
from lrlab.sweeps.plan import Planned
from lrlab.sweeps.settings import LauncherSettings
from lrlab.sweeps.trial import STEPS, Measured, StepTrial, tell_trial, tried_here
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
    begun = {job.folder for job in planned.begun}
    placed = {job.name: _in_form(job, _own_form(job)) for job in planned.begun}
    lines: list[str] = []
    number = 0
    for jobs in _alike(planned, begun) if settings.most_in_a_step > 1 else []:
        sizes = _sizes(len(jobs), settings)
        form, said = _form_of(planned, jobs, begun, max(sizes), settings)
        if said:
            lines.append(f"stack      {counted(len(jobs), 'run')}: {said}")
        waiting = iter(jobs)
        for size in sizes if form is not None else []:
            number += 1
            for job in islice(waiting, size):
                placed[job.name] = replace(_in_form(job, form), stack=number)
    return replace(planned, jobs=[placed.get(job.name, job) for job in planned.jobs]), lines


def _alike(planned: Planned, begun: Collection[Path]) -> list[list[Job]]:
    """The runs that are to do, in groups that may train in one step: alike, and all of them new or all of them begun.

    A run that began alone stays alone.
    """
    groups: dict[object, list[Job]] = {}
    for job in planned.to_do:
        form = _own_form(job) if job.folder in begun else _asked(job)
        if form is not None or job.folder not in begun:
            groups.setdefault((_kind(job), job.folder in begun, form), []).append(job)
    return list(groups.values())


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


def _form_of(
    planned: Planned, jobs: Sequence[Job], begun: Collection[Path], rows: int, settings: LauncherSettings
) -> tuple[str | None, str]:
    """The form in which runs train in one step, and what to say of that; None where each trains alone."""
    if jobs[0].folder in begun:
        form = _own_form(jobs[0])
        return form, f"{form}, as before"
    kind = _kind(jobs[0])
    earlier = [job for job in (*planned.finished, *planned.begun) if _kind(job) == kind]
    if form := next(filter(None, map(_own_form, earlier)), None):
        return form, f"{form}, as before"
    return _chosen(jobs, rows, settings, _asked(jobs[0])) if len(jobs) > 1 else (None, "")


def _in_form(job: Job, form: str | None) -> Job:
    return job if form is None else replace(job, checked=job.checked.in_form(form))


def _sizes(count: int, settings: LauncherSettings) -> list[int]:
    """How many runs are in each step, so that every process has its part."""
    rounds = math.ceil(count / (settings.most_in_a_step * settings.n_jobs))
    fewest = math.ceil(count / settings.most_in_a_step)
    stacks = max(fewest, min(count // 2, rounds * settings.n_jobs))
    return [count // stacks + (index < count % stacks) for index in range(stacks)]


def _chosen(jobs: Sequence[Job], rows: int, settings: LauncherSettings, form: str | None) -> tuple[str | None, str]:
    """The form in which runs train in one step, None where they do not, and why, in words."""
    updates = jobs[0].updates * math.ceil(len(jobs) / settings.n_jobs)
    trial = StepTrial(jobs[0].checked, rows, updates, settings.threads_per_run, form)
    found = tried_here(trial) if settings.in_this_process else _tried_elsewhere(trial)
    if isinstance(found, str):
        return None, f"alone, {found}"
    if form is not None:
        return form, f"{rows} in a step, {form}"
    alone, together = f"{found.alone * 1e3:.2f} ms", f"{found.together * 1e3:.2f} ms"
    if not found.pays:
        return None, f"alone, {alone} an update; {rows} in a step would take {together} each ({STEPS} steps each way)"
    said = f"{rows} in a step, {found.form}, {together} an update; alone it is {alone} ({STEPS} steps each way)"
    return found.form, said


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
