"""Runs that a sweeper of Hydra's asks for, such as Optuna's. They are carried out like those of lrlab's own sweeps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from lrlab.config.compose import settle
from lrlab.errors import UserError
from lrlab.sweeps import plan
from lrlab.sweeps.job import Job, Outcome
from lrlab.sweeps.launch import carry_out
from lrlab.sweeps.request import folder_name
from lrlab.sweeps.settings import read_settings
from lrlab.sweeps.shared import share
from lrlab.sweeps.stacks import stack
from lrlab.system import lock


def launch(
    job_overrides: Sequence[Sequence[str]],
    configs: Sequence[DictConfig],
    *,
    first: int,
    settings: Mapping[str, Any],
) -> list[JobReturn]:
    """Carry out the runs that a sweeper of Hydra's asks for, numbered from `first` on.

    A run that diverged returns an infinite loss, so that an optimizer of hyperparameters goes on. Other failures raise.
    """
    # Check every run before the first one starts.
    jobs = []
    for number, (overrides, config) in enumerate(zip(job_overrides, configs, strict=True), start=first):
        name = folder_name(config, number)
        folder = Path(config.hydra.sweep.dir)
        settle(config, overrides)
        jobs.append(plan.make_job(config, list(overrides), folder, name))
    once = list({job.folder: job for job in jobs}.values())  # a sweeper may ask for a run twice
    planned = plan.plan(once, Path(configs[0].hydra.sweep.dir), whole=False)

    # Carry them out.
    planned.folder.mkdir(parents=True, exist_ok=True)
    with lock.held(planned.folder, what="sweeping"):
        launcher = read_settings(settings)
        planned, said = stack(planned, launcher)
        print(*said, sep="\n", end="\n" if said else "")
        outcomes = carry_out(share(planned) if launcher.share else planned, launcher)

    # Tell Hydra how each ended, in the order and under the folders in which it asked.
    placed = {asked.folder: outcomes.get(job.name) for asked, job in zip(once, planned.jobs, strict=True)}
    returns = []
    for job, overrides, config in zip(jobs, job_overrides, configs, strict=True):
        result = JobReturn(overrides=overrides, cfg=config, working_dir=str(job.folder), task_name="train")
        result.status, result.return_value = _told(job, placed[job.folder])
        returns.append(result)
    return returns


def _told(job: Job, outcome: Outcome | None) -> tuple[JobStatus, Any]:
    """What Hydra is told of a run: its status, and its value or its error."""
    if outcome is None:
        return JobStatus.FAILED, UserError(f"{job.name}: not run")
    if outcome.status == "finished":
        return JobStatus.COMPLETED, outcome.value
    if outcome.status == "diverged":
        return JobStatus.COMPLETED, math.inf
    return JobStatus.FAILED, UserError(f"{job.name}: {outcome.error}")
