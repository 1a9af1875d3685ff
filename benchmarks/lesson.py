"""What the lesson shows: its figures and tables, in two languages the same.

Trains, on scikit-learn's digits with the small CNN and SGD with momentum (defaults of `python train.py`): a constant
LR and a cosine at five LRs over 30 epochs, and seven schedules over 100 epochs from an LR of 0.1; five seeds each.
What warm-up and Adam change is read from the runs of the benchmark `forecast`, which lie in `forecast_bank/`.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks import forecast_runs as bank
from benchmarks import timing
from benchmarks.timing import ROOT, Table
from lrlab.comparison import results
from lrlab.drawing.figures import save
from lrlab.drawing.panels import Band, Panel, draw_panels

PICTURES = ROOT / "docs" / "lesson"
SEEDS = 5
LRS = (0.003, 0.01, 0.03, 0.1, 0.3)
LONG = 100
# The tutorial's five schedulers over 100 epochs, with what its figure sets, between no schedule and today's habit.
SCHEDULERS: Mapping[str, tuple[str, ...]] = {
    "constant": ("scheduler=constant",),
    "StepLR": ("scheduler=step", "scheduler.step_size=25", "scheduler.gamma=0.5"),
    "ExponentialLR": ("scheduler=exponential", "scheduler.gamma=0.95"),
    "CosineAnnealingLR, T_max 20": ("scheduler=cosine_bounce", "scheduler.T_max=20", "scheduler.eta_min=0.0"),
    "LinearLR": ("scheduler=linear", "scheduler.end_factor=0.0"),
    "CyclicLR": ("scheduler=cyclic",),
    "CosineAnnealingLR, T_max 100": ("scheduler=cosine",),
}
DRAWN = ("constant", "StepLR", "ExponentialLR", "CosineAnnealingLR, T_max 20")
Found = Mapping[tuple[str, float], list[results.Result]]  # by schedule and LR


def main(arguments: Sequence[str] | None = None) -> None:
    options = timing.parser("lesson", __doc__, repeats=1).parse_args(arguments)
    before = timing.machine()
    seeds, epochs = (2, 2) if options.quick else (SEEDS, LONG)
    with TemporaryDirectory() as folder:
        lrs = ",".join(map(str, LRS))
        short = trained(
            Path(folder), "short", ["scheduler=constant,cosine", f"optimizer.lr={lrs}"], seeds, min(epochs, 30)
        )
        long: dict[tuple[str, float], list[results.Result]] = {}
        for name, typed in SCHEDULERS.items():
            [runs] = trained(
                Path(folder), name.replace(", ", "_"), [*typed, "optimizer.lr=0.1"], seeds, epochs
            ).values()
            long[name, 0.1] = runs
        tables = [at_several_lrs(short), over_a_hundred_epochs(long), warm_up(), adam()]
        if not options.quick:
            draw(long, PICTURES / "losses.png")
    timing.report("lesson", tables, options, before)


def trained(folder: Path, name: str, typed: Sequence[str], seeds: int, epochs: int) -> Found:
    """The runs of a sweep."""
    launcher = ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", f"hydra.sweep.dir={folder / name}")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *typed, f"seed=range({seeds})", f"trainer.epochs={epochs}"]
    subprocess.run([*command, *launcher], check=False, stdout=subprocess.DEVNULL, cwd=folder)  # some may diverge
    found: dict[tuple[str, float], list[results.Result]] = {}
    for run in results.find([folder / name]):
        schedule = str(run.settings["scheduler._target_"]).rpartition(".")[2]
        found.setdefault((schedule, float(run.settings["optimizer.lr"])), []).append(run)
    return found


def at_several_lrs(found: Found) -> Table:
    """A constant LR against one that falls, at each of the LRs."""
    rows = []
    for lr in LRS:
        row: dict[str, Any] = {"name": f"{lr:g}"}
        for name, schedule in (("constant", "ConstantLR"), ("cosine", "CosineAnnealingLR")):
            row[f"{name}: val loss"] = mean_and_spread(_last(found[schedule, lr], "val_loss"))
            row[f"{name}: accuracy"] = f"{np.mean(_last(found[schedule, lr], 'val_accuracy')):.1%}"
        rows.append(row)
    return Table("constant and falling LRs", "", rows)


def over_a_hundred_epochs(found: Found) -> Table:
    """Each scheduler at the end, and where its loss was lowest."""
    rows = []
    for (name, _), runs in found.items():
        losses = np.mean([[row.measured["val_loss"] for row in run.history] for run in runs], axis=0)
        rows.append(
            {
                "name": name,
                "last LR": f"{runs[0].history[-1].lr:.2g}",
                "val loss": mean_and_spread(_last(runs, "val_loss")),
                "lowest": f"{losses.min():.3f} (epoch {int(losses.argmin()) + 1})",
                "accuracy": f"{np.mean(_last(runs, 'val_accuracy')):.1%}",
            }
        )
    return Table("schedulers over 100 epochs", "", rows)


def warm_up() -> Table:
    """What a warm-up is worth at a quarter, once and four times the right LR: one-cycle begins at a 25th of its LR."""
    return _from_bank("warm-up", ("characters_gpt_adamw", "mnist_mlp_sgd"), ("cosine", "linear", "onecycle"))


def adam() -> Table:
    """What a falling LR is worth with SGD and with Adam."""
    names = ("mnist_mlp_sgd", "mnist_mlp_adam", "friedman_mlp_sgd", "friedman_mlp_adam")
    return _from_bank("Adam", names, ("constant", "cosine", "wsd"))


def _from_bank(title: str, names: Sequence[str], schedules: Sequence[str]) -> Table:
    rows = []
    for name in names:
        setting = {**bank.DEVELOPMENT, **bank.REPORT}[name]
        finals = bank.finals(bank.read(name), "val")
        for multiple in bank.SCORED:
            at = setting.multiples.index(multiple)
            row: dict[str, Any] = {"name": f"{name}, LR {setting.lr * multiple:g}"}
            for schedule in schedules:
                row[schedule] = mean_and_spread(list(finals[bank.SCHEDULES.index(schedule), at]))
            rows.append(row)
    return Table(title, "", rows)


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean over seeds and their standard deviation.

    >>> mean_and_spread([0.1, 0.2, 0.3])
    '0.200 ± 0.100'
    """
    if not np.isfinite(values).all():
        return "diverged"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _last(runs: Sequence[results.Result], name: str) -> list[float]:
    """What each run measured last; infinite where it diverged."""
    return [float(run.history[-1].measured[name] or 0) if run.status == "finished" else np.inf for run in runs]


def draw(found: Found, path: Path) -> None:
    """The losses of the tutorial's schedules beside their LRs, means over the seeds."""
    losses, lrs = [], []
    for name in DRAWN:
        runs = found[name, 0.1]
        epochs = [row.epoch + 1 for row in runs[0].history]
        values = np.array([[row.measured["val_loss"] for row in run.history] for run in runs], dtype=float)
        losses.append(Band(name, epochs, list(values.mean(0)), list(values.min(0)), list(values.max(0))))
        lrs.append(Band(name, [epoch - 1 for epoch in epochs], [row.lr for row in runs[0].history]))
    panels = [
        Panel(lrs, "epoch", "learning rate", stairs=True),
        Panel(losses, "epoch", "validation loss", logy=True),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    save(draw_panels(panels), path)


if __name__ == "__main__":
    main()
