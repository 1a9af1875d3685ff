"""Early stopping: the end of a run whose metric has not become better for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class StopEarly:
    """Stops a run once its `monitor` has not become better by more than `min_delta` for `patience` updates."""

    monitor: str
    lower_is_better: bool
    patience: int  # in updates
    patience_in_words: str
    min_delta: float = 0.0
    best: float | None = None
    best_step: int = 0  # updates that were made when the monitor was best
    stopped: dict[str, Any] | None = None  # the epoch that was the last, and why; None where the run goes on
    due: dict[str, Any] | None = None  # likewise, where that epoch was the last one planned: nothing was stopped

    def see(self, epoch: int, step: int, measured: Mapping[str, float], *, is_last: bool = False) -> None:
        """Take in what an epoch `measured`, which ended after `step` updates; sets `stopped` where that ends the run.

        Where it is the last one that was planned, it sets `due` instead: a longer run would have ended there.
        """
        value = measured.get(self.monitor)
        if value is None:
            return
        if self.best is None or self._gain(value, self.best) > self.min_delta:
            self.best, self.best_step = value, step
        elif step - self.best_step >= self.patience:
            ended = {"epoch": epoch, "why": self._why()}
            self.stopped, self.due = (None, ended) if is_last else (ended, None)

    def _gain(self, value: float, best: float) -> float:
        return best - value if self.lower_is_better else value - best

    def _why(self) -> str:
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"{self.monitor} has not become better{by} for {self.patience_in_words}"

    def state_dict(self) -> dict[str, Any]:
        due = {"due": self.due} if self.due is not None else {}
        return {"best": self.best, "best_step": self.best_step, "stopped": self.stopped, **due}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.best_step, self.stopped = state["best"], state["best_step"], state["stopped"]
        self.due = state.get("due")
