"""`trainer.stop_early`: a patience, or a patience with the least difference that counts."""

from collections.abc import Sequence
from typing import Any

from lrlab.config import checks
from lrlab.errors import wrong
from lrlab.lr.horizon import Horizon, is_duration
from lrlab.training.early import StopEarly
from lrlab.training.metrics import Metric, lower_is_better
from lrlab.words import counted

_KEY = "trainer.stop_early"


def check(written: Any) -> None:
    """Raise UserError where `trainer.stop_early` is nothing of the kind."""
    if written is None:
        return
    patience, min_delta = _parts(written)
    is_length = isinstance(patience, str) and is_duration(patience)
    is_count = isinstance(patience, int) and not isinstance(patience, bool) and patience > 0
    if not is_length and not is_count:
        allowed = (
            "epochs without a better trainer.monitor (5), a duration (500st, 25%), or {patience: 5, min_delta: 0.001}"
        )
        raise wrong(_KEY, got=repr(patience), allowed=allowed, do=f"{_KEY}=5")
    checks.number(f"{_KEY}.min_delta", min_delta, low=0, example=0.001)


def warnings(early: StopEarly | None, horizon: Horizon, eval_every: int) -> list[str]:
    """What is probably a mistake: a patience that cannot run out before the run is over."""
    if early is None or horizon.budget_seconds is not None:
        return []
    first = eval_every * horizon.steps_per_epoch  # is the best so far, whatever it measures
    last = (horizon.epochs - 1) // eval_every * first  # before the end of the run
    if last >= first + early.patience:
        return []
    told = f"a patience of {early.patience_in_words} never runs out in a run of {horizon.in_words}"
    return [f"{_KEY}: {told}; a shorter one, or a longer run"]


def _parts(written: Any) -> tuple[Any, Any]:
    """The patience and the least difference, as they are written."""
    if not isinstance(written, dict):
        return written, 0.0
    checks.require_names(written, _KEY, ["patience", "min_delta"], required=["patience"])
    return written["patience"], written.get("min_delta", 0.0)


def stop_early(written: Any, horizon: Horizon, monitor: str, metrics: Sequence[Metric]) -> StopEarly | None:
    """What stops a run early; None where nothing does. A patience without a unit is in epochs."""
    if written is None:
        return None
    patience, min_delta = _parts(written)
    in_words = counted(patience, "epoch") if isinstance(patience, int) else str(patience)
    text = f"{patience}ep" if str(patience).isdecimal() else str(patience)
    updates = horizon.count(text, "step", _KEY)
    if updates == 0:
        raise wrong(_KEY, got=patience, allowed="a patience of at least one update", do=f"{_KEY}=5")
    return StopEarly(monitor, lower_is_better(monitor, metrics), updates, in_words, min_delta)
