"""Seconds to plan sweeps of a thousand and of ten thousand runs, and to compare as many folders of runs.

Planning is from what was typed to the lines that are printed before anything trains, in a process that has imported
torch. Comparing is `lrlab compare` from process start to end, with its page, figures and table.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import timing

_PLAN = """
import sys, time
import torch
from lrlab.comparison import results
from lrlab.config.compose import let_hydra_find_plugins
from lrlab.sweeps import launch, plan, request, settings, shared
let_hydra_find_plugins()
begun = time.perf_counter()
asked = request.read_request(sys.argv[1:])
planned = shared.share(request.check(asked))
launcher = settings.read_settings(request._plain(asked.config.hydra.launcher))
lines = [asked.in_words, *launch.start_lines(planned, launcher)]
print(time.perf_counter() - begun, len(planned.jobs))
"""


def values(key: str, first: float, step: float, count: int) -> str:
    """An axis with so many values: `key=first,first+step,...`."""
    return f"{key}={','.join(f'{first + step * number:.6g}' for number in range(count))}"


def sweeps(runs: int) -> dict[str, list[str]]:
    """Sweeps of so many runs, a power of ten, by what varies in them."""
    tens = runs // 100
    lrs, few_lrs = values("optimizer.lr", 0.001, 0.001, tens), values("optimizer.lr", 0.01, 0.01, 10)
    gammas = values("scheduler.gamma", 0.9, 0.0009, 100)
    schedulers = "scheduler=step,cosine,warmup_cosine,wsd,onecycle,linear,exponential,constant,plateau,rex"
    sizes = "data.batch_size=16,32,48,64,96,128,192,256,384,512"
    return {
        "seeds x LRs x gammas": [
            *("scheduler=exponential", few_lrs),
            *(values("scheduler.gamma", 0.9, 0.009, 10), f"seed=range({tens})"),
        ],
        "LRs x gammas": ["scheduler=exponential", lrs, gammas],
        "LRs x decays of wsd": ["scheduler=wsd", lrs, values("scheduler.lr_lambda.decay", 1, 1, 100)],
        "schedulers x batch sizes x LRs": [schedulers, sizes, lrs if tens > 10 else few_lrs],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("scale", __doc__, repeats=3).parse_args(arguments)
    before = timing.machine()
    sizes = [100] if options.quick else [1_000, 10_000]
    tables = []
    for runs in sizes:
        cases = {name: partial(planning, typed) for name, typed in sweeps(runs).items()}
        base = next(iter(cases))
        tables.append(timing.compare(f"planning {runs:,} runs", cases, base=base, repeats=timing.repeats(options)))
    with tempfile.TemporaryDirectory() as place:
        cases = {}
        for runs in sizes:
            for name, write in (("10 schedules", few_schedules), ("100 schedules", many_schedules)):
                folder = Path(place) / f"{runs} {name}"
                write(folder, runs)
                cases[f"{runs:,} runs of {name}"] = partial(comparing, folder, runs)
        title = "comparing folders of runs"
        tables.append(timing.compare(title, cases, base=next(iter(cases)), repeats=timing.repeats(options)))
    timing.report("scale", tables, options, before)


def planning(typed: Sequence[str]) -> timing.Measured:
    """The seconds until a sweep could start, and for each run."""
    with tempfile.TemporaryDirectory() as place:
        ran = subprocess.run(
            [sys.executable, "-c", _PLAN, *typed], cwd=place, check=True, capture_output=True, text=True
        )
    seconds, runs = map(float, ran.stdout.split())
    return {"seconds": seconds, "ms per run": 1000 * seconds / runs}


def comparing(folder: Path, runs: int) -> timing.Measured:
    """The seconds of a comparison, and the size of its page."""
    import time

    begun = time.perf_counter()
    command = [sys.executable, "-m", "lrlab", "compare", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    megabytes = (folder / "report.html").stat().st_size / 1e6
    return {"seconds": seconds, "ms per run": 1000 * seconds / runs, "page MB": megabytes}


def few_schedules(folder: Path, runs: int) -> None:
    """Write the folders of ten schedules, each at ten LRs with all seeds."""
    for number in range(runs):
        write(folder, number, f"S{number // 10 % 10}", 0.01 * 1.5 ** (number % 10), seed=number // 100)


def many_schedules(folder: Path, runs: int) -> None:
    """Write the folders of a hundred schedules, each at its own LRs with one seed."""
    for number in range(runs):
        write(folder, number, f"S{number % 100}", 0.001 * (1 + number // 100), seed=0)


def write(folder: Path, number: int, scheduler: str, lr: float, *, seed: int) -> None:
    """Write the folder of one run of twenty epochs."""
    from tests.fabricated import counted, write_run

    drawn = random.Random(number)
    accuracy = counted(0.9 + 0.02 * drawn.random())
    curve = [accuracy * (1 - 0.5**epoch) for epoch in range(1, 20)]
    loss = 1 - accuracy + 0.001 * drawn.random()
    name = f"scheduler={scheduler},lr={lr:.6g},seed={seed}"
    write_run(folder / name, scheduler=scheduler, lr=lr, seed=seed, accuracy=accuracy, curve=curve, loss=loss)


if __name__ == "__main__":
    main()
