"""The hyperparameters that a run will use, known before it starts by stepping its scheduler without training."""

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, repeat
from typing import Any

import torch

from lrlab.errors import UserError, wrong
from lrlab.lr import hashes
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import by_curve, foreseen, read
from lrlab.words import counted

_COUNTS_BETWEEN_REPORTS = 20_000
_MOST_COUNTS = 50_000_000  # of a plan, which then takes some minutes and gigabytes
_HIGHEST = torch.finfo(torch.float32).max  # by which weights of 32 bits can be changed


@dataclass(frozen=True)
class Plan:
    """The value of each hyperparameter at every count of `interval`.

    `curves` maps `lr`, `lr/GROUP`, `momentum` and `weight_decay` to their values. Where an LR follows a metric it is
    missing, or ends where that begins, as after a warm-up; what is scheduled beside it is there.
    """

    horizon: Horizon
    interval: str
    curves: Mapping[str, tuple[float, ...]]

    @property
    def lrs(self) -> tuple[float, ...] | None:
        """The LR of every count of the interval; None where a metric decides it during training."""
        return self.curves["lr"] if self.is_known("lr") else None

    def is_known(self, name: str) -> bool:
        """Whether a hyperparameter is known to the end of the run."""
        return len(self.curves.get(name, ())) == self.horizon.total(self.interval)

    def known_updates(self, name: str = "lr") -> int:
        """The updates for which a hyperparameter is known, from the first on."""
        return len(self.curves.get(name, ())) * self.updates_per_count

    @property
    def updates_per_count(self) -> int:
        return 1 if self.interval == "step" else self.horizon.steps_per_epoch

    def count(self, step: int) -> int:
        """The count of the interval in which update `step` is."""
        return step // self.updates_per_count

    def at(self, step: int, name: str = "lr") -> float | None:
        """The LR, or another hyperparameter, of update `step`, 0 <= step < horizon.steps."""
        count, values = self.count(step), self.curves.get(name, ())
        return values[count] if count < len(values) else None

    def per_update(self, name: str = "lr") -> list[float]:
        """The value of every update, as far as it is known; empty where a metric decides."""
        repeated = (repeat(value, self.updates_per_count) for value in self.curves.get(name, ()))
        return list(islice(chain.from_iterable(repeated), self.horizon.steps))  # the last epoch may be cut short

    @cached_property
    def hashes(self) -> dict[str, str]:
        """A hash of each curve: equal for equal values at every update, whatever the interval."""
        each, updates = self.updates_per_count, self.horizon.steps
        return {name: hashes.of_curve(values, each, updates) for name, values in self.curves.items()}

    def fingerprint(self) -> str:
        """One hash for all curves together."""
        return hashlib.sha256(repr(self.hashes).encode()).hexdigest()

    def on(self, interval: str) -> "Plan":
        """The same plan by the counts of `interval`; by epochs it has the value of the first update of each."""
        if interval in (self.interval, "step"):
            return self
        every = self.horizon.steps_per_epoch
        return Plan(self.horizon, interval, {name: values[::every] for name, values in self.curves.items()})

    def driven(self) -> list[str]:
        """The hyperparameters that are worth recording: every LR, and what else changes during the run."""
        curves = self.curves
        return [name for name, values in curves.items() if name.startswith("lr") or min(values) != max(values)]

    def summary(self, points: int = 100) -> dict[str, Any]:
        """The horizon and, for what is driven, values at up to about `points` updates and a hash of all of them."""
        steps = self.horizon.steps
        sampled = sorted({round(i * (steps - 1) / points) for i in range(points + 1)})
        curves = {}
        for name in self.driven():
            curves[name] = {str(step): self.at(step, name) for step in sampled if step < self.known_updates(name)}
        if self.horizon.in_shares:
            hashes = {name: self.hashes[name] for name in curves}
            return {"budget_seconds": self.horizon.budget_seconds, "positions": steps, **curves, "sha256": hashes}
        result: dict[str, Any] = {
            "epochs": self.horizon.passes,
            "steps_per_epoch": self.horizon.steps_per_epoch,
            "updates": steps,
            "interval": self.interval,
            **curves,
            "sha256": {name: self.hashes[name] for name in curves},
        }
        if self.lrs is None:
            known = self.known_updates()
            when = f"from update {known} on, so from there" if known else "so"
            result |= {"lr": None, "note": f"the LR follows a metric, {when} it is not known in advance"}
            if known:
                result["known"] = {"updates": known, "lr": curves["lr"]}
        return result


