"""Averages of the weights, kept beside them while they are trained: ema, swa and lawa.

The average after n weights is a mean of them, in which each counts `d` times as much as the next one:

    average_n = sum_i d^(n-i) weights_i / sum_i d^(n-i),    i = 1 .. n

With d = 1 all count alike, which is swa (Izmailov et al., 2018, arXiv:1803.05407). With d below 1 it is the exponential
moving average of Polyak and Ruppert, whose sum is divided by what it has gathered, as Adam's moments are, so that the
initial weights are no part of it. lawa is the mean of the latest few (Kaddour, 2022, arXiv:2209.14981; Sanyal et al.,
2023, arXiv:2306.03241). What is trained is never touched.

torch's functions of `swa_utils` do the arithmetic. Its class AveragedModel, which copies every buffer and groups the
weights anew at every update, took six to twelve times as long as they do on a CPU.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lrlab.errors import first_line, wrong

NAMES = ("ema", "swa", "lawa")


@dataclass(frozen=True)
class AverageSettings:
    """Which weights are averaged, and how; all lengths in updates."""

    name: str  # one of NAMES
    start: int  # what was trained up to here is not averaged
    every: int  # the weights after each multiple of so many updates are
    window: int | None = None  # of ema: in the long run an update counts 1/window of the average
    last: int | None = None  # of lawa: how many weights the average is of

    @property
    def decay(self) -> float:
        """How much a weight counts beside the next one that is averaged.

        >>> AverageSettings("ema", 0, 1, window=1000).decay, AverageSettings("swa", 0, 1).decay
        (0.999, 1.0)
        """
        return 1.0 if self.window is None else 1 - self.every / self.window

    def takes(self, step: int) -> bool:
        """Whether the weights after `step` updates are averaged."""
        return step > self.start and step % self.every == 0

    def count(self, steps: int) -> int:
        """How many weights a run of so many updates averages in all."""
        return steps // self.every - min(self.start, steps) // self.every


class Average:
    """The average of a model's weights, and a model that has them."""

    def __init__(self, model: nn.Module, settings: AverageSettings):
        """Raises UserError where the model cannot be copied."""
        self.settings = settings
        self.model = _copied(model).requires_grad_(False).eval()
        self.gathered = 0.0  # the sum of d^(n-i)
        self.mean_step = 0.0  # updates after which the averaged weights were, averaged alike
        self._latest: list[tuple[int, list[Tensor]]] = []  # of lawa: updates, and the weights after them, on the CPU
        self._trained = model
        pairs = list(zip(self.model.parameters(), model.parameters(), strict=True))
        fractions = [pair for pair in pairs if pair[1].is_floating_point() or pair[1].is_complex()]
        self._own = [own for own, _ in fractions]
        self._weights = [weights for _, weights in fractions]

    @property
    def exists(self) -> bool:
        """Whether any weights were averaged yet."""
        return bool(self.gathered or self._latest)

    def take(self, step: int) -> None:
        """Count the weights in, now that `step` updates are made, if they are to be averaged."""
        if not self.settings.takes(step):
            return
        if self.settings.last is not None:
            weights = [one.detach().to("cpu", copy=True) for one in self._weights]
            self._latest = [*self._latest, (step, weights)][-self.settings.last :]
            return
        self.gathered = self.settings.decay * self.gathered + 1
        share = 1 / self.gathered
        self.mean_step += (step - self.mean_step) * share
        get_ema_multi_avg_fn(1 - share)(self._own, self._weights, 0)

    def settled(self) -> nn.Module:
        """The model with the averaged weights, and with everything else as the trained one has it now.

        Statistics of normalization are those of the trained weights then, and have to be measured anew.
        """
        with torch.no_grad():
            if self._latest:
                steps, kept = zip(*self._latest, strict=True)
                self.mean_step = sum(steps) / len(steps)
                for own, *weights in zip(self._own, *kept, strict=True):
                    own.copy_(reduce(add, weights) / len(weights))
            for own, theirs in _other_values(self.model, self._trained):
                own.copy_(theirs)
        return self.model

    def begin_anew(self) -> None:
        """Forget what was averaged."""
        self.gathered, self.mean_step, self._latest = 0.0, 0.0, []

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings and containers of them only."""
        latest = [{"step": step, "weights": weights} for step, weights in self._latest]
        return {
            "model": self.model.state_dict(),
            "gathered": self.gathered,
            "mean_step": self.mean_step,
            "latest": latest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved average. Raises ValueError where it is none of these weights."""
        latest = []
        for kept in state["latest"]:
            weights = list(kept["weights"])
            if [one.shape for one in weights] != [one.shape for one in self._own]:
                raise ValueError("the weights that were kept for the average are of other shapes")
            latest.append((kept["step"], weights))
        self.model.load_state_dict(state["model"])
        self.gathered, self.mean_step, self._latest = state["gathered"], state["mean_step"], latest


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever a module of the user's raises
        raise wrong(
            "trainer.average",
            got=f"an average for a model that cannot be copied ({first_line(error)})",
            allowed="null for such a model",
            do="trainer.average=null",
        ) from error


def _other_values(own: nn.Module, theirs: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The values of two models that no average is made of: buffers, and parameters that are no fractions."""
    for one, other in zip(own.parameters(), theirs.parameters(), strict=True):
        if not (other.is_floating_point() or other.is_complex()):
            yield one, other
    yield from zip(own.buffers(), theirs.buffers(), strict=True)


def in_front(state: dict[str, Any]) -> dict[str, Any]:
    """A training state whose `model` has the averaged weights. The trained ones are kept, so that it can be gone on
    from.
    """
    average = dict(state["average"])
    averaged = average.pop("model")
    return {**state, "model": averaged, "average": {**average, "trained": state["model"]}}


def apart(state: dict[str, Any]) -> dict[str, Any]:
    """A saved training state with the trained weights as its `model`, whichever weights were put in front."""
    average = state.get("average")
    if average is None or "trained" not in average:
        return state
    rest = {name: value for name, value in average.items() if name != "trained"}
    return {**state, "model": average["trained"], "average": {**rest, "model": state["model"]}}


def is_in_front(state: Mapping[str, Any]) -> bool:
    """Whether the `model` of a saved training state has averaged weights."""
    return "trained" in (state.get("average") or {})
