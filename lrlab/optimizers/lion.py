"""Lion: every weight moves by the LR, in the direction of a momentum's sign."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from lrlab.errors import WrongArgument, wrong
from lrlab.optimizers.averages import averages_of


class Lion(Optimizer):
    """The sign of an interpolated momentum, with decoupled weight decay; one average a weight, where Adam has two.

    u = sign(beta1 * m + (1 - beta1) * g)
    p = p - lr * (u + weight_decay * p)
    m = beta2 * m + (1 - beta2) * g

    Every weight moves by `lr`, so an LR is a third to a tenth of AdamW's, and a weight decay as much larger.

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, arXiv:2302.06675, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.1,
    ):
        require_betas("betas", betas)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update; returns what `closure` returns, where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        # One call for all weights of a group, which saves a GPU most of its launches.
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        gradients = [weight.grad for weight in weights]
        averages = averages_of(self, weights, "exp_avg")
        lr, (beta1, beta2) = group["lr"], group["betas"]

        directions = torch._foreach_lerp(averages, gradients, 1 - beta1)
        torch._foreach_sign_(directions)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_add_(weights, directions, alpha=-lr)
        torch._foreach_lerp_(averages, gradients, 1 - beta2)


def require_betas(name: str, betas: Any) -> None:
    """Raise WrongArgument unless `betas` are two numbers from 0 to below 1."""
    is_right = isinstance(betas, list | tuple) and len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
    if not is_right:
        raise wrong(
            name, got=betas, allowed="two numbers from 0 to 1, 1 excluded", do=f"{name}=[0.9,0.99]", kind=WrongArgument
        )
