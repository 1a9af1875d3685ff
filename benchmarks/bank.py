"""Studies redrawn from a bank of real runs: digits, MLP; three schedules, seven base LRs, 40 seeds each.

A run is 10 epochs of 81 updates with 16 images each, so that gradients are noisy and schedules matter. wsd decays over
the last 6 %, between what constant and cosine do: how far candidates are apart in deviations between seeds decides
what any protocol can tell with 20 seeds. With 64 images an update and lrlab's own decay of 20 %, cosine and wsd are
0.4 apart, and the whole order was found in 10 % of studies.
Studies are tuned and judged by accuracy, which 360 images tell in steps, and once more by the loss.

`bank_runs.csv` holds how many images each run classifies correctly, of 144 for validation and of 360 for testing, and
its losses on both. `--train` trains the 840 runs anew. Every redrawn study tunes by lrlab's own tuner, whose runs are
drawn from the bank, and judges on seeds that were not drawn before.
"""

import csv
import itertools
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy

from benchmarks import timing
from benchmarks.timing import FOLDER, ROOT, Table
from lrlab.comparison import pairs, sequential
from lrlab.comparison.pairs import Sample, judge
from lrlab.sweeps.tuner import Tried, Tuning

RUNS = FOLDER / "bank_runs.csv"
SCHEDULES: dict[str, tuple[str, ...]] = {"constant": (), "cosine": (), "wsd": ("scheduler.lr_lambda.decay=6%",)}
LRS = (0.0067, 0.0116, 0.02, 0.0346, 0.06, 0.104, 0.18)
SEEDS, VAL, TEST = 40, 144, 360
BEGIN = (0.0067, 0.02, 0.06)  # of the LRs: a grid of factors of 3, as a study makes one
TUNING, MAXIMUM, LOOKS = 12, 20, 4  # the defaults of a study

METRICS = ("accuracy", "loss")  # by which studies are tuned and judged, each for itself

