"""Seconds of sixteen runs of a small CNN on digits: lrlab's launcher, one and two at a time, and Hydra's others.

From process start to end. Stops where the results of two at a time are not those of one, bit for bit.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing
from benchmarks.processes import environment

RUNS = ("-m", "scheduler=constant,step,exponential,cosine", "optimizer.lr=0.02,0.05", "seed=0,1")
SIZE = ("data=digits", "model=cnn", "trainer.epochs=60")
QUICK = ("-m", "scheduler=constant,cosine", "data=digits", "model=cnn", "trainer.epochs=2")
BASE, TWO, JOBLIB = "one at a time", "two at a time", "joblib's launcher, two at a time"
WAYS = {
    BASE: ("hydra.launcher.n_jobs=1", "hydra.launcher.threads=1"),
    TWO: ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"),
    "Hydra's basic launcher": ("hydra/launcher=basic",),
    JOBLIB: ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("sweep", __doc__, repeats=3).parse_args(arguments)
    before = timing.machine()
    command = QUICK if options.quick else (*RUNS, *SIZE)
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: partial(carry_out, Path(folder), command, name) for name in WAYS}
        count = "2 short runs" if options.quick else "16 runs"
        table = timing.compare(f"{count}, 1 thread each", cases, base=BASE, repeats=timing.repeats(options))
        require_same_results(Path(folder))
    timing.report("sweep", [table], options, before, command=command)
    print("two at a time gave the same weights and results.csv as one, bit for bit")


def carry_out(parent: Path, command: Sequence[str], name: str) -> timing.Measured:
    """The seconds of one sweep, in a folder of its own that stays for `require_same_results`."""
    if name == JOBLIB and importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        raise timing.Missing("hydra-joblib-launcher is not installed; pip install -e '.[bench]'")
    folder = tempfile.mkdtemp(prefix=place(name), dir=parent)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lrlab", *command, *WAYS[name], "sweep=all"],
        cwd=folder,
        env=environment(1),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {"seconds": time.perf_counter() - started}


def place(name: str) -> str:
    """How the folders of this way's sweeps begin."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def require_same_results(parent: Path) -> None:
    """Stop where sweeps, one and two at a time, differ in any bit of their results or weights."""
    import torch

    first, *others = [
        folder / "outputs" / "sweeps" / "all" for way in (BASE, TWO) for folder in sorted(parent.glob(f"{place(way)}*"))
    ]
    for other in others:
        same = (first / "results.csv").read_bytes() == (other / "results.csv").read_bytes()
        for path in first.glob("*/checkpoints/last.pt"):
            ours, theirs = (
                torch.load(file, weights_only=True)["state"]["model"]
                for file in (path, other / path.relative_to(first))
            )
            same = same and all(torch.equal(ours[name], theirs[name]) for name in ours)
        if not same:
            raise SystemExit("two at a time, or a repeat, gave other results than one")


if __name__ == "__main__":
    main()
