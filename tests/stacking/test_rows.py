"""Rows of a step: each is what it is alone, up to rounding, and depends to the bit on nothing beside it."""

import copy
import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from support import slow_but
from torch import Tensor, nn

from lrlab import language_models, models
from lrlab.stacking import EAGER, compiled
from lrlab.stacking.masks import Masked
from lrlab.stacking.optimizers import Updates
from lrlab.stacking.rows import StackedModels
from lrlab.training.language import NextToken
from lrlab.training.regression import Regression
from lrlab.training.task import Classification, measure

TASKS = {"classes": Classification(label_smoothing=0.1), "tokens": NextToken(), "numbers": Regression()}
MODELS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "linear": ("classes", lambda: models.linear((1, 6, 6), 4)),
    "mlp": ("classes", lambda: models.mlp((1, 6, 6), 4, hidden=(8, 8), dropout=0.2)),
    "cnn": ("classes", lambda: models.cnn((1, 6, 6), 4, width=4, dropout=0.3)),
    "resnet8": ("classes", lambda: models.resnet_cifar((1, 8, 8), 4, depth=8)),
    "transformer": ("tokens", lambda: language_models.transformer((5,), 7, width=8, heads=2)),
    "regression": ("numbers", lambda: models.mlp((6,), 2, hidden=(8,))),
}
OPTIMIZERS: dict[str, Callable[[Sequence[Tensor], float], torch.optim.Optimizer]] = {
    "sgd": lambda weights, lr: torch.optim.SGD(weights, lr, momentum=0.9, dampening=0.2, weight_decay=5e-4),
    "sgd without momentum": lambda weights, lr: torch.optim.SGD(weights, lr, dampening=0.5),
    "nesterov": lambda weights, lr: torch.optim.SGD(weights, lr, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr / 10, weight_decay=1e-3, amsgrad=True),
    "adamw": lambda weights, lr: torch.optim.AdamW(weights, lr / 10, weight_decay=0.1),
    "rmsprop": lambda weights, lr: torch.optim.RMSprop(weights, lr / 30, weight_decay=1e-3),
    "rmsprop, all of it": lambda weights, lr: torch.optim.RMSprop(
        weights, lr / 30, momentum=0.5, centered=True, eps=1e-4
    ),
}


