"""The launcher: how it carries out the runs of a sweep that are not finished."""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from omegaconf import OmegaConf

from lrlab.config.secrets import mask
from lrlab.errors import Interrupted, UserError
from lrlab.runs import checkpoint, describe, summary
from lrlab.sweeps import processes, shared
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome
from lrlab.sweeps.plan import Planned
from lrlab.sweeps.settings import LauncherSettings
from lrlab.sweeps.table import Board
from lrlab.system import disk, distributed, peers
from lrlab.system.signals import stop_request
from lrlab.words import budget_in_words, counted, epochs_in_words


def start_lines(planned: Planned, settings: LauncherSettings, said: Sequence[str] = ()) -> list[str]:
    """What is about to be done, and what was `said` of how."""
    to_do = planned.to_do
    epochs = _lengths(planned.jobs)
    lines = [f"each       {epochs}; {_how(settings)}"]
    if planned.finished or planned.begun:
        lines.append(
            f"earlier    {len(planned.finished)} finished and skipped, {len(planned.begun)} begun and continued"
        )
        lines += _other_threads([*planned.finished, *planned.begun], settings)
    updates = _updates_to_do(to_do)
    lines.append(f"to do      {counted(len(to_do), 'run')}, {_and_time(updates, to_do)} at most")
    if settings.n_jobs > 1 and any(job.budget_seconds is not None for job in to_do):
        lines.append(
            f"warning: of runs with a time budget {settings.n_jobs} share the machine, and each makes fewer updates "
            "than alone; hydra.launcher.n_jobs=1"
        )
    return [*lines, *said, f"folder     {planned.folder}"]


def _updates_to_do(jobs: Sequence[Job]) -> str:
    """The updates of the runs, and what of them is trained once for several runs."""
    updates = sum(job.updates for job in jobs if job.budget_seconds is None)
    saved = shared.saved_updates(jobs)
    if not saved:
        return counted(updates, "update")
    return f"{updates - saved:,} of {counted(updates, 'update')} (the rest is shared)"


def _how(settings: LauncherSettings) -> str:
    """Where the runs are carried out, and how many at a time."""
    if distributed.ranks() > 1:
        return f"one after another, each on {distributed.ranks()} ranks"
    if settings.executor == "ray":
        return "on a Ray cluster"
    if settings.in_process:
        return "one after another in this process"
    return f"{settings.n_jobs} at a time, with {counted(settings.threads_per_run, 'CPU thread')}"


def _other_threads(earlier: Sequence[Job], settings: LauncherSettings) -> list[str]:
    """A warning where earlier runs were computed with a different number of CPU threads."""
    devices = {str(summary.read(job.folder).get("device")) for job in earlier}
    now = describe.device_name(torch.device("cpu"), settings.threads_per_run)
    others = sorted(device for device in devices if device.startswith("cpu") and device != now)
    if not others:
        return []
    return [
        f"warning: earlier runs were computed on {', '.join(others)}, now it is {now}: another order of sums, "
        f"so results differ a little (hydra.launcher.threads says how many)"
    ]


def carry_out(
    planned: Planned, settings: LauncherSettings, make_board: Callable[..., Any] = Board
) -> dict[str, Outcome]:
    """Carry out the runs that are not finished, and return how every run ended, by name.

    `make_board` makes what shows them: a `Board`, or what has its methods.

    The caller holds the sweep's folder. Raises Interrupted where a signal stopped the sweep, with everything saved.
    """
    # Those that are finished already.
    outcomes = {}
    for job in planned.finished:
        outcomes[job.name] = Outcome("finished", summary.read(job.folder).get("val_loss"))

    # The others.
    failed = threading.Event()
    to_do = planned.to_do
    with (
        stop_request() as request,
        make_board(to_do, planned.finished, live=not settings.in_this_process) as board,
    ):

        def ended(job: Job, outcome: Outcome) -> None:
            if outcome.goes_on:
                restart = f"restart {job.restarts} of {settings.retries}"
                board.say(f"{job.name}: {outcome.error}; it goes on from its last checkpoint ({restart})")
                return
            if request.number and outcome.status == "failed":  # the signal also reached a process that it needed
                outcome = replace(outcome, status="interrupted")
            outcomes[job.name] = outcome
            if outcome.status not in ("finished", "interrupted"):
                failed.set()
            with suppress(OSError, disk.Refused):  # a full disk must not end the other runs
                _write_down(job, outcome)
            board.ended(job, outcome)

        def stopping() -> bool:
            return bool(request.number) or peers.broken() or (settings.fail_fast and failed.is_set())

        _execute(to_do, settings, seen=board.seen, ended=ended, stopping=stopping)
    if request.number:
        raise Interrupted(request.number)
    return outcomes


