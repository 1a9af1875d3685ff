"""Commands in processes of their own, forked from a server that has imported everything.

A start takes a tenth of a second instead of several. What a start imports, and what `torchrun` does around it, can
only be seen in real processes; a few tests start those.
"""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = (
    *("lrlab.commands.train", "lrlab.runs.run", "lrlab.runs.checkpoint", "lrlab.sweeps.request", "lrlab.runs.assemble"),
    *("lrlab.sweeps.worker", "sklearn.model_selection"),
    *("sklearn.datasets", "torchvision", "torch.nn.parallel", "torch._dynamo", "matplotlib", "rich.live"),
)
SECONDS_TO_END = 60.0  # of any process; far more than one needs, so that no busy machine fails a test


def server() -> Any:
    """The context whose processes are forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def become_a_command(variables: Mapping[str, str], output: Path, errors: Path | None = None) -> None:
    """Let this process, which was forked, be as one that a shell has started: the leader of a group of its own."""
    import torch

    os.setsid()
    for stream, path in ((1, output), (2, errors or output)):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(handle, stream)
        os.close(handle)
    # Python looks once whether its streams can be moved in, as files can and pipes cannot.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # by the line, as Python's is
    os.environ.update({"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **variables})
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):  # the server may ignore them
        signal.signal(number, signal.SIG_DFL)


class Started:
    """A command that runs, with the methods of `subprocess.Popen` that the tests use."""

    keeps: Any = None  # what must live as long as it does

    def __init__(
        self,
        main: Callable[[], None],
        arguments: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        output: Path | None = None,
    ):
        beside = Path(tempfile.mkdtemp(prefix="said-", dir=folder.parent))  # pytest clears it away with the test's own
        self.output, self.errors = output or beside / "output", beside / "errors"
        told = (list(arguments), folder, dict(variables), (self.output, self.errors))
        self.process = server().Process(target=_carry_out, args=(main, *told))
        self.process.start()
        self.pid: int = self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number where one ended it; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float = SECONDS_TO_END) -> int:
        """Wait for the end, and return the exit code. Raises TimeoutExpired where it does not come."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            os.killpg(self.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired("train.py", timeout, self.said(), self.complained())
        return int(self.process.exitcode)

    def communicate(self, timeout: float = SECONDS_TO_END) -> tuple[str, str]:
        """What it printed, and what it complained about, once it has ended."""
        self.wait(timeout)
        return self.said(), self.complained()

    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text() if self.output.is_file() else ""  # or else a pipe or a device

    def complained(self) -> str:
        return self.errors.read_text() if self.errors.exists() else ""

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _carry_out(
    main: Callable[[], None], arguments: list[str], folder: Path, variables: dict[str, str], said: tuple[Path, Path]
) -> None:
    """What the process does."""
    become_a_command(variables, *said)
    os.chdir(folder)
    sys.argv = ["train.py", *arguments]
    main()


def start(*arguments: str, variables: Mapping[str, str] | None = None, output: Path | None = None) -> Started:
    """`python train.py ARGUMENTS` in the current folder. What it prints goes to `output` where that is given."""
    from lrlab.commands import train

    return Started(train.main, arguments, Path.cwd(), variables or {}, output)


def start_ranks(count: int, *arguments: str) -> list[Started]:
    """What torchrun starts for `python train.py ARGUMENTS` on `count` ranks; as there, the store is no rank's own."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [
        start(*arguments, variables={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)
    ]
    for rank in ranks:
        rank.keeps = store  # as long as one of them is looked at
    return ranks


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = SECONDS_TO_END) -> None:
    """Return when `condition()` holds; fails where it does not come to that."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:  # a guard against waiting for ever, no measurement
            raise TimeoutError("what is waited for does not come")
        time.sleep(0.01)


def group_lives(group: int) -> bool:
    """Whether a process of the group runs; one that ended and waits to be noticed does not."""
    return bool(processes_of_group(group))


def processes_of_group(group: int) -> list[int]:
    """The processes of the group that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, own = rest.split()[:3]
        if int(own) == group and state not in "ZX":
            found.append(int(path.parent.name))
    return sorted(found)
