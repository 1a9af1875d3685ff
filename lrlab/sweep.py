"""A sweep: all of its runs composed, checked and told apart before the first starts, then carried out to the end.

Everything about a sweep is in its folder, a folder a run. The same sweep over the same folder skips the runs that
are finished, goes on with those that were begun, and refuses to mix with runs that it does not name.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from lrlab import checks, describe, results, summary, workers
from lrlab.board import Board
from lrlab.errors import Interrupted, wrong
from lrlab.prepare import prepare
from lrlab.signals import stop_request
from lrlab.workers import Job, Outcome

EXECUTORS = ("processes", "ray")


@dataclass(frozen=True)
class LauncherSettings:
    """The settings of `hydra/launcher=lrlab`, checked."""

    n_jobs: int = 1
    threads: int | None = None
    fail_fast: bool = False
    in_process: bool = False
    executor: str = "processes"
    gpus_per_run: float = 1

    @property
    def threads_per_run(self) -> int:
        return self.threads or max(1, _cores() // self.n_jobs)


@dataclass(frozen=True)
class Planned:
    """The runs of a sweep, in its order, and what is left of them to do."""

    folder: Path
    jobs: list[Job]
    finished: list[Job]  # by an earlier start of the sweep
    begun: list[Job]  # likewise, but not to the end

    @property
    def to_do(self) -> list[Job]:
        return [job for job in self.jobs if job not in self.finished]


def launcher_settings(node: Mapping[str, Any]) -> LauncherSettings:
    """Raises UserError naming the first of the launcher's settings that is not allowed."""
    names, key = [field.name for field in fields(LauncherSettings)], "hydra.launcher"
    checks.require_names(node, key, names)
    settings = LauncherSettings(**node)
    checks.number(f"{key}.n_jobs", settings.n_jobs, whole=True, low=1, example=2)
    if settings.threads is not None:
        checks.number(f"{key}.threads", settings.threads, whole=True, low=1, example=1)
    checks.flag(f"{key}.fail_fast", settings.fail_fast)
    checks.flag(f"{key}.in_process", settings.in_process)
    checks.choice(f"{key}.executor", settings.executor, EXECUTORS)
    checks.number(f"{key}.gpus_per_run", settings.gpus_per_run, low=0, example=0.5)
    if settings.in_process and (settings.n_jobs > 1 or settings.executor != "processes"):
        raise wrong(
            f"{key}.in_process",
            got="true, with " + ("n_jobs" if settings.n_jobs > 1 else "executor") + " set too",
            allowed="true with one run at a time, on this machine",
            do=f"leave one of them out, or {key}.in_process=false",
        )
    return settings


def make_job(config: DictConfig, overrides: Sequence[str], folder: Path, name: str, choices: Mapping[str, str]) -> Job:
    """The run `name` of the sweep in `folder`. Raises UserError for the first mistake in it; leaves no trace."""
    prepared = prepare(config)
    horizon = prepared.plan.horizon
    return Job(
        name=name,
        folder=folder / name,
        config=prepared.saved_config,
        choices=dict(choices),
        overrides=list(overrides),
        epochs=horizon.epochs,
        updates=horizon.steps,
    )


def plan(jobs: Sequence[Job], folder: Path, *, whole: bool = True) -> Planned:
    """Compare `jobs` with the runs that are in `folder` already, told apart by their settings and not by their names.

    A run whose settings are there keeps the folder that it has. Raises UserError where two runs would share a folder,
    where a folder holds a run with other settings, and, if `jobs` are the `whole` sweep, where it holds more runs.
    """
    _refuse_doubles([job.name for job in jobs])
    paths = [path.parent for path in sorted(folder.rglob("config.yaml"))]
    there = {path: results.settings_of(path) or {} for path in paths}
    placed = _place(jobs, folder, there)
    unknown = sorted(str(path.relative_to(folder)) for path in there.keys() - {job.folder for job in placed})
    if whole and unknown:
        raise wrong(
            "sweep",
            got=f"{folder}, which holds runs that this command does not name ({some(unknown)})",
            allowed="the same command again, or one with more values",
            do="another name, sweep=NAME, or move those runs elsewhere",
        )
    status = {job.name: summary.read(job.folder).get("status") for job in placed if job.folder in there}
    finished = [job for job in placed if status.get(job.name) == "finished"]
    return Planned(folder, placed, finished, [job for job in placed if job.name in status and job not in finished])


