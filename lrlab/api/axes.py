"""The axes of LR curves, and what they are called."""

from lrlab.config import checks
from lrlab.lr.horizon import Horizon

AXES = {"epoch": "epoch", "step": "update", "percent": "% of the run"}
LABELS = {"lr": "learning rate", "momentum": "momentum", "weight_decay": "weight decay"}


def axis_or_default(x: str | None, horizon: Horizon) -> str:
    """The axis asked for. Without one it is epochs, or updates where the run is not divided into epochs."""
    if x is None:
        return "step" if horizon.epochs == 1 else "epoch"
    checks.choice("x", x, tuple(AXES))
    return x
