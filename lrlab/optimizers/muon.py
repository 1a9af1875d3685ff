"""Muon: matrices move in the direction of their orthogonalized momentum, and all other parameters as AdamW's do."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw
from torch.optim.optimizer import ParamsT

from lrlab.errors import WrongArgument, wrong
from lrlab.optimizers.averages import averages_of
from lrlab.optimizers.lion import require_betas

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Keller Jordan's, chosen for the steepest slope at zero
_LEAST_NORM = 1e-7  # a gradient of zeros stays one
_NUMBERS_AT_ONCE = 1 << 24  # of matrices that are copied to be computed together: 64 MB of float32


class Muon(Optimizer):
    """Momentum, orthogonalized, for matrices; AdamW for the groups with `adamw=True`; each with an LR of its own.

    With the gradient G (rows, columns) of a weight W, all its dimensions but the first as one:

    M = momentum * M + (1 - momentum) * G
    U = momentum * M + (1 - momentum) * G, or M without `nesterov`
    W = W - lr * weight_decay * W - lr * a * orthogonalized(U)

    `adjust_lr_fn` says what a is: "original" is sqrt(max(1, rows / columns)); "match_rms_adamw" is
    0.2 * sqrt(max(rows, columns)), by which an update is as large as AdamW's are, so that LR and weight decay of AdamW
    will do; "spectral_unclamped" is sqrt(rows / columns). The names are those of `torch.optim.Muon`, which computes the
    same for parameters of two dimensions, and refuses all others.

    In AdamW's groups `momentum` is its first beta, so that a scheduler which cycles momentum cycles both. `ns_dtype`
    None is bfloat16 on a GPU, whose matrix units are several times as fast with it, and float32 on a CPU: there
    bfloat16 is slower for the matrices of small models, and it is 2 % off where float32 is 2e-6 off.

    Raises WrongArgument where a matrix has less than two dimensions.

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024,
    kellerjordan.github.io/posts/muon; Liu et al., Muon is Scalable for LLM Training, 2025, arXiv:2502.16982, for
    "match_rms_adamw".
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.01,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        ns_steps: int = 5,
        ns_coefficients: Sequence[float] = COEFFICIENTS,
        ns_dtype: Literal["float32", "bfloat16"] | None = None,
        adjust_lr_fn: Literal["original", "match_rms_adamw", "spectral_unclamped"] = "match_rms_adamw",
        adamw_lr: float = 0.003,
        adamw_betas: tuple[float, float] = (0.9, 0.95),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.01,
    ):
        _require_range("momentum", momentum, 0, 1, 0.95)
        _require_range("ns_steps", ns_steps, 1, 100, 5)
        require_betas("adamw_betas", adamw_betas)
        if len(ns_coefficients) != 3:
            do = f"ns_coefficients=[{','.join(map(str, COEFFICIENTS))}]"
            allowed = "three, of x, x^3 and x^5"
            raise wrong("ns_coefficients", got=list(ns_coefficients), allowed=allowed, do=do, kind=WrongArgument)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "ns_steps": ns_steps,
            "ns_coefficients": tuple(ns_coefficients),
            "ns_dtype": ns_dtype,
            "adjust_lr_fn": adjust_lr_fn,
            "adamw": False,
            "adamw_lr": adamw_lr,
            "adamw_betas": tuple(adamw_betas),
            "adamw_eps": adamw_eps,
            "adamw_weight_decay": adamw_weight_decay,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of matrices, or with `adamw=True` one of AdamW's."""
        if param_group.get("adamw"):
            of_adamw = {
                "lr": self.defaults["adamw_lr"],
                "momentum": self.defaults["adamw_betas"][0],
                "weight_decay": self.defaults["adamw_weight_decay"],
            }
            super().add_param_group(of_adamw | param_group)
            return
        super().add_param_group(param_group)
        for weight in self.param_groups[-1]["params"]:
            if weight.ndim < 2:
                got, allowed = f"one of shape {tuple(weight.shape)}", "two dimensions or more, or a group of AdamW's"
                do = 'put it into a group with "adamw": True'
                raise wrong("params", got=got, allowed=allowed, do=do, kind=WrongArgument)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update; returns what `closure` returns, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights and group["adamw"]:
                self._update_as_adamw(group, weights)
            elif weights:
                self._update_as_matrices(group, weights)
        return loss

    def _update_as_matrices(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        averages = averages_of(self, weights, "momentum_buffer")
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, averages, momentum) if group["nesterov"] else averages
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        for indices in _alike([update.flatten(1) for update in updates]):
            matrices = torch.stack([updates[index].flatten(1) for index in indices])
            directions = orthogonalized(
                matrices,
                steps=group["ns_steps"],
                coefficients=group["ns_coefficients"],
                dtype=_dtype(group, matrices.device.type),
            )
            step = -lr * _adjustment(group["adjust_lr_fn"], *matrices.shape[1:])
            for index, direction in zip(indices, directions, strict=True):
                weights[index].add_(direction.view(weights[index].shape), alpha=step)

    def _update_as_adamw(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
                state["exp_avg_sq"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        states = [self.state[weight] for weight in weights]
        adamw(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["momentum"],
            beta2=group["adamw_betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["adamw_eps"],
            maximize=False,
        )


def orthogonalized(
    matrix: Tensor, *, steps: int = 5, coefficients: Sequence[float] = COEFFICIENTS, dtype: torch.dtype = torch.float32
) -> Tensor:
    """About U V^T of a `matrix` (rows, columns) = U S V^T, in `dtype`, by Newton and Schulz's iteration.

    Each of several, (B, rows, columns), is orthogonalized for itself.

    Each of `steps` makes x = a x + b x^3 + c x^5 of every singular value x, which is at most 1 before. With the
    coefficients that are the default all but the smallest end between 0.7 and 1.2 after five.

    Source: Jordan et al., 2024, kellerjordan.github.io/posts/muon.
    """
    if matrix.ndim == 2:
        return orthogonalized(matrix[None], steps=steps, coefficients=coefficients, dtype=dtype)[0]
    a, b, c = coefficients
    is_tall = matrix.size(-2) > matrix.size(-1)
    x = matrix.to(dtype, copy=True)
    x = x.mT if is_tall else x
    x.div_(x.norm(dim=(-2, -1), keepdim=True).clamp(min=_LEAST_NORM))
    for _ in range(steps):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT.contiguous() if is_tall else x


def _alike(matrices: Sequence[Tensor]) -> list[list[int]]:
    """The indices of `matrices`, those of one shape, type and device together as far as memory allows.

    What is computed for several at once costs a GPU as many launches as one of them.
    """
    found: dict[Any, list[list[int]]] = {}
    for index, matrix in enumerate(matrices):
        parts = found.setdefault((matrix.shape, matrix.dtype, matrix.device), [[]])
        if parts[-1] and (len(parts[-1]) + 1) * matrix.numel() > _NUMBERS_AT_ONCE:
            parts.append([])
        parts[-1].append(index)
    return list(chain.from_iterable(found.values()))


def _dtype(group: dict[str, Any], device_type: str) -> torch.dtype:
    name = group["ns_dtype"]
    if name is None:
        name = "float32" if device_type == "cpu" else "bfloat16"
    return torch.float32 if name == "float32" else torch.bfloat16


def _adjustment(name: str, rows: int, columns: int) -> float:
    if name == "original":
        return math.sqrt(max(1, rows / columns))
    if name == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(rows / columns)


def _require_range(name: str, value: float, low: float, below: float, example: float) -> None:
    if not low <= value < below:
        allowed, do = f"from {low} to {below}, {below} excluded", f"{name}={example}"
        raise wrong(name, got=value, allowed=allowed, do=do, kind=WrongArgument)
