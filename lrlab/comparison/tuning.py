"""How the base LR of each candidate of a study was chosen, and what that took."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from lrlab.comparison import choice, design, led, results, sound
from lrlab.comparison.design import Protocol, Record, SeededRun
from lrlab.comparison.results import Result
from lrlab.training.metrics import METRICS

WITHIN = 0.05  # of the best: the LRs that are nearly as good

TriedRun = tuple[SeededRun, float | None]  # a tuning run that has ended, and its value on val; None where it failed


@dataclass(frozen=True)
class TuningCost:
    """How the base LR of a candidate was chosen, and what that took."""

    lr: float | None  # that was chosen; None where every run failed
    lrs: list[float]  # that were tried
    runs: int
    failed: int
    updates: int  # of its runs, each as if it had trained alone
    shared: int  # of these, that runs have in common and that were trained once
    seconds: float
    means: dict[float, float]  # of the metric on val, by LR
    nearly_as_good: tuple[float, float] | None  # LRs within 5 % of the best
    expected_best: list[float]  # of 1, 2, ... runs


def read(folder: Path, record: Record) -> dict[str, TuningCost]:
    """What the tuning of each candidate cost and showed so far."""
    ended = {name: tried(folder, record, name) for name in record.protocol.candidates}
    lrs = chosen_lrs(record.protocol, ended)
    return {name: _tuning_cost(folder, record.protocol, runs, lrs[name]) for name, runs in ended.items()}


def chosen_lrs(protocol: Protocol, ended: Mapping[str, Sequence[TriedRun]]) -> dict[str, float | None]:
    """The base LR of each candidate by the tuning runs that have `ended`; None where every run failed."""
    metric = METRICS[protocol.metric]
    how = {"lower_is_better": metric.lower_is_better, "are_shares": metric.is_share}
    outcomes = {name: _by_lr(runs) for name, runs in ended.items()}
    found = {
        name: choice.best_lr(values, failed, **how) if values else None for name, (values, failed) in outcomes.items()
    }
    if protocol.led is None:
        return found
    by_seed = chain.from_iterable(values.values() for values, _ in outcomes.values())
    luck = led.luck_of([list(one.values()) for one in by_seed], lower_is_better=metric.lower_is_better)
    for name in protocol.led.ratios:
        values, failed = outcomes[name]
        if values:
            following = following_lr(protocol, ended[protocol.led.leader], found[protocol.led.leader], name)
            found[name] = led.best_lr(values, failed, following, luck, **how)
    return found


def following_lr(protocol: Protocol, of_leader: Sequence[TriedRun], best: float | None, name: str) -> float:
    """The base LR that follows for a candidate that is led, from the `best` one of its leader.

    Where each run of the leader failed, from an LR below all that it tried.
    """
    assert protocol.led is not None
    lr = best if best is not None else min(run.lr for run, _ in of_leader) / led.STEP**2
    return led.following_lr(lr, protocol.led.ratios[name])


def _by_lr(runs: Sequence[TriedRun]) -> tuple[dict[float, dict[int, float]], dict[float, int]]:
    """The values of the runs that finished, by LR and seed, and by LR how many failed."""
    values: dict[float, dict[int, float]] = {}
    failed: dict[float, int] = {}
    for run, value in runs:
        if value is None:
            failed[run.lr] = failed.get(run.lr, 0) + 1
        else:
            values.setdefault(run.lr, {})[run.seed] = value
    return values, failed


def _tuning_cost(folder: Path, protocol: Protocol, ended: Sequence[TriedRun], lr: float | None) -> TuningCost:
    lower = METRICS[protocol.metric].lower_is_better
    by_lr, failed = _by_lr(ended)
    found = [run_of(folder, design.TUNING, run) for run, _ in ended]
    means = {lr: statistics.fmean(own.values()) for lr, own in sorted(by_lr.items())}
    values = [value for _, value in ended if value is not None]
    return TuningCost(
        lr=lr,
        lrs=sorted({run.lr for run, _ in ended}),
        runs=len(ended),
        failed=sum(failed.values()),
        updates=sum(int(one.summary.get("updates", 0)) for one in found),
        shared=sum(_shared_updates(one.summary) for one in found),
        seconds=sum(float(one.summary.get("seconds", 0.0)) for one in found),
        means=means,
        nearly_as_good=choice.width_within(means, share=WITHIN, lower_is_better=lower) if means else None,
        expected_best=choice.expected_best(values, lower_is_better=lower) if values else [],
    )


def _shared_updates(said: Mapping[str, Any]) -> int:
    """The updates at the beginning of a run that another one has trained, as its summary says."""
    begun_with = said.get("begun_with")
    updates = begun_with.get("updates") if isinstance(begun_with, Mapping) else 0
    return updates if isinstance(updates, int) else 0


def tried(folder: Path, record: Record, name: str) -> list[TriedRun]:
    """The tuning runs of a candidate that have ended, each with its value on val; None where it failed."""
    found: list[TriedRun] = []
    for run in record.tuning.get(name, []):
        said = run_of(folder, design.TUNING, run)
        value = said.summary.get(record.protocol.tuned_by)
        if said.status == "finished" and sound.is_number(value):
            found.append((run, float(value)))  # type: ignore[arg-type]
        elif said.status in ("failed", "diverged"):
            found.append((run, None))
    return found


def run_of(folder: Path, sweep: str, run: SeededRun) -> Result:
    """The run of one of the study's two sweeps."""
    return results.read_result(folder / sweep / run.folder, run.folder)
