"""Data sets are described before they are read, and what is wrong with one is said with its place."""

import pytest
import torch

from lrlab.data import splits
from lrlab.errors import UserError


def test_nothing_is_read_before_it_is_needed():
    def load() -> tuple:
        raise AssertionError("read too early")

    found = splits.Splits(splits.Images(5, (1, 8, 8), 10, load), splits.Images(5, (1, 8, 8), 10, load), 10)
    assert len(found.train) == 5
    assert found.shape == (1, 8, 8)


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_named_with_its_index(label):
    images = splits.Images(3, (1, 2, 2), 10, lambda: (torch.zeros(3, 1, 2, 2).byte(), torch.tensor([0, 9, label])))
    with pytest.raises(UserError, match=f"got label {label} at index 2; allowed: 0 to 9 for 10 classes"):
        images.tensors  # noqa: B018
