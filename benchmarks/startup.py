"""Seconds from start to end of a process: commands beside `import torch`, the default run beside a bare script."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks import timing
from benchmarks.processes import environment

TRAIN = str(timing.ROOT / "train.py")
IMPORT = "import torch"
COMMANDS = {
    IMPORT: ("-c", "import torch"),
    "import lrlab": ("-c", "import lrlab"),
    "lrlab --help": ("-c", "from lrlab.commands.main import main; main()", "--help"),
    "train.py --help": (TRAIN, "--help"),
    "lrlab preview scheduler=cosine": ("-m", "lrlab.preview", "scheduler=cosine"),
    "train.py, of one epoch": (TRAIN, "trainer.epochs=1"),
}
BARE = "a bare script of the same training"
RUNS = {
    BARE: (str(timing.FOLDER / "bare.py"),),
    "train.py, the default run": (TRAIN,),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("startup", __doc__, repeats=7).parse_args(arguments)
    before = timing.machine()
    seconds(COMMANDS[IMPORT])  # the file system's cache
    tables = [
        _compared("commands, start to end, 1 thread", COMMANDS, IMPORT, timing.repeats(options)),
        _compared("20 epochs of digits, start to end, 1 thread", RUNS, BARE, timing.repeats(options)),
    ]
    timing.report("startup", tables, options, before)


def _compared(title: str, commands: Mapping[str, Sequence[str]], base: str, repeats: int) -> timing.Table:
    cases = {name: partial(seconds, command) for name, command in commands.items()}
    return timing.compare(title, cases, base=base, repeats=repeats)


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
