"""This process: the cores that it may use, what its main thread does, and how it leaves at once."""

import logging
import multiprocessing
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from traceback import extract_stack
from typing import NamedTuple, NoReturn

SPIN_COUNT = 20_000  # rounds; see docs/speed.md, "Threads"


def let_waiting_threads_sleep() -> None:
    """Let threads that wait for each other give up their core soon. Must be called before torch is imported.

    libgomp's own wait of 300,000 rounds keeps a core from those that are waited for where others use the machine too: a
    run took a hundred times as long. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


def threads_asked_for() -> int | None:
    """The threads that an exported OMP_NUM_THREADS asks for; None where there is none, or none that is a number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # what follows is for nested teams
    return int(first) if first.isdecimal() and int(first) > 0 else None


def cores() -> int:
    """The cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def children() -> set[int]:
    """The processes that this one has started and that are there still; where the system does not say, Python's."""
    listed = [*Path("/proc/self/task").glob("*/children")]
    found = {child.pid for child in multiprocessing.active_children() if child.pid is not None}
    for path in listed:
        with suppress(OSError):  # that thread has just ended
            found |= set(map(int, path.read_text().split()))
    return found


class Known(NamedTuple):
    """A process, as another one of its machine can tell whether it is still there."""

    namespace: str  # in which its number means it; empty where the system does not say
    number: int
    started: str  # at which moment: a number is given again


def myself() -> Known:
    return Known(_namespace(), os.getpid(), _stat(os.getpid())[1])


def is_gone(known: Known) -> bool:
    """Whether that process has ended, also where nobody took note of it yet. False of one on another machine."""
    if not known.namespace or known.namespace != _namespace():
        return False
    state, started = _stat(known.number)
    return state in ("", "Z", "X") or started != known.started


@cache
def _namespace() -> str:
    """A name for the numbers of processes here: of this start of this machine, and of this container."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _stat(number: int) -> tuple[str, str]:
    """The state of a process, and the moment at which it was started; empty where there is none.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    try:
        _, _, rest = Path(f"/proc/{number}/stat").read_text().rpartition(")")  # a name may hold anything
    except OSError:
        return "", ""
    fields = rest.split()
    return fields[0], fields[19]


def memory_bytes() -> int:
    """What this process holds of the machine's memory; where the system does not say, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        import resource  # Windows has none, and no way to fork either

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def leave_at_once(code: int) -> NoReturn:
    """End this process now, without Python's own end: no `finally`, no `atexit`, no other thread is waited for.

    For a process whose main thread is stuck in a call that never returns, and for a rank of a process group, whose
    threads Python destroys in an order that now and then aborts the process. Seen to work with CPython 3.11.
    """
    os._exit(code)


def leave_after_printing(code: int) -> NoReturn:
    """As `leave_at_once`, but what was logged and printed is written first."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    leave_at_once(code)


def main_thread_is_in() -> str:
    """The function, file and line that the main thread is in, for a message about a process that hangs.

    Only CPython's `sys._current_frames` shows one thread to another. Seen to work with CPython 3.11.
    """
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    place = extract_stack(frame)[-1]
    return f"in {place.name}, {place.filename}:{place.lineno}"


def ranks() -> int:
    """How many processes torchrun, or another launcher that sets its variables, has started for one command."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_one_of_several() -> bool:
    """Whether this process is one of them."""
    return ranks() > 1
