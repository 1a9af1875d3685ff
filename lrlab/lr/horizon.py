"""How long a run is, and durations: lengths of training that a config states in the unit that suits it.

A duration is an integer count of the scheduler's interval (`25`), or a string with a unit: `5ep` (epochs), `500st`
(steps, that is updates), `25%` (of the run). It becomes an integer once, here, before any scheduler is built.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lrlab.errors import wrong
from lrlab.words import counted

INTERVALS = ("epoch", "step")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ep|st|%)?")
_MEANT_AS_DURATION = re.compile(r"[-+.]?\d")
# Settings of torch's schedulers and of lrlab's schedules that are levels or factors, and those that are lengths.
_LEVELS = {
    *("gamma", "factor", "floor", "value", "values", "rate", "amount", "peak_decay", "start", "pct_start", "growth"),
    *("start_factor", "end_factor", "eta_min", "base_lr", "max_lr", "min_lr", "power", "exponent", "k_decay", "offset"),
    *("div_factor", "final_div_factor", "threshold", "ratio", "beta2", "lower", "upper", "low", "high", "lr"),
}
_LENGTHS = {
    *("steps", "total", "warmup", "decay", "period", "milestones", "ends", "up", "down", "step_size", "upper_bound"),
    *("timescale", "width", "center"),
}


@dataclass(frozen=True)
class Horizon:
    """The length of a run: `epochs` passes of `steps_per_epoch` updates each."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return self.epochs * self.steps_per_epoch

    def total(self, interval: str) -> int:
        """The run's length in counts of `interval`."""
        return self.epochs if interval == "epoch" else self.steps

    def count(self, duration: str, interval: str, key: str = "duration") -> int:
        """`duration` in counts of `interval`, rounded half up.

        Raises UserError where it is no duration, or is positive but rounds to zero.

        >>> run = Horizon(epochs=10, steps_per_epoch=100)
        >>> run.count("25%", "epoch"), run.count("25%", "step"), run.count("3ep", "step"), run.count("250st", "epoch")
        (3, 250, 300, 3)
        """
        match = _DURATION.fullmatch(duration)
        if not match:
            raise wrong(
                key,
                got=f"'{duration}', which is no duration",
                allowed=f"a whole number of {interval}s such as 25, or 5ep, 500st, 25%",
                do=f"{key}=25%",
            )
        exact = Fraction(match[1]) * self._unit(match[2], interval)
        counts = int(exact + Fraction(1, 2))
        if match[2] is None and counts != exact:
            raise wrong(
                key, got=duration, allowed=f"a whole number of {interval}s, or 5ep, 500st, 25%", do=f"{key}={counts}"
            )
        if counts == 0 and exact > 0:
            raise wrong(
                key,
                got=f"{duration}, which is {float(exact):.3g} {interval}s and rounds to zero",
                allowed=f"at least half a count of {counted(self.total(interval), interval)}",
                do="lengthen it, or the run (trainer.epochs)",
            )
        return counts

    def _check_kind(self, name: str, value: Any, interval: str, key: str) -> None:
        """Raise UserError where a level is written as a duration, or a length is not whole."""
        parts = value if isinstance(value, list) else [value]
        levels, lengths = parts if name in _LEVELS else [], parts if name in _LENGTHS else []
        if name == "knots":
            pairs = [part for part in parts if isinstance(part, list) and len(part) == 2]
            levels, lengths = [level for _, level in pairs], [time for time, _ in pairs]
        for level in levels:
            if isinstance(level, str) and _DURATION.fullmatch(level):
                example = f"{float(level[:-1]) / 100:g}" if level.endswith("%") else "0.5"
                do = f"{example} in place of '{level}'" if isinstance(value, list) else f"{key}={example}"
                raise wrong(key, got=f"'{level}', a duration", allowed="a number", do=do)
        for length in lengths:
            if isinstance(length, float):
                example = f"{length:.0%}" if 0 < length < 1 else f"{length:.0f}"
                do = f"{example} in place of {length}" if isinstance(value, list) else f"{key}={example}"
                allowed = f"a whole number of {interval}s, or 5ep, 500st, 25%"
                raise wrong(key, got=length, allowed=allowed, do=do)

    def _unit(self, unit: str | None, interval: str) -> Fraction:
        """One `unit` in counts of `interval`."""
        if unit is None:
            return Fraction(1)
        if unit == "%":
            return Fraction(self.total(interval), 100)
        steps = self.steps_per_epoch if unit == "ep" else 1
        return Fraction(steps, self.steps_per_epoch if interval == "epoch" else 1)

    def resolve(self, node: Any, interval: str, key: str) -> Any:
        """A copy of the plain config `node` (dicts, lists, scalars) in which every duration is a count of `interval`.

        A string that starts like a number is meant as a duration and must be one. In the nodes of torch's schedulers
        and of lrlab's schedules, levels such as `gamma` are no durations, and lengths are whole.

        >>> Horizon(20, 50).resolve({"step_size": "25%", "milestones": ["5ep", 8], "mode": "min"}, "epoch", "scheduler")
        {'step_size': 5, 'milestones': [5, 8], 'mode': 'min'}
        """
        if isinstance(node, dict):
            if str(node.get("_target_", "")).startswith(("lrlab.", "torch.")):
                for name, value in node.items():
                    self._check_kind(name, value, interval, f"{key}.{name}")
            return {name: self.resolve(value, interval, f"{key}.{name}") for name, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(value, interval, key) for value in node]
        if isinstance(node, str) and _MEANT_AS_DURATION.match(node):
            return self.count(node, interval, key)
        return node