def _write_down(job: Job, outcome: Outcome) -> None:
    """Complete the files of a run that could not write down itself what it was, or how it ended."""
    if job.restarts:
        summary.amend(job.folder, restarts=job.restarts)
    if outcome.status == "finished":
        return

    # What it was.
    config = job.folder / "config.yaml"
    if not config.exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        disk.write_whole(config, OmegaConf.to_yaml(OmegaConf.create(mask(job.config))))

    # How it ended. The summary may still hold the error of an earlier attempt.
    said = summary.read(job.folder)
    stale = outcome.status != "interrupted" and said.get("error") != outcome.error
    if said.get("status") != outcome.status or "choices" not in said or stale:
        ended = {"status": outcome.status, "error": outcome.error, "choices": job.checked.choices}
        reached = _reached(job) if outcome.status == "killed" else {}
        summary.amend(job.folder, **{**said, **reached, **ended, "complaint": outcome.complaint or outcome.error})


def _reached(job: Job) -> dict[str, Any]:
    """How far a run came that could not say it: what its last checkpoint knows."""
    try:
        _, saved = checkpoint.latest(str(job.folder), lambda _: None)
    except UserError:
        return {}
    return {**saved["progress"], "updates": saved["state"]["progress"]["step"]}


def _execute(
    jobs: Sequence[Job],
    settings: LauncherSettings,
    *,
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
    """Carry out `jobs` in the way that the settings ask for."""
    if not jobs:
        return
    if settings.in_this_process:
        threads = settings.threads_per_run if distributed.ranks() == 1 else torch.get_num_threads()
        processes.here(jobs, threads=threads, seen=seen, ended=ended, stopping=stopping)
    elif settings.executor == "ray":
        from lrlab.sweeps import ray

        ray.on_ray(
            jobs,
            threads=settings.threads_per_run,
            gpus_per_run=settings.gpus_per_run,
            retries=settings.retries,
            seen=seen,
            ended=ended,
            stopping=stopping,
        )
    else:
        processes.in_processes(
            jobs,
            n_jobs=min(settings.n_jobs, len(jobs)),
            threads=settings.threads_per_run,
            gpus=_gpus(),
            reuse=settings.reuse,
            retries=settings.retries,
            seen=seen,
            ended=ended,
            stopping=stopping,
        )


def _gpus() -> list[str]:
    """The values of CUDA_VISIBLE_DEVICES that runs can choose from; none where there is no choice."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < 2:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(index) for index in range(count)]


def _lengths(jobs: Sequence[Job]) -> str:
    """How long the runs are, from the shortest to the longest."""
    passes = [job.checked.plan.horizon.passes for job in jobs if job.budget_seconds is None]
    seconds = sorted({job.budget_seconds for job in jobs if job.budget_seconds is not None})
    times = " to ".join(map(budget_in_words, dict.fromkeys([*seconds[:1], *seconds[-1:]])))
    return " or ".join([*([_epochs(passes)] if passes else []), *([times] if times else [])])


def _and_time(updates: str, jobs: Sequence[Job]) -> str:
    """So many updates, and the time of the runs whose updates nobody knows."""
    seconds = [job.budget_seconds for job in jobs if job.budget_seconds is not None]
    if not seconds:
        return updates
    time = budget_in_words(sum(seconds))
    return time if len(seconds) == len(jobs) else f"{updates} and {time}"


def _epochs(values: Sequence[int | float]) -> str:
    """How many epochs the runs have, from the fewest to the most."""
    fewest, most = min(values), max(values)
    shown = epochs_in_words(most)
    return shown if fewest == most else f"{fewest:.4g} to {shown}"
