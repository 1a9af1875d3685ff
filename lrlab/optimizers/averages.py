"""What an optimizer keeps of each weight from one update to the next: an average that begins with zeros."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer


def averages_of(optimizer: Optimizer, weights: Sequence[Tensor], name: str) -> list[Tensor]:
    """The average that the state of each weight has under `name`, to be changed in place; zeros where it is new."""
    for weight in weights:
        if name not in optimizer.state[weight]:
            optimizer.state[weight][name] = torch.zeros_like(weight)
    return [optimizer.state[weight][name] for weight in weights]
