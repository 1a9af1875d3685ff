"""torch's composite schedulers, built from what a config names, do what they do when built by hand."""

from functools import partial

import pytest
import torch
from torch.optim import lr_scheduler

from lrlab.lr.torch_composites import chained, sequential

WARMUP = partial(lr_scheduler.LinearLR, start_factor=0.1, total_iters=4)
COSINE = partial(lr_scheduler.CosineAnnealingLR, T_max=8)
EXPONENTIAL = partial(lr_scheduler.ExponentialLR, gamma=0.9)


def lrs(make, steps=12):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def by_hand(optimizer):
    return lr_scheduler.SequentialLR(optimizer, [WARMUP(optimizer), COSINE(optimizer)], [4])


@pytest.mark.parametrize("schedulers", [[WARMUP, COSINE], {"first": WARMUP, "then": COSINE}], ids=["list", "names"])
def test_a_sequence_of_torchs_schedulers(schedulers):
    assert lrs(partial(sequential, schedulers=schedulers, milestones=[4])) == lrs(by_hand)


def test_a_chain_of_factors_is_their_product():
    chain = lrs(partial(chained, schedulers=[WARMUP, EXPONENTIAL]))
    alone = zip(lrs(WARMUP), lrs(EXPONENTIAL), strict=True)
    assert chain == pytest.approx([a * b / 0.1 for a, b in alone])


@pytest.mark.parametrize("milestones", [[], [4, 4], [4, 6], [6, 4]])
def test_milestones_that_do_not_fit_are_refused(milestones):
    with pytest.raises(ValueError, match=r"milestones: got .* for 2 schedulers; allowed: 1 that rise"):
        lrs(partial(sequential, schedulers=[WARMUP, COSINE], milestones=milestones))
