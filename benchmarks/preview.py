"""Seconds that the plan of 100,000 updates takes, for every scheduler."""

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks import timing

UPDATES, QUICK_UPDATES, EPOCHS = 100_000, 10_000, 100
BASE = "constant"
UNPLANNED = ("plateau", "greedy")  # nothing is planned for those that follow a metric


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("preview", __doc__, repeats=3).parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    from lrlab.config import compose

    before = timing.machine()
    updates = QUICK_UPDATES if options.quick else UPDATES
    cases = {
        name: partial(
            seconds,
            compose.compose([f"scheduler={name}", "scheduler.interval=step", f"trainer.epochs={EPOCHS}"]),
            updates // EPOCHS,
        )
        for name in compose.options("scheduler")
        if name not in UNPLANNED
    }
    cases[BASE]()  # imports
    table = timing.compare(f"plans of {updates:,} updates", cases, base=BASE, repeats=timing.repeats(options))
    table.rows.sort(key=lambda row: row["seconds"])
    timing.report("preview", [table], options, before, updates=updates)


def seconds(config: Any, steps_per_epoch: int) -> timing.Measured:
    from lrlab.config.prepare import plan_only

    started = time.perf_counter()
    plan_only(config, steps_per_epoch)
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