def simulate(
    make_scheduler: Callable[[torch.optim.Optimizer], Any],
    make_optimizer: Callable[[], torch.optim.Optimizer],
    horizon: Horizon,
    interval: str,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Step a fresh scheduler through the whole horizon and record what each count of `interval` would use.

    `progress` is told now and then how many counts are done, of how many: ten million take a minute.

    Raises UserError where a value cannot be trained with, or the scheduler fails before the end.
    """
    optimizer = make_optimizer()
    scheduler = make_scheduler(optimizer)
    with warnings.catch_warnings():
        # Nothing is trained here, and torch warns where a scheduler steps before its optimizer.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
        total = horizon.total(interval)
        known = foreseen(scheduler, optimizer, total)
        curves: dict[str, list[float]] = {name: [] for name in known}
        if total > _MOST_COUNTS:
            raise wrong(
                "trainer.epochs",
                got=f"{horizon.epochs:,}, which is {counted(total, interval)} of the scheduler",
                allowed=f"at most {_MOST_COUNTS:,}",
                do="scheduler.interval=epoch" if interval == "step" else "trainer.epochs=10",
            )
        for count in range(max(known.values(), default=0)):
            if progress is not None and count % _COUNTS_BETWEEN_REPORTS == 0:
                progress(count, total)
            values = read(optimizer)
            _require_usable(values, count, interval)
            for name, length in known.items():
                if count < length:
                    curves[name].append(values[name])
            _advance(scheduler, count, horizon, interval)
    return Plan(horizon, interval, {name: tuple(values) for name, values in curves.items()})


def has_factors(scheduler: Any) -> bool:
    """Whether a scheduler is torch's LambdaLR, with one function for all groups: it multiplies the base LR."""
    if type(scheduler) is not torch.optim.lr_scheduler.LambdaLR:
        return False
    return all(function is scheduler.lr_lambdas[0] for function in scheduler.lr_lambdas)


def factors(scheduler: Any, total: int) -> tuple[float, ...] | None:
    """What a scheduler that `has_factors` multiplies the base LR by at each of `total` counts; None where that fails.

    Its function is called once for each count, and once for the end of the run, as in `simulate`.
    """
    if total > _MOST_COUNTS:
        return None
    function = scheduler.lr_lambdas[0]
    try:
        values = [function(count) for count in range(total + 1)]
    except Exception:  # `simulate` says what is wrong
        return None
    return tuple(map(float, values[:total])) if {*map(type, values)} <= {int, float} else None


def scaled(optimizer: torch.optim.Optimizer, by: tuple[float, ...], horizon: Horizon, interval: str) -> Plan | None:
    """The plan that `simulate` makes with a scheduler that has these `factors`, which has been put on `optimizer`.

    None where a value cannot be trained with, or cannot be told without a step.
    """
    bases = [group["initial_lr"] for group in optimizer.param_groups]
    if not all(type(base) is float for base in bases):
        return None
    curves: dict[str, tuple[float, ...]] = {}
    lrs = {base: tuple([base * factor for factor in by]) for base in set(bases)}
    for name, value in read(optimizer).items():
        curves[name] = (value,) * len(by)
        is_right = 0 <= value < 1 if name == "momentum" else 0 <= value <= _HIGHEST
        if not is_right:
            return None
    for name, base in by_curve(optimizer, bases).items():
        curves[name] = lrs[base]
    for values in lrs.values():
        is_number = math.isfinite(sum(values))  # of which NaN would make another one
        if not is_number or not 0 <= min(values) <= max(values) <= _HIGHEST:
            return None
    return Plan(horizon, interval, curves)


def _advance(scheduler: Any, count: int, horizon: Horizon, interval: str) -> None:
    """Make one step. Raises UserError where the scheduler fails, with what it says itself."""
    try:
        scheduler.step()
    except UserError as error:
        if (error.key or "").startswith("optimizer."):  # it is about the schedule of a group
            raise
        raise error.under("scheduler") from error
    except Exception as error:
        raise wrong(
            "scheduler",
            got=f"{type(scheduler).__name__}, which fails after {interval} {count} ({type(error).__name__}: {error})",
            allowed=f"a scheduler that lasts {counted(horizon.total(interval), interval)}",
            do="make its durations fit the run, for example in percent" if count else "mend its step()",
        ) from error


def _require_usable(values: Mapping[str, float], count: int, interval: str) -> None:
    for name, value in values.items():
        is_right = 0 <= value < 1 if name == "momentum" else 0 <= value <= _HIGHEST
        if not is_right:
            what = name.replace("lr", "LR", 1).replace("weight_decay", "weight decay")
            when = f"in epoch {count + 1}" if interval == "epoch" else f"at update {count}"
            raise wrong(
                "scheduler",
                got=f"a planned {what} of {value:g} {when}",
                allowed="0 to 1, 1 excluded" if name == "momentum" else f"finite and not negative, to {_HIGHEST:.3g}",
                do="change the scheduler's settings (gamma, factor, end value, ...)",
            )


def side_by_side(old: Plan, new: Plan, joint: int, rows: int = 12) -> list[str]:
    """Lines of a table with the LR of both plans at the start of up to about `rows` epochs.

    Training goes on in epoch `joint`, which is among them.
    """
    last = new.horizon.epochs - 1
    epochs = sorted({round(i * last / (rows - 1)) for i in range(rows)} | {max(joint - 1, 0), joint})
    lines = [f"{'epoch':>7}  {'LR planned before':>17}  {'LR planned now':>14}"]
    for epoch in epochs:
        was_planned = epoch < old.horizon.epochs
        before = old.at(epoch * old.horizon.steps_per_epoch) if was_planned else None
        now = new.at(epoch * new.horizon.steps_per_epoch)
        mark = "  <- training goes on here" if epoch == joint else ""
        lines.append(f"{epoch + 1:>7}  {_shown(before, was_planned):>17}  {_shown(now, True):>14}{mark}")
    return lines


def _shown(lr: float | None, planned: bool) -> str:
    if lr is not None:
        return f"{lr:.6g}"
    return "by metric" if planned else "-"
