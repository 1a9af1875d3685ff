"""Runs whose LR follows a metric, which another run trains for them until they part from it.

Nobody knows in advance when that is. So the run that trains, the leader, steps their schedulers beside its own with
what it measures, and leaves its state at the end of the last epoch whose values all of them use alike.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lrlab.config import build, identity
from lrlab.config.groups import ModelParameters
from lrlab.config.prepare import Checked, Prepared
from lrlab.config.scheduler import scheduler_settings
from lrlab.lr.controls import Controls
from lrlab.lr.hyperparameters import count_as_stepped, read
from lrlab.training.loop import advance
from lrlab.training.metrics import Metric

Values = dict[str, float]  # lr, lr/GROUP, momentum, weight_decay


FEWEST = 50  # updates that are worth sharing: to leave a state and to take it over takes as long as some updates
_OWN = (*identity.LENGTHS, "optimizer.lr")  # settings that those who are led may have of their own


def may_be_led(checked: Checked) -> bool:
    """Whether the LR follows a metric from the first update on."""
    plan = checked.plan
    return plan.lrs is None and not plan.horizon.in_shares and not len(Controls.of(plan))


def file_of(checked: Checked, salt: str) -> str:
    """The name of the file in which a run that is led finds its beginning. `salt` says what else is alike."""
    flat = identity.flatten(checked.config)
    own = {key: value for key, value in flat.items() if key.startswith("scheduler.") or key in _OWN}
    text = json.dumps([salt, own, checked.plan.horizon.steps], sort_keys=True, default=repr)
    return f"0-{hashlib.sha256(text.encode()).hexdigest()[:32]}.pt"


class _Follower:
    """The scheduler of a run that is led, and the optimizer that it sets, which updates nothing."""

    def __init__(self, checked: Checked, metrics: Sequence[Metric], model: nn.Module, device: str):
        config = checked.config
        self.settings = scheduler_settings(config["scheduler"], checked.plan.horizon, config["optimizer"], metrics)
        parameters = ModelParameters.of(model)
        self.optimizer = build.build_optimizer(config["optimizer"], parameters, device, is_stand_in=False)
        self.scheduler = self.settings.build(self.optimizer)
        self.ends = checked.plan.horizon.steps
        count_as_stepped(self.optimizer)

    def uses(self, values: Values | None) -> bool:
        """Whether it uses these in the whole of its next epoch."""
        return self.settings.interval == "epoch" and read(self.optimizer) == values

    def see(self, measured: Mapping[str, Any]) -> None:
        """Go on to the next epoch, after one in which this was measured."""
        advance(self.scheduler, self.settings.monitor, measured["train"], measured["val"])


class Led:
    """The runs that a leader trains for, by the file in which each of them looks for its beginning.

    Of each epoch that is complete, and of the one after it, `used` holds what the leader uses in it, as long as there
    are followers.
    """

    def __init__(self, prepared: Prepared, model: nn.Module, optimizer: Optimizer, led: Mapping[Path, Checked]):
        metrics, device = prepared.task.metrics, prepared.device.type
        self.followers = {file: _Follower(one, metrics, model, device) for file, one in led.items()}
        self.plan, self.optimizer = prepared.plan, optimizer  # the leader's
        self.each = self.plan.horizon.steps_per_epoch
        self.used: list[Values | None] = []
        self.parting: list[Path] = []  # of those that part from it where it is
        self.apart: list[Path] = []  # of those that have nothing from it, for they part too early

    def begin(self) -> None:
        """The leader is at its start."""
        self._note(0, self._values(0))

    def replay(self, used: Sequence[Values | None], epochs: Sequence[Mapping[str, Any]]) -> None:
        """The leader goes on after these `epochs`. Who has parted from it there has left long ago."""
        if len(used) <= len(epochs):  # nobody was led to there
            self.let_go()
            return
        for number, values in enumerate(used[: len(epochs) + 1]):
            self._note(number * self.each, values)
            if number < len(epochs):
                self._see(epochs[number])
        self.parting = []

    def see(self, step: int, measured: Mapping[str, Any], *, is_last: bool = False) -> None:
        """The leader has made `step` updates, and measured this in the epoch that ends with them, maybe its last."""
        if self.followers:
            self._see(measured)
            self._note(step, None if is_last else self._values(step))

    def let_go(self) -> None:
        """Nobody is led any more."""
        self.apart += [*self.followers, *self.parting]
        self.followers, self.parting = {}, []

    def _see(self, measured: Mapping[str, Any]) -> None:
        for one in self.followers.values():
            one.see(measured)

    def _note(self, step: int, values: Values | None) -> None:
        """Note what the leader uses in the next epoch, and who parts from it there."""
        self.used.append(values)
        for file, one in [*self.followers.items()]:
            is_last = step + self.each >= min(one.ends, self.plan.horizon.steps)
            if is_last or not one.uses(values):
                (self.parting if step >= FEWEST else self.apart).append(file)
                del self.followers[file]

    def _values(self, step: int) -> Values | None:
        """What the leader uses in each update of its next epoch; None where it changes something on the way."""
        if self.plan.lrs is None:
            return read(self.optimizer) if self.plan.interval == "epoch" else None
        steps = range(step, min(step + self.each, self.plan.horizon.steps))
        of_each = {name: {self.plan.at(one, name) for one in steps} for name in self.plan.curves}
        if any(len(values) != 1 for values in of_each.values()):
            return None
        return {name: value for name, (value,) in of_each.items() if value is not None}

    def take(self) -> list[Path]:
        """The files of those that part here, once."""
        files, self.parting = self.parting, []
        return files

    def take_apart(self) -> list[Path]:
        """The files of those that begin by themselves, once."""
        files, self.apart = self.apart, []
        return files


def would_use(
    prepared: Prepared, model: nn.Module, used: Sequence[Values | None], epochs: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a run would have used the same values in all of these epochs, after what was measured in each."""
    if len(used) != len(epochs) + 1:  # of the epoch after them too, in which it parts
        return False
    follower = _Follower(prepared.checked, prepared.task.metrics, model, prepared.device.type)
    for values, measured in zip(used[:-1], epochs, strict=True):
        if not follower.uses(values):
            return False
        follower.see(measured)
    return True
