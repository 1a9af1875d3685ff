"""Durations become whole counts of an interval once, exactly, or are refused."""

import pytest

from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon, Samples, of_epochs, of_updates

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
        ("25percent", "'25percent', which is no duration; allowed: .*5ep, 500st, 50_000im, 25%; do: key=25%"),
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


@pytest.mark.parametrize(
    ("images", "updates"),
    [
        ("300im", 1),
        ("450im", 2),  # half up
        ("900im", 3),
        ("950im", 4),  # half of the last batch, which has 100
        ("1000im", 4),
        ("1_300im", 5),
        ("10_000im", 40),
        ("1_000_000im", 4000),
    ],
)
def test_images_are_counted_by_the_batches_that_have_them(images, updates):
    run = Horizon(20, 4, samples=Samples(per_epoch=1000, per_update=300))
    assert run.count(images, "step") == updates


def test_an_epoch_of_images_is_an_epoch_whatever_its_batches():
    for per_epoch, per_update in ((1000, 300), (960, 64), (7, 8)):
        steps = -(-per_epoch // per_update)
        run = Horizon(20, steps, samples=Samples(per_epoch, per_update))
        for epochs in (1, 3, 20):
            assert run.count(f"{epochs * per_epoch}im", "step") == epochs * steps == run.count(f"{epochs}ep", "step")
            assert run.count(f"{epochs * per_epoch}im", "epoch") == epochs


def test_images_mean_nothing_where_a_batch_is_not_known():
    with pytest.raises(UserError, match=r"key: got 500im, .*not known; allowed: 5ep, 500st, 25%.*; do: key=500st"):
        RUN.count("500im", "step", "key")


@pytest.mark.parametrize(
    ("updates", "epochs", "last"), [(1, 1, 1), (49, 1, 49), (50, 1, 50), (51, 2, 1), (1000, 20, 50)]
)
def test_the_last_epoch_of_so_many_updates_has_what_is_left(updates, epochs, last):
    run = of_updates(updates, 50)
    assert (run.epochs, run.steps, run.total("epoch"), run.total("step")) == (epochs, updates, epochs, updates)
    assert [run.in_epoch(epoch) for epoch in range(epochs)] == [50] * (epochs - 1) + [last]
    assert run.in_epoch(epochs) == 0
    assert run.passes == updates / 50


@pytest.mark.parametrize(
    ("epochs", "updates"), [(0.5, 25), (2.5, 125), (0.01, 1), (0.009, 0), (2, 100), (2.0, 100), (0.1 + 0.2, 15)]
)
def test_a_share_of_an_epoch_is_whole_updates_rounded_half_up(epochs, updates):
    assert of_epochs(epochs, 50).steps == updates


def test_whole_epochs_are_the_same_horizon_however_they_are_said():
    assert of_updates(1000, 50) == of_epochs(20, 50) == of_epochs(20.0, 50) == RUN
