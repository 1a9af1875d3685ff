"""Whether runs can train in rows: it is tried, on a batch, against each of them alone."""

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlab.errors import first_line
from lrlab.stacking.masks import Masked
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.optimizers import reason_against as reason_against_optimizer
from lrlab.stacking.passes import Pass
from lrlab.stacking.rows import StackedModels
from lrlab.system import randomness
from lrlab.training.task import Task, measure

_TOLERANCE = 1e-9  # of a gradient in 64 bits, beside the largest of its tensor
# The gradient of a bias that normalization takes out again is zero but for rounding, and so is its largest number. A
# difference of 1e-12 of the largest gradient of the model is rounding, too.
_ROUNDED = 1e-3


def reason_against(
    make_model: Callable[[], nn.Module],
    make_optimizer: Callable[[nn.Module], Optimizer],
    task: Task,
    samples: Tensor,
    targets: Tensor,
) -> str | None:
    """Why models of this kind cannot be trained in rows, in a few words; None where they can.

    Two of them, with other weights, are given the two halves of a batch, together and each alone, in 64 bits: loss,
    metrics and gradients have to agree. Nothing is left behind.
    """
    with randomness.undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("error")  # vmap warns where it falls back to a row at a time
        try:
            models = [make_model() for _ in range(2)]
            if reason := reason_against_optimizer(make_optimizer(models[0])):
                return reason
            return _compared(models, task, samples, targets)
        except Exception as error:
            return _in_words(error)


def _compared(models: Sequence[nn.Module], task: Task, samples: Tensor, targets: Tensor) -> str | None:
    """Whether two models agree with themselves in rows; None where they do."""
    half = len(samples) // 2
    samples, targets = _in_64_bits(samples[: 2 * half]), _in_64_bits(targets[: 2 * half])
    halves = [samples[:half], samples[half:]], [targets[:half], targets[half:]]
    models = [model.double().train() for model in models]
    alone = copy.deepcopy(models)
    rows = StackedModels.of(models, task)
    measured, gradients = rows.gradients(torch.stack(halves[0]), torch.stack(halves[1]), [0, 1], [0, 0])
    for row, (model, x, y) in enumerate(zip(alone, *halves, strict=True)):
        expected = _alone(rows.computed, model, (x, y), row)
        steepest = max((_largest(expected[name]) for name in gradients), default=0.0)
        found = {name: value[row] for name, value in (*measured.items(), *gradients.items())}
        found |= dict(models[row].named_buffers())
        for name, value in expected.items():
            if not _agree(found[name], value, _ROUNDED * steepest if name in gradients else 0.0):
                return f"{name} is another one in a row than alone"

    # In validation, with the buffers as they are by now.
    x, y = halves[0][0], halves[1][0]
    evaluated = rows.evaluate(x, y)
    for row, model in enumerate(alone):
        with torch.no_grad():
            outputs = model.eval()(x)
            loss = task.validation_loss(outputs, y)
        if not _agree(evaluated.outputs[row], outputs) or not _agree(evaluated.losses[row], loss):
            return "validation is another one in a row than alone"
    return None


def _alone(computed: Pass, model: nn.Module, batch: tuple[Tensor, Tensor], seed: int) -> dict[str, Tensor]:
    """What a model measures without rows, and its gradients, with the masks of that row. Its buffers are updated."""
    samples, targets = batch
    task = computed.task
    shapes = computed.shapes.get(samples.shape, {})
    masked = Masked(model).train()
    masked.give({name: mask.double() for name, mask in computed.masked.masks(shapes, seed, 0).items()})
    outputs = masked(samples)
    loss = task.training_loss(outputs, targets)
    learning = {name: value for name, value in masked.model.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
    gradients = {name: value for name, value in zip(learning, found, strict=True) if value is not None}
    buffers = {name: masked.model.get_buffer(name) for name, _ in model.named_buffers()}
    for name, value in buffers.items():
        model.get_buffer(name).copy_(value)
    return {"loss": loss.detach(), **measure(task, outputs, targets), **gradients, **buffers}


@dataclass(frozen=True)
class Company:
    """Runs that would train together: how each of them is made, and what it is given."""

    make_model: Callable[[], nn.Module]
    make_optimizer: Callable[[nn.Module], Optimizer]
    task: Task
    batches: Sequence[tuple[Tensor, Tensor]]  # samples and targets of a run, the whole batches first
    rows: int
    form: str
    clip_grad_norm: float | None = None


def depends_on_company(company: Company) -> bool:
    """Whether the bits of a row depend on its place, or on how many there are.

    Some kernels look at the addresses of rows, which are aligned alike only where their lengths are multiples of a
    vector's, others at the number of rows.
    """
    rows = company.rows
    with randomness.undisturbed():
        models = [company.make_model().train() for _ in range(rows)]
        computed = Pass(models[0], company.task, company.form, whole=len(company.batches[0][0]))
        orders = [list(range(rows)), [*range(rows - 1, -1, -1)], [*range(1, rows), 0], [rows - 1, 0], [0, 1]]
        whole = _bits(company, computed, models, orders[0])
        for order in orders[1:]:
            found = _bits(company, computed, models, order)
            for row, index in enumerate(order):
                if not all(_same(one[row], other[index]) for one, other in zip(found, whole, strict=True)):
                    return True
    return False


def _bits(company: Company, computed: Pass, models: Sequence[nn.Module], order: Sequence[int]) -> list[Tensor]:
    """Everything that rows measure and become, with these models in this order."""
    rows = StackedModels([copy.deepcopy(models[index]) for index in order], computed)
    updates = Updates(rows, [company.make_optimizer(model) for model in rows.models])
    found: list[Tensor] = []
    for samples, targets in company.batches:
        given = [torch.stack([one.roll(index, 0) for index in order]) for one in (samples, targets)]  # own orders
        measured, gradients = rows.gradients(given[0], given[1], order, [0] * len(order))
        evaluated = rows.evaluate(samples, targets)
        updates.step(gradients, company.clip_grad_norm)
        found += [*measured.values(), *gradients.values(), evaluated.outputs, evaluated.losses]
        found += [value.detach().clone() for value in (*rows.parameters.values(), *rows.buffers.values())]
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, where they are no numbers too: at a high LR the second update may be none."""
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def _agree(one: Tensor, other: Tensor, scale: float = 0.0) -> bool:
    """Whether two tensors differ by rounding only, beside their largest number or `scale`, whichever is larger."""
    one, other = one.double(), other.double()
    scale = max(_largest(other), scale, 1e-6)
    return torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)


def _largest(value: Tensor) -> float:
    return float(value.abs().max()) if value.numel() else 0.0


def _in_64_bits(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _in_words(error: Exception) -> str:
    """What vmap says, in fewer words."""
    text = first_line(error)
    if "random" in text:
        return "its model or its loss draws random numbers in a pass"
    if ".item()" in text or "control flow" in text:
        return "its model or its loss reads numbers from tensors in a pass"
    if operation := re.search(r"aten::\w+", text):
        return f"torch cannot compute {operation[0]} in rows"
    return f"its pass in rows fails ({type(error).__name__}: {text})"
