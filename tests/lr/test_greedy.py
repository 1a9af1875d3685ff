"""GreedyLR goes up while the metric improves and down when it does not, whatever its sign, and survives NaN."""

import math

import pytest
import torch

from lrlab.lr.greedy import GreedyLR

NAN = math.nan


def lrs(metrics, lr=0.1, **settings):
    """The LR after each of `metrics`."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = GreedyLR(optimizer, **{"factor": 0.5, "patience": 0, **settings})
    found = []
    for metric in metrics:
        scheduler.step(metric)
        assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        found.append(scheduler.get_last_lr()[0])
    return found


@pytest.mark.parametrize(
    ("metrics", "settings", "expected"),
    [
        ([3.0, 2.0, 2.5, 1.0], {}, [0.2, 0.4, 0.2, 0.4]),
        ([3.0, 2.0, 2.5, 1.0], {"mode": "max"}, [0.2, 0.1, 0.05, 0.025]),
        ([3.0, 2.0, 1.0, 1.0, 1.0], {"patience": 1}, [0.1, 0.2, 0.2, 0.2, 0.1]),
        ([3.0, 2.0, 1.0], {"max_lr": 0.3}, [0.2, 0.3, 0.3]),
        ([3.0, 3.0, 3.0, 3.0], {"min_lr": 0.06}, [0.2, 0.1, 0.06, 0.06]),
        ([3.0, 2.0, 1.0, 0.5], {"warmup": 1}, [0.2, 0.2, 0.4, 0.4]),
        ([3.0, 4.0, 4.0, 4.0], {"cooldown": 1}, [0.2, 0.1, 0.1, 0.05]),
        ([3.0, 2.9, 2.7], {"threshold": 0.2}, [0.2, 0.1, 0.2]),
        # relative to the size of the best value, on both sides of zero: -10 to -12.5 is better where lower is better,
        # and worse where higher is
        ([-10.0, -12.5], {"threshold": 0.1, "threshold_mode": "rel"}, [0.2, 0.4]),
        ([-10.0, -12.5], {"threshold": 0.1, "threshold_mode": "rel", "mode": "max"}, [0.2, 0.1]),
        ([-10.0, -9.5], {"threshold": 0.1, "threshold_mode": "rel", "mode": "max"}, [0.2, 0.1]),
        ([-10.0, -8.0], {"threshold": 0.1, "threshold_mode": "rel", "mode": "max"}, [0.2, 0.4]),
        # NaN is no improvement, is not remembered as the best, and is no part of an average
        ([NAN, 3.0, NAN, 2.0], {}, [0.05, 0.1, 0.05, 0.1]),
        ([3.0, NAN, 2.0], {"window": 2}, [0.2, 0.1, 0.2]),
        ([math.inf, 3.0], {}, [0.2, 0.4]),
        ([math.inf, 3.0, 2.0], {"threshold": 0.1, "threshold_mode": "rel"}, [0.2, 0.4, 0.8]),
        # averages: 4, 3, 2.5
        ([4.0, 2.0, 3.0], {"window": 2}, [0.2, 0.4, 0.8]),
        # after two cuts that end at min_lr all begins anew, the best value as well
        ([3.0, 4.0, 4.0, 4.0, 9.0], {"min_lr": 0.1, "reset_after": 2}, [0.2, 0.1, 0.1, 0.2, 0.1]),
    ],
)
def test_the_lr_follows_the_metric(metrics, settings, expected):
    assert lrs(metrics, **settings) == pytest.approx(expected)


def test_it_goes_on_from_its_state_with_its_own_settings():
    metrics = [3.0, 2.5, 2.6, 2.7, 1.0, 1.1, 1.2, 1.3]
    whole = lrs(metrics, patience=1, window=2)
    first = GreedyLR(torch.optim.SGD([torch.zeros(1)], lr=0.1), factor=0.5, patience=1, window=2)
    for metric in metrics[:4]:
        first.step(metric)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    second = GreedyLR(optimizer, factor=0.5, patience=1, window=2)
    optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    found = []
    for metric in metrics[4:]:
        second.step(metric)
        found.append(second.get_last_lr()[0])
    assert found == whole[4:]
    assert "patience" not in first.state_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "lowest"}, "mode: got lowest; allowed: min, max"),
        ({"factor": 1.0}, "factor: got 1.0; allowed: between 0 and 1"),
        ({"threshold": NAN}, "threshold: got nan"),
        ({"threshold_mode": "percent"}, "threshold_mode: got percent; allowed: abs, rel"),
        ({"warmup": -1}, "warmup: got -1; allowed: at least 0"),
        ({"window": 0}, "window: got 0; allowed: at least 1"),
        ({"reset_after": 0}, "reset_after: got 0"),
        ({"min_lr": 0.2}, "min_lr: got 0.2; allowed: 0 to the base LR, 0.1"),
        ({"max_lr": 0.05}, "max_lr: got 0.05; allowed: at least the base LR, 0.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        lrs([1.0], **settings)
