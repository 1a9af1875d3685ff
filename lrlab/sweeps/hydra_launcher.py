"""Runs that a sweeper of Hydra's kind asks for, such as Optuna's: carried out as those of a sweep of lrlab's."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from lrlab.config.compose import settle
from lrlab.errors import UserError
from lrlab.sweeps import plan
from lrlab.sweeps.launch import carry_out, read_settings
from lrlab.sweeps.request import folder_name
from lrlab.system import lock


def launch(
    job_overrides: Sequence[Sequence[str]],
    configs: Sequence[DictConfig],
    *,
    first: int,
    settings: Mapping[str, Any],
) -> list[JobReturn]:
    """Carry out the runs that a sweeper of Hydra's kind asks for, numbered from `first` on.

    A run that diverged returns an infinite loss, so that an optimizer of hyperparameters goes on; other failures raise.
    """
    jobs = []
    for number, (overrides, config) in enumerate(zip(job_overrides, configs, strict=True), start=first):
        name, folder = folder_name(config, number), Path(config.hydra.sweep.dir)
        settle(config, overrides)
        jobs.append(plan.make_job(config, list(overrides), folder, name))
    once = list({job.folder: job for job in jobs}.values())
    planned = plan.plan(once, Path(configs[0].hydra.sweep.dir), whole=False)
    planned.folder.mkdir(parents=True, exist_ok=True)
    with lock.held(planned.folder, what="sweeping"):
        outcomes = carry_out(planned, read_settings(settings))
    placed = {asked.folder: outcomes.get(job.name) for asked, job in zip(once, planned.jobs, strict=True)}
    returns = []
    for job, overrides, config in zip(jobs, job_overrides, configs, strict=True):
        outcome = placed[job.folder]
        result = JobReturn(overrides=overrides, cfg=config, working_dir=str(job.folder), task_name="train")
        if outcome is not None and outcome.status in ("finished", "diverged"):
            result.status, result.return_value = JobStatus.COMPLETED, outcome.value
            if outcome.status == "diverged":
                result.return_value = math.inf
        else:
            result.status = JobStatus.FAILED
            result.return_value = UserError(f"{job.name}: {outcome.error if outcome else 'not run'}")
        returns.append(result)
    return returns