def _refuse_doubles(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise wrong("command line", got=f"two runs named {name}", allowed="each run once", do="remove the double")


def moved(planned: Planned, folder: Path) -> Planned:
    """The same plan in another, new folder."""
    if folder == planned.folder:
        return planned
    return Planned(folder, [replace(job, folder=folder / job.name) for job in planned.jobs], [], [])


def _place(jobs: Sequence[Job], folder: Path, there: Mapping[Path, dict[str, Any]]) -> list[Job]:
    """The jobs, each in the folder of the run that has its settings if there is one, or else in one that is free."""
    prints = {path: results.fingerprint(settings) for path, settings in there.items()}
    own = [results.fingerprint(results.identity(job.config)) for job in jobs]
    placed: dict[int, Path] = {}
    for by_name in (True, False):  # of several runs with these settings, the one of this name first
        for index, job in enumerate(jobs):
            fits = [path for path, text in prints.items() if text == own[index] and path not in placed.values()]
            fits = [path for path in fits if path == job.folder] if by_name else fits
            if index not in placed and fits:
                placed[index] = fits[0]
    for index, job in enumerate(jobs):
        if index not in placed:
            placed[index] = _free(job, there, [*placed.values()])
    return [
        replace(job, folder=placed[index], name=str(placed[index].relative_to(folder)))
        for index, job in enumerate(jobs)
    ]


def _free(job: Job, there: Mapping[Path, dict[str, Any]], taken: Sequence[Path]) -> Path:
    """The folder of a run that is not there yet: its own, or the next one if that is another run's of this sweep."""
    candidate, number = job.folder, 1
    while candidate in taken:
        number += 1
        candidate = job.folder.with_name(f"{job.folder.name}-{number}")
    if candidate in there:
        _refuse_other(job, candidate, there[candidate])
    if candidate.exists() and not candidate.is_dir():
        raise wrong("folder", got=f"{candidate}, which is a file", allowed="a folder", do="move the file away")
    return candidate


def _refuse_other(job: Job, folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise UserError that names the first setting in which a job differs from the run in its folder."""
    own = results.identity(job.config)
    for key in sorted(own.keys() | settings.keys(), key=lambda key: (not key.endswith("_target_"), key)):
        if repr(own.get(key)) != repr(settings.get(key)):
            raise wrong(
                key,
                got=f"{own.get(key, 'nothing')}, but {folder} holds a run with {settings.get(key, 'nothing')}",
                allowed="the settings with which the sweep began",
                do="another name, sweep=NAME",
            )


def start_lines(planned: Planned, settings: LauncherSettings) -> list[str]:
    """What is about to be done."""
    to_do = planned.to_do
    how = "one after another in this process"
    if settings.executor == "ray":
        how = "on a Ray cluster"
    elif not settings.in_process:
        threads = settings.threads_per_run
        how = f"{settings.n_jobs} at a time, with {threads} CPU thread{'s' if threads > 1 else ''}"
    lines = [f"each       {_span([job.epochs for job in planned.jobs])} epochs; {how}"]
    if planned.finished or planned.begun:
        lines.append(
            f"earlier    {len(planned.finished)} finished and skipped, {len(planned.begun)} begun and continued"
        )
        lines += _other_threads([*planned.finished, *planned.begun], settings)
    lines.append(f"to do      {len(to_do)} runs, {sum(job.updates for job in to_do):,} updates at most")
    lines.append(f"folder     {planned.folder}")
    return lines


def _other_threads(earlier: Sequence[Job], settings: LauncherSettings) -> list[str]:
    """A warning where earlier runs were computed with another number of CPU threads."""
    devices = {str(summary.read(job.folder).get("device")) for job in earlier}
    now = describe.device_name(torch.device("cpu"), settings.threads_per_run)
    others = sorted(device for device in devices if device.startswith("cpu") and device != now)
    if not others:
        return []
    return [
        f"warning: earlier runs were computed on {', '.join(others)}, now it is {now}: another order of sums, "
        f"so results differ a little (hydra.launcher.threads says how many)"
    ]


def carry_out(planned: Planned, settings: LauncherSettings) -> dict[str, Outcome]:
    """Carry out what is left to do; returns how each run ended, by name, those that were finished included.

    The caller holds the sweep's folder. Raises Interrupted where a signal stopped the sweep, with everything saved.
    """
    failed = threading.Event()
    outcomes = {job.name: Outcome("finished", summary.read(job.folder).get("val_loss")) for job in planned.finished}
    with (
        stop_request() as request,
        Board(planned.to_do, planned.finished, live=not settings.in_process) as board,
    ):

        def ended(job: Job, outcome: Outcome) -> None:
            outcomes[job.name] = outcome
            if outcome.status not in ("finished", "interrupted"):
                failed.set()
            with suppress(OSError):  # a full disk must not end the other runs
                _write_down(job, outcome)
            board.ended(job, outcome)

        def stopping() -> bool:
            return bool(request.number) or (settings.fail_fast and failed.is_set())

        _execute(planned.to_do, settings, seen=board.seen, ended=ended, stopping=stopping)
    if request.number:
        raise Interrupted(request.number)
    return outcomes


def _write_down(job: Job, outcome: Outcome) -> None:
    """Complete the files of a run that could not say itself how it ended, or what it was."""
    if outcome.status == "finished":
        return
    if not (job.folder / "config.yaml").exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        summary.write_whole(job.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(job.config)))
    said = summary.read(job.folder)
    stale = outcome.status != "interrupted" and said.get("error") != outcome.error  # of an earlier attempt
    if said.get("status") != outcome.status or "choices" not in said or stale:
        summary.amend(job.folder, **{**said, "status": outcome.status, "error": outcome.error, "choices": job.choices})


def _execute(
    jobs: Sequence[Job],
    settings: LauncherSettings,
    *,
    seen: workers.Noticed,
    ended: workers.Ended,
    stopping: Callable[[], bool],
) -> None:
    if not jobs:
        return
    if settings.in_process:
        workers.here(jobs, threads=settings.threads_per_run, seen=seen, ended=ended, stopping=stopping)
    elif settings.executor == "ray":
        from lrlab import ray_cluster

        ray_cluster.on_ray(
            jobs,
            threads=settings.threads_per_run,
            gpus_per_run=settings.gpus_per_run,
            seen=seen,
            ended=ended,
            stopping=stopping,
        )
    else:
        workers.in_processes(
            jobs,
            n_jobs=min(settings.n_jobs, len(jobs)),
            threads=settings.threads_per_run,
            gpus=_gpus(),
            seen=seen,
            ended=ended,
            stopping=stopping,
        )


def unfinished(planned: Planned) -> list[str]:
    """The runs that are not finished, each with how it ended."""
    status = {job.name: summary.read(job.folder).get("status", "not run") for job in planned.jobs}
    return [f"{name} {said}" for name, said in status.items() if said != "finished"]


def _gpus() -> list[str]:
    """The values of CUDA_VISIBLE_DEVICES between which runs can choose; none where there are not several."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < 2:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(index) for index in range(count)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, and how many there are besides."""
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def _span(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"
