"""How long threads that wait for each other may spin: a run with two, on an idle machine and on a busy one.

Of libgomp, the OpenMP of torch's builds for Linux. The seconds are those of training, without the start.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import environment
from lrlab.system.process import SPIN_COUNT

TRAIN = str(timing.ROOT / "train.py")
MOST_SECONDS = 30.0  # of a process that is given up, and then of its training
LIBGOMPS = "libgomp's own, 300,000 rounds"
WAYS: Mapping[str, Mapping[str, str]] = {
    LIBGOMPS: {"GOMP_SPINCOUNT": "300000"},
    f"lrlab's, {SPIN_COUNT:,} rounds": {},
    "asleep at once (passive)": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
DIGITS = ("trainer.epochs=4",)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("threads", __doc__, repeats=3)
    parser.add_argument("--root", help="the folder of MNIST; without it only digits are trained on")
    parser.add_argument("--hogs", type=int, default=8, help="processes that keep the machine busy (default: 8)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    runs = {"digits, CNN, 4 epochs": DIGITS}
    if options.root and not options.quick:
        mnist = ("data=mnist", f"data.root={options.root}", "data.download=false", "trainer.epochs=1")
        runs |= {"MNIST, MLP, 1 epoch": (*mnist, "model=mlp"), "MNIST, CNN, 1 epoch": mnist}
    tables = [_compared(f"idle: {name}", typed, timing.repeats(options)) for name, typed in runs.items()]
    with hogs(options.hogs):
        title = f"busy with {options.hogs} other processes: digits, CNN, 4 epochs (given up after {MOST_SECONDS:g} s)"
        tables.append(_compared(title, DIGITS, timing.repeats(options)))
    timing.report("threads", tables, options, before)


def _compared(title: str, typed: Sequence[str], repeats: int) -> timing.Table:
    cases = {name: partial(seconds, typed, variables) for name, variables in WAYS.items()}
    return timing.compare(f"two threads, {title}", cases, base=LIBGOMPS, repeats=repeats)


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    """In this block so many other processes compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds(typed: Sequence[str], variables: Mapping[str, str]) -> timing.Measured:
    """Of the training of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, TRAIN, *typed, "hydra.run.dir=run"]
        settings = {"env": environment(2) | variables, "cwd": folder, "stdout": subprocess.DEVNULL}
        try:
            subprocess.run(command, check=True, timeout=MOST_SECONDS, **settings)
        except subprocess.TimeoutExpired:
            return {"seconds": MOST_SECONDS}
        return {"seconds": json.loads((Path(folder) / "run" / "summary.json").read_text())["seconds"]}


if __name__ == "__main__":
    main()
