"""How long the plan of 100,000 updates takes, for every scheduler: `python benchmarks/preview.py`.

Prints a table and writes `benchmarks/preview.json`: medians of interleaved repeats, with the lowest and the highest,
and each one's ratio to `scheduler=constant` of the same repeat.
"""

import json
import os
import platform
import statistics
import time
from pathlib import Path

UPDATES, REPEATS = 100_000, 3


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from lrlab import compose, summary
    from lrlab.prepare import plan_only

    configs = {}
    for name in compose.options("scheduler"):
        if name not in ("plateau", "greedy"):  # nothing is planned for those that follow a metric
            configs[name] = compose.compose([f"scheduler={name}", "scheduler.interval=step", "trainer.epochs=100"])
    plan_only(configs["constant"], 10)  # imports
    seconds: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(REPEATS):
        for name, config in configs.items():
            started = time.perf_counter()
            plan_only(config, UPDATES // 100)
            seconds[name].append(time.perf_counter() - started)
    baseline = seconds["constant"]
    rows = []
    for name, times in sorted(seconds.items(), key=lambda item: statistics.median(item[1])):
        ratios = [own / base for own, base in zip(times, baseline, strict=True)]
        rows.append(
            {
                "scheduler": name,
                "seconds": round(statistics.median(times), 3),
                "lowest": round(min(times), 3),
                "highest": round(max(times), 3),
                "ratio_to_constant": round(statistics.median(ratios), 2),
                "ratio_lowest": round(min(ratios), 2),
                "ratio_highest": round(max(ratios), 2),
            }
        )
    print(f"{'scheduler':<24}{'seconds':>9}{'lowest':>9}{'highest':>9}{'to constant':>13}")
    for row in rows:
        print(
            f"{row['scheduler']:<24}{row['seconds']:>9}{row['lowest']:>9}{row['highest']:>9}"
            f"{row['ratio_to_constant']:>9} ({row['ratio_lowest']}-{row['ratio_highest']})"
        )
    machine = {"processor": platform.processor(), "cores": os.cpu_count(), **summary.versions()}
    report = {"updates": UPDATES, "repeats": REPEATS, "machine": machine, "rows": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
