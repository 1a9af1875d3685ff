"""Recipes that repeat published experiments (`conf/experiment/published_*.yaml`), beside what was published.

    python -m benchmarks recipes --train published_lenet_onecycle --root ~/datasets

trains one, or with --seeds some of its seeds, and keeps each run's final accuracy in `recipes_runs.csv`; without
--train the table is made from those. The published figure is inside or outside of the 95 % interval (Student's t) of
the mean of our runs, if there are three or more. What is published is a mean itself, with an error of its own that is
mostly not told. What was published side by side is compared as a difference too (Welch's interval). Of several LRs the
one is compared that was best on the test images, which flatters it.
"""

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import timing
from benchmarks.timing import FOLDER, ROOT, Table
from lrlab.comparison import results

RUNS = FOLDER / "recipes_runs.csv"
COLUMNS = ("recipe", "scheduler", "lr", "updates", "seed", "accuracy", "best", "seconds")
FEWEST = 3  # seeds, below which an interval holds nearly everything
BUDGETS = "published_budgets"


@dataclass(frozen=True)
class Published:
    """A figure that somebody has published."""

    accuracy: float
    runs: int  # whose mean it is
    cost: str  # of one run of ours, where it was not measured


RECIPES = {
    "published_lenet_onecycle": Published(0.9905, 5, ""),
    "published_lenet_inv": Published(0.9892, 5, ""),
    "published_lenet_plateau": Published(0.9885, 5, ""),
    "published_schedule_free": Published(0.9935, 1, ""),
    "published_adadelta_step": Published(0.9922, 1, ""),
    "published_2c2d": Published(0.9227, 10, "for a GPU"),
    "published_3c3d": Published(0.8371, 10, "for a GPU"),
    "published_resnet20": Published(0.9125, 1, "for a GPU"),
    "published_airbench": Published(0.9401, 200, "for a GPU"),
}


