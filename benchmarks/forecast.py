"""Predictions of final losses, against runs that were trained: one run of cosine, or one of constant and of cosine.

Each setting is a task, a model and an optimizer, with 12 schedules at three base LRs, each four times as large as the
one before, and four seeds. `forecast_bank/` holds their losses. `--train NAME,...` trains settings anew.

The split is by task. Laws, thresholds and intervals were chosen on digits and MNIST, DEVELOPMENT; the tasks of REPORT
were trained after that was committed, and decide nothing. The error is |log(predicted / mean over the other seeds)|.
Regret is how much higher the final loss of the pick is than that of the best schedule: the best is chosen on half of
the seeds, and both are scored on the others. The trained schedule may be picked, and a run that diverges has an
infinite loss. A setting is answered where the law is not refused.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import kendalltau

from benchmarks import timing
from benchmarks.timing import FOLDER, ROOT, Table
from lrlab.comparison import loss_curves, results
from lrlab.forecast import bound
from lrlab.forecast.fit import LossCurve, best_fit
from lrlab.forecast.laws import LAWS, Law
from lrlab.forecast.predictions import Forecast, TrainedCurves, Untrained, forecast

BANK = FOLDER / "forecast_bank"
SCHEDULES = (
    *("constant", "cosine", "linear", "polynomial", "step", "multistep", "exponential", "rex", "cosine_restarts"),
    *("inverse_sqrt", "wsd", "onecycle"),
)
SEEDS = 4
MULTIPLES = (0.25, 1.0, 4.0)  # of a base LR
MODES = (("cosine",), ("constant", "cosine"))  # what is trained
FIXED = ("cosine", "linear", "wsd")  # rules that look at nothing
_BINS = 60  # of the training loss that are kept


@dataclass(frozen=True)
class Setting:
    """What is trained with every schedule, at `lr`, a quarter of it, and four times it."""

    lr: float
    typed: tuple[str, ...]


_DIGITS, _MNIST = "data=digits", "data=mnist"
DEVELOPMENT: Mapping[str, Setting] = {
    "digits_mlp_sgd": Setting(0.1, (_DIGITS, "model=mlp", "optimizer=sgd", "trainer.epochs=40")),
    "digits_mlp_adam": Setting(0.008, (_DIGITS, "model=mlp", "optimizer=adam", "trainer.epochs=40")),
    "digits_cnn_sgd": Setting(0.1, (_DIGITS, "model=cnn", "optimizer=sgd", "trainer.epochs=30")),
    "digits_cnn_adamw": Setting(0.032, (_DIGITS, "model=cnn", "optimizer=adamw", "trainer.epochs=30")),
    "mnist_mlp_sgd": Setting(0.1, (_MNIST, "model=mlp", "data.batch_size=512", "data.shift=2", "trainer.epochs=10")),
    "mnist_mlp_adam": Setting(
        0.008, (_MNIST, "model=mlp", "data.batch_size=512", "data.shift=2", "optimizer=adam", "trainer.epochs=10")
    ),
}
REPORT: Mapping[str, Setting] = {}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("forecast", __doc__, repeats=1)
    parser.add_argument("--train", default="", help="settings to train anew, with commas between them")
    parser.add_argument("--root", default="data", help="where data sets of torchvision's lie (default: data)")
    parser.add_argument("--law", default="bound", choices=sorted(LAWS), help="default: bound")
    options = parser.parse_args(arguments)
    before = timing.machine()
    for name in filter(None, options.train.split(",")):
        train(name, {**DEVELOPMENT, **REPORT}[name], options.root)
    law = LAWS[options.law][0]
    halves = [(title, named) for title, named in (("Development", DEVELOPMENT), ("Report", REPORT)) if named]
    tables = [table(title, named, law) for title, named in halves]
    tables += [of_laws(title, named, mode) for title, named in halves for mode in MODES]
    timing.report("forecast", tables, options, before)


# The bank


def train(name: str, setting: Setting, root: str) -> None:
    """Train every schedule, LR and seed of a setting, and keep its losses."""
    lrs = [setting.lr * multiple for multiple in MULTIPLES]
    with TemporaryDirectory() as folder:
        typed = [
            *setting.typed,
            f"scheduler={','.join(SCHEDULES)}",
            f"optimizer.lr={','.join(f'{lr:g}' for lr in lrs)}",
            f"seed={','.join(map(str, range(SEEDS)))}",
            *("hydra.launcher.n_jobs=2", "hydra.launcher.threads=1", f"hydra.sweep.dir={folder}"),
        ]
        typed += [f"data.root={root}"] if _MNIST in setting.typed else []
        command = [sys.executable, str(ROOT / "train.py"), "-m", *typed]
        done = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, cwd=folder
        )  # diverged runs end it with 1
        kept = _kept(results.find([Path(folder)]), lrs)
    if not kept:
        sys.exit(f"benchmarks: {name} left no runs, with exit code {done.returncode}")
    BANK.mkdir(exist_ok=True)
    np.savez_compressed(_place(name), **kept)


def _kept(found: Sequence[results.Result], lrs: Sequence[float]) -> dict[str, np.ndarray]:
    """The losses of all runs: (schedule, LR, seed, point); NaN for those that diverged."""
    kept: dict[str, np.ndarray] = {}
    for run in found:
        if run.status != "finished":
            continue
        curves = loss_curves.of_run(run)
        lr = min(range(len(lrs)), key=lambda i: abs(lrs[i] - curves.lr))
        place = (SCHEDULES.index(curves.schedule), lr, int(run.settings["seed"]))
        train, val = curves.losses["train"].binned(_BINS, skipped=0.0), curves.losses["val"]
        whole = (len(SCHEDULES), len(lrs), SEEDS)
        for key, curve in (("train", train), ("val", val)):
            kept.setdefault(key, np.full((*whole, len(curve.losses)), np.nan))[place] = curve.losses
            kept[f"{key}_updates"] = curve.updates
        kept.setdefault("train_final", np.full(whole, np.nan))[place] = curves.final("train")
        kept.setdefault("shapes", np.full((len(SCHEDULES), len(curves.lrs)), np.nan))[place[0]] = curves.lrs / curves.lr
    return kept


def read(name: str) -> dict[str, np.ndarray]:
    """The bank of a setting."""
    with np.load(_place(name)) as kept:
        return dict(kept)


def finals(bank: Mapping[str, np.ndarray], split: str) -> np.ndarray:
    """The final losses (schedule, LR, seed); infinite for runs that diverged."""
    last = bank["train_final"] if split == "train" else bank["val"][..., -1]
    return np.where(np.isfinite(last), last, np.inf)


# What predictions are worth


@dataclass(frozen=True)
class Score:
    """One forecast against what was trained."""

    errors: list[float]
    tau: float
    regret: float
    inside: list[bool]  # of the intervals for the mean over seeds


Bank = Mapping[str, np.ndarray]


def forecast_of(bank: Bank, at: tuple[int, int], mode: Sequence[str], law: Law, base: float) -> Forecast:
    """The forecast from one run of each schedule of `mode`, of all others at the same base LR."""
    trained = [_trained(bank, (SCHEDULES.index(name), *at), base) for name in mode]
    candidates = [Untrained(name, base, bank["shapes"][i] * base) for i, name in enumerate(SCHEDULES)]
    return forecast(trained, candidates, law)


def _trained(bank: Bank, place: tuple[int, int, int], base: float) -> TrainedCurves:
    lrs = bank["shapes"][place[0]] * base
    losses = {}
    for split in ("train", "val"):
        losses[split] = LossCurve.of(lrs, bank[f"{split}_updates"], bank[split][place])
    name = SCHEDULES[place[0]]
    return TrainedCurves(name, name, base, lrs, losses, settings=name)


def score(measured: np.ndarray, found: Forecast, mode: Sequence[str], seed: int, split: str) -> Score:
    """How far a forecast is off the `measured` losses (schedule, seed): their means over the seeds it did not see."""
    others = [one for one in range(SEEDS) if one != seed]
    means = measured[:, others].mean(axis=1)
    predicted = {one.name: one.losses[split] for one in found.predictions}
    asked = [i for i, name in enumerate(SCHEDULES) if name not in mode and np.isfinite(means[i])]
    errors = [abs(float(np.log(predicted[SCHEDULES[i]].value / means[i]))) for i in asked]
    inside = [predicted[SCHEDULES[i]].mean[0] <= means[i] <= predicted[SCHEDULES[i]].mean[1] for i in asked]
    tau = kendalltau([predicted[SCHEDULES[i]].value for i in asked], means[asked]).statistic
    pick = min(range(len(SCHEDULES)), key=lambda i: predicted[SCHEDULES[i]].value)
    return Score(errors, float(tau), regret(measured, pick), inside)


def regret(measured: np.ndarray, pick: int) -> float:
    """How much higher the loss of `pick` is than that of the best: chosen on two seeds, scored on the others."""
    found = []
    for chosen in ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)):
        scored = [seed for seed in range(SEEDS) if seed not in chosen]
        best = int(measured[:, list(chosen)].mean(axis=1).argmin())
        found.append(float(measured[pick, scored].mean() / measured[best, scored].mean() - 1))
    return float(np.mean(found))


def forecasts(name: str, setting: Setting, law: Law) -> Iterator[tuple[int, Sequence[str], int, Forecast]]:
    """Every forecast of a setting: the index of its LR, what it was made from, and the seed."""
    bank = read(name)
    for lr, multiple in enumerate(MULTIPLES):
        for mode in MODES:
            for seed in range(SEEDS):
                if all(np.isfinite(bank["val"][SCHEDULES.index(one), lr, seed]).all() for one in mode):
                    yield lr, mode, seed, forecast_of(bank, (lr, seed), mode, law, setting.lr * multiple)


def table(title: str, named: Mapping[str, Setting], law: Law) -> Table:
    """A row for each setting, LR and what was trained, by the validation loss."""
    rows: dict[str, dict[str, float]] = {}
    for name, setting in _trained_ones(named).items():
        bank = read(name)
        grouped: dict[tuple[int, Sequence[str]], list[tuple[int, Forecast]]] = {}
        for lr, mode, seed, found in forecasts(name, setting, law):
            grouped.setdefault((lr, mode), []).append((seed, found))
        for (lr, mode), several in grouped.items():
            measured = finals(bank, "val")[:, lr]
            answered = [(seed, found) for seed, found in several if "val" in found.fits]
            scores = [score(measured, found, mode, seed, "val") for seed, found in answered]
            row: dict[str, float] = {"answered": len(answered) / len(several)}
            if scores:
                row["error"] = float(np.mean([np.mean(one.errors) for one in scores]))
                row["tau"] = float(np.mean([one.tau for one in scores]))
                row["regret"] = float(np.mean([one.regret for one in scores]))
                row["inside"] = float(np.mean(list(chain.from_iterable(one.inside for one in scores))))
            row |= {f"always {rule}": regret(measured, SCHEDULES.index(rule)) for rule in FIXED}
            spread = measured.std(axis=1, ddof=1) / measured.mean(axis=1)
            row["noise of a seed"] = float(np.nanmedian(spread[np.isfinite(spread)]))
            rows[f"{name}, LR {setting.lr * MULTIPLES[lr]:g}, from {' + '.join(mode)}"] = row
    shown = [{"name": name, **{key: round(value, 3) for key, value in row.items()}} for name, row in rows.items()]
    return Table(f"{title}: the validation loss, {law.name} law", "", shown, _untrained(named))


def _trained_ones(named: Mapping[str, Setting]) -> dict[str, Setting]:
    return {name: setting for name, setting in named.items() if _place(name).is_file()}


def _untrained(named: Mapping[str, Setting]) -> dict[str, str]:
    return {name: "not trained yet" for name in named if not _place(name).is_file()}


def _place(name: str) -> Path:
    return BANK / f"{name}.npz"


def of_laws(title: str, named: Mapping[str, Setting], mode: Sequence[str]) -> Table:
    """A row for each law and rule: means over all settings, LRs and seeds that the bound law answers."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, setting in _trained_ones(named).items():
        bank = read(name)
        for lr, trained_on, seed, answered in forecasts(name, setting, LAWS["bound"][0]):
            if trained_on == mode and "val" in answered.fits:
                measured = finals(bank, "val")[:, lr]
                shapes = bank["shapes"] * setting.lr * MULTIPLES[lr]
                curves = [run.losses["val"] for run in answered.trained]
                for law, several in LAWS.items():
                    fitted = best_fit(curves, several)
                    values = [fitted.final(lrs) for lrs in shapes]
                    found.setdefault(law, []).append(_worth(values, measured, mode, seed))
                theory = [bound.of_final_weights(lrs / lrs.max(), distance=len(lrs) ** 0.5) for lrs in shapes]
                kept = _worth(theory, measured, mode, seed)
                found.setdefault("the bound, not fitted", []).append({**kept, "error": float("nan")})
                for rule in FIXED:
                    picked = {"regret": regret(measured, SCHEDULES.index(rule))}
                    found.setdefault(f"always {rule}", []).append(picked)
    rows = []
    for name, several in found.items():
        means = {key: float(np.mean([one[key] for one in several])) for key in several[0]}
        rows.append({"name": name, **{key: round(mean, 3) for key, mean in means.items() if np.isfinite(mean)}})
    return Table(f"{title}: laws and rules beside each other, from {' + '.join(mode)}", "", rows)


def _worth(values: Sequence[float], measured: np.ndarray, mode: Sequence[str], seed: int) -> dict[str, float]:
    """Error, rank correlation and regret of predicted `values` (schedule)."""
    means = measured[:, [one for one in range(SEEDS) if one != seed]].mean(axis=1)
    asked = [i for i, name in enumerate(SCHEDULES) if name not in mode and np.isfinite(means[i])]
    predicted = np.maximum(np.array(values), 1e-12)
    errors = np.abs(np.log(predicted[asked] / means[asked]))
    tau = float(kendalltau(predicted[asked], means[asked]).statistic)
    return {"error": float(errors.mean()), "tau": tau, "regret": regret(measured, int(predicted.argmin()))}


if __name__ == "__main__":
    main()
