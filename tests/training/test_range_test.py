"""The range test raises the LR by equal factors and stops on divergence; the suggestion is before the lowest loss."""

import itertools
import math
import random

import pytest
import torch
from torch import nn

from lrlab.training.range_test import range_test, smooth, suggest
from lrlab.training.state import TrainState


class Noise:
    """Batches without end, of a task that can be learned."""

    def size(self, _batch):
        return 32

    def epoch(self, epoch):
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(5):
            labels = torch.randint(0, 3, (32,), generator=generator)
            images = torch.randn(32, 4, generator=generator)
            images[torch.arange(32), labels] += 3
            yield images, labels


def carry_out(groups=None, **settings):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    made = torch.optim.SGD(groups(model) if groups else model.parameters(), lr=1.0)
    state = TrainState(model, made, torch.optim.lr_scheduler.ConstantLR(made), torch.device("cpu"))
    return made, list(range_test(state, Noise(), **{"start": 1e-5, "end": 1e3, "updates": 200, **settings}))


def test_the_lr_grows_by_the_same_factor_at_every_update():
    _, points = carry_out(end=1.0)
    lrs = [lr for lr, _ in points]
    assert (lrs[0], lrs[-1], len(lrs)) == (1e-5, pytest.approx(1.0), 200)
    assert all(later / earlier == pytest.approx(lrs[1] / lrs[0]) for earlier, later in itertools.pairwise(lrs))


def test_it_stops_where_the_loss_explodes():
    _, points = carry_out(end=1e6)
    assert 50 < len(points) < 200
    assert max(loss for _, loss in points) > 2 * min(loss for _, loss in points)
    assert all(math.isfinite(loss) for _, loss in points)


def test_groups_keep_their_scale():
    def two(model):
        return [{"params": [model.weight]}, {"params": [model.bias], "lr_scale": 0.1}]

    made, points = carry_out(groups=two, end=1.0)
    assert made.param_groups[1]["lr"] == pytest.approx(0.1 * points[-1][0])


def valley(seed=0, noise=0.0, center=-2.0, floor=0.5):
    """A loss over the LR as range tests have it: 2.3, down around 10^center, up again two decades later."""
    spread = random.Random(seed)
    for i in range(400):
        x = -6 + 7 * i / 399
        fall = 1 / (1 + math.exp(4 * (x - center)))
        rise = math.exp(4 * (x - center - 2))
        yield 10**x, floor + (2.3 - floor) * fall + rise + spread.gauss(0, noise)


@pytest.mark.parametrize("center", [-4.0, -3.0, -2.0, -1.0])
def test_the_suggestion_is_on_the_way_down_before_the_lowest_loss(center):
    found = suggest(list(valley(center=center)))
    assert 10**center < found.lr < found.lowest < found.last
    assert math.log10(found.lr) == pytest.approx(center + math.log(9) / 4, abs=0.15)  # nine tenths of a logistic fall


def test_noise_hardly_moves_it():
    found = [suggest(list(valley(seed, noise=0.2))).lr for seed in range(20)]
    assert max(found) / min(found) < 2


def test_a_loss_that_does_not_fall_gives_no_suggestion():
    assert suggest([(10 ** (-6 + i / 50), 2.3) for i in range(350)]) is None
    assert suggest([(10 ** (-6 + i / 50), 2.3 + i) for i in range(350)]) is None
    assert suggest([(1e-6, 2.3)] * 5) is None


def test_smoothing_keeps_a_constant_and_shrinks_noise():
    assert smooth([(10**-x, 2.0) for x in range(5)]) == pytest.approx([2.0] * 5)
    raw = list(valley(noise=0.2))
    clean = [loss for _, loss in valley()]
    rough = sum((loss - true) ** 2 for (_, loss), true in zip(raw, clean, strict=True))
    assert sum((a - b) ** 2 for a, b in zip(smooth(raw), smooth(list(valley())), strict=True)) < rough / 10
