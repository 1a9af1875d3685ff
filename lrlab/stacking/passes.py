"""A pass of several runs at once: losses, gradients and validation, a row for each run, as functions of their tensors.

Every row is computed for itself, whatever the others hold. Where rows are equally aligned and the kernels do not look
at their number, the bits of a row depend on none of them either; `fitness.depends_on_company` tells whether that holds
for a model.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lrlab.stacking import EAGER, is_compiled, rows_of
from lrlab.stacking.masks import Masked
from lrlab.training.task import Task, measure

ByName = dict[str, Tensor]


class Passed(NamedTuple):
    """What all rows make of their batches in training."""

    losses: Tensor  # (K,)
    sums: ByName  # (K, ...) of each of the task's other metrics
    buffers: ByName  # (K, ...) as they are afterwards
    gradients: ByName  # (K, ...) of each parameter that has any


class Evaluated(NamedTuple):
    """What all rows make of a batch in validation."""

    outputs: Tensor  # (K, B, ...)
    losses: Tensor  # (K,)
    sums: ByName  # (K, ...) of each of the task's other metrics
    targets: Tensor  # (B, ...)


class Pass:
    """How models of one architecture are computed in rows, in one `form`. It holds no weights of theirs.

    A compiled form has one number of rows, and is compiled for batches of `whole` samples, or for every size where that
    is None. A batch of another size, the last of an epoch, is computed eagerly: to compile a second one takes longer
    than it saves.
    """

    def __init__(self, model: nn.Module, task: Task, form: str = EAGER, *, whole: int | None = None):
        self.task = task
        self.rows = rows_of(form)  # at least; another number of rows would be compiled anew
        self.form, self.whole = form, whole
        self.masked = Masked(model).train()
        self.changing = [name for name, _ in model.named_buffers()]
        self.shapes: dict[torch.Size, dict[str, torch.Size]] = {}  # of what is dropped, by the shape of the samples
        self._unused: set[str] | None = None  # parameters without a gradient
        if is_compiled(form):
            os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # in this process, or others would stay behind
            of_one = grad_and_value(self._of_one_row, has_aux=True)
            torch.compiler.reset()  # it counts how often functions were compiled, and at eight would go on without
            self._compiled_pass = torch.compile(vmap(of_one, randomness="error"), dynamic=False, fullgraph=True)

    def measure(self, learning: ByName, fixed: ByName, buffers: ByName, samples: Tensor, targets: Tensor) -> Passed:
        """What each row makes of its own samples (K, B, ...) and targets (K, B, ...).

        `learning` are the parameters (K, ...) that get gradients, `buffers` those of the models and the masks.
        """
        is_whole = self.whole is None or samples.shape[1] == self.whole
        of_all = self._compiled if is_compiled(self.form) and is_whole else self._eager
        with sdpa_kernel([SDPBackend.MATH]):  # the other kernels of attention know no rows
            return of_all(learning, fixed, buffers, samples, targets)

    def _eager(self, learning: ByName, fixed: ByName, buffers: ByName, samples: Tensor, targets: Tensor) -> Passed:
        of_all_rows = vmap(self._of_one_row, randomness="error")
        losses, (sums, buffers) = of_all_rows(learning, fixed, buffers, samples, targets)
        found = torch.autograd.grad(losses.sum(), list(learning.values()), allow_unused=True)
        gradients = {name: one for name, one in zip(learning, found, strict=True) if one is not None}
        return Passed(losses.detach(), sums, buffers, gradients)

    def _compiled(self, learning: ByName, fixed: ByName, buffers: ByName, samples: Tensor, targets: Tensor) -> Passed:
        """The same in another order of operations; compiled apart, passes to and fro are half as fast."""
        if self._unused is None:  # which are zeros below, and no gradients at all to an optimizer
            self._unused = learning.keys() - self._eager(learning, fixed, buffers, samples, targets).gradients.keys()
        given = {name: value.detach() for name, value in learning.items()}
        gradients, (losses, (sums, buffers)) = self._compiled_pass(given, fixed, buffers, samples, targets)
        used = {name: gradients[name] for name in learning if name not in self._unused}
        return Passed(losses, sums, buffers, used)

    def _of_one_row(
        self, learning: ByName, fixed: ByName, buffers: ByName, samples: Tensor, targets: Tensor
    ) -> tuple[Tensor, tuple[ByName, ByName]]:
        """Loss, sums and new buffers of one row."""
        given = {f"model.{name}": value for name, value in (*learning.items(), *fixed.items())}
        changing = {name: buffers[name].clone() for name in self.changing}
        given |= {f"model.{name}": value for name, value in changing.items()}
        given |= {name: value for name, value in buffers.items() if name not in changing}
        outputs = functional_call(self.masked, given, (samples,))
        loss = self.task.training_loss(outputs, targets)
        new = {name: given[f"model.{name}"] for name in changing}  # a buffer may have been assigned, not written into
        return loss, (measure(self.task, outputs, targets), new)

    @torch.no_grad()
    def evaluate(self, parameters: ByName, buffers: ByName, samples: Tensor, targets: Tensor) -> Evaluated:
        """What each row makes of the same samples (B, ...) and targets (B, ...) in validation."""
        rows = len(next(iter(parameters.values())))
        everyone = [one.expand(rows, *one.shape) for one in (samples, targets)]
        self.masked.eval()
        try:
            with sdpa_kernel([SDPBackend.MATH]):
                of_all_rows = vmap(self._evaluate_one_row, randomness="error")
                return Evaluated(*of_all_rows(parameters, buffers, *everyone), targets)
        finally:
            self.masked.train()

    def _evaluate_one_row(
        self, parameters: ByName, buffers: ByName, samples: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, ByName]:
        given = {f"model.{name}": value for name, value in (*parameters.items(), *buffers.items())}
        outputs = functional_call(self.masked, given, (samples,))
        return outputs, self.task.validation_loss(outputs, targets), measure(self.task, outputs, targets)

    # What is dropped

    def masks(
        self, parameters: ByName, buffers: ByName, samples: Tensor, seeds: Sequence[int], steps: Sequence[int]
    ) -> ByName:
        """The masks of all layers that drop, a row for each of `seeds` and `steps`, by the names of their buffers."""
        if not self.masked.dropouts:
            return {}
        shapes = self._shapes(parameters, buffers, samples)
        own = [self.masked.masks(shapes, seed, step) for seed, step in zip(seeds, steps, strict=True)]
        dtype = next(iter(parameters.values())).dtype
        return {name: torch.stack([one[name] for one in own]).to(samples.device, dtype) for name in own[0]}

    def _shapes(self, parameters: ByName, buffers: ByName, samples: Tensor) -> dict[str, torch.Size]:
        """The shapes of what the layers drop from, for samples (K, B, ...); they are tried without masks once."""
        shape = samples.shape[1:]
        if shape not in self.shapes:
            with torch.no_grad():
                first = {f"model.{name}": value[0] for name, value in parameters.items()}
                first |= {f"model.{name}": value[0].clone() for name, value in buffers.items()}
                functional_call(self.masked, first, (samples[0],))
            self.shapes[shape] = {name: one.called_with() for name, one in self.masked.dropouts.items()}
        return self.shapes[shape]