# What was published side by side: the first was said to be better.
SIDE_BY_SIDE = (
    ("published_schedule_free", "published_adadelta_step"),
    ("published_lenet_onecycle", "published_lenet_inv"),
    ("published_lenet_onecycle", "published_lenet_plateau"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("recipes", __doc__, repeats=1)
    parser.add_argument("--train", choices=[*RECIPES, BUDGETS], help="train this recipe")
    parser.add_argument("--root", default="data", help="folder with the data sets (default: data)")
    parser.add_argument("--seeds", help="such as 0,1, instead of the recipe's")
    options = parser.parse_args(arguments)
    before = timing.machine()
    if options.train:
        keep(trained(options.train, options.root, options.seeds, quick=options.quick), quick=options.quick)
    rows = read()
    timing.report("recipes", [beside_published(rows), side_by_side(rows), budgets(rows)], options, before)


def trained(name: str, root: str, seeds: str | None, *, quick: bool) -> list[dict[str, Any]]:
    """The rows of a recipe's runs that finished."""
    with TemporaryDirectory() as folder:
        typed = [f"experiment={name}", f"data.root={Path(root).expanduser().absolute()}", f"hydra.sweep.dir={folder}"]
        typed += [f"seed={seeds}"] if seeds else []
        typed += ["trainer.epochs=1"] if quick else []
        launcher = ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1")
        command = [sys.executable, str(ROOT / "train.py"), "-m", *typed, *launcher]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, cwd=folder)
        return [row_of(name, run) for run in results.find([Path(folder)]) if run.status == "finished"]


def row_of(name: str, run: results.Result) -> dict[str, Any]:
    """What is kept of a run."""
    accuracies = [float(row.measured["val_accuracy"] or 0.0) for row in run.history]
    return {
        **{"recipe": name, "scheduler": run.summary["choices"]["scheduler"], "lr": run.settings["optimizer.lr"]},
        **{"updates": run.summary["updates"], "seed": run.settings["seed"]},
        **{"accuracy": round(accuracies[-1], 6), "best": round(max(accuracies), 6)},
        "seconds": round(run.summary["seconds"], 1),
    }


def keep(rows: Sequence[dict[str, Any]], *, quick: bool) -> None:
    """Write rows beside those that are kept, in place of the same runs."""
    if quick:
        print(*rows, sep="\n")
        return
    kept = {tuple(str(row[column]) for column in COLUMNS[:5]): row for row in [*read(), *rows]}
    with RUNS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(kept[key] for key in sorted(kept))


def read() -> list[dict[str, Any]]:
    """The rows that are kept."""
    if not RUNS.exists():
        return []
    with RUNS.open(newline="") as file:
        return list(csv.DictReader(file))


def beside_published(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a recipe: what was published, what was found, and whether the one is inside of the other's interval."""
    found, left_out = [], {}
    for name, published in RECIPES.items():
        best = _best_of(rows, name)
        if not best:
            left_out[name] = published.cost or "not trained yet"
            continue
        found.append({"name": name, **_columns(published, best)})
    return Table("published and found: final accuracy on the test images", "", found, left_out)


def _best_of(rows: Sequence[dict[str, Any]], recipe: str) -> list[dict[str, Any]]:
    """The runs of a recipe at the LR that was best on the test images; empty where there are none."""
    by_lr: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["recipe"] == recipe:
            by_lr.setdefault(row["lr"], []).append(row)
    return max(by_lr.values(), key=_mean, default=[])


def _mean(rows: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([float(row["accuracy"]) for row in rows]))


def side_by_side(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a published difference: ours, with its interval; nothing where either has too few seeds."""
    found, left_out = [], {}
    for one, other in SIDE_BY_SIDE:
        ours, theirs = (np.array([float(row["accuracy"]) for row in _best_of(rows, name)]) for name in (one, other))
        name = f"{one} less {other}"
        if min(len(ours), len(theirs)) < FEWEST:
            left_out[name] = "too few seeds"
            continue
        low, high = difference(ours, theirs)
        found.append(
            {
                "name": name,
                "published, points": f"{(RECIPES[one].accuracy - RECIPES[other].accuracy) * 100:+.2f}",
                "found, points": f"{(ours.mean() - theirs.mean()) * 100:+.2f}",
                "95% interval": f"{low * 100:+.2f} to {high * 100:+.2f}",
                "seeds": f"{len(ours)} and {len(theirs)}",
            }
        )
    return Table("differences that were published: accuracy on the test images", "", found, left_out)


def budgets(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a budget: the errors of a straight line and of two steps, each at its best LR, and their difference."""
    own = [row for row in rows if row["recipe"] == BUDGETS]
    lengths = sorted({int(row["updates"]) for row in own})
    level = 1 - 0.05 / max(len(lengths), 1)  # all of them hold together
    found = []
    for updates in lengths:
        line, steps = (_at_best_lr(own, updates, name) for name in ("linear", "multistep"))
        if line is None or steps is None or min(len(line.errors), len(steps.errors)) < FEWEST:
            continue
        low, high = difference(line.errors, steps.errors, level)
        found.append(
            {
                "name": f"{updates / lengths[-1]:.0%}",
                "updates": updates,
                "straight line": f"{line.errors.mean():.2%}",
                "at LR": line.lr,
                "two steps": f"{steps.errors.mean():.2%}",
                "at LR of theirs": steps.lr,
                "line less steps, points": f"{(line.errors.mean() - steps.errors.mean()) * 100:+.2f}",
                "simultaneous 95% interval": f"{low * 100:+.2f} to {high * 100:+.2f}",
                "seeds": len(line.errors),
            }
        )
    missing = {} if own else {BUDGETS: "not trained yet"}
    return Table("budgets: error on the test images after so much of 20 epochs", "", found, missing)


@dataclass(frozen=True)
class AtBestLr:
    """The errors of some seeds, 0..1, at the LR at which their mean is least."""

    lr: str
    errors: np.ndarray


def _at_best_lr(rows: Sequence[dict[str, Any]], updates: int, scheduler: str) -> AtBestLr | None:
    own = [row for row in rows if int(row["updates"]) == updates and row["scheduler"] == scheduler]
    several = []
    for lr in sorted({row["lr"] for row in own}):
        several.append(AtBestLr(lr, np.array([1 - float(row["accuracy"]) for row in own if row["lr"] == lr])))
    most = max((len(one.errors) for one in several), default=0)  # where runs failed, the others do not stand for them
    complete = [one for one in several if len(one.errors) == most]
    return min(complete, key=lambda one: one.errors.mean(), default=None)


def difference(one: np.ndarray, other: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Welch's interval of the difference between two means.

    >>> low, high = difference(np.array([0.01, 0.02, 0.03]), np.array([0.01, 0.02, 0.03]))
    >>> bool(low < 0 < high)
    True
    """
    found = stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
    return float(found.low), float(found.high)


def _columns(published: Published, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    values = np.array([float(row["accuracy"]) for row in rows])
    low, high = interval(values)
    if len(values) < FEWEST:
        verdict = "too few seeds to say"
    elif low <= published.accuracy <= high:
        verdict = "inside"
    else:
        verdict = "ours is higher" if published.accuracy < low else "ours is lower"
    return {
        "published": f"{published.accuracy:.2%}",
        "of runs": str(published.runs),
        "found": f"{values.mean():.2%}",
        "95% interval": f"{low:.2%} to {high:.2%}" if len(values) >= FEWEST else "-",
        "seeds": str(len(values)),
        "minutes, at least": f"{min(float(row['seconds']) for row in rows) / 60:.1f}",  # others may have shared a core
        "published is": verdict,
    }


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean.

    >>> interval(np.array([0.98, 0.99, 1.0]))[0] < 0.99
    True
    """
    if len(values) < 2:
        return -np.inf, np.inf
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


if __name__ == "__main__":
    main()
