"""The launcher: its settings, and how it carries out what is left to do of a sweep."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import torch
from omegaconf import OmegaConf

from lrlab.config import checks
from lrlab.config.secrets import mask
from lrlab.errors import Interrupted, wrong
from lrlab.runs import describe, summary
from lrlab.sweeps import processes
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome
from lrlab.sweeps.plan import Planned
from lrlab.sweeps.table import Board
from lrlab.system import disk, distributed, peers, process
from lrlab.system.signals import stop_request

EXECUTORS = ("processes", "ray")


@dataclass(frozen=True)
class Settings:
    """The settings of `hydra/launcher=lrlab`, checked."""

    n_jobs: int = 1
    threads: int | None = None
    fail_fast: bool = False
    in_process: bool = False
    executor: str = "processes"
    gpus_per_run: float = 1

    @property
    def threads_per_run(self) -> int:
        return self.threads or max(1, process.cores() // self.n_jobs)

    @property
    def in_this_process(self) -> bool:
        return self.in_process or distributed.ranks() > 1


def read_settings(node: Mapping[str, Any]) -> Settings:
    """Raises UserError naming the first of the launcher's settings that is not allowed."""
    names, key = [field.name for field in fields(Settings)], "hydra.launcher"
    checks.require_names(node, key, names)
    settings = Settings(**node)
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
    if (ranks := distributed.ranks()) > 1 and (settings.n_jobs > 1 or settings.executor != "processes"):
        raise wrong(
            f"{key}.n_jobs",
            got=f"several runs at a time, each on {ranks} ranks",
            allowed="one run after another where torchrun shares out each",
            do=f"leave out {key}.*, or torchrun",
        )
    return settings


def start_lines(planned: Planned, settings: Settings) -> list[str]:
    """What is about to be done."""
    to_do = planned.to_do
    how = "one after another in this process"
    if distributed.ranks() > 1:
        how = f"one after another, each on {distributed.ranks()} ranks"
    elif settings.executor == "ray":
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


def _other_threads(earlier: Sequence[Job], settings: Settings) -> list[str]:
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


def carry_out(planned: Planned, settings: Settings) -> dict[str, Outcome]:
    """Carry out what is left to do; returns how each run ended, by name, those that were finished included.

    The caller holds the sweep's folder. Raises Interrupted where a signal stopped the sweep, with everything saved.
    """
    failed = threading.Event()
    outcomes = {job.name: Outcome("finished", summary.read(job.folder).get("val_loss")) for job in planned.finished}
    with (
        stop_request() as request,
        Board(planned.to_do, planned.finished, live=not settings.in_this_process) as board,
    ):

        def ended(job: Job, outcome: Outcome) -> None:
            outcomes[job.name] = outcome
            if outcome.status not in ("finished", "interrupted"):
                failed.set()
            with suppress(OSError, disk.Refused):  # a full disk must not end the other runs
                _write_down(job, outcome)
            board.ended(job, outcome)

        def stopping() -> bool:
            return bool(request.number) or peers.broken() or (settings.fail_fast and failed.is_set())

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
        disk.write_whole(job.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(mask(job.config))))
    said = summary.read(job.folder)
    stale = outcome.status != "interrupted" and said.get("error") != outcome.error  # of an earlier attempt
    if said.get("status") != outcome.status or "choices" not in said or stale:
        ended = {"status": outcome.status, "error": outcome.error, "choices": job.checked.choices}
        summary.amend(job.folder, **{**said, **ended})


def _execute(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
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
            seen=seen,
            ended=ended,
            stopping=stopping,
        )


def _gpus() -> list[str]:
    """The values of CUDA_VISIBLE_DEVICES between which runs can choose; none where there are not several."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < 2:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(index) for index in range(count)]


def _span(values: Sequence[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"
