"""Runs of a sweep on a Ray cluster: `hydra.launcher.executor=ray`.

A machine of the cluster that sees the sweep's folder writes its runs there. The others write to a temporary folder,
and the files come back when the run has ended. What other runs begin with comes back as soon as it is there, and goes
to their machines with them.
"""

import io
import os
import signal
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrlab.errors import first_line, wrong
from lrlab.runs import beginning
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome, Seen, attempt
from lrlab.sweeps.shared import Order
from lrlab.system import disk, spelling

_SECONDS_BETWEEN_LOOKS = 0.2


def on_ray(
    jobs: Sequence[Job],
    *,
    threads: int,
    gpus_per_run: float,
    retries: int,
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
    """Carry out `jobs` on the cluster at RAY_ADDRESS, or on one that is started here and ends with the sweep.

    Ray decides how many run at a time. Each takes `threads` CPUs and, on a cluster with GPUs, `gpus_per_run`. A run
    whose process or machine dies goes on elsewhere, so many `retries`.
    """
    # The cluster, and a file by which its machines see whether they share the sweep's folder.
    ray = _import()
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    marker = jobs[0].folder.absolute().parent / f".sweep-{uuid.uuid4().hex}"
    marker.touch()
    try:
        # How a run is handed out.
        board = ray.remote(num_cpus=0)(_Bulletin).options(scheduling_strategy=_on_this_machine(ray)).remote()
        gpus = gpus_per_run if ray.cluster_resources().get("GPU") else 0
        # A process carries out one run only, and Ray starts no run again by itself.
        remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_calls=1, max_retries=0)(_train)
        place = _Place(Path.cwd(), marker, spelling.said())

        def hand_out(job: Job) -> Any:
            placed = replace(job, folder=job.folder.absolute())
            return remote.remote(placed, threads, place, _Luggage.of(job), board)

        # Hand out all, and wait for them.
        order = Order(jobs, retries)
        _collect(ray, order, hand_out, board, seen=seen, ended=ended, stopping=stopping)
    finally:
        marker.unlink(missing_ok=True)
        if started_here:
            ray.shutdown()


def _import() -> Any:
    try:
        import ray
    except ImportError as error:
        raise wrong(
            "hydra.launcher.executor",
            got="ray, which is not installed",
            allowed="processes, or ray where it is installed",
            do="pip install 'lrlab[ray]'",
        ) from error
    return ray


