"""GreedyLR: a scheduler that follows a metric up and down."""

import inspect
import math
from typing import Annotated, Any

from torch.optim import Optimizer

from lrlab.errors import WrongArgument, wrong
from lrlab.schedules.lengths import LENGTH, LENGTH_OR_ZERO, NEVER_RUNS_OUT, NUMBER, Counts, Level

_STATE = ("best", "good", "bad", "waiting", "stuck", "recent", "_last_lr")


class GreedyLR:
    """Divides the LR by `factor` while a metric improves, multiplies it by `factor` when it does not.

    After more than `patience` steps of improvement in a row the LR rises to lr / factor, at most `max_lr`; after more
    than `patience` steps without, it falls to lr * factor, at least `min_lr`. During `warmup` steps after a rise, and
    `cooldown` steps after a fall, nothing is counted. The metric is averaged over the last `window` steps. After
    `reset_after` falls that ended at `min_lr` everything starts anew at the base LR; None: never.

    An improvement is a change of more than `threshold` in the direction of `mode` against the best value so far: in
    the metric's unit (abs), or in shares of the best value's size (rel), whatever its sign. NaN is no improvement, and
    no part of the average.

    Raises UserError for settings that are out of range, and for a base LR outside of [min_lr, max_lr].

    Source: arXiv:2512.14527 (2025). It steps as Hugging Face's GreedyLR does, with `window=1` for smooth=False and
    `reset_after` for reset_start; the defaults differ (there: min_lr 0.001, reset_start 500), a smallest change
    `eps` is left out, and the sign of metrics and NaN are handled.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        mode: str = "min",
        factor: Level = 0.95,
        patience: Annotated[int, Counts(least=0, beyond=NEVER_RUNS_OUT, more=1)] = 10,
        threshold: Level = 1e-6,
        threshold_mode: str = "abs",
        cooldown: Annotated[int, LENGTH_OR_ZERO] = 0,
        warmup: Annotated[int, LENGTH_OR_ZERO] = 0,
        min_lr: Level = 0.0,
        max_lr: Level = 1.0,
        window: Annotated[int, LENGTH] = 1,
        reset_after: Annotated[int, NUMBER] | None = None,
    ):
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.warmup, self.min_lr, self.max_lr = cooldown, warmup, min_lr, max_lr
        self.window, self.reset_after = window, reset_after
        self._require_usable()
        self._start_anew()

    def _require_usable(self) -> None:
        """Raise UserError for the first setting that is out of range."""
        lowest, highest = min(self.base_lrs), max(self.base_lrs)
        reset_is_right = self.reset_after is None or self.reset_after >= 1
        for name, allowed, right in (
            ("mode", "min, max", self.mode in ("min", "max")),
            ("threshold_mode", "abs, rel", self.threshold_mode in ("abs", "rel")),
            ("factor", "between 0 and 1", 0 < self.factor < 1),
            ("threshold", "a number from 0", 0 <= self.threshold < math.inf),
            ("patience", "at least 0", self.patience >= 0),
            ("cooldown", "at least 0", self.cooldown >= 0),
            ("warmup", "at least 0", self.warmup >= 0),
            ("window", "at least 1", self.window >= 1),
            ("reset_after", "at least 1, or null", reset_is_right),
            ("min_lr", f"0 to the base LR, {lowest:g}", 0 <= self.min_lr <= lowest),
            ("max_lr", f"at least the base LR, {highest:g}", highest <= self.max_lr < math.inf),
        ):
            if not right:
                default = inspect.signature(type(self)).parameters[name].default
                do = f"{name}={'null' if default is None else default}"
                raise wrong(name, got=getattr(self, name), allowed=allowed, do=do, kind=WrongArgument)

    def _start_anew(self) -> None:
        self.best: float | None = None
        self.good = self.bad = 0  # steps in a row that improved, or did not
        self.waiting = 0  # steps in which nothing is counted
        self.stuck = 0  # falls asked for at min_lr
        self.recent: list[float] = []
        self._set(self.base_lrs)

    def step(self, metrics: float) -> None:
        """Follow `metrics`, the value measured since the last step."""
        # The value that counts is a mean of the last few.
        value = float(metrics)
        if not math.isnan(value):
            self.recent = [*self.recent, value][-self.window :]
            value = sum(self.recent) / len(self.recent)
        if self.waiting:
            self.waiting -= 1
            return

        # Steps in a row that improved, or did not.
        improved = self._improves(value)
        if improved:
            self.best = value
        self.good, self.bad = (self.good + 1, 0) if improved else (0, self.bad + 1)

        # Up or down, where there were enough of them.
        if self.good > self.patience:
            self.good, self.stuck, self.waiting = 0, 0, self.warmup
            self._set([min(lr / self.factor, self.max_lr) for lr in self._last_lr])
        elif self.bad > self.patience:
            self._fall()

    def _fall(self) -> None:
        self.bad, self.waiting = 0, self.cooldown
        self._set([max(lr * self.factor, self.min_lr) for lr in self._last_lr])
        self.stuck += max(self._last_lr) <= self.min_lr
        if self.stuck and self.stuck == self.reset_after:
            self._start_anew()

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None or math.isinf(self.best):
            return self.best is None or math.isfinite(value)
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        return value < self.best - margin if self.mode == "min" else value > self.best + margin

    def _set(self, lrs: list[float]) -> None:
        self._last_lr = list(lrs)
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The LR in force, a value a parameter group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """What steps have changed; settings are the config's."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`, with the settings that this object was built with."""
        for name in _STATE:
            setattr(self, name, state_dict[name])
