"""What starts the processes of a sweep: a server that imports everything once, from which they are forked.

The import takes as long as some small runs. So it begins as soon as the sweep is read, beside this process's own.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lrlab.system.signals import SAVING

# What a run imports sooner or later. The last one is what torch imports of its compiler when an optimizer is made.
_PRELOADED = ["lrlab.sweeps.worker", "lrlab.runs.run", "torch._dynamo"]


def started(threads: int) -> Any:
    """What starts processes. Where the system can fork that is a server; the first call has it begin to import torch.

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
