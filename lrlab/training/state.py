"""The training state: everything that training changes, and so everything that resuming needs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lrlab.errors import wrong
from lrlab.lr.hyperparameters import Scheduler, count_as_stepped
from lrlab.system import randomness
from lrlab.training import averages
from lrlab.training.averages import Average
from lrlab.training.early import StopEarly
from lrlab.training.pace import Pace
from lrlab.training.precision import Precision
from lrlab.training.sums import Sums

_PROGRESS = ("epoch", "batch", "step", "applied", "seconds")
_WAYS = ("fused", "foreach", "capturable")  # how torch's optimizers compute, which they keep in their groups

# What torch's optimizers keep for a parameter in its own shape.
_OF_ITS_SHAPE = {
    *("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "acc_delta", "grad_avg", "sum"),
    *("exp_inf", "prev", "step_size", "ax"),
}


def require_alike(saved: Any, own: Mapping[str, Any], where: str) -> None:
    """Raise ValueError where a saved value is of another kind than the one that it takes the place of."""
    for name, value in own.items():
        if name in saved and not _is_alike(saved[name], value):
            raise ValueError(f"{name} of {where} is {saved[name]!r}"[:100])


def _is_alike(saved: Any, own: Any) -> bool:
    kinds = {bool: bool, str: str, int: int | float, float: int | float}
    if isinstance(own, list | tuple):
        return isinstance(saved, list | tuple)
    expected: Any = kinds.get(type(own))
    if expected is None or saved is None:
        return True
    if isinstance(saved, int) and abs(saved) >= 2**63:
        return False
    return isinstance(saved, expected) and (isinstance(own, bool) or not isinstance(saved, bool))


def _in_format(loaded: Any, saved: Any) -> Any:
    """What was loaded, with every tensor in it in the number format that it was saved in, from the saved values."""
    if isinstance(loaded, Tensor) and isinstance(saved, Tensor):
        return loaded if loaded.dtype == saved.dtype else saved.detach().clone().to(loaded.device)
    if isinstance(loaded, dict) and isinstance(saved, Mapping):
        return {name: _in_format(value, saved.get(name)) for name, value in loaded.items()}
    if isinstance(loaded, list | tuple) and isinstance(saved, list | tuple) and len(loaded) == len(saved):
        return type(loaded)(_in_format(one, other) for one, other in zip(loaded, saved, strict=True))
    return loaded


def has_two_points(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the weights that `optimizer` trains are others than those that are meant to be used.

    Schedule-free optimizers exchange the two in their methods `train` and `eval` (Defazio et al., The Road Less
    Scheduled, 2024, arXiv:2405.15682).
    """
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


