"""When a checkpoint is due: after so much time, or after so many updates and every epoch."""

import pytest

from lrlab.lr import save_every
from lrlab.lr.horizon import Horizon
from lrlab.lr.save_every import rhythm

HORIZON = Horizon(10, 100)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    at = [100.0]
    monkeypatch.setattr(save_every.time, "monotonic", lambda: at[0])
    return at


@pytest.mark.parametrize(("every", "seconds"), [("10s", 10), ("0.5s", 0.5), ("10min", 600), ("2h", 7200)])
def test_a_time_is_due_when_it_has_passed_whatever_was_trained(clock, every, seconds):
    one = rhythm(every, HORIZON)
    assert one.due(0)
    one.saved(0)
    assert not one.due(500)
    assert not one.due(1000, ends_epoch=True)
    clock[0] += seconds - 0.01
    assert not one.due(1000)
    clock[0] += 0.01
    assert one.due(1000)
    assert one.due(1000, ends_epoch=True)


@pytest.mark.parametrize(("every", "updates"), [("5st", 5), ("5%", 50), ("2ep", 200), (7, 7)])
def test_updates_are_counted_from_the_last_one_and_every_epoch_is_due(every, updates):
    one = rhythm(every, HORIZON)
    one.saved(40)
    assert not one.due(40 + updates - 1)
    assert one.due(40 + updates)
    assert one.due(41, ends_epoch=True)


def test_without_a_rhythm_only_epochs_are_due():
    one = rhythm(None, HORIZON)
    assert not one.due(999)
    assert one.due(1, ends_epoch=True)


def test_checkpoints_that_take_long_come_seldom(clock):
    one = rhythm("10s", HORIZON)
    one.saved(0, took_seconds=3)
    clock[0] += 59
    assert not one.due(10)
    clock[0] += 1
    assert one.due(10)
