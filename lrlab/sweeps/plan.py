"""The plan of a sweep: all of its runs checked and told apart before the first one starts.

Everything about a sweep is in its folder, a folder a run. The same sweep over the same folder skips the runs that
are finished, goes on with those that were begun, and refuses to mix with runs that it does not name.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from lrlab.config import identity
from lrlab.config.identity import Identity
from lrlab.config.prepare import prepare_typed
from lrlab.errors import wrong
from lrlab.runs import summary
from lrlab.runs.folders import require_plain
from lrlab.sweeps.job import Job, identity_of, refuse_another


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


def make_job(config: DictConfig, overrides: Sequence[str], folder: Path, name: str) -> Job:
    """The run `name` of the sweep in `folder`. Raises UserError for the first mistake in it; leaves no trace."""
    return Job(name, folder / name, prepare_typed(config, overrides).checked)


def plan(jobs: Sequence[Job], folder: Path, *, whole: bool = True) -> Planned:
    """Compare `jobs` with the runs that are in `folder` already, told apart by their settings and not by their names.

    A run whose settings are there keeps the folder that it has. Raises UserError where two runs would share a folder,
    where a folder holds a run with other settings, and, if `jobs` are the `whole` sweep, where it holds more runs.
    """
    _refuse_doubles([job.name for job in jobs])
    paths = [path.parent for path in sorted(folder.rglob("config.yaml"))]
    there = {path: identity_of(path) for path in paths}
    placed = _place(jobs, folder, there)
    for job in placed:
        if os.path.lexists(job.folder):
            require_plain(job.folder)
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


def _place(jobs: Sequence[Job], folder: Path, there: Mapping[Path, Identity]) -> list[Job]:
    """The jobs, each in the folder of the run that has its settings if there is one, or else in one that is free."""
    prints = {path: _without_data(one) for path, one in there.items()}
    own = [_without_data(job.identity) for job in jobs]
    placed: dict[int, Path] = {}
    for by_name in (True, False):  # of several runs with these settings, the one of this name first
        for index, job in enumerate(jobs):
            fits = [path for path, text in prints.items() if text == own[index] and path not in placed.values()]
            fits = [path for path in fits if path == job.folder] if by_name else fits
            fits = [path for path in fits if identity.difference(there[path], job.identity) is None]
            if index not in placed and fits:
                placed[index] = fits[0]
    for index, job in enumerate(jobs):
        if index not in placed:
            placed[index] = _free(job, there, [*placed.values()])
    return [
        replace(job, folder=placed[index], name=str(placed[index].relative_to(folder)))
        for index, job in enumerate(jobs)
    ]


def _without_data(one: Identity) -> str:
    """The same text for runs that differ in nothing but what data they were trained on, which takes a closer look."""
    return identity.fingerprint({key: value for key, value in one.settings.items() if key != "data.root"})


def _free(job: Job, there: Mapping[Path, Identity], taken: Sequence[Path]) -> Path:
    """The folder of a run that is not there yet: its own, or the next one if that is another run's of this sweep."""
    candidate, number = job.folder, 1
    while candidate in taken:
        number += 1
        candidate = job.folder.with_name(f"{job.folder.name}-{number}")
    if candidate in there:
        refuse_another(there[candidate], job.identity, candidate)
    if candidate.exists() and not candidate.is_dir():
        raise wrong("folder", got=f"{candidate}, which is a file", allowed="a folder", do="move the file away")
    return candidate


def unfinished(planned: Planned, ended: Mapping[str, str]) -> list[str]:
    """The runs that are not finished, each with how it `ended`; of those that have not, what their folders say."""
    status = {
        job.name: ended.get(job.name) or summary.read(job.folder).get("status", "not run") for job in planned.jobs
    }
    return [f"{name} {said}" for name, said in status.items() if said != "finished"]


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, and how many there are besides."""
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")