def made(kind: str, seed: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(seed)
    return MODELS[kind][1]().to(dtype).train()


def batch(kind: str, seed: int, step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Samples and targets of one row in one update."""
    generator = torch.Generator().manual_seed(1000 * seed + step)
    size = 8 if step % 5 else 3  # the last of an epoch is smaller
    if MODELS[kind][0] == "tokens":
        tokens = torch.randint(0, 7, (2, size, 5), generator=generator)
        return tokens[0], tokens[1]
    if MODELS[kind][0] == "numbers":
        return torch.randn(size, 6, generator=generator, dtype=dtype), torch.randn(size, 2, generator=generator).to(
            dtype
        )
    shape = (1, 8, 8) if kind == "resnet8" else (1, 6, 6)
    images = torch.randn(size, *shape, generator=generator, dtype=dtype)
    return images, torch.randint(0, 4, (size,), generator=generator)


def step_together(
    rows: StackedModels, updates: Updates, kind: str, seeds: Sequence[int], step: int, **clip: float
) -> None:
    """One update of the rows, of which each has a seed."""
    dtype = next(iter(rows.parameters.values())).dtype
    samples, targets = map(torch.stack, zip(*(batch(kind, seed, step, dtype) for seed in seeds), strict=True))
    _, gradients = rows.gradients(samples, targets, seeds, [step] * len(seeds))
    updates.step(gradients, **clip)


def train_together(
    kind: str,
    optimizer: str,
    seeds: Sequence[int],
    updates: int,
    *,
    dtype: torch.dtype = torch.float32,
    form: str = EAGER,
) -> dict[int, dict[str, Tensor]]:
    """What models become in rows, by their seeds, of which each has an LR of its own."""
    together = [made(kind, seed, dtype) for seed in seeds]
    rows = StackedModels.of(together, TASKS[MODELS[kind][0]], form)
    of_each = [
        OPTIMIZERS[optimizer](list(m.parameters()), lr_of(seed, kind)) for m, seed in zip(together, seeds, strict=True)
    ]
    stepped = Updates(rows, of_each)
    for step in range(updates):
        step_together(rows, stepped, kind, seeds, step, clip_grad_norm=0.5)
    return {seed: contents(model) for seed, model in zip(seeds, together, strict=True)}


def lr_of(seed: int, kind: str = "") -> float:
    """The base LR of a seed. At ten times this one Adam trains the transformer into chaos.

    There torch's own runs that begin one rounding apart are 5e-4 apart after 200 updates.
    """
    return (0.002 if kind == "transformer" else 0.02) * (1 + seed % 3)


def contents(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def train_alone(kind: str, optimizer: str, seed: int, updates: int, clip: float | None) -> nn.Module:
    """What a model becomes with torch's own optimizer, and with the masks that a row of its seed is given."""
    model, task = made(kind, seed), TASKS[MODELS[kind][0]]
    masked = Masked(model).train()
    weights = list(masked.parameters())
    stepped = OPTIMIZERS[optimizer](weights, lr_of(seed, kind))
    for step in range(updates):
        samples, targets = batch(kind, seed, step)
        masks = {name: mask.double() for name, mask in masked.masks(shapes_of(model, samples), seed, step).items()}
        outputs = torch.func.functional_call(masked, masks, (samples,))
        stepped.zero_grad()
        task.training_loss(outputs, targets).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(weights, clip)
        stepped.step()
    return masked.model


def shapes_of(model: nn.Module, samples: Tensor) -> dict[str, torch.Size]:
    """Of what the layers drop from; the model stays as it is."""
    masked = Masked(model).train()
    masked(samples)
    return {name: layer.called_with() for name, layer in masked.dropouts.items()}


SLOW_TO_TRAIN = ("cnn", "resnet8", "transformer")  # for long only with two of the optimizers
LONG = [
    pytest.param(kind, optimizer, 80, marks=pytest.mark.slow)
    for kind, optimizer in itertools.product(MODELS, OPTIMIZERS)
    if kind not in SLOW_TO_TRAIN or optimizer in ("nesterov", "adamw")
]


@pytest.mark.parametrize(
    ("kind", "optimizer", "updates"), [*((*both, 12) for both in itertools.product(MODELS, OPTIMIZERS)), *LONG]
)
def test_in_64_bits_a_row_is_what_torch_makes_of_it_alone(kind, optimizer, updates):
    seeds = [0, 1, 2]
    together = train_together(kind, optimizer, seeds, updates, dtype=torch.float64)
    for seed in seeds:
        for name, value in contents(train_alone(kind, optimizer, seed, updates, clip=0.5)).items():
            assert torch.allclose(together[seed][name].double(), value.double(), rtol=1e-12, atol=1e-12), (seed, name)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", slow_but(MODELS, "linear", "mlp", "cnn", "regression"))
def test_the_bits_of_a_row_depend_neither_on_how_many_there_are_nor_on_their_order(kind, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        many = train_together(kind, "adamw", list(range(16)), 6)
        for seeds in ([3], [3, 7], [7, 3], [3, 3], [9, 3, 7, 1, 0], list(range(15, -1, -1))):
            for seed, found in train_together(kind, "adamw", seeds, 6).items():
                assert all(torch.equal(found[name], value) for name, value in many[seed].items()), seeds
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp"])  # the others take minutes to compile
def test_compiled_rows_depend_on_no_others_either_and_are_what_eager_ones_are_up_to_rounding(kind):
    six = compiled(6)
    many = train_together(kind, "adamw", list(range(6)), 6, form=six)
    for seed, found in train_together(kind, "adamw", [5, 3], 6, form=six).items():
        assert all(torch.equal(found[name], value) for name, value in many[seed].items()), seed
    in_64 = train_together(kind, "sgd", [0, 1], 12, dtype=torch.float64, form=compiled(2))
    for seed, found in train_together(kind, "sgd", [0, 1], 12, dtype=torch.float64).items():
        for name, value in found.items():
            assert torch.allclose(in_64[seed][name], value, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize("kind", MODELS)
def test_in_validation_a_row_is_what_its_model_is_alone_and_depends_on_no_other(kind):
    task, (samples, targets) = TASKS[MODELS[kind][0]], batch(kind, 5, 1)
    together = [made(kind, seed) for seed in range(4)]
    alone = [copy.deepcopy(model).eval() for model in together]
    rows = StackedModels.of(together, task)
    found = rows.evaluate(samples, targets)
    for row, model in enumerate(alone):
        with torch.no_grad():
            outputs = model(samples)
        assert torch.allclose(found.outputs[row], outputs, rtol=1e-12, atol=1e-12)
        assert torch.allclose(found.losses[row], task.validation_loss(outputs, targets), rtol=1e-12)
        for name, total in measure(task, outputs, targets).items():
            assert torch.allclose(found.sums[name][row], total, rtol=1e-12)
    two = StackedModels.of([copy.deepcopy(together[3]), copy.deepcopy(together[1])], task).evaluate(samples, targets)
    assert torch.equal(two.outputs, found.outputs[[3, 1]])
    assert torch.equal(two.losses, found.losses[[3, 1]])


def test_a_row_is_not_touched_by_a_neighbour_that_is_no_longer_finite():
    kind, seeds = "cnn", [0, 1, 2]
    models_ = [made(kind, seed, torch.float32) for seed in seeds]
    with torch.no_grad():
        next(models_[1].parameters()).fill_(float("nan"))
    rows = StackedModels.of(models_, TASKS["classes"])
    updates = Updates(
        rows, [torch.optim.SGD(model.parameters(), lr_of(s), momentum=0.9) for s, model in enumerate(models_)]
    )
    for step in range(5):
        step_together(rows, updates, kind, seeds, step)
    pair = [made(kind, seed, torch.float32) for seed in (0, 2)]
    rows = StackedModels.of(pair, TASKS["classes"])
    updates = Updates(
        rows, [torch.optim.SGD(m.parameters(), lr_of(s), momentum=0.9) for s, m in zip((0, 2), pair, strict=True)]
    )
    for step in range(5):
        step_together(rows, updates, kind, [0, 2], step)
    for one, other in zip((models_[0], models_[2]), pair, strict=True):
        assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop, all of it"])
def test_who_leaves_keeps_what_it_has_and_the_others_go_on_as_before(optimizer):
    seeds = [0, 1, 2]
    together = [made("mlp", seed) for seed in seeds]
    rows = StackedModels.of(together, TASKS["classes"])
    updates = Updates(rows, [OPTIMIZERS[optimizer](list(m.parameters()), lr_of(s)) for s, m in enumerate(together)])
    for step in range(4):
        step_together(rows, updates, "mlp", seeds, step)
    left = contents(together[1])
    rows.without(1)
    updates.without(1)
    for step in range(4, 8):
        step_together(rows, updates, "mlp", [0, 2], step)
    assert all(torch.equal(left[name], value) for name, value in together[1].state_dict().items())
    whole = train_rows(optimizer, seeds, 8)
    for model, seed in ((together[0], 0), (together[2], 2)):
        assert all(torch.equal(whole[seed][name], value) for name, value in model.state_dict().items())


def train_rows(optimizer: str, seeds: Sequence[int], count: int) -> dict[int, dict[str, Tensor]]:
    together = [made("mlp", seed) for seed in seeds]
    rows = StackedModels.of(together, TASKS["classes"])
    updates = Updates(rows, [OPTIMIZERS[optimizer](list(m.parameters()), lr_of(s)) for s, m in enumerate(together)])
    for step in range(count):
        step_together(rows, updates, "mlp", seeds, step)
    return {seed: contents(model) for seed, model in zip(seeds, together, strict=True)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_saved_between_two_updates_goes_on_to_the_same_bits(optimizer):
    whole = train_rows(optimizer, [0, 1], 6)
    together = [made("mlp", seed) for seed in (0, 1)]
    optimizers = [OPTIMIZERS[optimizer](list(m.parameters()), lr_of(s)) for s, m in enumerate(together)]
    rows = StackedModels.of(together, TASKS["classes"])
    updates = Updates(rows, optimizers)
    for step in range(3):
        step_together(rows, updates, "mlp", [0, 1], step)
    again = [made("mlp", 7), made("mlp", 8)]
    for model, saved in zip(again, together, strict=True):
        model.load_state_dict(saved.state_dict())
    fresh = [OPTIMIZERS[optimizer](list(m.parameters()), lr_of(s)) for s, m in enumerate(again)]
    for one, saved in zip(fresh, optimizers, strict=True):
        one.load_state_dict(saved.state_dict())
    rows = StackedModels.of(again, TASKS["classes"])
    updates = Updates(rows, fresh)
    for step in range(3, 6):
        step_together(rows, updates, "mlp", [0, 1], step)
    for seed, model in enumerate(again):
        assert all(torch.equal(whole[seed][name], value) for name, value in model.state_dict().items())


def test_the_state_of_each_optimizer_is_one_that_torchs_own_class_can_go_on_with():
    for name, make in OPTIMIZERS.items():
        model = made("linear", 0)
        rows = StackedModels.of([model], TASKS["classes"])
        optimizer = make(list(model.parameters()), 0.01)
        updates = Updates(rows, [optimizer])
        assert not optimizer.state, name
        step_together(rows, updates, "linear", [0], 0)
        other = made("linear", 1)
        torchs = make(list(other.parameters()), 0.01)
        torchs.load_state_dict(optimizer.state_dict())
        F.cross_entropy(other(batch("linear", 0, 1)[0]), batch("linear", 0, 1)[1]).backward()
        torchs.step()


def test_a_mask_is_a_pure_function_of_seed_update_and_layer():
    model = models.cnn((1, 6, 6), 4, width=4, dropout=0.3)
    masked, shapes = Masked(model), shapes_of(model, torch.zeros(2, 1, 6, 6))
    one, same = masked.masks(shapes, 3, 5), masked.masks(shapes, 3, 5)
    assert one
    assert all(torch.equal(one[name], same[name]) for name in one)
    for seed, step in ((4, 5), (3, 6)):
        other = masked.masks(shapes, seed, step)
        assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("layer", [nn.Dropout(0.25), nn.Dropout2d(0.25), nn.Dropout(0.0), nn.Dropout(1.0)])
def test_a_given_mask_drops_as_often_as_the_layer_would_and_keeps_the_mean(layer):
    model, x = nn.Sequential(layer), torch.ones(200, 30, 2, 2)
    masked, shapes = Masked(model), shapes_of(model, x)
    y = torch.func.functional_call(masked, masked.masks(shapes, 0, 0), (x,))
    assert (y == 0).double().mean().item() == pytest.approx(layer.p, abs=0.02)
    assert y.double().mean().item() == pytest.approx(1.0 if layer.p < 1 else 0.0, abs=0.03)
    if isinstance(layer, nn.Dropout2d):
        assert torch.equal(y, y[:, :, :1, :1].expand_as(y))
