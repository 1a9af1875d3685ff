"""Milliseconds an update of a run takes as one of K in one step, and the peak memory of that process.

Each is a process of its own with one thread: the digits of lrlab, 64 images a batch, SGD with momentum. What is timed
is the step alone, its forward and backward pass and the optimizers' updates: the fastest of several steps. `alone` is
lrlab's update of one run. The first step of a compiled one is its compilation, on a warm disk where it was done before.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks import processes, timing
from benchmarks.timing import Measured

ALONE = "alone"
MODELS = ("mlp", "cnn")
FORMS = ("eager", "compiled")
MOST = (2, 8, 32, 64)
SECONDS_EACH = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("stacking", __doc__, repeats=3).parse_args(arguments)
    before = timing.machine()
    tables = []
    for model in MODELS:
        cases: dict[str, Callable[[], Measured]] = {ALONE: partial(step_of, model, 1, ALONE)}
        for form in FORMS:
            for rows in MOST[:2] if options.quick else MOST:
                cases[f"{form}, {rows} in a step"] = partial(step_of, model, rows, form)
        title = f"An update of a run, {model} on digits, 1 thread"
        tables.append(timing.compare(title, cases, base=ALONE, repeats=timing.repeats(options)))
    timing.report("stacking", tables, options, before)


def step_of(model: str, rows: int, form: str) -> Measured:
    return processes.measure("stacking:measure", threads=1, memory=True, model=model, rows=rows, form=form)


def measure(model: str, rows: int, form: str) -> dict[str, Any]:
    """The milliseconds that one of so many runs takes for an update, and the seconds of the first step."""
    import torch

    from lrlab.config import compose
    from lrlab.config.prepare import prepare_typed
    from lrlab.stacking import compiled
    from lrlab.sweeps import trial

    torch.set_num_threads(1)
    typed = [f"model={model}"]
    prepared = prepare_typed(compose.compose(typed), typed)
    size = prepared.batching.batch_size
    if form == ALONE:
        step = trial.step_alone(prepared, size)
    else:
        kept = compiled(rows) if form == "compiled" else form
        step = trial.step_together(prepared, trial.table_of(prepared, rows, kept), size)
    began = time.perf_counter()
    step()
    first = time.perf_counter() - began
    return {"ms an update": fastest(step) / rows * 1e3, "seconds of the first step": first}


def fastest(step: Callable[[], object]) -> float:
    """The seconds of the fastest step."""
    ends, best = time.perf_counter() + SECONDS_EACH, float("inf")
    while time.perf_counter() < ends:
        began = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
