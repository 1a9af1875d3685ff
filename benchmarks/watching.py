"""Microseconds that `lrlab.watch` adds to an update, and what a schedule costs from a cold start."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks import timing

UPDATES, QUICK_UPDATES = 20_000, 2_000
BASE = "optimizer.step() alone"
COLD = """
import time
started = time.perf_counter()
import lrlab
lrlab.schedule("wsd", lr=0.1, total_steps=9380)(37)
print(time.perf_counter() - started)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("watching", __doc__, repeats=5).parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    before = timing.machine()
    updates = QUICK_UPDATES if options.quick else UPDATES
    tables = []
    for groups in (1, 4):
        ways = {BASE: False, "watched": True}
        cases = {name: partial(steps, updates, groups, watched=watched) for name, watched in ways.items()}
        title = f"SGD, {groups} parameter group{'s' if groups > 1 else ''}"
        tables.append(timing.compare(title, cases, base=BASE, repeats=timing.repeats(options)))
    starts = {"lrlab.schedule('wsd', ...)(37)": cold_start}
    tables.append(timing.compare("a cold start", starts, base=next(iter(starts)), repeats=timing.repeats(options)))
    timing.report("watching", tables, options, before, updates=updates)


def steps(updates: int, groups: int, *, watched: bool) -> timing.Measured:
    """Microseconds of an update of `groups` small tensors, each a parameter group."""
    import torch

    import lrlab

    torch.set_num_threads(1)
    parameters: list[dict[str, Any]] = []
    for _ in range(groups):
        parameter = torch.zeros(16, requires_grad=True)
        parameter.grad = torch.ones(16)
        parameters.append({"params": [parameter]})
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    watch = lrlab.watch(optimizer, lrlab.schedule(lrlab.schedules.constant, total_steps=updates))
    if watched:
        watch.begin()
    started = time.perf_counter()
    for _ in range(updates):
        optimizer.step()
    seconds = time.perf_counter() - started
    if watched:
        watch.end()
        assert watch.equal
    return {"microseconds": 1e6 * seconds / updates}


def cold_start() -> timing.Measured:
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True, cwd=timing.ROOT)
    return {"milliseconds": 1000 * float(done.stdout)}


if __name__ == "__main__":
    main()
