"""Durations become whole counts of an interval once, exactly, or are refused."""

import pytest

from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon

RUN = Horizon(epochs=20, steps_per_epoch=50)


@pytest.mark.parametrize(
    ("duration", "epochs", "steps"),
    [
        ("7", 7, 7),
        ("5ep", 5, 250),
        ("2.5ep", 3, 125),  # half up
        ("500st", 10, 500),
        ("25st", 1, 25),  # half up
        ("25%", 5, 250),
        ("12.5%", 3, 125),  # half up
        ("100%", 20, 1000),
        ("150%", 30, 1500),
        ("0%", 0, 0),
        ("0", 0, 0),
    ],
)
def test_a_duration_means_the_same_length_in_either_interval(duration, epochs, steps):
    assert RUN.count(duration, "epoch") == epochs
    assert RUN.count(duration, "step") == steps


def test_percent_is_exact_where_floats_are_not():
    assert (
        Horizon(epochs=1, steps_per_epoch=1_000_000_000_000_000_003).count("100%", "step") == 1_000_000_000_000_000_003
    )


@pytest.mark.parametrize(
    ("duration", "message"),
    [
        ("25percent", "'25percent', which is no duration; allowed: .*5ep, 500st, 25%; do: key=25%"),
        ("5 ep", "no duration"),
        ("-5ep", "no duration"),
        ("1e3st", "no duration"),
        ("2.5", "got 2.5; allowed: a whole number of epochs"),
        ("2%", "which is 0.4 epochs and rounds to zero"),
        ("24st", "rounds to zero"),
    ],
)
def test_what_is_no_whole_duration_is_refused(duration, message):
    with pytest.raises(UserError, match=message):
        RUN.count(duration, "epoch", "key")
