"""The table of metrics answers for all of lrlab; means are exact, however the samples are cut into batches."""

import pytest
import torch
import torch.nn.functional as F

from lrlab.training.metrics import METRICS, count_correct, find, lower_is_better, usual
from lrlab.training.sums import Sums

CPU = torch.device("cpu")


def measured(loss: torch.Tensor, correct: int, samples: int) -> tuple[dict[str, torch.Tensor], int]:
    """A batch as `Sums.count` takes it."""
    return {"loss": loss, "accuracy": torch.tensor(correct)}, samples


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_means_do_not_depend_on_the_batches(batch_size):
    logits = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(100) % 5
    sums = Sums(CPU)
    for part, target in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
        sums.count({"loss": F.cross_entropy(part, target), "accuracy": count_correct(part, target)}, len(target))
    means = sums.means(usual())
    assert means["loss"] == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-6)
    assert means["accuracy"] == (logits.argmax(1) == labels).sum().item() / 100


def test_sums_continue_from_their_state():
    whole, first, second = Sums(CPU), Sums(CPU), Sums(CPU)
    batches = [measured(torch.tensor(0.25 * i), i % 2, 1 + i) for i in range(6)]
    for batch in batches:
        whole.count(*batch)
    for batch in batches[:2]:
        first.count(*batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        second.count(*batch)
    assert second.means(usual()) == whole.means(usual())


@pytest.mark.parametrize("saved_after", [1, 49, 50, 51, 120])
def test_sums_that_are_read_in_bulk_are_those_that_are_read_at_once(saved_after):
    values = torch.rand(120, generator=torch.Generator().manual_seed(0))
    at_once, in_bulk, restored = Sums(CPU), Sums(torch.device("cuda")), Sums(torch.device("cuda"))
    for index, value in enumerate(values):
        at_once.count(*measured(value, index % 3, 1 + index % 5))
    for index, value in enumerate(values):
        in_bulk.count(*measured(value, index % 3, 1 + index % 5))
        if index + 1 == saved_after:
            restored.load_state_dict(in_bulk.state_dict())
            in_bulk = restored
    assert in_bulk.samples == at_once.samples
    assert in_bulk.means(usual()) == at_once.means(usual())
    in_bulk.count(*measured(values[0], 1, 1))
    in_bulk.reset()
    in_bulk.count(*measured(values[0], 1, 1))
    assert in_bulk.means(usual())["accuracy"] == 1


def test_sums_continue_from_a_state_that_an_earlier_version_wrote():
    sums = Sums(CPU)
    sums.load_state_dict({"loss": 3.0, "correct": 7, "samples": 8})
    sums.count(*measured(torch.tensor(0.5), 1, 2))
    assert (sums.means(usual()), sums.samples) == ({"loss": 0.4, "accuracy": 0.8}, 10)


def test_counts_stay_exact_where_32_bits_would_not():
    sums = Sums(CPU)
    sums.load_state_dict({"loss": 0.0, "correct": 2**40, "samples": 2**41})
    sums.count(*measured(torch.tensor(0.0), 1, 1))
    assert sums.state_dict()["sums"]["accuracy"] == 2**40 + 1


@pytest.mark.parametrize("split", ["train", "val", "best_val"])
def test_the_table_knows_a_metric_by_what_is_measured_of_it(split):
    assert find(f"{split}_accuracy") is METRICS["accuracy"]
    assert lower_is_better(f"{split}_loss")
    assert not lower_is_better(f"{split}_accuracy")
