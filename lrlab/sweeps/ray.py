"""Runs of a sweep on a Ray cluster: `hydra.launcher.executor=ray`.

A machine of the cluster that sees the sweep's folder writes its runs there. The others write to a temporary folder,
and the files come back when the run has ended.
"""

import io
import os
import signal
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lrlab.errors import first_line, wrong
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome, Seen, attempt
from lrlab.sweeps.shared import Order
from lrlab.system import spelling

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
            return remote.remote(placed, threads, place, _pack(job.folder), board)

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
        for name, report in ray.get(board.collect.remote()):
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
        self.stopped = False

    def report(self, name: str, report: Seen | None) -> bool:
        """Note a report; returns whether the run is to stop."""
        self.reports.append((name, report))
        return self.stopped

    def collect(self) -> list[tuple[str, Seen | None]]:
        reports, self.reports = self.reports, []
        return reports

    def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True)
class _Place:
    """Where and how the sweep was started."""

    current: Path  # the folder it was started from
    marker: Path  # a file in the sweep's folder: a machine that sees it shares the folder
    spelling: str  # of its commands


def _train(
    job: Job, threads: int, place: _Place, files: bytes | None, board: Any
) -> tuple[Outcome | None, bytes | None]:
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
    def send(report: Seen | None) -> None:
        if ray.get(board.report.remote(job.name, report)):
            os.kill(os.getpid(), signal.SIGINT)  # noted by the run, which saves and ends

    if ray.get(board.report.remote(job.name, None)):
        return None, None

    # The run, in the sweep's folder or in one of this machine.
    if place.marker.exists():
        return attempt(job, send), None
    with tempfile.TemporaryDirectory() as folder:
        here = replace(job, folder=Path(folder))
        if files is not None:
            _unpack(files, here.folder)
        return attempt(here, send), _pack(Path(folder))


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
