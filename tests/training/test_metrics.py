"""Loss and accuracy are exact means over samples, however these are cut into batches."""

import pytest
import torch
import torch.nn.functional as F

from lrlab.training.metrics import Sums, count_correct

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_means_do_not_depend_on_the_batches(batch_size):
    logits = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(100) % 5
    sums = Sums(CPU)
    for part, target in zip(logits.split(batch_size), labels.split(batch_size), strict=True):
        sums.count(F.cross_entropy(part, target), count_correct(part, target), len(target))
    result = sums.result()
    assert result.loss == pytest.approx(F.cross_entropy(logits.double(), labels).item(), rel=1e-6)
    assert result.accuracy == (logits.argmax(1) == labels).sum().item() / 100


def test_sums_continue_from_their_state():
    whole, first, second = Sums(CPU), Sums(CPU), Sums(CPU)
    batches = [(torch.tensor(0.25 * i), torch.tensor(i % 2), 1 + i) for i in range(6)]
    for batch in batches:
        whole.count(*batch)
    for batch in batches[:2]:
        first.count(*batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        second.count(*batch)
    assert second.result() == whole.result()


@pytest.mark.parametrize("saved_after", [1, 49, 50, 51, 120])
def test_sums_that_are_read_in_bulk_are_those_that_are_read_at_once(saved_after):
    values = torch.rand(120, generator=torch.Generator().manual_seed(0))
    at_once, in_bulk, restored = Sums(CPU), Sums(torch.device("cuda")), Sums(torch.device("cuda"))
    for index, value in enumerate(values):
        at_once.count(value, torch.tensor(index % 3), 1 + index % 5)
    for index, value in enumerate(values):
        in_bulk.count(value, torch.tensor(index % 3), 1 + index % 5)
        if index + 1 == saved_after:
            restored.load_state_dict(in_bulk.state_dict())
            in_bulk = restored
    assert in_bulk.samples == at_once.samples
    assert in_bulk.result() == at_once.result()
    in_bulk.count(values[0], torch.tensor(1), 1)
    in_bulk.reset()
    in_bulk.count(values[0], torch.tensor(1), 1)
    assert in_bulk.result().accuracy == 1