Values = tuple[float, float]  # on val and on test
Bank = Mapping[tuple[str, float], Mapping[int, Mapping[str, Values]]]  # by seed and metric


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("bank", __doc__, repeats=1)
    parser.add_argument("--train", action="store_true", help="train the bank anew, which takes about 15 minutes")
    parser.add_argument("--studies", type=int, default=500, help="redrawn (default: 500)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    if options.train:
        train()
    bank = read()
    studies = 20 if options.quick else options.studies
    tables = [truth(bank, metric) for metric in METRICS]
    tables += [redrawn(bank, studies, metric) for metric in METRICS]
    timing.report("bank", tables, options, before, seed=0)


def train() -> None:
    """Train the bank, and write `bank_runs.csv`."""
    from lrlab.comparison import results
    from lrlab.runs import testing

    with TemporaryDirectory() as place:
        typed = [f"optimizer.lr={','.join(map(str, LRS))}", f"seed=range({SEEDS})", "model=mlp", "trainer.epochs=10"]
        typed += ["data.batch_size=16", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"]
        for name, own in SCHEDULES.items():
            command = [sys.executable, str(ROOT / "train.py"), "-m", f"scheduler={name}", f"sweep={name}", *own, *typed]
            subprocess.run(command, cwd=place, check=True)
        write(results.find([Path(place)]), testing.score)


def write(found: Sequence[Any], score: Any, to: Path = RUNS) -> None:
    """Write the counts of the runs that were `found`, each looked at once by `score`."""
    rows = []
    for run in found:
        tested = score(run.folder).measured
        counts = (round(VAL * run.summary["val_accuracy"]), round(TEST * tested.get("test_accuracy", 0.0)))
        losses = (f"{run.summary['val_loss']:.6g}", f"{tested.get('test_loss', math.inf):.6g}")
        rows.append([run.choice("scheduler"), run.settings["optimizer.lr"], run.settings["seed"], *counts, *losses])
    with to.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scheduler", "lr", "seed", "val_correct", "test_correct", "val_loss", "test_loss"])
        writer.writerows(sorted(rows))


def read(file_of_runs: Path = RUNS) -> Bank:
    bank: dict[tuple[str, float], dict[int, dict[str, Values]]] = {}
    with file_of_runs.open() as file:
        for row in csv.DictReader(file):
            cell = bank.setdefault((row["scheduler"], float(row["lr"])), {})
            cell[int(row["seed"])] = {
                "accuracy": (int(row["val_correct"]) / VAL, int(row["test_correct"]) / TEST),
                "loss": (float(row["val_loss"]), float(row["test_loss"])),
            }
    return bank


def tested(bank: Bank, name: str, lr: float, metric: str) -> list[float]:
    """What all runs of a schedule at an LR measured on test."""
    return [values[metric][1] for values in bank[name, lr].values()]


def truth(bank: Bank, metric: str) -> Table:
    """What the whole bank says: the test accuracy, or the test loss, of each schedule at each LR."""
    written = ".2%" if metric == "accuracy" else ".4f"
    rows = []
    for name in SCHEDULES:
        cells = {f"LR {lr:g}": f"{numpy.mean(tested(bank, name, lr, metric)):{written}}" for lr in LRS}
        rows.append({"name": name, **cells})
    return Table(f"The bank: test {metric}, mean over {SEEDS} seeds", "", rows)


def redraw(bank: Bank, generator: numpy.random.Generator, metric: str) -> dict[str, Any]:
    """One study: what it claimed of each pair, how many runs it took, and the truth at the LRs that it chose."""
    order = {cell: iter(generator.permutation(SEEDS).tolist()) for cell in bank}
    lrs, runs = {}, 0
    for name in SCHEDULES:
        is_loss = metric == "loss"
        tuning = Tuning(grid=BEGIN, runs=TUNING, lower_is_better=is_loss, are_shares=not is_loss)
        tried: list[Tried] = []
        while wanted := tuning.next_runs(tried):
            for lr, seed in wanted:
                inside = (name, lr) in bank  # beyond the bank nobody trained: it counts as a run that failed
                value = bank[name, lr][next(order[name, lr])][metric][0] if inside else None
                tried.append(Tried(lr, seed, value))
        runs += len(tried)
        lrs[name] = tuning.best_lr(tried) or BEGIN[1]
    judged = {}
    for name, lr in lrs.items():
        fresh = itertools.islice(order[name, lr], MAXIMUM)
        judged[name] = [bank[name, lr][seed][metric][1] for seed in fresh]
    verdicts, seeds = judge_in_turn(judged, metric)
    return {"verdicts": verdicts, "runs": runs + sum(seeds.values()), "lrs": lrs}


def judge_in_turn(
    values: Mapping[str, Sequence[float]], metric: str, maximum: int = MAXIMUM
) -> tuple[dict[tuple[str, str], str], dict[str, int]]:
    """The verdict of every pair, and the seeds of each candidate, judged look by look as a study does it."""
    at = sequential.looks(maximum, LOOKS)
    levels = sequential.levels(at, pairs.count(len(values)))
    seeds = dict.fromkeys(values, 0)
    verdicts: dict[tuple[str, str], str] = {}
    wanting = set(values)
    for n, level in zip(at, levels, strict=True):
        for name in wanting:
            seeds[name] = n
        for one, other in itertools.combinations(values, 2):
            if {one, other} <= wanting:
                two = {name: Sample(values[name][:n]) for name in (one, other)}
                step = 1 / TEST if metric == "accuracy" else 0.0
                found = judge(two, lower_is_better=metric == "loss", step=step, level=level)
                verdicts[one, other] = found[0].verdict
        undecided = [pair for pair, verdict in verdicts.items() if verdict == "undecided"]
        wanting = {name for name in wanting if any(name in pair for pair in undecided)}
    return verdicts, seeds


def redrawn(bank: Bank, studies: int, metric: str) -> Table:
    """How often redrawn studies find which of two candidates, as they were tuned, is better."""
    generator = numpy.random.default_rng(0)
    found = [redraw(bank, generator, metric) for _ in range(studies)]
    rights = [_truth(bank, one["lrs"], metric) for one in found]
    rows = []
    for pair in itertools.combinations(SCHEDULES, 2):
        claims = [one["verdicts"][pair] for one in found]
        right = [claim == better for claim, (better, _) in zip(claims, (one[pair] for one in rights), strict=True)]
        false = [claim != "undecided" and not good for claim, good in zip(claims, right, strict=True)]
        apart = numpy.median([one[pair][1] for one in rights])
        rows.append(_row(f"{pair[0]} and {pair[1]}", right, false, apart))
    whole, wrong = [], []
    for one, right in zip(found, rights, strict=True):
        claims = one["verdicts"]
        whole.append(all(claims[pair] == right[pair][0] for pair in claims))
        wrong.append(any(claims[pair] not in ("undecided", right[pair][0]) for pair in claims))
    runs = [one["runs"] for one in found]
    said = {"runs, mean": f"{numpy.mean(runs):.0f}", "runs, most": max(runs)}
    rows.append({**_row("all three in order", whole, wrong, None), **said})
    grid = len(SCHEDULES) * len(LRS)
    title = (
        f"{studies} studies by {metric}, redrawn from the bank (a grid of {len(LRS)} LRs x 5 seeds: {5 * grid} runs)"
    )
    return Table(title, "", rows)


def _row(name: str, right: Sequence[bool], false: Sequence[bool], apart: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "deviations apart": "" if apart is None else f"{apart:.1f}",
        "found": f"{numpy.mean(right):.1%}",
        "claimed falsely": f"{numpy.mean(false):.1%}",
    }


def _truth(bank: Bank, lrs: Mapping[str, float], metric: str) -> dict[tuple[str, str], tuple[str, float]]:
    """The verdict that is true of each pair at these LRs, and by how many deviations between seeds they differ."""
    sign = -1 if metric == "loss" else 1
    found = {}
    for one, other in itertools.combinations(lrs, 2):
        values = [tested(bank, name, lrs[name], metric) for name in (one, other)]
        difference = sign * float(numpy.mean(values[0]) - numpy.mean(values[1]))
        deviation = float(numpy.sqrt(numpy.mean([numpy.var(several, ddof=1) for several in values])))
        found[one, other] = ("better" if difference > 0 else "worse", abs(difference) / deviation)
    return found


if __name__ == "__main__":
    main()
