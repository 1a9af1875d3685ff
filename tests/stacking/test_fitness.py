"""A model that would be another one in rows, or beside other runs, is found out before it trains."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision.models
from torch import nn

from lrlab import models
from lrlab.stacking import EAGER, compiled
from lrlab.stacking.fitness import Company, depends_on_company, reason_against
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.rows import StackedModels
from lrlab.training.task import CLASSIFICATION

IMAGES, LABELS = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4


class Head(nn.Module):
    """A classifier of 8x8 images, whose subclasses are special in one way."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        return self.head(x.flatten(1))


class Scaled(Head):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.scale * super().forward(x)


class Assigning(Head):
    """Assigns a buffer anew, where normalization writes into it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(64))

    def forward(self, x):
        x = x.flatten(1)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.head(x - self.mean)


class Tied(Head):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(64, 64), nn.Linear(64, 64)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.head(self.other(self.one(x.flatten(1)).relu()))


class Frozen(Head):
    def __init__(self):
        super().__init__()
        self.below = nn.Linear(64, 64).requires_grad_(False)

    def forward(self, x):
        return self.head(self.below(x.flatten(1)))


class Normalized(Head):
    """The gradients of `below.bias` are zero but for rounding, beside steep ones: normalization takes it out again."""

    def __init__(self):
        super().__init__()
        self.below, self.norm = nn.Linear(64, 64), nn.BatchNorm1d(64)
        nn.init.constant_(self.norm.weight, 1e5)

    def forward(self, x):
        return self.head(self.norm(self.below(x.flatten(1))))


class Unused(Head):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)


class Constant(Head):
    """Has numbers of its own that are neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.numbers = torch.randn(64, dtype=torch.float64)

    def forward(self, x):
        return self.head(x.flatten(1) * self.numbers.to(x.dtype))


class Several(Head):
    def forward(self, x):
        return (super().forward(x),)


class DroppingTwice(Head):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.head(self.dropout(self.dropout(x.flatten(1))))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)


@pytest.mark.parametrize("make", [Head, Scaled, Assigning, Tied, Frozen, Unused])
def test_what_fits_trains_in_rows_as_it_does_alone(make):
    assert reason_against(make, sgd, CLASSIFICATION, IMAGES, LABELS) is None
    alone, together = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        alone.append(make().double())
        torch.manual_seed(seed)
        together.append(make().double())
    rows = StackedModels.of(together, CLASSIFICATION)
    updates = Updates(rows, [sgd(model) for model in together])
    optimizers = [sgd(model) for model in alone]
    samples, targets = torch.stack([IMAGES, IMAGES.flip(0)]).double(), torch.stack([LABELS, LABELS.flip(0)])
    for _ in range(5):
        _, gradients = rows.gradients(samples, targets, [0, 1], [0, 0])
        updates.step(gradients, clip_grad_norm=0.5)
        for model, optimizer, x, y in zip(alone, optimizers, samples, targets, strict=True):
            optimizer.zero_grad()
            CLASSIFICATION.training_loss(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    for one, other in zip(alone, together, strict=True):
        for name, value in one.state_dict().items():
            assert torch.allclose(value, other.state_dict()[name], rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize(
    ("make", "reason"), [(Constant, "another one in a row"), (Several, "fails"), (DroppingTwice, "called 2 times")]
)
def test_what_does_not_fit_is_told(make, reason):
    assert reason in (reason_against(make, sgd, CLASSIFICATION, IMAGES, LABELS) or "")


def test_a_gradient_of_rounding_errors_alone_is_no_other_one():
    assert reason_against(Normalized, sgd, CLASSIFICATION, IMAGES, LABELS) is None


OTHER_UPDATES: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "maximize": lambda model: torch.optim.SGD(model.parameters(), 0.1, maximize=True),
    "decoupled_weight_decay": lambda model: torch.optim.Adam(model.parameters(), 0.1, decoupled_weight_decay=True),
    "NAdam": lambda model: torch.optim.NAdam(model.parameters(), 0.1),
}


@pytest.mark.parametrize("name", OTHER_UPDATES)
def test_an_optimizer_that_would_make_other_updates_does_not_fit(name):
    assert name in (reason_against(Head, OTHER_UPDATES[name], CLASSIFICATION, IMAGES, LABELS) or "")


def batch(*shape: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.randn(shape, generator=torch.Generator().manual_seed(1)), torch.arange(shape[0]) % 4)]


def company(
    make_model: Callable[[], nn.Module], batches: list[tuple[torch.Tensor, torch.Tensor]], rows: int, form: str
) -> Company:
    return Company(make_model, sgd, CLASSIFICATION, batches, rows, form)


def test_rows_whose_bits_depend_on_their_company_are_found_out():
    """Rows of 64 numbers are aligned alike, wherever they stand; what others become is asked, not known."""
    mlp = partial(models.mlp, (1, 8, 8), 4)
    assert not depends_on_company(company(mlp, batch(64, 1, 8, 8), 6, EAGER))
    odd = partial(models.linear, (1, 9, 9), 4)
    found = depends_on_company(company(odd, batch(64, 1, 9, 9), 6, EAGER))
    assert found == differs_by_place(odd, batch(64, 1, 9, 9)[0], 6)


def differs_by_place(make: Callable[[], nn.Module], batch: tuple[torch.Tensor, torch.Tensor], rows: int) -> bool:
    """Whether one model on one batch has other gradients in some rows than in others."""
    model = make()
    stacked = StackedModels.of([model] * 1 + [_copy(model) for _ in range(rows - 1)], CLASSIFICATION)
    samples, targets = (torch.stack([one] * rows) for one in batch)
    _, gradients = stacked.gradients(samples, targets, [0] * rows, [0] * rows)
    return any(not torch.equal(value[row], value[0]) for value in gradients.values() for row in range(rows))


def _copy(model: nn.Module) -> nn.Module:
    other = models.linear((1, 9, 9), 4)
    other.load_state_dict(model.state_dict())
    return other


def leaking(rows: StackedModels, *given: object) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    measured, gradients = honest(rows, *given)
    return measured, {name: value + 1e-7 * value.sum(0) for name, value in gradients.items()}


honest = StackedModels.gradients


def test_a_neighbour_that_leaks_into_a_row_is_noticed(monkeypatch):
    mlp = partial(models.mlp, (1, 8, 8), 4)
    monkeypatch.setattr(StackedModels, "gradients", leaking)
    assert depends_on_company(company(mlp, batch(64, 1, 8, 8), 3, EAGER))
    assert "another one in a row" in (reason_against(mlp, sgd, CLASSIFICATION, IMAGES, LABELS) or "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_networks_of_torchvision_are_in_rows_what_they_are_alone(name):
    make = partial(torchvision.models.get_model, name, num_classes=4)
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert reason_against(make, sgd, CLASSIFICATION, images, LABELS[:4]) is None


@pytest.mark.slow
def test_compiled_rows_are_asked_too():
    mlp = partial(models.mlp, (1, 8, 8), 4)
    assert not depends_on_company(company(mlp, batch(64, 1, 8, 8), 4, compiled(4)))
