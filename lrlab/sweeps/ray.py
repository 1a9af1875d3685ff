"""Runs of a sweep on a Ray cluster: `hydra.launcher.executor=ray`.

A machine of the cluster that sees the sweep's folder writes its runs there. The others write to a temporary folder,
and the files come back when the run has ended. What other runs begin with comes back as soon as it is there, and goes
to their machines with them.
"""

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrlab.errors import first_line, wrong
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome, Stack, units
from lrlab.sweeps.ray_worker import Bulletin, Done, Luggage, Origin, train, unpack
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

    Ray decides how many run at a time. Each takes `threads` CPUs and, on a cluster with GPUs, `gpus_per_run`; so do
    several that train in one step, together. A run whose process or machine dies goes on elsewhere, so many `retries`.
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
        board = ray.remote(num_cpus=0)(Bulletin).options(scheduling_strategy=_on_this_machine(ray)).remote()
        gpus = gpus_per_run if ray.cluster_resources().get("GPU") else 0
        # A process carries out one of them only, and Ray starts no run again by itself.
        remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_calls=1, max_retries=0)(train)
        origin = Origin(Path.cwd(), marker, spelling.said())

        def hand_out(unit: Job | Stack) -> Any:
            placed = unit.only([replace(job, folder=job.folder.absolute()) for job in unit.jobs])
            luggage = {job.name: Luggage.of(job) for job in unit.jobs}
            return remote.remote(placed, threads, origin, luggage, board)

        # Hand out all, and wait for them.
        under_way = _UnderWay(ray, Order(units(jobs), retries), hand_out, board, seen=seen, ended=ended)
        under_way.follow(stopping)
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


class _UnderWay:
    """The runs that the cluster is at. Reports and outcomes are handed over as they come."""

    def __init__(
        self,
        ray: Any,
        order: Order,
        hand_out: Callable[[Job | Stack], Any],
        board: Any,
        *,
        seen: Noticed,
        ended: Ended,
    ):
        self.ray = ray
        self.order = order
        self.hand_out = hand_out
        self.board = board
        self.seen = seen
        self.ended = ended
        self.tasks: dict[Any, Job | Stack] = {}
        self.jobs: dict[str, Job] = {}  # that were handed out, by name
        self.begun: set[str] = set()
        self.stopped = False

    def follow(self, stopping: Callable[[], bool]) -> None:
        """Hand out runs until there are none left, and wait for them. Once `stopping()`, no more begin."""
        self._hand_out_what_is_ready()
        while self.tasks:
            done, _ = self.ray.wait([*self.tasks], num_returns=1, timeout=_SECONDS_BETWEEN_LOOKS)
            self._read_the_board()
            for task in done:
                self._close(task)
            self._hand_out_what_is_ready()
            if stopping() and not self.stopped:
                self._stop()

    def _hand_out_what_is_ready(self) -> None:
        while not self.stopped and (unit := self.order.next_now()) is not None:
            self.tasks[self.hand_out(unit)] = unit
            self.jobs |= {job.name: job for job in unit.jobs}

    def _read_the_board(self) -> None:
        reports, left = self.ray.get(self.board.collect.remote())
        for name, content in left:  # before what is reported: a run that has passed a fork has left it
            _put(self.jobs[name], content)
        for name, report in reports:
            self.begun.add(name)
            if report is not None:
                self.seen(self.jobs[name], report)

    def _close(self, task: Any) -> None:
        """Hand over how the runs of a task ended, with their files in place."""
        unit = self.tasks.pop(task)
        done = self._done(task, unit)
        if done is None:
            self.order.ended(unit)
            return
        for job in unit.jobs:
            if job.name in done.files:
                job.folder.mkdir(parents=True, exist_ok=True)
                unpack(done.files[job.name], job.folder)
        self.order.carried_out(unit, done.outcomes, may_go_on=not self.stopped, tell=self.ended)

    def _done(self, task: Any, unit: Job | Stack) -> Done | None:
        """How a task ended; None where it was cancelled before it began."""
        errors = self.ray.exceptions
        try:
            done: Done | None = self.ray.get(task)
        except errors.TaskCancelledError:
            return None
        except errors.OutOfMemoryError as error:
            killed = Outcome("killed", error=f"out of memory ({first_line(error)})")
        except errors.RayError as error:
            killed = Outcome("killed", error=f"its process died ({type(error).__name__}: {first_line(error)})")
        else:
            return done
        return Done({job.name: killed for job in unit.jobs}, {})

    def _stop(self) -> None:
        """Cancel the runs that have not begun, and ask the others to save and end."""
        self.stopped = True
        self.ray.get(self.board.stop.remote())
        for task, unit in self.tasks.items():
            if unit.name not in self.begun:
                self.ray.cancel(task)


def _put(job: Job, left: dict[str, bytes]) -> None:
    """Put the beginnings that this run has left where other runs look for them."""
    if job.sharing is not None:
        for name, content in left.items():
            with suppress(OSError):  # or else they train them themselves
                job.sharing.folder.mkdir(parents=True, exist_ok=True)
                disk.write_whole(job.sharing.folder / name, content)