@dataclass
class TrainState:
    """Model, optimizer and scheduler, and how far training is."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    device: torch.device
    precision: Precision = field(default_factory=Precision)
    wrapped: nn.Module | None = None  # the model as training calls it, where it is compiled or one of several ranks'
    epoch: int = 0  # completed epochs
    batch: int = 0  # completed updates of the epoch under way
    step: int = 0  # completed updates
    applied: dict[str, float] = field(default_factory=dict)  # hyperparameters that the last update used
    seconds: float = 0.0  # spent in the epoch under way
    pace: Pace | None = None  # of a run with a time budget
    early: StopEarly | None = None  # what stops the run early
    is_training: bool | None = None  # which of its two weights the model has, where its optimizer knows two
    average: Average | None = None  # of the model's weights, where they are averaged
    random: dict[str, Any] | None = None  # of the generators, for this run; None: what they are in this process
    sums: Sums = field(init=False)  # of what is measured in the training of the epoch under way

    def __post_init__(self) -> None:
        self.sums = Sums(self.device)

    @property
    def network(self) -> nn.Module:
        """The model as training calls it."""
        return self.model if self.wrapped is None else self.wrapped

    @property
    def has_ended(self) -> bool:
        """Whether a time budget is used up, or the run was stopped early: nothing is left to train."""
        return (self.pace is not None and self.pace.is_over) or (
            self.early is not None and self.early.stopped is not None
        )

    @property
    def has_two_points(self) -> bool:
        """Whether the weights that are trained are others than those that are meant to be used."""
        return has_two_points(self.optimizer)

    def at_training_point(self, is_training: bool) -> None:
        """Let the model have the weights that are trained, or else those that are evaluated and used."""
        if self.has_two_points and is_training != self.is_training:
            change = self.optimizer.train if is_training else self.optimizer.eval  # type: ignore[attr-defined]
            change()
        self.is_training = is_training

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them only."""
        point: dict[str, Any] = {"is_training": self.is_training} if self.has_two_points else {}
        parts = {"average": self.average, "pace": self.pace, "stop_early": self.early}
        optional = {name: part.state_dict() for name, part in parts.items() if part is not None}
        return {
            **point,
            **optional,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.precision.state_dict(),
            "progress": {name: getattr(self, name) for name in _PROGRESS},
            "sums": self.sums.state_dict(),
            "random": self.random or randomness.get_state(self.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the scheduler must have been built with the same settings."""
        state = averages.apart(state)
        count_as_stepped(self.optimizer)
        self.model.load_state_dict(state["model"])
        if "is_training" in state:  # asked of it while it has nothing to exchange, for some keep no note of it
            with suppress(KeyError):  # and some look for what there is to exchange
                self.at_training_point(state["is_training"])
            self.is_training = state["is_training"]
        self._load_optimizer(state["optimizer"])
        self.precision.load_state_dict(state.get("precision", {}))
        fresh = self.scheduler.state_dict()
        require_alike(state["scheduler"], fresh, "the scheduler")
        for name in state["scheduler"]:  # torch puts whatever it finds there into the scheduler
            if name not in fresh and hasattr(self.scheduler, name):
                raise ValueError(f"{name} of the scheduler is no state of it")
        self.scheduler.load_state_dict(state["scheduler"])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        self.sums.load_state_dict(state["sums"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.pace is not None:
            self.pace.load_state_dict(state["pace"])
        if self.early is not None:
            self.early.load_state_dict(state["stop_early"])
        randomness.set_state(state["random"], self.device)
        if self.random is not None:
            self.random = state["random"]
        self._require_one_lr()

    def _load_optimizer(self, saved: dict[str, Any]) -> None:
        """Load what the optimizer has gathered. How it computes is this device's business, and stays."""
        # The ways are put in first: by them torch decides on which device Adam counts its steps.
        groups = []
        for theirs, own in zip(saved["param_groups"], self.optimizer.param_groups, strict=True):
            require_alike(theirs, own, "a parameter group")
            ways = {way: own[way] for way in _WAYS if way in own}
            groups.append({**theirs, **ways})
        self.optimizer.load_state_dict({**saved, "param_groups": groups})
        self._keep_formats(saved)
        for parameter, gathered in self.optimizer.state.items():
            if not isinstance(gathered, Mapping):
                if isinstance(parameter, Tensor):
                    raise ValueError("what the optimizer gathered for a parameter is no mapping of names")
                continue  # what some keep for all parameters together
            for name in _OF_ITS_SHAPE & gathered.keys():
                value = gathered[name]
                if value is not None and getattr(value, "shape", None) != parameter.shape:
                    raise ValueError(f"{name} is not of the shape {tuple(parameter.shape)} of its parameter")

    def _keep_formats(self, saved: dict[str, Any]) -> None:
        """Give what the optimizer gathered the number formats that were saved: torch makes all of it its parameter's.

        Some keep averages in bfloat16, or counts in integers, and would go on otherwise than if they were not stopped.
        """
        numbers, parameters = [], []
        for theirs, own in zip(saved["param_groups"], self.optimizer.param_groups, strict=True):
            numbers += theirs["params"]
            parameters += own["params"]
        for number, parameter in zip(numbers, parameters, strict=True):
            gathered, before = self.optimizer.state.get(parameter), saved["state"].get(number)
            if isinstance(gathered, dict) and isinstance(before, Mapping):
                for name in gathered.keys() & before.keys():
                    gathered[name] = _in_format(gathered[name], before[name])

    def _require_one_lr(self) -> None:
        """Raise UserError where optimizer and scheduler do not agree on the LR.

        Loading a scheduler's state does not set the optimizer's LR, and an optimizer's state may hold another one.
        """
        in_force = [float(group["lr"]) for group in self.optimizer.param_groups]
        planned = [float(lr) for lr in self.scheduler.get_last_lr()]
        if in_force != planned:
            raise wrong(
                "resume",
                got=f"a checkpoint whose optimizer has LR {in_force} and whose scheduler {planned}",
                allowed="equal ones",
                do="save the LR that get_last_lr() returns in the scheduler's state_dict()",
            )
