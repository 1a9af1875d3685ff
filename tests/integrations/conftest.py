"""Small tasks that every library trains on; the libraries are those of the extra `integrations`."""

import warnings
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """All of these are long trials: importing the libraries takes longer than most tests."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def warnings_of_others():
    """What other libraries warn of is theirs; lrlab's own warnings stay errors."""
    import lrlab

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", lrlab.ScheduleWarning)
        yield


@pytest.fixture
def data() -> torch.utils.data.TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 8, generator=generator)
    return torch.utils.data.TensorDataset(inputs, (inputs[:, 0] > 0).long())
