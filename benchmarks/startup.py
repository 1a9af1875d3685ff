"""Seconds from the start of a process to its end: the default run, the help and the preview, beside `import torch`."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial

from benchmarks import timing
from benchmarks.processes import environment

BASE = "import torch"
COMMANDS = {
    BASE: ("-c", "import torch"),
    "train.py --help": (str(timing.ROOT / "train.py"), "--help"),
    "lrlab.preview": ("-m", "lrlab.preview"),
    "train.py, of one epoch": (str(timing.ROOT / "train.py"), "trainer.epochs=1"),
    "train.py, the default run": (str(timing.ROOT / "train.py"),),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("startup", __doc__, repeats=7).parse_args(arguments)
    before = timing.machine()
    cases = {name: partial(seconds, command) for name, command in COMMANDS.items()}
    cases[BASE]()  # the file system's cache
    table = timing.compare("start to end, 1 thread", cases, base=BASE, repeats=timing.repeats(options))
    timing.report("startup", [table], options, before)


def seconds(command: Sequence[str]) -> timing.Measured:
    """Of one process, in an empty folder, its output thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment(1), check=True, stdout=subprocess.DEVNULL
        )
        return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
