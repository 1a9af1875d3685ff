"""Advice (`lrlab advise`) against a grid of 12 schedules, five base LRs and three seeds, on tasks that it has not seen.

The grids are the runs of `benchmarks.forecast_runs` that have five LRs: half a step of 4 apart, around cosine's best.
Advice is asked for the same 12 schedules and knows none of these runs. What it says is then trained with four fresh
seeds. The grid's best cell is chosen by three seeds and scored by the fourth, each in turn. `--advise` asks anew,
which takes some minutes a task; what was said before is in `forecast_bank/advice.json`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.forecast_runs import BANK, GRID, REPORT, SCHEDULES, SEEDS, Setting, finals, place, prepared, read
from benchmarks.timing import ROOT, Table

SAID = BANK / "advice.json"
FRESH = range(10, 14)  # seeds
GRID_SEEDS = 3
BUDGET = 16.0  # runs' worth of updates
LAUNCHER = ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("advice", __doc__, repeats=1)
    parser.add_argument("--advise", action="store_true", help="ask anew, and train what is said")
    parser.add_argument("--root", default="data", help="where data sets lie (default: data)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    named = {name: setting for name, setting in REPORT.items() if setting.multiples == GRID and place(name).is_file()}
    said = json.loads(SAID.read_text()) if SAID.is_file() else {}
    if options.advise:
        said = {name: ask(setting, options.root) for name, setting in named.items()}
        SAID.write_text(json.dumps(said, indent=2) + "\n")
    rows = [{"name": name, **_row(name, said[name])} for name in named if name in said]
    left_out = {name: "not asked yet" for name in named if name not in said}
    title = f"Advice for {BUDGET:g} runs' worth, and a grid of 12 schedules x 5 LRs x 3 seeds"
    timing.report("advice", [Table(title, "", rows, left_out)], options, before)


def ask(setting: Setting, root: str) -> dict[str, Any]:
    """What is advised for a setting, and the losses of what is advised with fresh seeds."""
    with TemporaryDirectory() as folder:
        typed = prepared(setting, root, Path(folder))
        schedules = f"scheduler={','.join(SCHEDULES)}"
        asked = [*typed, schedules, f"advise.budget={BUDGET:g}", "advise.json=said.json", *LAUNCHER]
        _run([sys.executable, "-m", "lrlab.advise", *asked], folder)
        said = json.loads(Path(folder, "said.json").read_text())
        chosen = [f"scheduler={said['schedule']}", f"optimizer.lr={said['lr']}", f"seed={','.join(map(str, FRESH))}"]
        _run([sys.executable, str(ROOT / "train.py"), "-m", *typed, *chosen, "sweep=fresh", *LAUNCHER], folder)
        found = sorted(Path(folder, "outputs", "sweeps", "fresh").glob("*/summary.json"))
        losses = [json.loads(path.read_text()).get("val_loss") for path in found]
    return {
        "schedule": said["schedule"],
        "lr": said["lr"],
        "expected": said["loss"],
        "interval": said["interval"],
        "runs_worth": said["cost"]["runs_worth"],
        "losses": losses,
    }


def _run(command: Sequence[str], folder: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)


def _row(name: str, said: dict[str, Any]) -> dict[str, Any]:
    measured = finals(read(name), "val")  # (schedule, LR, seed)
    best = []
    for scored in range(SEEDS):
        others = [seed for seed in range(SEEDS) if seed != scored]
        means = measured[:, :, others].mean(axis=2)
        schedule, lr = np.unravel_index(int(means.argmin()), means.shape)
        best.append(measured[schedule, lr, scored])
    means = measured.mean(axis=2)
    schedule, lr = np.unravel_index(int(means.argmin()), means.shape)
    here, grid = np.array(said["losses"], float), np.array(best, float)
    noise = float(np.hypot(here.std(ddof=1) / len(here) ** 0.5, grid.std(ddof=1) / len(grid) ** 0.5) / grid.mean())
    low, high = said["interval"]
    return {
        "advised": f"{said['schedule']} at {said['lr']:g}",
        "its loss": round(float(here.mean()), 4),
        "said before": f"{said['expected']:.4g} ({low:.4g} to {high:.4g})",
        "the grid's best": f"{SCHEDULES[schedule]} at {REPORT[name].lrs[lr]:g}",
        "the grid's loss": round(float(grid.mean()), 4),
        "worse by": f"{here.mean() / grid.mean() - 1:+.1%}",
        "standard error": f"{noise:.1%}",
        "runs' worth": round(said["runs_worth"], 1),
        "of the grid": f"{said['runs_worth'] / (len(SCHEDULES) * len(GRID) * GRID_SEEDS):.1%}",
    }


if __name__ == "__main__":
    main()
