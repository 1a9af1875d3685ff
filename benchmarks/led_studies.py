"""Studies whose LRs follow from one candidate's (`study.predict=true`), redrawn from a bank of real runs.

Digits, MLP, 10 epochs of 81 updates: eight schedules, nine base LRs in steps of sqrt(3), 18 seeds each, in
`led_runs.csv`; `--train` trains the 1,296 runs anew. Each redrawn study is tuned by lrlab's own tuner from the same
grid of three LRs, whose runs are drawn from the bank, and judged on seeds that were not drawn before: twice with 12
tuning runs for each candidate, and once with 12 for cosine and 4 for each of the others. Two verdicts on a pair differ
where they are not the same word; they contradict each other where one says better and the other worse.
"""

import itertools
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy

from benchmarks import bank as banks
from benchmarks import timing
from benchmarks.bank import Bank
from benchmarks.timing import FOLDER, ROOT, Table
from lrlab.api.schedule import schedule
from lrlab.comparison import led
from lrlab.forecast.bound import base_lr_ratio
from lrlab.sweeps.tuner import Tried, Tuning

RUNS = FOLDER / "led_runs.csv"
LEADER = "cosine"
SCHEDULES = ("constant", LEADER, "linear", "step", "exponential", "rex", "wsd", "onecycle")
LRS = (0.00222, 0.00385, 0.00667, 0.0115, 0.02, 0.0346, 0.06, 0.104, 0.18)
SEEDS, TUNING, MAXIMUM = 18, 12, 12
BEGIN = (0.00667, 0.02, 0.06)  # as a study makes a grid around the optimizer's LR
EPOCHS, UPDATES = 10, 81

