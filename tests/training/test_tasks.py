"""Regression and language measure what their formulas say, however a pass is cut into batches."""

import math

import numpy
import pytest
import torch
import torch.nn.functional as F

from lrlab.data.map_datasets import Tensors
from lrlab.data.splits import Splits
from lrlab.errors import UserError
from lrlab.training.language import NextToken
from lrlab.training.regression import Regression
from lrlab.training.sums import Sums
from lrlab.training.task import Classification, check_loss, measure

CPU = torch.device("cpu")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float()


def passed(task, outputs, targets, batch_size):
    """The means over all samples, counted batch by batch."""
    sums = Sums(CPU)
    for some, theirs in zip(outputs.split(batch_size), targets.split(batch_size), strict=True):
        loss = task.validation_loss(some, theirs)
        sums.count({"loss": loss, **measure(task, some, theirs)}, len(theirs))
    again = Sums(CPU)
    again.load_state_dict(sums.state_dict())
    assert again.means(task.metrics) == sums.means(task.metrics)
    return sums.means(task.metrics)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_regression_measures_what_its_formulas_say(shape, batch_size):
    targets = 5 + 3 * random(100, *shape)
    outputs = targets + 0.5 * random(100, *shape, seed=1)
    means = passed(Regression(), outputs, targets, batch_size)
    assert means["loss"] == pytest.approx(F.mse_loss(outputs, targets).item(), rel=1e-5)
    assert means["mae"] == pytest.approx(F.l1_loss(outputs, targets).item(), rel=1e-5)
    y, found = (values.double().numpy().reshape(100, -1) for values in (targets, outputs))
    explained = 1 - ((found - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    assert means["r2"] == pytest.approx(numpy.mean(explained), rel=1e-6)


def test_r2_knows_the_mean_and_what_never_varies():
    targets = random(50, 2)
    assert passed(Regression(), targets, targets, 7)["r2"] == 1
    mean = targets.mean(0).expand(50, 2)
    assert passed(Regression(), mean, targets, 7)["r2"] == pytest.approx(0, abs=1e-6)
    flat = torch.full((50,), 3.0)
    assert passed(Regression(), flat, flat, 7)["r2"] == 1
    assert passed(Regression(), flat + 1, flat, 7)["r2"] == 0


def test_r2_survives_a_mean_far_from_zero():
    targets = 1e4 + random(1000)
    outputs = targets + 0.5 * random(1000, seed=1)
    y, found = targets.double(), outputs.double()
    explained = 1 - ((found - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert passed(Regression(), outputs, targets, 64)["r2"] == pytest.approx(explained.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "function"), [("mse", F.mse_loss), ("l1", F.l1_loss), ("smooth_l1", F.smooth_l1_loss)]
)
def test_a_loss_has_a_name_and_takes_one_column_for_a_number(name, function):
    outputs, targets = random(10, 1), random(10, seed=1)
    assert torch.equal(Regression(name).training_loss(outputs, targets), function(outputs[:, 0], targets))


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_language_measures_what_its_formulas_say(batch_size):
    logits, tokens = random(20, 6, 5), torch.randint(5, (20, 6), generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([1.0, 1.0, 2.0, 3.0, 1.0])
    task = NextToken(sizes=sizes)
    means = passed(task, logits, tokens, batch_size)
    each = F.cross_entropy(logits.flatten(0, 1).double(), tokens.flatten(), reduction="none")
    assert means["loss"] == pytest.approx(each.mean().item(), rel=1e-6)
    assert means["perplexity"] == pytest.approx(math.exp(each.mean().item()), rel=1e-6)
    bits = each.sum().item() / math.log(2) / sizes[tokens].sum().item()
    assert means["bits_per_byte"] == pytest.approx(bits, rel=1e-6)


def test_a_perplexity_beyond_all_numbers_is_finite():
    logits = torch.zeros(1, 1, 2)
    logits[..., 0] = 1e4
    assert math.isfinite(passed(NextToken(), logits, torch.ones(1, 1, dtype=torch.int64), 1)["perplexity"])


def splits_of(target, num_classes=None, shape=(4,), **settings):
    """Splits of two samples with such a target."""
    targets = torch.stack([target, target])
    data = Tensors(
        2, shape, lambda: (torch.zeros(2, *shape), targets), num_classes=num_classes, target_shape=tuple(target.shape)
    )
    return Splits(data, data, num_classes=num_classes, **settings)


MISFITS = {
    "numbers are no classes": (
        Classification(),
        splits_of(torch.tensor(0.5)),
        "task: got classification, for targets that are no classes; allowed: a class each; do: task=regression",
    ),
    "tokens are no labels": (
        Classification(),
        splits_of(torch.zeros(4, dtype=torch.int64), 7),
        r"task: got classification, for targets \(4,\) of 7 classes; allowed: a class each; do: task=language",
    ),
    "classes are no numbers": (
        Regression(),
        splits_of(torch.tensor(1), 3),
        "task: got regression, for targets that are 3 classes; allowed: numbers; do: task=classification, or ",
    ),
    "images are no text": (
        NextToken(),
        splits_of(torch.tensor(1), 3),
        r"task: got language, for targets \(\); allowed: windows of tokens, .*; do: data=text, or task=classification",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_task_refuses_data_that_it_cannot_learn(case):
    task, splits, said = MISFITS[case]
    with pytest.raises(UserError, match=said):
        task.for_data(splits)


def test_outputs_of_another_number_than_the_targets_are_refused():
    splits = splits_of(torch.zeros(3))
    with pytest.raises(UserError, match=r"model: got outputs \(2, 4\) for targets \(2, 3\); .*`num_outputs`"):
        check_loss(Regression(), (2, 4), splits)
    check_loss(Regression(), (2, 3), splits)


def test_a_loss_without_a_name_is_refused():
    with pytest.raises(
        UserError, match=r"task.loss: got 'mae'; allowed: mse, l1, smooth_l1, or a node .*; do: task.loss="
    ):
        Regression("mae")
