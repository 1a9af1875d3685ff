"""The plan of a sweep: all of its runs checked and told apart before the first one starts.

Everything about a sweep is in its folder, with a folder for each run. The same sweep over the same folder skips the
runs that are finished and goes on with those that were begun. It refuses to mix with runs that it does not name.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from lrlab.config import identity
from lrlab.config.arguments import key_of, of_the_run, without_deletions
from lrlab.config.found_out import FoundOut
from lrlab.config.identity import Identity
from lrlab.config.prepare import Checked, prepare_resolved, prepare_typed
from lrlab.config.variations import Variations
from lrlab.errors import wrong
from lrlab.runs import summary
from lrlab.runs.folders import require_plain
from lrlab.sweeps.job import Job, identity_of, refuse_another

_SEED = re.compile(r"seed=(0|[1-9]\d*)")


@dataclass(frozen=True)
class Planned:
    """The runs of a sweep, in its order, and what is left of them to do."""

    folder: Path
    jobs: list[Job]
    finished: list[Job]  # by an earlier start of the sweep
    begun: list[Job]  # by an earlier start too, but not finished

    @property
    def to_do(self) -> list[Job]:
        finished = {job.folder for job in self.finished}
        return [job for job in self.jobs if job.folder not in finished]


def make_job(config: DictConfig, overrides: Sequence[str], folder: Path, name: str) -> Job:
    """The run `name` of the sweep in `folder`. Raises UserError for the first mistake in it; leaves no trace."""
    return Job(name, folder / name, prepare_typed(config, overrides).checked)


class Checks:
    """Checks the runs of a sweep. What they have in common is composed, checked and planned once."""

    def __init__(self) -> None:
        self._variations = Variations()
        self._known = FoundOut()
        self._checked: dict[tuple[str, ...], Checked] = {}  # by what was typed, but for the seed

    def config(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a run."""
        return self._variations.config(overrides)

    def job(self, overrides: Sequence[str], folder: Path, name: str) -> Job:
        """The run `name` of the sweep in `folder`. Raises UserError for the first mistake in it; leaves no trace."""
        seeds = [one for one in overrides if key_of(one) == "seed"]
        is_plain = len(seeds) == 1 and _SEED.fullmatch(seeds[0]) is not None
        others = tuple("seed" if one in seeds else one for one in overrides)
        if is_plain and others in self._checked:
            return Job(name, folder / name, self._checked[others].at(int(seeds[0].partition("=")[2])))
        composed = self._variations.of(overrides)
        task = of_the_run(overrides)
        typed = without_deletions(task)
        checked = prepare_resolved(composed.config, composed.choices, typed, asked=task, known=self._known).checked
        if is_plain and composed.is_alone("seed"):
            self._checked[others] = checked
        return Job(name, folder / name, checked)


def plan(jobs: Sequence[Job], folder: Path, *, whole: bool = True) -> Planned:
    """Compare `jobs` with the runs that are in `folder` already. A run is known by its settings, not by its name.

    A run whose settings are there keeps its folder. Raises UserError where two runs would share a folder, and where a
    folder holds a run with other settings. If `jobs` are the `whole` sweep, also where `folder` holds other runs.
    """
    # Find a folder for each run.
    _refuse_doubles([job.name for job in jobs])
    paths = [path.parent for path in sorted(folder.rglob("config.yaml"))]
    there = {path: identity_of(path) for path in paths}
    placed = _place(jobs, folder, there)
    for job in placed:
        if os.path.lexists(job.folder):
            require_plain(job.folder)

    # Is anything else in the sweep's folder?
    unknown = sorted(str(path.relative_to(folder)) for path in there.keys() - {job.folder for job in placed})
    if whole and unknown:
        raise wrong(
            "sweep",
            got=f"{folder}, which holds runs that this command does not name ({some(unknown)})",
            allowed="the same command again, or one with more values",
            do="another name, sweep=NAME, or move those runs elsewhere",
        )

    # How far is each of them?
    finished, begun = [], []
    for job in placed:
        if job.folder not in there:
            continue
        if summary.read(job.folder).get("status") == "finished":
            finished.append(job)
        else:
            begun.append(job)
    return Planned(folder, placed, finished, begun)


def _refuse_doubles(names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise wrong("command line", got=f"two runs named {name}", allowed="each run once", do="remove the double")


def moved(planned: Planned, folder: Path) -> Planned:
    """The same plan in a new folder, in which no run is finished or begun."""
    if folder == planned.folder:
        return planned
    jobs = [replace(job, folder=folder / job.name) for job in planned.jobs]
    return Planned(folder, jobs, finished=[], begun=[])


def _place(jobs: Sequence[Job], folder: Path, there: Mapping[Path, Identity]) -> list[Job]:
    """The jobs, each in the folder of the run that has its settings. Where there is none, in one that is free."""
    by_settings: dict[str, list[Path]] = {}
    for path, one in there.items():
        by_settings.setdefault(_without_data(one), []).append(path)
    alike = [by_settings.get(_without_data(job.identity), []) if by_settings else [] for job in jobs]
    placed: dict[int, Path] = {}
    taken: set[Path] = set()

    def place_job(index: int, path: Path) -> None:
        placed[index] = path
        taken.add(path)

    # Of several runs with the same settings, the one of the same name is taken first.
    for index, job in enumerate(jobs):
        if job.folder in alike[index] and _may_have(job, job.folder, there, taken):
            place_job(index, job.folder)
    for index, job in enumerate(jobs):
        if index not in placed:
            fits = (path for path in alike[index] if _may_have(job, path, there, taken))
            if (first := next(fits, None)) is not None:
                place_job(index, first)

    # The runs that are not there yet.
    for index, job in enumerate(jobs):
        if index not in placed:
            place_job(index, _free(job, there, taken))
    return [
        replace(job, folder=placed[index], name=str(placed[index].relative_to(folder)))
        for index, job in enumerate(jobs)
    ]


def _may_have(job: Job, path: Path, there: Mapping[Path, Identity], taken: Collection[Path]) -> bool:
    """Whether `path` holds the run `job`, its data included, and no other job has it."""
    return path not in taken and identity.difference(there[path], job.identity) is None


def _without_data(one: Identity) -> str:
    """A text for a run's settings without its data, which takes a closer look to compare."""
    return identity.fingerprint(one.without_place())


def _free(job: Job, there: Mapping[Path, Identity], taken: Collection[Path]) -> Path:
    """The folder of a run that is not there yet: its own, or the next one if another run of this sweep has that."""
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
    """The runs that are not finished, each with how it `ended`. Where that is not known, its folder is asked."""
    found = []
    for job in planned.jobs:
        status = ended.get(job.name) or summary.read(job.folder).get("status", "not run")
        if status != "finished":
            found.append(f"{job.name} {status}")
    return found


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of `names`, and how many more there are."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    return f"{shown}, and {more} more" if more > 0 else shown
