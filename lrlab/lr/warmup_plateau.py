"""WarmupPlateau: a warm-up by update, and then torch's ReduceLROnPlateau by epoch."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlab import schedules
from lrlab.errors import WrongArgument, wrong
from lrlab.schedules.lengths import EPOCHS_OF_PATIENCE, EPOCHS_OR_ZERO, LENGTH_OR_ZERO, Level

_OF_THE_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")
_LONGER = 1  # counts that the ramp's horizon is longer than the warm-up


class WarmupPlateau:
    """Raises the LR over `warmup` steps, then multiplies it by `factor` where a metric has not improved for a while.

    It has two clocks. `step()` moves the warm-up: LR(t) = ramp((t + 1) / (warmup + 1)) times the plateau's LR for
    t < warmup, as in `lrlab.schedules.warmup`, whose `shape` and `start` it takes. `tell(metric)` is called once an
    epoch that was measured, and is torch's `ReduceLROnPlateau.step(metric)` as soon as the warm-up is over. What is
    told before is forgotten: it makes no epoch a bad one, and no best value.

    torch's SequentialLR cannot hold a ReduceLROnPlateau, whose `step` needs the metric.

    Raises ValueError for settings that are out of range.

    Source: Goyal et al., 2017, arXiv:1706.02677, section 2.2, for the warm-up; the rest is torch's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup: Annotated[int, LENGTH_OR_ZERO],
        shape: str = "linear",
        start: Level | None = None,
        mode: Literal["min", "max"] = "min",
        factor: Level = 0.1,
        patience: Annotated[int, EPOCHS_OF_PATIENCE] = 10,
        threshold: Level = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: Annotated[int, EPOCHS_OR_ZERO] = 0,
        min_lr: Level | Sequence[Level] = 0.0,
        eps: Level = 1e-8,
    ):
        if not 0 < factor < 1:
            raise wrong("factor", got=factor, allowed="between 0 and 1", do="factor=0.1", kind=WrongArgument)
        self.optimizer, self.warmup, self.shape, self.start, self.mode = optimizer, warmup, shape, start, mode
        # The plateau has groups of its own, whose LRs the warm-up does not touch.
        groups = [{"params": [torch.zeros(())], "lr": float(group["lr"])} for group in optimizer.param_groups]
        self.plateau = ReduceLROnPlateau(
            torch.optim.SGD(groups),
            mode=mode,
            factor=factor,
            patience=patience,
            threshold=threshold,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lr=min_lr,  # type: ignore[arg-type]  # a sequence becomes a list there
            eps=eps,
        )
        self.count = 0  # steps that were made
        self._ramp()  # raises where the warm-up's settings are wrong
        self._apply()

    @property
    def certain(self) -> int:
        """For how many steps the LR is known in advance: as long as no metric is heeded."""
        return self.warmup

    def step(self) -> None:
        """Go on by one step of the warm-up."""
        self.count += 1
        if self.count <= self.warmup:
            self._apply()

    def tell(self, metric: float) -> None:
        """Follow the metric of an epoch, once the warm-up is over."""
        if self.count >= self.warmup:
            self.plateau.step(metric)
            self._apply()

    def _ramp(self) -> float:
        if self.count >= self.warmup > 0:
            return 1.0
        total = self.warmup + _LONGER
        then = schedules.constant
        return schedules.warmup(
            self.count, steps=self.warmup, total=total, then=then, shape=self.shape, start=self.start
        )

    def _apply(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The LR in force, a value a parameter group."""
        ramp = self._ramp()
        return [ramp * float(group["lr"]) for group in self.plateau.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What steps and metrics have changed; settings are the config's."""
        plateau = {name: getattr(self.plateau, name) for name in _OF_THE_PLATEAU}
        lrs = [float(group["lr"]) for group in self.plateau.optimizer.param_groups]
        return {"count": self.count, "lrs": lrs, "plateau": plateau}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`, with the settings that this object was built with."""
        self.count = state_dict["count"]
        for name in _OF_THE_PLATEAU:
            setattr(self.plateau, name, state_dict["plateau"][name])
        for group, lr in zip(self.plateau.optimizer.param_groups, state_dict["lrs"], strict=True):
            group["lr"] = lr
        self._apply()