Verdicts = dict[tuple[str, str], str]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("led_studies", __doc__, repeats=1)
    parser.add_argument("--train", action="store_true", help="train the bank anew, which takes about 15 minutes")
    parser.add_argument("--studies", type=int, default=200, help="redrawn (default: 200)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    if options.train:
        train()
    bank = banks.read(RUNS)
    studies = 10 if options.quick else options.studies
    timing.report("led_studies", [redrawn(bank, studies, metric) for metric in banks.METRICS], options, before, seed=0)


def train() -> None:
    """Train the bank, and write `led_runs.csv`."""
    from lrlab.comparison import results
    from lrlab.runs import testing

    with TemporaryDirectory() as place:
        typed = [f"scheduler={','.join(SCHEDULES)}", f"optimizer.lr={','.join(map(str, LRS))}", f"seed=range({SEEDS})"]
        typed += ["model=mlp", f"trainer.epochs={EPOCHS}", "data.batch_size=16", "sweep=led"]
        command = [sys.executable, str(ROOT / "train.py"), "-m", *typed]
        launcher = ("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1")
        subprocess.run([*command, *launcher], cwd=place, check=False, stdout=subprocess.DEVNULL)  # some may diverge
        banks.write([run for run in results.find([Path(place)]) if run.status == "finished"], testing.score, RUNS)


def ratios() -> dict[str, float]:
    """How many times as large each schedule's best LR is as the leader's, by the bound."""
    shapes = {}
    for name in SCHEDULES:
        made = schedule(name, lr=1.0, epochs=EPOCHS, steps_per_epoch=UPDATES)
        shapes[name] = numpy.trim_zeros(numpy.array(made.values()), "b")
    return {name: base_lr_ratio(shape, shapes[LEADER]) for name, shape in shapes.items()}


class Redrawn:
    """One study with seeds of its own from the bank."""

    def __init__(self, bank: Bank, generator: numpy.random.Generator, metric: str):
        self.bank, self.metric = bank, metric
        self.ended: dict[str, dict[tuple[float, int], float | None]] = {}  # by candidate
        self.order = {cell: iter(generator.permutation(sorted(by_seed)).tolist()) for cell, by_seed in bank.items()}

    def tuned(self, name: str, grid: Sequence[float], runs: int) -> float:
        """The LR that tuning by so many runs finds."""
        is_loss = self.metric == "loss"
        tuning = Tuning(grid=tuple(grid), runs=runs, lower_is_better=is_loss, are_shares=not is_loss)
        tried: list[Tried] = []
        while wanted := tuning.next_runs(tried):
            self.draw(name, wanted)
            tried += [Tried(lr, seed, self.ended[name][lr, seed]) for lr, seed in wanted]
        return tuning.best_lr(tried) or BEGIN[1]

    @property
    def runs(self) -> int:
        """All tuning runs."""
        return sum(map(len, self.ended.values()))

    def draw(self, name: str, wanted: Sequence[tuple[float, int]]) -> None:
        """Have tuning runs of a candidate end, at these LRs and seeds."""
        self.ended.setdefault(name, {}).update({(lr, seed): self._drawn(name, lr) for lr, seed in wanted})

    def by_lr(self, name: str) -> tuple[dict[float, dict[int, float]], dict[float, int]]:
        """The values of a candidate's tuning runs, by LR and seed, and by LR how many failed."""
        values: dict[float, dict[int, float]] = {}
        failed: dict[float, int] = {}
        for (lr, seed), value in self.ended[name].items():
            if value is None:
                failed[lr] = failed.get(lr, 0) + 1
            else:
                values.setdefault(lr, {})[seed] = value
        return values, failed

    def _drawn(self, name: str, lr: float) -> float | None:
        """The value on val of a run that was not drawn yet; None beyond the bank, and where runs diverged."""
        seed = next(self.order.get((name, self.near(lr)), iter(())), None)
        return None if seed is None else self.bank[name, self.near(lr)][seed][self.metric][0]

    @staticmethod
    def near(lr: float) -> float:
        """The LR of the bank that is next to this one; itself where it is beyond all."""
        nearest = min(LRS, key=lambda one: abs(numpy.log(one / lr)))
        return nearest if max(nearest / lr, lr / nearest) < 1.4 else lr

    def verdicts(self, lrs: Mapping[str, float]) -> Verdicts:
        """The verdict on every pair, by seeds that did not decide the LRs."""
        values = {}
        for name, lr in lrs.items():
            cell = (name, self.near(lr))
            fresh = itertools.islice(self.order[cell], MAXIMUM)
            values[name] = [self.bank[cell][seed][self.metric][1] for seed in fresh]
        return banks.judge_in_turn(values, self.metric, MAXIMUM)[0]


def alone(study: Redrawn) -> dict[str, float]:
    """The LRs of a study in which every candidate is tuned by itself."""
    return {name: study.tuned(name, BEGIN, TUNING) for name in SCHEDULES}


def led_by(study: Redrawn, by_bound: Mapping[str, float]) -> dict[str, float]:
    """The LRs of a study in which the leader is tuned, and the others are tried where its LR says."""
    lr = study.tuned(LEADER, BEGIN, TUNING)
    following = {name: led.following_lr(lr, by_bound[name]) for name in SCHEDULES if name != LEADER}
    for name, own in following.items():
        while wanted := led.next_runs(own, led.RUNS, study.ended.get(name, {})):
            study.draw(name, wanted)
    is_loss = study.metric == "loss"
    outcomes = {name: study.by_lr(name) for name in SCHEDULES}
    by_seed = itertools.chain.from_iterable(values.values() for values, _ in outcomes.values())
    luck = led.luck_of([list(one.values()) for one in by_seed], lower_is_better=is_loss)
    how = {"lower_is_better": is_loss, "are_shares": not is_loss}
    found = {name: led.best_lr(*outcomes[name], own, luck, **how) for name, own in following.items()}
    return {name: found.get(name, lr) for name in SCHEDULES}


@dataclass(frozen=True)
class Against:
    """A study beside another one, which was tuned in full."""

    runs: int
    differ: float  # the share of pairs
    contradict: float
    lost: float  # by the LRs that it chose, the mean over candidates


def redrawn(bank: Bank, studies: int, metric: str) -> Table:
    """How often two studies give other verdicts: both tuned in full, and one of them led."""
    generator, by_bound = numpy.random.default_rng(0), ratios()
    ways: dict[str, Callable[[Redrawn], dict[str, float]]] = {
        "tuned in full, again": alone,
        f"led by {LEADER}": partial(led_by, by_bound=by_bound),
    }
    found: dict[str, list[Against]] = {name: [] for name in ways}
    for _ in range(studies):
        first = Redrawn(bank, generator, metric)
        verdicts = first.verdicts(alone(first))
        for name, way in ways.items():
            other = Redrawn(bank, generator, metric)
            lrs = way(other)
            both = [{verdicts[pair], verdict} for pair, verdict in other.verdicts(lrs).items()]
            differ = float(numpy.mean([len(words) > 1 for words in both]))
            contradict = float(numpy.mean([words == {"better", "worse"} for words in both]))
            found[name].append(Against(other.runs, differ, contradict, _lost(bank, lrs, metric)))
    whole = numpy.mean([one.runs for one in found["tuned in full, again"]])
    rows = [{"name": name, **_row(several, float(whole))} for name, several in found.items()]
    title = f"{studies} studies of {len(SCHEDULES)} schedules by {metric}, each compared with one tuned in full"
    return Table(title, "", rows)


def _row(several: Sequence[Against], whole: float) -> dict[str, str]:
    differ = numpy.array([one.differ for one in several])
    runs = numpy.mean([one.runs for one in several])
    return {
        "tuning runs": f"{runs:.0f}",
        "of those in full": f"{runs / whole:.2f}",
        "verdicts that differ": f"{differ.mean():.1%}",
        "its standard error": f"{differ.std(ddof=1) / len(differ) ** 0.5:.1%}",
        "that contradict": f"{numpy.mean([one.contradict for one in several]):.2%}",
        "lost by the LRs": f"{numpy.mean([one.lost for one in several]):.2%}",
    }


def _lost(bank: Bank, lrs: Mapping[str, float], metric: str) -> float:
    """How much worse the candidates are at their LRs than at the best of the bank, on val; of losses relative."""
    lost = []
    for name, lr in lrs.items():
        cells = {at: by_seed for (own, at), by_seed in bank.items() if own == name}
        means = {at: float(numpy.mean([one[metric][0] for one in by_seed.values()])) for at, by_seed in cells.items()}
        here = means[Redrawn.near(lr)]
        lost.append(here / min(means.values()) - 1 if metric == "loss" else max(means.values()) - here)
    return float(numpy.mean(lost))


if __name__ == "__main__":
    main()
