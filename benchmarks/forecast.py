"""Predictions of final losses, against runs that were trained: one run of cosine, or one of constant and of cosine.

The runs, and what was used for development and what for the report, are those of `benchmarks.forecast_runs`;
`--train NAME,...` trains settings anew. Every forecast is made from one seed, at each of three LRs: a quarter of the
right one, the right one, four times it.

The error is |log(predicted / mean over the other seeds)|. Regret is how much higher the final validation loss of the
pick is than that of the best schedule: the best is chosen on half of the seeds, and both are scored on the others. The
trained schedule may be picked, and a run that diverges has an infinite loss. A forecast is answered where the law is
not refused. Intervals of the summary come from resampling whole tasks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from scipy.stats import kendalltau

from benchmarks import timing
from benchmarks.forecast_runs import DEVELOPMENT, REPORT, SCHEDULES, SCORED, SEEDS, Setting, finals, place, read, train
from benchmarks.timing import Table
from lrlab.forecast import bound, uncertainty
from lrlab.forecast.fit import Fit, LossCurve, best_fit, fit, leave_out_error
from lrlab.forecast.laws import BOUND, LAWS
from lrlab.forecast.predictions import Forecast, TrainedCurves, Untrained, forecast

MODES = (("cosine",), ("constant", "cosine"))  # what is trained
FIXED = ("cosine", "linear", "wsd")  # rules that look at nothing
REFUSED_AS = "linear"
HALVES = ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))  # of the seeds, on which the best is chosen
RISKS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, float("inf"))  # in units of what is refused
RESAMPLED = 2000

Bank = Mapping[str, np.ndarray]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = timing.parser("forecast", __doc__, repeats=1)
    parser.add_argument("--train", default="", help="settings to train anew, with commas between them")
    parser.add_argument("--root", default="data", help="where data sets lie (default: data)")
    options = parser.parse_args(arguments)
    before = timing.machine()
    for name in filter(None, options.train.split(",")):
        train(name, {**DEVELOPMENT, **REPORT}[name], options.root)
    tables: list[Table] = []
    for title, named in (("Development", DEVELOPMENT), ("Report", REPORT)):
        trained = {name: setting for name, setting in named.items() if place(name).is_file()}
        left_out = {name: "not trained yet" for name in named if name not in trained}
        if not trained:
            continue
        asked = [one for name, setting in trained.items() for one in _asked(name, setting)]
        tables += [_summary(title, asked), _risk_and_coverage(title, asked), _by_setting(title, asked, left_out)]
        tables += [_laws(title, asked, mode) for mode in MODES]
    timing.report("forecast", tables, options, before)


@dataclass(frozen=True)
class Asked:
    """One forecast: made from one seed of the schedules of `mode`, of all schedules at that LR."""

    name: str  # of the setting
    lr: float
    mode: Sequence[str]
    seed: int
    trained: Sequence[TrainedCurves]
    shapes: np.ndarray  # (schedule, T), the LRs
    measured: np.ndarray  # (schedule, seed), the final losses

    @property
    def task(self) -> str:
        return self.name.partition("_")[0]

    @cached_property
    def curves(self) -> list[LossCurve]:
        return [run.losses["val"] for run in self.trained]

    @cached_property
    def fitted(self) -> Fit:
        return fit(self.curves, BOUND)

    @cached_property
    def values(self) -> np.ndarray:
        """What the law predicts (schedule), also where it would be refused."""
        return np.array([self.fitted.final(lrs) for lrs in self.shapes])

    @cached_property
    def risk(self) -> float:
        """How near the law is to being refused, or how far beyond: 1 at the limit."""
        share = min(self.fitted.noise_share(run.lrs) for run in self.trained) / uncertainty.MOST_NOISE
        left_out = leave_out_error(self.curves, BOUND) / uncertainty.MOST_LEAVE_OUT
        rise = max(run.rise for run in self.trained) / uncertainty.MOST_RISE
        return max(left_out, self.fitted.residual / uncertainty.MOST_RESIDUAL, share, rise if rise > 1 else 0.0)

    @cached_property
    def found(self) -> Forecast:
        candidates = [Untrained(name, self.lr, lrs) for name, lrs in zip(SCHEDULES, self.shapes, strict=True)]
        return forecast(self.trained, candidates)

    @property
    def is_answered(self) -> bool:
        return "val" in self.found.fits

    @property
    def means(self) -> np.ndarray:
        """The losses (schedule) over the seeds that the forecast did not see."""
        return self.measured[:, [one for one in range(SEEDS) if one != self.seed]].mean(axis=1)

    @property
    def untrained(self) -> list[int]:
        """The schedules that were not trained and did not diverge."""
        return [i for i, name in enumerate(SCHEDULES) if name not in self.mode and np.isfinite(self.means[i])]

    def error(self, values: np.ndarray) -> float:
        errors = np.log(np.maximum(values[self.untrained], 1e-12) / self.means[self.untrained])
        return float(np.abs(errors).mean())

    def tau(self, values: np.ndarray) -> float:
        return float(kendalltau(values[self.untrained], self.means[self.untrained]).statistic)

    def regret(self, values: np.ndarray) -> float:
        return regret(self.measured, int(values.argmin()))

    @property
    def inside(self) -> list[bool]:
        """Whether each predicted interval for the mean over seeds, guesses apart, holds what was measured."""
        predicted = {one.name: one for one in self.found.predictions}
        held = []
        for i in self.untrained:
            one = predicted[SCHEDULES[i]]
            if not one.is_guess:
                held.append(one.losses["val"].mean[0] <= self.means[i] <= one.losses["val"].mean[1])
        return held


def regret(measured: np.ndarray, pick: int) -> float:
    """How much higher the loss of `pick` is than that of the best: chosen on two seeds, scored on the others."""
    found = []
    for chosen in HALVES:
        scored = [seed for seed in range(SEEDS) if seed not in chosen]
        best = int(measured[:, list(chosen)].mean(axis=1).argmin())
        found.append(float(measured[pick, scored].mean() / measured[best, scored].mean() - 1))
    return float(np.mean(found))


def _asked(name: str, setting: Setting) -> Iterator[Asked]:
    """Every forecast of a setting, from runs that did not diverge."""
    bank = read(name)
    for multiple in SCORED:
        at = setting.multiples.index(multiple)
        lr = setting.lrs[at]
        for mode in MODES:
            for seed in range(SEEDS):
                places = [(SCHEDULES.index(one), at, seed) for one in mode]
                if all(np.isfinite(bank["val"][where]).all() for where in places):
                    trained = [trained_run(bank, where, lr) for where in places]
                    yield Asked(name, lr, mode, seed, trained, bank["shapes"] * lr, finals(bank, "val")[:, at])


def trained_run(bank: Bank, where: tuple[int, int, int], lr: float) -> TrainedCurves:
    """A run of a bank, at (schedule, LR, seed)."""
    name, lrs = SCHEDULES[where[0]], bank["shapes"][where[0]] * lr
    losses = {split: LossCurve.of(lrs, bank[f"{split}_updates"], bank[split][where]) for split in ("train", "val")}
    return TrainedCurves(name, name, lr, lrs, losses, settings=name, rise=float(bank["rise"][where]))


# What is shown


def _summary(title: str, asked: Sequence[Asked]) -> Table:
    """A row for each way to forecast: over all settings, LRs and seeds."""
    rows = []
    for mode in MODES:
        here = [one for one in asked if one.mode == mode]
        answered = [one for one in here if one.is_answered]
        row: dict[str, float] = {
            "settings": len({(one.name, one.lr) for one in here}),
            "answered": len(answered) / len(here),
        }
        if answered:
            row |= {
                "error": _mean(one.error(one.values) for one in answered),
                "tau": _mean(one.tau(one.values) for one in answered),
                "regret": _mean(one.regret(one.values) for one in answered),
                "noise of a regret": _mean(_noise(one.measured) for one in answered),
            }
            row |= _from_tasks("regret", answered, lambda several: _mean(one.regret(one.values) for one in several))
            row |= {
                f"always {rule}": _mean(regret(one.measured, SCHEDULES.index(rule)) for one in answered)
                for rule in FIXED
            }
            row["inside"] = _mean(chain.from_iterable(one.inside for one in answered))
            row |= _from_tasks(
                "inside", answered, lambda several: _mean(chain.from_iterable(one.inside for one in several))
            )
        rows.append({"name": f"from {' + '.join(mode)}", **_rounded(row)})
    return Table(f"{title}: all forecasts that are answered", "", rows)


def _from_tasks(name: str, asked: Sequence[Asked], value: Callable[[Sequence[Asked]], float]) -> dict[str, float]:
    """A 90 % interval for a value, from resampling whole tasks with replacement."""
    by_task: dict[str, list[Asked]] = {}
    for one in asked:
        by_task.setdefault(one.task, []).append(one)
    tasks = [*by_task.values()]
    if len(tasks) < 2:
        return {}
    parts = [(value(several), len(several)) for several in tasks]
    draws = np.random.default_rng(0).integers(len(parts), size=(RESAMPLED, len(parts)))
    values, counts = (np.array(column, dtype=float) for column in zip(*parts, strict=True))
    means = (values * counts)[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return {f"{name}, low": float(low), f"{name}, high": float(high)}


def _risk_and_coverage(title: str, asked: Sequence[Asked]) -> Table:
    """What is lost where laws are refused beyond a risk, and the others are taken at their word."""
    rows = []
    fallback = SCHEDULES.index(REFUSED_AS)
    for most in RISKS:
        row: dict[str, float] = {}
        for mode in MODES:
            here = [one for one in asked if one.mode == mode]
            taken = [one for one in here if one.risk <= most]
            name = " + ".join(mode)
            row[f"{name}: answered"] = len(taken) / len(here)
            if taken:
                row[f"{name}: regret"] = _mean(one.regret(one.values) for one in taken)
            refused = [regret(one.measured, fallback) for one in here if one.risk > most]
            row[f"{name}: with the refused"] = _mean([*(one.regret(one.values) for one in taken), *refused])
        rows.append({"name": f"risk up to {most:g}", **_rounded(row)})
    row = {}
    for mode in MODES:
        here = [one for one in asked if one.mode == mode]
        row[f"{' + '.join(mode)}: with the refused"] = _mean(regret(one.measured, fallback) for one in here)
    rows.append({"name": f"always {REFUSED_AS}", **_rounded(row)})
    return Table(f"{title}: risk and coverage, with the refused scored as always {REFUSED_AS}", "", rows)


def _by_setting(title: str, asked: Sequence[Asked], left_out: dict[str, str]) -> Table:
    """A row for each setting, LR and way to forecast."""
    grouped: dict[tuple[str, float, Sequence[str]], list[Asked]] = {}
    for one in asked:
        grouped.setdefault((one.name, one.lr, one.mode), []).append(one)
    rows = []
    for (name, lr, mode), several in grouped.items():
        answered = [one for one in several if one.is_answered]
        row: dict[str, float] = {"answered": len(answered) / len(several)}
        if answered:
            row |= {
                "error": _mean(one.error(one.values) for one in answered),
                "tau": _mean(one.tau(one.values) for one in answered),
                "regret": _mean(one.regret(one.values) for one in answered),
            }
            held = [*chain.from_iterable(one.inside for one in answered)]
            row |= {"inside": _mean(held)} if held else {}
        measured = several[0].measured
        row |= {f"always {rule}": regret(measured, SCHEDULES.index(rule)) for rule in FIXED}
        with np.errstate(invalid="ignore"):
            spread = measured.std(axis=1, ddof=1) / measured.mean(axis=1)
        row["noise of a seed"] = float(np.nanmedian(spread[np.isfinite(spread)]))
        rows.append({"name": f"{name}, LR {lr:g}, from {' + '.join(mode)}", **_rounded(row)})
    return Table(f"{title}: the validation loss, setting by setting", "", rows, left_out)


def _laws(title: str, asked: Sequence[Asked], mode: Sequence[str]) -> Table:
    """A row for each law and rule, over all that the bound law answers."""
    here = [one for one in asked if one.mode == mode and one.is_answered]
    if not here:
        return Table(f"{title}: laws and rules beside each other, from {' + '.join(mode)}", "", [])
    rows: list[dict] = []
    for law, several in LAWS.items():
        values = [_predicted_by(best_fit(one.curves, several), one) for one in here]
        rows.append({"name": law, **_worth(here, values)})
    theory = [
        np.array([bound.of_final_weights(lrs / lrs.max(), distance=len(lrs) ** 0.5) for lrs in one.shapes])
        for one in here
    ]
    rows.append({"name": "the bound, not fitted", **_worth(here, theory, errors=False)})
    for rule in FIXED:
        picked = _mean(regret(one.measured, SCHEDULES.index(rule)) for one in here)
        rows.append({"name": f"always {rule}", **_rounded({"regret": picked})})
    return Table(f"{title}: laws and rules beside each other, from {' + '.join(mode)}", "", rows)


def _of_rule(rule: str, asked: Sequence[Asked]) -> float:
    return _mean(regret(one.measured, SCHEDULES.index(rule)) for one in asked)


def _unfitted(lrs: np.ndarray) -> float:
    return bound.of_final_weights(lrs / lrs.max(), distance=len(lrs) ** 0.5)


def _predicted_by(fitted: Fit, one: Asked) -> np.ndarray:
    return np.array([fitted.final(lrs) for lrs in one.shapes])


def _worth(asked: Sequence[Asked], values: Sequence[np.ndarray], *, errors: bool = True) -> dict[str, float]:
    pairs = [*zip(asked, values, strict=True)]
    row = {"error": _mean(one.error(predicted) for one, predicted in pairs)} if errors else {}
    row["tau"] = _mean(one.tau(predicted) for one, predicted in pairs)
    row["regret"] = _mean(one.regret(predicted) for one, predicted in pairs)
    return _rounded(row)


def _noise(measured: np.ndarray) -> float:
    """The standard deviation of a regret that comes from seeds: of two means over two seeds each."""
    with np.errstate(invalid="ignore"):
        spread = measured.std(axis=1, ddof=1) / measured.mean(axis=1)
    return float(np.nanmedian(spread[np.isfinite(spread)]))


def _mean(values: Iterator[float] | Sequence[float]) -> float:
    return float(np.mean([*values]))


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 3) for key, value in row.items()}


if __name__ == "__main__":
    main()
