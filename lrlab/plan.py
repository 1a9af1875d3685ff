"""The learning rates that a run will use, known before it starts by stepping its scheduler without training."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlab.errors import wrong
from lrlab.horizon import Horizon


@dataclass(frozen=True)
class Plan:
    """The base LR of every count of `interval`; `lrs` is None where a metric decides it during training."""

    horizon: Horizon
    interval: str
    lrs: tuple[float, ...] | None

    def at(self, step: int) -> float | None:
        """The LR of update `step`, 0 <= step < horizon.steps."""
        if self.lrs is None:
            return None
        return self.lrs[step if self.interval == "step" else step // self.horizon.steps_per_epoch]

    def summary(self, points: int = 100) -> dict[str, Any]:
        """The horizon, the LR at up to about `points` updates, evenly spread, and a hash of all of them."""
        result: dict[str, Any] = {
            "epochs": self.horizon.epochs,
            "steps_per_epoch": self.horizon.steps_per_epoch,
            "updates": self.horizon.steps,
            "interval": self.interval,
        }
        if self.lrs is None:
            return result | {"lr": None, "note": "the LR follows a metric, so it is not known in advance"}
        steps = self.horizon.steps
        sampled = sorted({round(i * (steps - 1) / points) for i in range(points + 1)})
        curve = ",".join(map(repr, self.lrs))
        return result | {
            "lr": {str(step): self.at(step) for step in sampled},
            "sha256": hashlib.sha256(f"{self.interval}:{curve}".encode()).hexdigest(),
        }


def simulate(
    make_scheduler: Callable[[torch.optim.Optimizer], Any],
    make_optimizer: Callable[[], torch.optim.Optimizer],
    horizon: Horizon,
    interval: str,
) -> Plan:
    """Step a fresh scheduler through the whole horizon and record the LR that each count of `interval` would use.

    Raises UserError where the LR is negative or not finite, or the scheduler fails before the end.
    """
    optimizer = make_optimizer()
    scheduler = make_scheduler(optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        return Plan(horizon, interval, None)
    optimizer.step()  # torch warns where a scheduler steps before its optimizer
    lrs = []
    for count in range(horizon.total(interval)):
        lr = float(optimizer.param_groups[0]["lr"])
        _require_usable(optimizer, count, interval)
        lrs.append(lr)
        try:
            scheduler.step()
        except Exception as error:
            raise wrong(
                "scheduler",
                got=f"{type(scheduler).__name__} fails after {interval} {count} ({type(error).__name__}: {error})",
                allowed=f"a scheduler that lasts {horizon.total(interval)} {interval}s",
                do="make its durations fit the run, for example in percent",
            ) from error
    return Plan(horizon, interval, tuple(lrs))


def _require_usable(optimizer: torch.optim.Optimizer, count: int, interval: str) -> None:
    place = f"in epoch {count + 1}" if interval == "epoch" else f"at update {count}"
    for group in optimizer.param_groups:
        value = float(group["lr"])
        if not math.isfinite(value) or value < 0:
            raise wrong(
                "scheduler",
                got=f"a planned LR of {value:g} {place}",
                allowed="finite and not negative",
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
    return f"{lr:.6g}" if lr is not None else ("by metric" if planned else "-")
