"""torch's SequentialLR and ChainedScheduler from schedulers that a config names, since both want them built.

Neither is safe to nest (pytorch#196243), and a chain of torch's recursive schedulers is not always their product.
`lrlab.schedules.sequence` and `product` are, and need no torch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, SequentialLR

from lrlab.errors import WrongArgument, wrong
from lrlab.schedules.lengths import MOMENT

Factories = Mapping[str, Callable[[Optimizer], LRScheduler]] | Sequence[Callable[[Optimizer], LRScheduler]]


def sequential(
    optimizer: Optimizer, schedulers: Factories, milestones: Sequence[Annotated[int, MOMENT]]
) -> SequentialLR:
    """One scheduler after the other: the next one begins at each of `milestones`, counts of `step()`.

    Raises ValueError where the milestones do not rise, or are not one less than the schedulers.
    """
    if list(milestones) != sorted(set(milestones)) or len(milestones) != len(schedulers) - 1:
        raise wrong(
            "milestones",
            got=f"{list(milestones)} for {len(schedulers)} schedulers",
            allowed=f"{len(schedulers) - 1} that rise",
            do="milestones=[50%]" if len(schedulers) == 2 else f"{len(schedulers) - 1} milestones that rise",
            kind=WrongArgument,
        )
    return SequentialLR(optimizer, _built(optimizer, schedulers), list(milestones))


def chained(optimizer: Optimizer, schedulers: Factories) -> ChainedScheduler:
    """All schedulers at every step, each changing what the one before it left."""
    return ChainedScheduler(_built(optimizer, schedulers), optimizer)


def _built(optimizer: Optimizer, schedulers: Factories) -> list[LRScheduler]:
    factories = schedulers.values() if isinstance(schedulers, Mapping) else schedulers
    return [factory(optimizer) for factory in factories]
