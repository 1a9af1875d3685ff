"""Cooldown: another scheduler, a trunk, up to a moment of its run, and from there a decay of the LR that it has."""

from collections.abc import Callable
from typing import Annotated, Any

from torch.optim import Optimizer

from lrlab.errors import WrongArgument, wrong
from lrlab.lr.hyperparameters import follows_metric
from lrlab.schedules.lengths import LENGTH, Level, Number
from lrlab.schedules.stable import fall


class Cooldown:
    """The LR of `trunk` to the bit up to `at`, and over the next `steps` a decay of the given `shape` from it.

    LR(t) = trunk(t)                for t <= at
    LR(t) = trunk(at) d(q),  q = (t - at) / steps, at most 1  from there on

    `trunk` is planned for a run of its own, which may be longer or shorter than `at + steps`, so its durations are
    counts. It is stepped after every `every` steps, which is how a trunk that counts epochs is cooled down update by
    update. Whatever else it drives, a momentum, stays as it is at `at`. The shapes d and their parameters are those of
    `lrlab.schedules.wsd`; `floor` is a fraction of the LR at `at`.

    Raises ValueError for settings that are out of range, and for a trunk that follows a metric.

    Source: Haegele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024,
    arXiv:2405.18392.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        trunk: Callable[[Optimizer], Any],
        at: Annotated[int, LENGTH],
        steps: Annotated[int, LENGTH],
        shape: str = "one_minus_sqrt",
        floor: Level = 0.0,
        exponent: Number | None = None,
        rate: Level | None = None,
        every: Annotated[int, LENGTH] = 1,
    ):
        for name, count in (("at", at), ("steps", steps), ("every", every)):
            if count < 1:
                raise wrong(name, got=count, allowed="at least 1", do=f"{name}=1", kind=WrongArgument)
        fall(0.5, shape=shape, floor=floor, exponent=exponent, rate=rate)  # raises where they are wrong
        self.optimizer, self.at, self.steps, self.every = optimizer, at, steps, every
        self.shape, self.floor, self.exponent, self.rate = shape, floor, exponent, rate
        self.trunk = trunk(optimizer)
        if follows_metric(self.trunk):
            raise wrong(
                "trunk",
                got=f"{type(self.trunk).__name__}, which follows a metric",
                allowed="a scheduler whose LR is known before",
                do="trunk=constant",
                kind=WrongArgument,
            )
        self.count = 0  # steps that were made

    def step(self) -> None:
        """Go on by one."""
        self.count += 1
        if self.count > self.at:
            self._apply()
        elif self.count % self.every == 0:
            self.trunk.step()

    def _apply(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The LR in force, a value a parameter group."""
        lrs = [float(lr) for lr in self.trunk.get_last_lr()]
        if self.count <= self.at:
            return lrs
        done = min((self.count - self.at) / self.steps, 1.0)
        left = fall(done, shape=self.shape, floor=self.floor, exponent=self.exponent, rate=self.rate)
        return [lr * left for lr in lrs]

    def state_dict(self) -> dict[str, Any]:
        """What steps have changed; settings are the config's."""
        return {"count": self.count, "trunk": self.trunk.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`, with the settings that this object was built with."""
        self.count = state_dict["count"]
        self.trunk.load_state_dict(state_dict["trunk"])
        if self.count > self.at:
            self._apply()