def _on_this_machine(ray: Any) -> Any:
    """Where an actor lives that must not end before the sweep does: any other machine of the cluster may."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _collect(
    ray: Any,
    order: Order,
    hand_out: Callable[[Job], Any],
    board: Any,
    *,
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
    """Hand out runs, and hand over reports and outcomes as they come.

    Once `stopping()`, cancel the runs that have not begun and ask the others to save and end.
    """
    tasks: dict[Any, Job] = {}
    by_name: dict[str, Job] = {}
    begun = set()
    asked = False

    def hand_out_what_is_ready() -> None:
        while not asked and isinstance(job := order.next_now(), Job):
            tasks[hand_out(job)] = job
            by_name[job.name] = job

    hand_out_what_is_ready()
    while tasks:
        # What the runs report, and how they end.
        done, _ = ray.wait([*tasks], num_returns=1, timeout=_SECONDS_BETWEEN_LOOKS)
        reports, left = ray.get(board.collect.remote())
        for name, content in left:  # before what is reported: a run that has passed a fork has left it
            _put(by_name[name], content)
        for name, report in reports:
            begun.add(name)
            if report is not None:
                seen(by_name[name], report)
        for task in done:
            job = tasks.pop(task)
            outcome = _outcome(ray, task, job)
            again = order.restarted(job, outcome) if outcome is not None and not asked else None
            if again is not None:
                order.put_first(again)
            if outcome is not None:
                ended(again or job, replace(outcome, goes_on=again is not None))
            if again is None:
                order.ended(job)
        hand_out_what_is_ready()

        # Stop, once.
        if stopping() and not asked:
            asked = True
            ray.get(board.stop.remote())
            for task, job in tasks.items():
                if job.name not in begun:
                    ray.cancel(task)


def _outcome(ray: Any, task: Any, job: Job) -> Outcome | None:
    """How a task ended; None where it was cancelled before it began. The files that it sent back are put in place."""
    try:
        outcome, files = ray.get(task)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.OutOfMemoryError as error:
        return Outcome("killed", error=f"out of memory ({first_line(error)})")
    except ray.exceptions.RayError as error:
        return Outcome("killed", error=f"its process died ({type(error).__name__}: {first_line(error)})")
    if files is not None:
        job.folder.mkdir(parents=True, exist_ok=True)
        _unpack(files, job.folder)
    return outcome


class _Bulletin:
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
class _Place:
    """Where and how the sweep was started."""

    current: Path  # the folder it was started from
    marker: Path  # a file in the sweep's folder: a machine that sees it shares the folder
    spelling: str  # of its commands


@dataclass(frozen=True)
class _Luggage:
    """What a run takes along to a machine that does not see the sweep's folder."""

    files: bytes | None  # those of its folder
    beginning: dict[str, bytes]  # that another run has trained, by the name of its file

    @classmethod
    def of(cls, job: Job) -> "_Luggage":
        file = job.sharing.beginning if job.sharing is not None else None
        beginning = {}
        if file is not None:
            with suppress(OSError):  # its trunk has ended without it, and the run trains it itself
                beginning[file.name] = file.read_bytes()
        return cls(_pack(job.folder), beginning)

    def unpacked(self, job: Job, folder: Path) -> Job:
        """The run as it is in `folder`, which is on this machine."""
        here, beginnings = folder / "run", folder / "beginnings"
        here.mkdir()
        beginnings.mkdir()
        if self.files is not None:
            _unpack(self.files, here)
        for name, content in self.beginning.items():
            (beginnings / name).write_bytes(content)
        sharing = replace(job.sharing, folder=beginnings) if job.sharing is not None else None
        return replace(job, folder=here, sharing=sharing)


def _train(job: Job, threads: int, place: _Place, luggage: _Luggage, board: Any) -> tuple[Outcome | None, bytes | None]:
    """What a process of the cluster does for one run. Returns its files too where they would stay on that machine."""
    # The process becomes like the one that started the sweep.
    import ray
    import torch

    torch.set_num_threads(threads)
    spelling.say(place.spelling)
    if place.current.is_dir():  # the user's own classes, and data with a relative path
        os.chdir(place.current)
        sys.path.append(str(place.current))

    # It says that the run begins, and is told whether that still is wanted.
    left = _Left()

    def send(report: Seen | None) -> None:
        if ray.get(board.report.remote(job.name, report, left.new())):
            os.kill(os.getpid(), signal.SIGINT)  # noted by the run, which saves and ends

    if ray.get(board.report.remote(job.name, None, {})):
        return None, None

    # The run, in the sweep's folder or in one of this machine.
    if place.marker.exists():
        return attempt(job, send), None
    with tempfile.TemporaryDirectory() as folder:
        here = luggage.unpacked(job, Path(folder))
        left.watch(here)
        outcome = attempt(here, send)
        ray.get(board.report.remote(job.name, None, left.new()))
        return outcome, _pack(here.folder)


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


def _put(job: Job, left: dict[str, bytes]) -> None:
    """Put the beginnings that this run has left where other runs look for them."""
    if job.sharing is not None:
        for name, content in left.items():
            with suppress(OSError):  # or else they train them themselves
                job.sharing.folder.mkdir(parents=True, exist_ok=True)
                disk.write_whole(job.sharing.folder / name, content)


def _unpack(files: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")


def _pack(folder: Path) -> bytes | None:
    """The files of a folder as an archive; None where there are none."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()
