"""Dropout whose masks are given: a pure function of a run's seed, the update and the layer.

So what a run drops depends on nothing that is trained beside it.
"""

import copy
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from lrlab.system import randomness

# The layers that are replaced, by how many trailing dimensions of their input are dropped as one.
_DROPPED_TOGETHER: dict[type[nn.Module], int] = {nn.Dropout: 0, nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}
_MASK = "given_mask"


class GivenDropout(nn.Module):
    """In place of a dropout layer: multiplies by a mask, a buffer that the caller gives for each forward pass."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.p = float(layer.p)  # type: ignore[arg-type]
        self.together = _DROPPED_TOGETHER[type(layer)]
        self.shapes: list[torch.Size] = []  # of its inputs, since they were last asked for
        self.register_buffer(_MASK, None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        mask = getattr(self, _MASK)
        if not self.training:
            return x
        if mask is not None:
            return x * mask
        self.shapes.append(x.shape)
        return x

    def called_with(self) -> torch.Size:
        """The shape of its input in the latest pass without a mask. Raises ValueError unless there was one input."""
        shapes, self.shapes = self.shapes, []
        if len(shapes) != 1:
            raise ValueError(f"a dropout layer that is called {len(shapes)} times in a pass")
        return shapes[0]

    def mask(self, shape: torch.Size, seed: int, step: int, layer: int) -> Tensor:
        """What the run with this `seed` multiplies by in update `step`: 0 with probability p, else 1 / (1 - p)."""
        kept = shape[: len(shape) - self.together]
        drawn = torch.rand(kept, generator=randomness.generator(seed, "dropout", step, layer))
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        return ((drawn >= self.p) * scale).reshape(*kept, *[1] * self.together)


class Masked(nn.Module):
    """A copy of `model` whose dropout layers multiply by masks that are given."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = _replaced(copy.deepcopy(model))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    @cached_property
    def dropouts(self) -> dict[str, GivenDropout]:
        """The replaced layers that drop anything, by their names."""
        return {name: one for name, one in self.named_modules() if isinstance(one, GivenDropout)}

    def give(self, masks: Mapping[str, Tensor]) -> None:
        """Have the layers multiply by these masks from now on."""
        for name, mask in masks.items():
            self.get_submodule(name.rpartition(".")[0]).register_buffer(_MASK, mask, persistent=False)

    def masks(self, shapes: Mapping[str, torch.Size], seed: int, step: int) -> dict[str, Tensor]:
        """The masks of update `step` of the run with this `seed`, by the names of their buffers."""
        return {
            f"{name}.{_MASK}": layer.mask(shapes[name], seed, step, index)
            for index, (name, layer) in enumerate(self.dropouts.items())
        }


def _replaced(module: nn.Module) -> nn.Module:
    if type(module) in _DROPPED_TOGETHER:
        return GivenDropout(module) if module.p else nn.Identity()
    for name, child in module.named_children():
        setattr(module, name, _replaced(child))
    return module
