"""Early stopping: after so many updates without a better metric, and not before."""

import pytest
from small_training import EPOCHS, STEPS, epochs, make_state, run
from support import same_weights

from lrlab.config import stopping
from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon, Samples
from lrlab.training.early import StopEarly
from lrlab.training.metrics import METRICS

LOSS, ACCURACY = [1.0, 0.9, 0.95, 0.9, 0.91, 0.8], [0.5, 0.6, 0.6, 0.61, 0.55, 0.7]


def seen(stop: StopEarly, values: list[float | None]) -> int | None:
    """The epoch after which values of the monitor, an epoch of 5 updates each, stop a run; None where they do not."""
    for epoch, value in enumerate(values):
        stop.see(epoch, 5 * (epoch + 1), {} if value is None else {stop.monitor: value})
        if stop.stopped is not None:
            return epoch
    return None


@pytest.mark.parametrize(
    ("monitor", "values", "patience", "min_delta", "last"),
    [
        ("val_loss", LOSS, 5, 0.0, 2),
        ("val_loss", LOSS, 10, 0.0, 3),
        ("val_loss", LOSS, 15, 0.0, 4),  # equal to the best is no better
        ("val_loss", LOSS, 20, 0.0, None),
        ("val_loss", [1.0, 0.999, 0.998], 5, 0.01, 1),  # better, but too little
        ("val_loss", [1.0, 0.994, 0.988, 0.982], 10, 0.01, None),  # little by little it is more than that
        ("val_accuracy", ACCURACY, 5, 0.0, 2),
        ("val_accuracy", ACCURACY, 10, 0.0, None),
        ("val_accuracy", ACCURACY, 10, 0.02, 3),
        ("val_accuracy", [0.9, None, None, 0.8], 10, 0.0, 3),  # only what was measured counts
    ],
)
def test_a_run_is_stopped_when_its_metric_was_no_better_for_so_long(monitor, values, patience, min_delta, last):
    stop = StopEarly(monitor, monitor == "val_loss", patience, "some time", min_delta)
    assert seen(stop, values) == last
    if last is not None:
        assert stop.stopped["epoch"] == last
        assert stop.stopped["why"].startswith(f"{monitor} has not become better")


@pytest.mark.parametrize("at", range(1, len(LOSS)))
def test_a_saved_state_stops_as_one_that_went_on(at):
    whole, first, second = (StopEarly("val_loss", True, 15, "3 epochs") for _ in range(3))
    expected = seen(whole, LOSS)
    if seen(first, LOSS[:at]) is None:
        second.load_state_dict(first.state_dict())
        found = None
        for epoch in range(at, len(LOSS)):
            second.see(epoch, 5 * (epoch + 1), {"val_loss": LOSS[epoch]})
            if second.stopped is not None:
                found = epoch
                break
        assert found == expected
        assert second.stopped == whole.stopped


@pytest.mark.parametrize(
    ("written", "updates", "in_words"),
    [
        (5, 250, "5 epochs"),
        ("5", 250, "5"),
        ("2.5ep", 125, "2.5ep"),
        ("30st", 30, "30st"),
        ("25%", 250, "25%"),
        ("1_000im", 100, "1_000im"),
        ({"patience": 1, "min_delta": 0.01}, 50, "1 epoch"),
    ],
)
def test_a_patience_is_a_length_of_training(written, updates, in_words):
    stopping.check(written)
    horizon = Horizon(20, 50, samples=Samples(500, 10))
    stop = stopping.stop_early(written, horizon, "val_loss", list(METRICS.values()))
    assert (stop.patience, stop.patience_in_words, stop.lower_is_better) == (updates, in_words, True)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (0, "trainer.stop_early: got 0; allowed: epochs without a better trainer.monitor"),
        (True, "trainer.stop_early: got True; allowed: epochs"),
        (2.5, "trainer.stop_early: got 2.5; allowed: epochs"),
        ("soon", "trainer.stop_early: got 'soon'; allowed: epochs"),
        ({"min_delta": 1}, "trainer.stop_early.patience: got nothing"),
        ({"patience": 3, "delta": 1}, "trainer.stop_early.delta: got a setting that does not exist"),
        ({"patience": 3, "min_delta": -1}, "trainer.stop_early.min_delta: got -1; allowed: a number >= 0"),
    ],
)
def test_what_is_no_patience_is_refused(written, line):
    with pytest.raises(UserError) as refused:
        stopping.check(written)
    assert str(refused.value).startswith(line)


def test_the_loop_ends_where_it_is_stopped_and_not_after_its_last_epoch():
    stopped, whole = make_state(lr=0.0), make_state(lr=0.0)  # never better than after the first epoch
    stopped.early = StopEarly("val_loss", True, STEPS, "1 epoch", min_delta=10.0)
    ended = epochs(run(stopped))
    assert [one.epoch for one in ended] == [0, 1]
    assert stopped.early.stopped is not None
    assert not run(stopped)
    again = make_state(lr=0.0)
    again.early = StopEarly("val_loss", True, STEPS, "1 epoch", min_delta=10.0)
    again.load_state_dict(stopped.state_dict())
    assert not run(again)
    late = make_state(lr=0.0)
    late.early = StopEarly("val_loss", True, (EPOCHS - 1) * STEPS, "3 epochs", min_delta=10.0)
    assert len(epochs(run(late))) == len(epochs(run(whole))) == EPOCHS
    assert late.early.stopped is None  # it had come to its end
    assert same_weights(late.model.state_dict(), whole.model.state_dict())
