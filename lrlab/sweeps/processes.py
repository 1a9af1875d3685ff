"""How the runs of a sweep are carried out: in this process, or in others.

`sweeps.ray` is the third way. Each way is a function (jobs, ...) that calls `seen` with what a run reports and `ended`
with how it ended. It starts no more runs once `stopping()`, and never raises because of a run. `seen` may be called
from several threads at a time, `ended` from one at a time.
"""

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from lrlab.sweeps import server
from lrlab.sweeps.job import Ended, Job, Noticed, Outcome, Seen, Stack, attempt, units
from lrlab.sweeps.shared import Order
from lrlab.sweeps.worker import DROPPED, LEAVES, READY, STOP, work

_SECONDS_TO_LEAVE = 30.0  # for a process that has said how its run ended


def here(jobs: Sequence[Job], *, threads: int, seen: Noticed, ended: Ended, stopping: Callable[[], bool]) -> None:
    """Carry out `jobs` in this process, one after another, with `threads` CPU threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        order = Order(units(jobs), longest_first=False)
        while (unit := order.next(stopping)) is not None:
            _here(unit, seen, ended)
            order.ended(unit)
    finally:
        torch.set_num_threads(before)


def _here(unit: Job | Stack, seen: Noticed, ended: Ended) -> None:
    """Carry out a run, or several that train in one step."""
    if isinstance(unit, Job):
        ended(unit, attempt(unit, lambda report: seen(unit, report)))
        return

    from lrlab.sweeps.together import attempt_together

    def tell(job: Job, message: Seen | Outcome) -> None:
        if isinstance(message, Outcome):
            ended(job, message)
        else:
            seen(job, message)

    attempt_together(unit, tell)


def in_processes(
    jobs: Sequence[Job],
    *,
    n_jobs: int,
    threads: int,
    gpus: Sequence[str],
    reuse: bool,
    retries: int,
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
    """Carry out `jobs`, `n_jobs` at a time, in processes with `threads` CPU threads each.

    A run whose process is killed goes on in another one, so many `retries`. With `reuse` a process carries out one run
    after another, as long as they finish and leave nothing behind; otherwise each run has a process of its own.
    If there are any `gpus` (values of CUDA_VISIBLE_DEVICES), each process takes one of them in turn.
    Once `stopping()`, no more runs start, and those under way are asked to save and end.
    """
    places = [gpus[place % len(gpus)] if gpus else None for place in range(n_jobs)]
    order = Order(units(jobs), retries, longest_first=n_jobs > 1)
    crew = _Crew(threads, places, order, reuse=reuse, seen=seen, ended=ended, stopping=stopping)
    with ThreadPoolExecutor(n_jobs) as pool:
        waiting = {pool.submit(crew.carry_out_in, place) for place in crew.places}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if stopping():
                    crew.stop()
            crew.close()
        except BaseException:  # a second Ctrl-C, or no room to write down how a run ended
            crew.kill()
            raise


@dataclass(frozen=True)
class _Worker:
    """A process that carries out runs, and the connection to it."""

    process: Any
    connection: Connection

    def begin(self, unit: Job | Stack) -> None:
        """Have it carry out a run, or several that train in one step."""
        with suppress(OSError):  # it has just died, and the connection tells that too
            self.connection.send(unit)

    def say_stop(self) -> None:
        """Ask it to end, with what it is at saved."""
        with suppress(OSError):  # it has just ended
            self.connection.send(STOP)

    def wait_until_gone(self) -> None:
        self.process.join(_SECONDS_TO_LEAVE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@dataclass
class _Place:
    """Where one run at a time is carried out: on its device, by a worker that may carry out the next one too."""

    gpu: str | None
    worker: _Worker | None = None


class _Crew:
    """The processes that are at work. Threads wait for them, and another thread may stop them."""

    def __init__(
        self,
        threads: int,
        gpus: Sequence[str | None],
        order: Order,
        *,
        reuse: bool,
        seen: Noticed,
        ended: Ended,
        stopping: Callable[[], bool],
    ):
        self.threads = threads
        self.reuse = reuse
        self.seen = seen
        self.ended = ended
        self.stopping = stopping
        self.order = order
        self.places = [_Place(gpu) for gpu in gpus]
        self.context = server.started(threads)
        self.lock = threading.Lock()
        self.stopped = False
        self.killed = False
        self.workers: list[_Worker] = []

    def carry_out_in(self, place: _Place) -> None:
        """Have runs carried out in a `place`, one after another, until none is left. Once stopped, none begins."""
        while (unit := self.order.next(self._is_stopping)) is not None:
            with self.lock:
                if self._is_stopping():
                    return
                worker = self._worker(place)
                worker.begin(unit)
            outcomes = self._listen(unit, place, worker)
            if outcomes is None:
                self.order.ended(unit)
            else:
                self.order.carried_out(unit, outcomes, may_go_on=not self._is_stopping(), tell=self._tell)

    def _tell(self, job: Job, outcome: Outcome) -> None:
        with self.lock:
            self.ended(job, outcome)

    def _is_stopping(self) -> bool:
        return self.stopped or self.stopping()

    def _worker(self, place: _Place) -> _Worker:
        """The worker of a `place`: the one that waits there, or a new one."""
        if place.worker is not None and not place.worker.process.is_alive():  # it died while it waited
            self._forget(place, place.worker)
        if place.worker is None:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(target=work, args=(theirs, self.threads, place.gpu, self.reuse))
            process.start()
            theirs.close()
            place.worker = _Worker(process, ours)
            self.workers.append(place.worker)
        return place.worker

    def _forget(self, place: _Place, worker: _Worker) -> None:
        place.worker = None
        self.workers.remove(worker)
        worker.connection.close()

    def _listen(self, unit: Job | Stack, place: _Place, worker: _Worker) -> dict[str, Outcome] | None:
        """Pass on what the worker reports, and return how its runs ended; None where they never began.

        Of several runs those that ended while the others went on are told at once, and are not returned. The worker
        may end without a word.
        """
        jobs = {job.name: job for job in unit.jobs}
        outcomes: dict[str, Outcome] = {}
        told = set()
        message: Any = None
        with suppress(EOFError, ConnectionError):
            while (message := worker.connection.recv()) not in (READY, LEAVES, DROPPED):
                name, said = message
                if not isinstance(said, Outcome):
                    self.order.seen(jobs[name], said)
                    self.seen(jobs[name], said)
                elif isinstance(unit, Stack) and said.is_final:
                    told.add(name)
                    self._tell(jobs[name], said)
                else:
                    outcomes[name] = said
        if message != READY:
            worker.wait_until_gone()
            with self.lock:
                self._forget(place, worker)

        if message == DROPPED:
            return None
        left = [name for name in jobs if name not in told]
        return {name: outcomes[name] if name in outcomes else self._without_a_word(worker) for name in left}

    def _without_a_word(self, worker: _Worker) -> Outcome:
        """How a run ended whose process is gone and did not say it."""
        if self.killed:
            return Outcome("interrupted", error="ended at once by a second Ctrl-C")
        return _without_a_word(worker.process.exitcode)

    def stop(self) -> None:
        """Ask every worker to save and end; once is enough."""
        with self.lock:
            if self.stopped:
                return
            self.stopped = True
            for worker in self.workers:
                worker.say_stop()

    def close(self) -> None:
        """Let the workers go that wait for another run."""
        self.stop()
        for worker in self.workers:
            worker.wait_until_gone()
            worker.connection.close()

    def kill(self) -> None:
        """End every worker at once."""
        with self.lock:
            self.stopped = self.killed = True
            for worker in self.workers:
                worker.process.kill()


def _without_a_word(exit_code: int) -> Outcome:
    """The outcome of a run whose process ended before it could say how."""
    if exit_code >= 0:
        return Outcome("failed", error=f"its process left with exit code {exit_code}")
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")  # a real-time signal has none
    cause = ", as a system out of memory does" if -exit_code == signal.SIGKILL else ""
    return Outcome("killed", error=f"its process was killed by {name}{cause}")
