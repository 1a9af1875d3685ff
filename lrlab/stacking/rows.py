"""The weights of several runs as rows of common tensors, and the gradients of all of them in one pass.

A run keeps its own model and optimizer, whose tensors are views of its row. So whatever looks at the run alone, its
validation, its checkpoints, its scheduler, sees what it would see without the others.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lrlab.stacking import EAGER, is_compiled, rows_of
from lrlab.stacking.masks import Masked
from lrlab.training.task import Task, measure

ByName = dict[str, Tensor]


class Evaluated(NamedTuple):
    """What all rows make of a batch."""

    outputs: Tensor  # (K, B, ...)
    losses: Tensor  # (K,)
    sums: ByName  # (K, ...) of each of the task's other metrics
    targets: Tensor  # (B, ...)


class StackedModels:
    """The parameters and buffers of models of one architecture, (K, ...) each: run k is row k.

    Every pass computes each row for itself, whatever the others hold. Where rows are equally aligned and the kernels do
    not look at their number, the bits of a row depend on none of them either; `fitness.depends_on_company` tells
    whether that holds for a model. A model alone is given a second row, a copy, and a compiled pass has all rows of its
    `form` from the start to the end.
    """

    def __init__(self, models: Sequence[nn.Module], task: Task, form: str = EAGER):
        self.models = list(models)
        self.task = task
        self.fewest = rows_of(form)  # another number of rows would be compiled anew
        self._pass = self._eager
        self._unused: set[str] | None = None  # parameters without a gradient
        if is_compiled(form):
            os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # in this process, or others would stay behind
            of_one = grad_and_value(self._of_one_row, has_aux=True)
            torch.compiler.reset()  # it counts how often functions were compiled, and at eight would go on without
            self._compiled_pass = torch.compile(vmap(of_one, randomness="error"), dynamic=False, fullgraph=True)
            self._pass = self._compiled
        self.masked = Masked(models[0]).train()
        self.shapes: dict[torch.Size, dict[str, torch.Size]] = {}  # of what is dropped, by the shape of the samples
        self._gather()

    def __len__(self) -> int:
        return max(self.fewest, len(self.models))

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

    # A pass

    def gradients(
        self, samples: Tensor, targets: Tensor, seeds: Sequence[int], steps: Sequence[int]
    ) -> tuple[ByName, dict[str, Tensor]]:
        """What each row measures on its own samples (K, B, ...) and targets (K, B, ...), and its gradients.

        Returns the loss (K,) and the sums (K, ...) of the task's other metrics, and a gradient (K, ...) for each
        parameter that learns. Buffers are updated. `seeds` and `steps` (K,) say what each row drops.
        """
        samples, targets = self._padded(samples), self._padded(targets)
        masks = self._masks(samples, seeds, steps)
        with sdpa_kernel([SDPBackend.MATH]):  # the other kernels of attention know no rows
            losses, sums, buffers, gradients = self._pass({**self.buffers, **masks}, samples, targets)
        for name, value in self.buffers.items():
            value.copy_(buffers[name])
        return {"loss": losses, **sums}, gradients

    def _eager(self, buffers: ByName, samples: Tensor, targets: Tensor) -> tuple[Tensor, ByName, ByName, ByName]:
        """Losses, sums, new buffers and gradients of all rows."""
        of_all_rows = vmap(self._of_one_row, randomness="error")
        losses, (sums, buffers) = of_all_rows(self.learning, self.fixed, buffers, samples, targets)
        found = torch.autograd.grad(losses.sum(), list(self.learning.values()), allow_unused=True)
        gradients = {name: one for name, one in zip(self.learning, found, strict=True) if one is not None}
        return losses.detach(), sums, buffers, gradients

    def _compiled(self, buffers: ByName, samples: Tensor, targets: Tensor) -> tuple[Tensor, ByName, ByName, ByName]:
        """The same in another order of operations; compiled apart, passes to and fro are half as fast."""
        if self._unused is None:  # which are zeros below, and no gradients at all to an optimizer
            _, _, _, used = self._eager(buffers, samples, targets)
            self._unused = self.learning.keys() - used.keys()
        learning = {name: value.detach() for name, value in self.learning.items()}
        gradients, (losses, (sums, buffers)) = self._compiled_pass(learning, self.fixed, buffers, samples, targets)
        return losses, sums, buffers, {name: gradients[name] for name in learning if name not in self._unused}

    def _of_one_row(
        self, learning: ByName, fixed: ByName, buffers: ByName, samples: Tensor, targets: Tensor
    ) -> tuple[Tensor, tuple[ByName, ByName]]:
        """Loss, sums and new buffers of one row."""
        given = {f"model.{name}": value for name, value in (*learning.items(), *fixed.items())}
        changing = {name: value.clone() for name, value in buffers.items() if name in self.buffers}
        given |= {f"model.{name}": value for name, value in changing.items()}
        given |= {name: value for name, value in buffers.items() if name not in changing}
        outputs = functional_call(self.masked, given, (samples,))
        loss = self.task.training_loss(outputs, targets)
        new = {name: given[f"model.{name}"] for name in changing}  # a buffer may have been assigned, not written into
        return loss, (measure(self.task, outputs, targets), new)

    @torch.no_grad()
    def evaluate(self, samples: Tensor, targets: Tensor) -> Evaluated:
        """What each row makes of the same samples (B, ...) and targets (B, ...) in validation."""
        everyone = [one.expand(len(self), *one.shape) for one in (samples, targets)]
        self.masked.eval()
        try:
            with sdpa_kernel([SDPBackend.MATH]):
                of_all_rows = vmap(self._evaluate_one_row, randomness="error")
                return Evaluated(*of_all_rows(self.parameters, self.buffers, *everyone), targets)
        finally:
            self.masked.train()

    def _evaluate_one_row(
        self, parameters: ByName, buffers: ByName, samples: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, ByName]:
        given = {f"model.{name}": value for name, value in (*parameters.items(), *buffers.items())}
        outputs = functional_call(self.masked, given, (samples,))
        return outputs, self.task.validation_loss(outputs, targets), measure(self.task, outputs, targets)

    def _masks(self, samples: Tensor, seeds: Sequence[int], steps: Sequence[int]) -> ByName:
        """The masks (K, ...) of all layers that drop, by the names of their buffers."""
        if not self.masked.dropouts:
            return {}
        shapes = self._shapes(samples)
        own = [self.masked.masks(shapes, seed, step) for seed, step in zip(seeds, steps, strict=True)]
        stacked = {name: torch.stack([one[name] for one in own]) for name in own[0]}
        return {name: self._padded(value).to(samples.device, self._dtype()) for name, value in stacked.items()}

    def _dtype(self) -> torch.dtype:
        return next(iter(self.parameters.values())).dtype

    def _shapes(self, samples: Tensor) -> dict[str, torch.Size]:
        """The shapes of what the layers drop from, for samples (K, B, ...); they are tried without masks once."""
        shape = samples.shape[1:]
        if shape not in self.shapes:
            with torch.no_grad():
                first = {f"model.{name}": value[0] for name, value in self.parameters.items()}
                first |= {f"model.{name}": value[0].clone() for name, value in self.buffers.items()}
                functional_call(self.masked, first, (samples[0],))
            self.shapes[shape] = {name: one.called_with() for name, one in self.masked.dropouts.items()}
        return self.shapes[shape]

    def _padded(self, value: Tensor) -> Tensor:
        """`value` (K, ...) of the models, with a row for each of ours."""
        missing = len(self) - len(value)
        return torch.cat([value, value[:1].expand(missing, *value.shape[1:])]) if missing else value
