"""Studies redrawn from a bank of real runs: digits, MLP, 10 epochs; three schedules, seven base LRs, 40 seeds each.

`bank_runs.csv` holds how many images each run classifies correctly, of 144 for validation and of 360 for testing.
`--train` trains the 840 runs anew. Every redrawn study tunes by lrlab's own tuner, whose runs are drawn from the bank,
and judges on seeds that were not drawn before.
"""

import csv
import itertools
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
SCHEDULES = ("constant", "cosine", "wsd")
LRS = (0.02, 0.0346, 0.06, 0.104, 0.18, 0.312, 0.54)
SEEDS, VAL, TEST = 40, 144, 360
BEGIN = (0.02, 0.06, 0.18)  # of the LRs: a grid of factors of 3, as a study makes one
TUNING, MAXIMUM, LOOKS = 12, 20, 4  # the defaults of a study

Bank = Mapping[tuple[str, float], Mapping[int, tuple[float, float]]]  # accuracies on val and test, by seed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("bank", __doc__, repeats=1)
    parser.add_argument("--train", action="store_true", help="train the bank anew, which takes about 8 minutes")
    parser.add_argument("--studies", type=int, default=500, help="redrawn (default: 500)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    if options.train:
        train()
    bank = read()
    tables = [truth(bank), redrawn(bank, 20 if options.quick else options.studies)]
    timing.report("bank", tables, options, before, seed=0)


def train() -> None:
    """Train the bank, and write `bank_runs.csv`."""
    from lrlab.comparison import results
    from lrlab.runs import testing

    with TemporaryDirectory() as place:
        typed = [f"scheduler={','.join(SCHEDULES)}", f"optimizer.lr={','.join(map(str, LRS))}", f"seed=range({SEEDS})"]
        typed += ["model=mlp", "trainer.epochs=10", "sweep=bank", "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1"]
        subprocess.run([sys.executable, str(ROOT / "train.py"), "-m", *typed], cwd=place, check=True)
        write(results.find([Path(place)]), testing.score)


def write(found: Sequence[Any], score: Any) -> None:
    """Write the counts of the runs that were `found`, each looked at once by `score`."""
    rows = []
    for run in found:
        tested = score(run.folder).measured["test_accuracy"]
        counts = (round(VAL * run.summary["val_accuracy"]), round(TEST * tested))
        rows.append([run.choice("scheduler"), run.settings["optimizer.lr"], run.settings["seed"], *counts])
    with RUNS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scheduler", "lr", "seed", "val_correct", "test_correct"])
        writer.writerows(sorted(rows))


def read() -> Bank:
    bank: dict[tuple[str, float], dict[int, tuple[float, float]]] = {}
    with RUNS.open() as file:
        for row in csv.DictReader(file):
            cell = bank.setdefault((row["scheduler"], float(row["lr"])), {})
            cell[int(row["seed"])] = (int(row["val_correct"]) / VAL, int(row["test_correct"]) / TEST)
    return bank


def mean(bank: Bank, name: str, lr: float, split: int) -> float:
    return float(numpy.mean([values[split] for values in bank[name, lr].values()]))


def truth(bank: Bank) -> Table:
    """What the whole bank says: the test accuracy of each schedule at each LR."""
    rows = []
    for name in SCHEDULES:
        cells = {f"LR {lr:g}": f"{mean(bank, name, lr, 1):.2%}" for lr in LRS}
        rows.append({"name": name, **cells})
    return Table(f"The bank: test accuracy, mean over {SEEDS} seeds", "", rows)


def redraw(bank: Bank, generator: numpy.random.Generator) -> dict[str, Any]:
    """One study: what it claimed of each pair, how many runs it took, and the truth at the LRs that it chose."""
    order = {cell: iter(generator.permutation(SEEDS).tolist()) for cell in bank}
    lrs, runs = {}, 0
    for name in SCHEDULES:
        tuning = Tuning(grid=BEGIN, runs=TUNING, lower_is_better=False, are_shares=True)
        tried: list[Tried] = []
        while wanted := tuning.next_runs(tried):
            for lr, seed in wanted:
                inside = (name, lr) in bank  # beyond the bank nobody trained: it counts as a run that failed
                value = bank[name, lr][next(order[name, lr])][0] if inside else None
                tried.append(Tried(lr, seed, value))
        runs += len(tried)
        lrs[name] = tuning.best_lr(tried) or BEGIN[1]
    judged = {}
    for name, lr in lrs.items():
        fresh = itertools.islice(order[name, lr], MAXIMUM)
        judged[name] = [bank[name, lr][seed][1] for seed in fresh]
    verdicts, seeds = judge_in_turn(judged)
    return {"verdicts": verdicts, "runs": runs + sum(seeds.values()), "lrs": lrs}


def judge_in_turn(values: Mapping[str, Sequence[float]]) -> tuple[dict[tuple[str, str], str], dict[str, int]]:
    """The verdict of every pair, and the seeds of each candidate, judged look by look as a study does it."""
    at = sequential.looks(MAXIMUM, LOOKS)
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
                verdicts[one, other] = judge(two, lower_is_better=False, step=1 / TEST, level=level)[0].verdict
        undecided = [pair for pair, verdict in verdicts.items() if verdict == "undecided"]
        wanting = {name for name in wanting if any(name in pair for pair in undecided)}
    return verdicts, seeds


def redrawn(bank: Bank, studies: int) -> Table:
    """How often redrawn studies find which of two candidates, as they were tuned, is better."""
    generator = numpy.random.default_rng(0)
    found = [redraw(bank, generator) for _ in range(studies)]
    rights = [_truth(bank, one["lrs"]) for one in found]
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
    title = f"{studies} studies redrawn from the bank (a grid of {len(LRS)} LRs x 5 seeds takes {5 * grid} runs)"
    return Table(title, "", rows)


def _row(name: str, right: Sequence[bool], false: Sequence[bool], apart: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "deviations apart": "" if apart is None else f"{apart:.1f}",
        "found": f"{numpy.mean(right):.1%}",
        "claimed falsely": f"{numpy.mean(false):.1%}",
    }


def _truth(bank: Bank, lrs: Mapping[str, float]) -> dict[tuple[str, str], tuple[str, float]]:
    """The verdict that is true of each pair at these LRs, and by how many deviations between seeds they differ."""
    found = {}
    for one, other in itertools.combinations(lrs, 2):
        values = [[tested for _, tested in bank[name, lrs[name]].values()] for name in (one, other)]
        difference = float(numpy.mean(values[0]) - numpy.mean(values[1]))
        deviation = float(numpy.sqrt(numpy.mean([numpy.var(several, ddof=1) for several in values])))
        found[one, other] = ("better" if difference > 0 else "worse", abs(difference) / deviation)
    return found


if __name__ == "__main__":
    main()
