"""What a process of a Ray cluster does for a run of a sweep, or for several that train in one step."""

import io
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrlab.runs import beginning
from lrlab.sweeps.job import Job, Outcome, Seen, Stack, attempt
from lrlab.system import spelling


class Bulletin:
    """Where runs report, and learn that they are to stop. It lives on the machine on which the sweep was started."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, Seen | None]] = []
        self.left: list[tuple[str, dict[str, bytes]]] = []
        self.stopped = False

    def report(self, name: str, report: Seen | None, left: dict[str, bytes]) -> bool:
        """Note a report, and the beginnings that the run has `left`; returns whether it is to stop."""
        self.reports.append((name, report))
        if left:
            self.left.append((name, left))
        return self.stopped

    def collect(self) -> tuple[list[tuple[str, Seen | None]], list[tuple[str, dict[str, bytes]]]]:
        reports, self.reports = self.reports, []
        left, self.left = self.left, []
        return reports, left

    def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True)
class Origin:
    """Where and how the sweep was started."""

    current: Path  # the folder it was started from
    marker: Path  # a file in the sweep's folder: a machine that sees it shares the folder
    spelling: str  # of its commands


@dataclass(frozen=True)
class Luggage:
    """What a run takes along to a machine that does not see the sweep's folder."""

    files: bytes | None  # those of its folder
    beginning: dict[str, bytes]  # that another run has trained, by the name of its file

    @classmethod
    def of(cls, job: Job) -> "Luggage":
        file = job.sharing.beginning if job.sharing is not None else None
        beginning = {}
        if file is not None:
            with suppress(OSError):  # its trunk has ended without it, and the run trains it itself
                beginning[file.name] = file.read_bytes()
        return cls(_packed(job.folder), beginning)

    def unpacked(self, job: Job, folder: Path) -> Job:
        """The run as it is in `folder`, which is on this machine."""
        here, beginnings = folder / "run", folder / "beginnings"
        here.mkdir(parents=True)
        beginnings.mkdir()
        if self.files is not None:
            unpack(self.files, here)
        for name, content in self.beginning.items():
            (beginnings / name).write_bytes(content)
        sharing = replace(job.sharing, folder=beginnings) if job.sharing is not None else None
        return replace(job, folder=here, sharing=sharing)


@dataclass(frozen=True)
class Done:
    """How runs ended on a machine, by name, and their files where they would stay there."""

    outcomes: Mapping[str, Outcome]
    files: Mapping[str, bytes]


def train(unit: Job | Stack, threads: int, origin: Origin, luggage: Mapping[str, Luggage], board: Any) -> Done | None:
    """Carry out the runs of `unit`, each of which brings its `luggage`. None where nobody wants that any more."""
    # The process becomes like the one that started the sweep.
    import ray
    import torch

    torch.set_num_threads(threads)
    spelling.say(origin.spelling)
    if origin.current.is_dir():  # the user's own classes, and data with a relative path
        os.chdir(origin.current)
        sys.path.append(str(origin.current))

    # It says that the runs begin, and is told whether that still is wanted.
    left = _Left()

    def send(job: Job, report: Seen | None) -> None:
        if ray.get(board.report.remote(job.name, report, left.new())):
            os.kill(os.getpid(), signal.SIGINT)  # noted by the run, which saves and ends

    begun = [board.report.remote(job.name, None, {}) for job in unit.jobs]
    if any(ray.get(begun)):
        return None

    # The runs, in the sweep's folder or in one of this machine.
    if origin.marker.exists():
        return Done(_carried_out(unit, send), {})
    with tempfile.TemporaryDirectory() as folder:
        here = [luggage[job.name].unpacked(job, Path(folder) / str(i)) for i, job in enumerate(unit.jobs)]
        left.watch(here[0])
        outcomes = _carried_out(unit.only(here), send)
        ray.get(board.report.remote(unit.name, None, left.new()))
        files = {job.name: _packed(job.folder) for job in here}
        return Done(outcomes, {name: packed for name, packed in files.items() if packed is not None})


def _carried_out(unit: Job | Stack, send: Callable[[Job, Seen], None]) -> dict[str, Outcome]:
    """How each run ended."""
    if isinstance(unit, Job):
        return {unit.name: attempt(unit, lambda report: send(unit, report))}

    from lrlab.sweeps.together import attempt_together

    outcomes = {}

    def tell(job: Job, message: Seen | Outcome) -> None:
        if isinstance(message, Outcome):
            outcomes[job.name] = message
        else:
            send(job, message)

    attempt_together(unit, tell)
    return outcomes


class _Left:
    """The beginnings that a run leaves for others on a machine that does not see the sweep's folder."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.known: set[str] = set()

    def watch(self, job: Job) -> None:
        """Look where this run leaves them. What is there already is known."""
        if job.sharing is not None:
            self.folder = job.sharing.folder
            self.new()

    def new(self) -> dict[str, bytes]:
        """Those that were not there the last time, by the names of their files."""
        if self.folder is None:
            return {}
        names = set().union(*beginning.kept_in(self.folder).values()) - self.known
        self.known |= names
        return {name: (self.folder / name).read_bytes() for name in names}


def unpack(files: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")


def _packed(folder: Path) -> bytes | None:
    """The files of a folder as an archive; None where there are none."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()
