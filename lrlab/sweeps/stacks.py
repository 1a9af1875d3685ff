"""Which runs of a sweep train in one step: those that may, where that is faster. It is measured before they start."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch

from lrlab.config import identity, stackable
from lrlab.config.prepare import Prepared, equip
from lrlab.errors import first_line
from lrlab.runs import assemble, summary
from lrlab.runs.guest import guest
from lrlab.stacking import FORMS
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.rows import StackedModels
from lrlab.sweeps.job import Job
from lrlab.sweeps.plan import Planned
from lrlab.sweeps.settings import LauncherSettings
from lrlab.training.divergence import Guard
from lrlab.training.loop import update
from lrlab.words import counted

log = logging.getLogger(__name__)

# What runs of one step may differ in, apart from their schedulers. The tensors of their updates hold them.
_MAY_DIFFER = (
    "seed",
    *(f"optimizer.{name}" for name in ("lr", "momentum", "dampening", "weight_decay", "betas", "eps", "alpha")),
)
_STEPS, _ROUNDS = 5, 3  # that are measured each way, in turn
_SLOW_SECONDS = 0.05  # of a step alone, of which rows would save nothing worth the measuring
_WORTH_COMPILING_SECONDS = 30.0  # of a process's training
_LEAST_GAIN = 1.1  # times faster, or the measurement itself may be mistaken


@dataclass(frozen=True)
class Measured:
    """How long an update of a run takes, in seconds: alone, and as one of several, in the form that is faster."""

    alone: float
    together: float
    form: str

    @property
    def pays(self) -> bool:
        return self.alone > _LEAST_GAIN * self.together


def stack(planned: Planned, settings: LauncherSettings) -> tuple[Planned, list[str]]:
    """The same plan, whose runs know with which others they train in one step, and what to say of that.

    Runs that were begun keep the form of their arithmetic, and what is added to a sweep has that of the others.
    """
    lines: list[str] = []
    placed: dict[str, Job] = {}
    number = 0
    for jobs in _alike(planned):
        form = _form_before(planned, jobs)
        if settings.most_in_a_step == 1 or len(jobs) < 2:
            kept = _own_form(jobs[0])
            placed |= {job.name: _in_form(job, kept) for job in jobs}
            continue
        sizes = _sizes(len(jobs), settings)
        form, said = (form, f"{form}, as before") if form is not None else _chosen(jobs, max(sizes), settings)
        lines.append(f"stack      {counted(len(jobs), 'run')}: {said}")
        waiting = iter(jobs)
        for size in sizes if form is not None else []:
            number += 1
            for job in islice(waiting, size):
                placed[job.name] = replace(_in_form(job, form), stack=number)
    return replace(planned, jobs=[placed.get(job.name, job) for job in planned.jobs]), lines


def _alike(planned: Planned) -> list[list[Job]]:
    """The runs that are to do, in groups that may train in one step: alike, and all of them new or all of them begun.

    Of those that were begun, one that trains alone stays alone.
    """
    begun = {job.folder for job in planned.begun}
    groups: dict[object, list[Job]] = {}
    for job in planned.to_do:
        is_begun = job.folder in begun
        own = job.name if is_begun and _own_form(job) is None else None
        groups.setdefault((_kind(job), is_begun, _own_form(job), own), []).append(job)
    return list(groups.values())


def _kind(job: Job) -> str:
    """The same text for runs that differ in nothing but what a row may have of its own."""
    telling = identity.of(job.config, job.checked.contents).telling()
    kept = [one for one in telling.items() if one[0] not in _MAY_DIFFER and not one[0].startswith("scheduler.")]
    return f"{kept!r}\n{job.checked.contents!r}"


def _own_form(job: Job) -> str | None:
    """The form in which a run was begun, or is asked for by `trainer.stacked`; None: alone."""
    before = summary.read(job.folder)
    asked = job.config["trainer"].get("stacked") or None
    return before.get("stacked", FORMS[0] if asked is True else asked)


def _form_before(planned: Planned, jobs: Sequence[Job]) -> str | None:
    """The form that these runs have, or such runs of an earlier start of the sweep."""
    own = _own_form(jobs[0])
    if own is not None:
        return own
    kind = _kind(jobs[0])
    earlier = [job for job in (*planned.finished, *planned.begun) if _kind(job) == kind]
    forms = [form for job in earlier if (form := _own_form(job)) is not None]
    return forms[0] if forms else None


def _in_form(job: Job, form: str | None) -> Job:
    return job if form is None else replace(job, checked=job.checked.in_form(form))


def _sizes(count: int, settings: LauncherSettings) -> list[int]:
    """How many runs are in each step, so that every process has its part; none has a step of one run."""
    rounds = math.ceil(count / (settings.most_in_a_step * settings.n_jobs))
    stacks = max(1, min(count // 2, rounds * settings.n_jobs))
    return [count // stacks + (index < count % stacks) for index in range(stacks)]


def _chosen(jobs: Sequence[Job], rows: int, settings: LauncherSettings) -> tuple[str | None, str]:
    """The form in which runs train in one step, None where they do not, and why, in words."""
    with guest():
        torch.set_num_threads(settings.threads_per_run)
        prepared = equip(jobs[0].checked)
        if reason := stackable.reason_against(prepared):
            return None, f"alone, {reason}"
        measured = measure(prepared, rows, updates=jobs[0].updates * math.ceil(len(jobs) / settings.n_jobs))
    if measured is None:
        return None, f"alone, whose steps take more than {_SLOW_SECONDS * 1e3:.0f} ms each"
    alone, together = f"{measured.alone * 1e3:.2f} ms", f"{measured.together * 1e3:.2f} ms"
    if not measured.pays:
        return None, f"alone, {alone} an update; {rows} in a step would take {together} each ({_STEPS} steps each way)"
    said = f"{rows} in a step, {measured.form}, {together} an update; alone it is {alone} ({_STEPS} steps each way)"
    return measured.form, said


def measure(prepared: Prepared, rows: int, updates: int) -> Measured | None:
    """How long an update takes alone and as one of `rows`; None where it takes too long alone to be tried.

    The step is compiled for the trial where a process would take long enough for its `updates`.
    """
    size = min(prepared.batching.batch_size, len(prepared.splits.train))
    step_alone = _step_alone(prepared, *_batch(prepared, size))
    if _seconds(step_alone, prepared.device) > _SLOW_SECONDS:
        return None
    table = _table(prepared, rows, FORMS[0])
    step = _step_together(prepared, table, size)
    each_way = [(_seconds(step_alone, prepared.device), _seconds(step, prepared.device)) for _ in range(_ROUNDS)]
    alone, together = (min(seconds) for seconds in zip(*each_way, strict=True))
    together /= rows
    found = Measured(alone, together, FORMS[0])
    if min(alone, together) * updates < _WORTH_COMPILING_SECONDS:
        return found
    compiled, took = _compiled(prepared, rows, size)
    if compiled * updates + took < min(alone, together) * updates:
        return Measured(alone, compiled, FORMS[1])
    return found


def _compiled(prepared: Prepared, rows: int, size: int) -> tuple[float, float]:
    """The seconds of an update in a compiled step, and of compiling it; infinite where it cannot be compiled.

    What is compiled stays on the disk, for the processes that train.
    """
    began = time.perf_counter()
    try:
        table = _table(prepared, rows, FORMS[1])
        if last := len(prepared.splits.train) % size:
            _step_together(prepared, table, last)()
        seconds = _seconds(_step_together(prepared, table, size), prepared.device)
    except Exception as error:  # without a C++ compiler, say
        log.info("a step of %d runs cannot be compiled: %s", rows, first_line(error))
        return math.inf, math.inf
    return seconds / rows, time.perf_counter() - began


def _batch(prepared: Prepared, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    samples, targets = stackable.stand_in(prepared, size)
    return samples.to(prepared.device), targets.to(prepared.device)


def _step_alone(prepared: Prepared, samples: torch.Tensor, targets: torch.Tensor) -> Callable[[], object]:
    state, task = assemble.build_state(prepared), prepared.task.to(prepared.device)
    state.applied = {"lr": 0.0}  # what a divergence would tell
    state.network.train()
    clip = prepared.trainer.clip_grad_norm

    def step() -> object:
        guard = Guard(state.device)
        return update(
            state, task, samples, targets, size=len(samples), accumulate=1, clip_grad_norm=clip, guard=guard, last=False
        )

    return step


def _table(prepared: Prepared, rows: int, form: str) -> Updates:
    """So many runs in rows, and their optimizers."""
    states = [assemble.build_state(prepared) for _ in range(rows)]
    models = StackedModels([state.model for state in states], prepared.task.to(prepared.device), form, rows)
    return Updates(models, [state.optimizer for state in states])


def _step_together(prepared: Prepared, table: Updates, size: int) -> Callable[[], object]:
    rows = len(table.rows)
    samples, targets = (torch.stack([one] * rows) for one in _batch(prepared, size))
    seeds, steps = list(range(rows)), [0] * rows

    def step() -> None:
        _, gradients = table.rows.gradients(samples, targets, seeds, steps)
        table.step(gradients, prepared.trainer.clip_grad_norm)

    return step


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    """The seconds of the fastest of some steps, after one that warms up."""
    taken = []
    for _ in range(1 + _STEPS):
        _wait_for(device)
        began = time.perf_counter()
        step()
        _wait_for(device)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
