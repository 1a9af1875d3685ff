"""Data sets are described before they are read."""

from lrlab.data import map_datasets, splits


def test_nothing_is_read_before_it_is_needed():
    def load() -> tuple:
        raise AssertionError("read too early")

    found = splits.Splits(map_datasets.Images(5, (1, 8, 8), 10, load), map_datasets.Images(5, (1, 8, 8), 10, load), 10)
    assert len(found.train) == 5
    assert found.shape == (1, 8, 8)
