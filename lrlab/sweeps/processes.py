"""How the runs of a sweep are carried out: in this process, or each in a process of its own.

`sweeps.ray` is the third way. Each way is a function (jobs, ...) that calls `seen` with what a run reports and `ended`
with how it ended. It starts no more runs once `stopping()`, and never raises because of a run. `seen` may be called
from several threads at a time, `ended` from one at a time.
"""

import faulthandler
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from lrlab.sweeps.job import Ended, Job, Noticed, Outcome, Seen, attempt
from lrlab.system import compiler, disk, streams
from lrlab.system.signals import ENDING, SAVING, stop_request

_SECONDS_TO_LEAVE = 30.0  # for a process that has said how its run ended
# What a run imports sooner or later.
_PRELOADED = [
    "lrlab.sweeps.processes",
    "lrlab.runs.run",
    compiler.IMPORTED,
]


def here(jobs: Sequence[Job], *, threads: int, seen: Noticed, ended: Ended, stopping: Callable[[], bool]) -> None:
    """Carry out `jobs` in this process, one after another, with `threads` CPU threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for job in jobs:
            if stopping():
                return
            ended(job, attempt(job, lambda report, job=job: seen(job, report)))  # type: ignore[misc]
    finally:
        torch.set_num_threads(before)


def in_processes(
    jobs: Sequence[Job],
    *,
    n_jobs: int,
    threads: int,
    gpus: Sequence[str],
    seen: Noticed,
    ended: Ended,
    stopping: Callable[[], bool],
) -> None:
    """Carry out `jobs`, `n_jobs` at a time, each in a process of its own with `threads` CPU threads.

    If there are any `gpus` (values of CUDA_VISIBLE_DEVICES), each run takes one of them in turn. Once `stopping()`, no
    more runs start, and those under way are asked to save and end.
    """
    slots = [gpus[slot % len(gpus)] if gpus else None for slot in range(n_jobs)]
    crew = _Crew(threads, slots, seen=seen, ended=ended, stopping=stopping)
    with ThreadPoolExecutor(n_jobs) as pool:
        waiting = {pool.submit(crew.carry_out, job) for job in jobs}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if stopping():
                    crew.stop()
        except BaseException:  # a second Ctrl-C, or no room to write down how a run ended
            crew.kill()
            raise


class _Crew:
    """The processes that are at work. Threads wait for them, and another thread may stop them."""

    def __init__(
        self, threads: int, slots: Sequence[str | None], *, seen: Noticed, ended: Ended, stopping: Callable[[], bool]
    ):
        self.threads = threads
        self.seen = seen
        self.ended = ended
        self.stopping = stopping
        self.slots: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for slot in slots:
            self.slots.put(slot)
        self.context = processes(threads)
        self.lock = threading.Lock()
        self.stopped = False
        self.killed = False
        self.at_work: dict[Any, Connection] = {}

    def carry_out(self, job: Job) -> None:
        """Start a process for `job` and wait until it ends, however it ends. Once stopped, none is started."""
        slot = self.slots.get()
        try:
            # Start it.
            ours, theirs = self.context.Pipe()
            process = self.context.Process(target=_train, args=(theirs, job, self.threads, slot), name=job.name)
            with self.lock:
                if self.stopped or self.stopping():
                    return
                process.start()
                self.at_work[process] = ours

            # Wait for it.
            theirs.close()
            outcome = self._listen(job, process, ours)
            with self.lock:
                del self.at_work[process]
                ours.close()
                self.ended(job, outcome)
        finally:
            self.slots.put(slot)

    def _listen(self, job: Job, process: Any, connection: Connection) -> Outcome:
        """Pass on what the process reports, and return how its run ended. The process may end without a word."""
        # Until it has no more to say.
        outcome = None
        try:
            while not isinstance(message := connection.recv(), Outcome):
                self.seen(job, message)
            outcome = message
        except (EOFError, ConnectionError):
            pass

        # Until it is gone.
        process.join(_SECONDS_TO_LEAVE)
        if process.is_alive():
            process.kill()
            process.join()

        if outcome is not None:
            return outcome
        if self.killed:
            return Outcome("interrupted", error="ended at once by a second Ctrl-C")
        return _without_a_word(process.exitcode)

    def stop(self) -> None:
        """Ask every process to save and end; once is enough."""
        with self.lock:
            if self.stopped:
                return
            self.stopped = True
            for connection in self.at_work.values():
                with suppress(OSError):  # it has just ended
                    connection.send("stop")

    def kill(self) -> None:
        """End every process at once."""
        with self.lock:
            self.stopped = self.killed = True
            for process in self.at_work:
                process.kill()


def _without_a_word(exit_code: int) -> Outcome:
    """The outcome of a run whose process ended before it could say how."""
    if exit_code >= 0:
        return Outcome("failed", error=f"its process left with exit code {exit_code}")
    name = signal.Signals(-exit_code).name
    cause = ", as a system out of memory does" if -exit_code == signal.SIGKILL else ""
    return Outcome("killed", error=f"its process was killed by {name}{cause}")


def processes(threads: int) -> Any:
    """What starts the processes: where the system can fork, a server that has imported torch already.

    The server's threads are limited before it imports anything, because torch and its libraries look only then.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    # The last one keeps an import from starting CUDA in the server, whose children could not use it any more.
    wanted = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        if context.get_start_method() == "forkserver":
            from multiprocessing import forkserver

            context.set_forkserver_preload(["__main__", *_PRELOADED])
            with _signals_ignored():  # also by the server, which would die of it while it imports
                forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return context


@contextmanager
def _signals_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *SAVING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _train(connection: Connection, job: Job, threads: int, gpu: str | None) -> None:
    """What the process of a run does. It prints to the run's log and reports through `connection`.

    A Ctrl-C reaches every process of the terminal, but only the sweep decides when a run ends. The sweep asks for the
    end through the connection, which also breaks when the sweep dies. A second request changes nothing.
    """
    # Its output.
    with suppress(OSError):  # `attempt` will say so
        job.folder.mkdir(parents=True, exist_ok=True)
        with disk.growing_file(job.folder / "train.log") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
    faulthandler.enable()  # a crash below Python leaves its place in the log

    # Its devices.
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA is first used
    import torch

    torch.set_num_threads(threads)

    # How it hears from the sweep, and the sweep from it.
    for number in (*ENDING, *SAVING):
        signal.signal(number, signal.SIG_IGN)
    lock = threading.Lock()

    def send(message: Seen | Outcome) -> None:
        try:
            with lock:
                connection.send(message)
        except OSError:
            pass  # the sweep is gone, and `stop_when_asked` knows it

    def stop_when_asked() -> None:
        with suppress(EOFError, OSError):
            connection.recv()
        os.kill(os.getpid(), signal.SIGINT)

    with streams.forgiving(), stop_request():
        threading.Thread(target=stop_when_asked, daemon=True).start()
        send(attempt(job, send))
