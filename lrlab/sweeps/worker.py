"""A process of a sweep: it carries out one run after another, and leaves where a run may have left something in it.

It prints to the log of the run at hand, and is told and tells through a connection: a `Job` to carry out, or a `Stack`
of them, or `STOP`; what a run reports and how it ended, each with its name, or that they were `DROPPED` because the end
was asked for before they began; and whether the process is `READY` for another or `LEAVES`, which may take it a while.
"""

import faulthandler
import gc
import os
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lrlab.sweeps.job import Job, Outcome, Seen, Stack, attempt
from lrlab.system import disk, process, streams
from lrlab.system.signals import ENDING, SAVING, stop_request

STOP, DROPPED, READY, LEAVES = "stop", "dropped", "ready", "leaves"
_MOST_GROWTH_BYTES = 1 << 30  # of what the process holds, from its first run to a later one


def work(connection: Connection, threads: int, gpu: str | None, reuse: bool) -> None:
    """Carry out the jobs that come through `connection`, until it breaks or a run leaves something behind.

    With `reuse` false it is one job. After one that did not finish there is no other.

    A Ctrl-C reaches every process of the terminal, but only the sweep decides when a run ends. The sweep asks for the
    end through the connection, which also breaks when the sweep dies. A second request changes nothing.
    """
    faulthandler.enable()  # a crash below Python leaves its place in the log

    # Its devices.
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA is first used
    import torch

    torch.set_num_threads(threads)
    from lrlab.runs.guest import guest

    # How it hears from the sweep, and the sweep from it.
    for number in (*ENDING, *SAVING):
        signal.signal(number, signal.SIG_IGN)
    sweep = _Sweep(connection)
    threading.Thread(target=sweep.listen, daemon=True).start()

    gc.freeze()  # what the server has loaded is never garbage, and looking at it would copy its pages
    traces = _Traces()
    while (job := sweep.next_job()) is not None:
        _print_to(job.folder)  # of several runs: that of the first, where nobody says whom it is about
        with streams.forgiving(), guest(), stop_request() as request:
            if sweep.is_over:  # it said so before this process could be interrupted
                request.note(signal.SIGINT)
            outcomes = _carried_out(job, sweep.send)
        if isinstance(job, Job):
            sweep.send((job.name, outcomes[job.name]))
        have_finished = all(outcome.status == "finished" for outcome in outcomes.values())
        if not reuse or not have_finished or traces.are_left():
            sweep.send(LEAVES)
            return
        sweep.send(READY)


def _carried_out(unit: Job | Stack, send: Callable[[Any], None]) -> dict[str, Outcome]:
    """How the run ended, or each of the runs that train in one step, by name. `send` is given what they report.

    It is also told at once how each of several runs ended.
    """
    if isinstance(unit, Job):
        return {unit.name: attempt(unit, lambda report: send((unit.name, report)))}

    from lrlab.sweeps.together import attempt_together

    outcomes = {}

    def tell(job: Job, message: Seen | Outcome) -> None:
        if isinstance(message, Outcome):
            outcomes[job.name] = message
        send((job.name, message))

    attempt_together(unit, tell)
    return outcomes


class _Sweep:
    """The other end of the connection."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.jobs: queue.SimpleQueue[Job | Stack | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.is_over = False

    def listen(self) -> None:
        """Take in what the sweep says. Once it asks for the end, or is gone, a run under way is asked to stop."""
        taken_in: list[Job | Stack] = []
        with suppress(EOFError, OSError):
            while (message := self.connection.recv()) != STOP:
                taken_in.append(message)
                while taken_in and not self.connection.poll():  # or else the next may be that nothing is to begin
                    self.jobs.put(taken_in.pop(0))
        self.is_over = True
        for job in taken_in:
            self.jobs.put(job)
        self.jobs.put(None)
        os.kill(os.getpid(), signal.SIGINT)  # is ignored between two runs

    def next_job(self) -> Job | Stack | None:
        """The next run to carry out; None once there is none any more."""
        job = self.jobs.get()
        if self.is_over and job is not None:
            self.send(DROPPED)
        return None if self.is_over else job

    def send(self, message: Any) -> None:
        try:
            with self.lock:
                self.connection.send(message)
        except OSError:
            pass  # the sweep is gone, and `listen` knows it


def _print_to(folder: Path) -> None:
    """Have everything that is printed from now on in the log of the run in `folder`, whatever the run before did."""
    with suppress(OSError):  # `attempt` will say so
        folder.mkdir(parents=True, exist_ok=True)
        with disk.growing_file(folder / "train.log") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    streams.renew()


class _Traces:
    """What a run may leave in its process, and the next one would meet."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.children = process.children()
        self.first_bytes: int | None = None  # held after the first run, which loads what all of them use

    def are_left(self) -> bool:
        """Whether a run left a thread, a process of its own, or much memory behind."""
        others = [one for one in threading.enumerate() if one not in self.threads and one.is_alive()]
        return bool(others or process.children() - self.children) or self.have_grown()

    def have_grown(self) -> bool:
        """Whether the process holds much more memory than after its first run."""
        held_bytes = process.memory_bytes()
        self.first_bytes = self.first_bytes or held_bytes
        if held_bytes - self.first_bytes <= _MOST_GROWTH_BYTES:
            return False
        gc.collect()  # which takes as long as half a small run
        return process.memory_bytes() - self.first_bytes > _MOST_GROWTH_BYTES
