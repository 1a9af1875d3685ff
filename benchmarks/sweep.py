"""What running two at a time saves, and that it changes nothing: `python benchmarks/sweep.py`.

Sixteen runs of a small CNN on digits, from process start to end, carried out by lrlab's launcher with one and with two
runs at a time and by Hydra's basic launcher. Prints a table and writes `benchmarks/sweep.json`: medians of
interleaved repeats, with the lowest and the highest, and ratios to one at a time of the same repeat. Stops where the
results of two at a time are not those of one, bit for bit.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 3
RUNS = ("-m", "scheduler=constant,step,exponential,cosine", "optimizer.lr=0.02,0.05", "seed=0,1")
SIZE = ("data=digits", "model=cnn", "trainer.epochs=60")
WAYS = {
    "one at a time": ("hydra.launcher.n_jobs=1", "hydra.launcher.threads=1"),
    "two at a time": ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"),
    "Hydra's basic launcher": ("hydra/launcher=basic",),
}
BASE = "one at a time"


def main() -> None:
    from lrlab import summary

    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            for name, way in WAYS.items():
                seconds[name].append(carry_out(Path(folder), name, way))
                print(f"repeat {repeat + 1} of {REPEATS}: {name} {seconds[name][-1]:.1f} s", flush=True)
            require_same_results(Path(folder))
    rows = []
    for name, times in seconds.items():
        ratios = [own / base for own, base in zip(times, seconds[BASE], strict=True)]
        rows.append(
            {
                "way": name,
                "seconds": round(statistics.median(times), 1),
                "lowest": round(min(times), 1),
                "highest": round(max(times), 1),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_lowest": round(min(ratios), 2),
                "ratio_highest": round(max(ratios), 2),
            }
        )
    print(f"{'16 runs, 1 thread':<24}{'seconds':>9}{'lowest':>9}{'highest':>9}   to one at a time")
    for row in rows:
        print(
            f"{row['way']:<24}{row['seconds']:>9}{row['lowest']:>9}{row['highest']:>9}"
            f"{row['ratio']:>9} ({row['ratio_lowest']}-{row['ratio_highest']})"
        )
    print("two at a time gave the same weights and results.csv as one, bit for bit")
    machine = {"processor": platform.processor(), "cores": os.cpu_count(), **summary.versions()}
    report = {"command": [*RUNS, *SIZE], "repeats": REPEATS, "machine": machine, "rows": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")


def carry_out(folder: Path, name: str, way: tuple[str, ...]) -> float:
    """The seconds of one sweep in `folder`."""
    command = [sys.executable, "-m", "lrlab", *RUNS, *SIZE, *way, f"sweep={place(name)}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def place(name: str) -> str:
    """The name of the sweep's folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def require_same_results(folder: Path) -> None:
    """Stop where one and two at a time differ in any bit of their results or weights."""
    import torch

    one, two = (folder / "outputs" / "sweeps" / place(name) for name in ("one at a time", "two at a time"))
    same = (one / "results.csv").read_bytes() == (two / "results.csv").read_bytes()
    for path in one.glob("*/checkpoints/last.pt"):
        ours, theirs = (
            torch.load(file, weights_only=True)["state"]["model"] for file in (path, two / path.relative_to(one))
        )
        same = same and all(torch.equal(ours[name], theirs[name]) for name in ours)
    if not same:
        raise SystemExit("two at a time gave other results than one")


if __name__ == "__main__":
    main()
