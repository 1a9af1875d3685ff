"""The weights of several runs as rows of common tensors.

A run keeps its own model and optimizer, whose tensors are views of its row. So whatever looks at the run alone, its
validation, its checkpoints, its scheduler, sees what it would see without the others.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lrlab.stacking import EAGER
from lrlab.stacking.passes import ByName, Evaluated, Pass
from lrlab.training.task import Task


class StackedModels:
    """The parameters and buffers of models of one architecture, (K, ...) each: run k is row k.

    A model alone is given a second row, a copy, and a compiled pass has all of its rows from the start to the end.
    """

    def __init__(self, models: Sequence[nn.Module], computed: Pass):
        self.models = list(models)
        self.computed = computed
        self._gather()

    @classmethod
    def of(
        cls, models: Sequence[nn.Module], task: Task, form: str = EAGER, *, whole: int | None = None
    ) -> "StackedModels":
        """`models` in rows, with a `Pass` of their own."""
        return cls(models, Pass(models[0], task, form, whole=whole))

    def __len__(self) -> int:
        return max(self.computed.rows, len(self.models))

    def _gather(self) -> None:
        """Put the models' tensors into rows, and let the models have views of them."""
        self.parameters = self._rows([dict(model.named_parameters()) for model in self.models])
        self.buffers = self._rows([dict(model.named_buffers()) for model in self.models])
        self.learning = {name: one for name, one in self.parameters.items() if self._learns(name)}
        self.fixed = {name: one for name, one in self.parameters.items() if name not in self.learning}
        for value in self.learning.values():
            value.requires_grad_()

    def _learns(self, name: str) -> bool:
        return self.models[0].get_parameter(name).requires_grad

    def _rows(self, tensors: Sequence[Mapping[str, Tensor]]) -> ByName:
        rows = {}
        for name in tensors[0]:
            own = [one[name].detach() for one in tensors]
            value = torch.stack(own + own[:1] * (len(self) - len(own)))
            for index, one in enumerate(tensors):
                one[name].data = value[index]
            rows[name] = value
        return rows

    def without(self, index: int) -> None:
        """Let a model go, with tensors of its own."""
        model = self.models.pop(index)
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.detach().clone()
        if self.models:
            self._gather()

    def gradients(
        self, samples: Tensor, targets: Tensor, seeds: Sequence[int], steps: Sequence[int]
    ) -> tuple[ByName, ByName]:
        """What each row measures on its own samples (K, B, ...) and targets (K, B, ...), and its gradients.

        Returns the loss (K,) and the sums (K, ...) of the task's other metrics, and a gradient (K, ...) for each
        parameter that learns. Buffers are updated. `seeds` and `steps` (K,) say what each row drops.
        """
        masks = self.computed.masks(self.parameters, self.buffers, samples, seeds, steps)
        masks = {name: self._padded(mask) for name, mask in masks.items()}
        given = self._padded(samples), self._padded(targets)
        found = self.computed.measure(self.learning, self.fixed, {**self.buffers, **masks}, *given)
        for name, value in self.buffers.items():
            value.copy_(found.buffers[name])
        return {"loss": found.losses, **found.sums}, found.gradients

    def evaluate(self, samples: Tensor, targets: Tensor) -> Evaluated:
        """What each row makes of the same samples (B, ...) and targets (B, ...) in validation."""
        return self.computed.evaluate(self.parameters, self.buffers, samples, targets)

    def _padded(self, value: Tensor) -> Tensor:
        """`value` (K, ...) of the models, with a row for each of ours."""
        missing = len(self) - len(value)
        return torch.cat([value, value[:1].expand(missing, *value.shape[1:])]) if missing else value
