"""What a run shows: as much of an epoch as the terminal has room for, and no bar where nobody looks."""

import io
import sys

import pytest

from lrlab.runs.display import epoch_line, result_line
from lrlab.runs.summary import Tally
from lrlab.system import streams
from lrlab.training.loop import Epoch
from lrlab.training.metrics import METRICS

MEANS = {"loss": 1.5, "accuracy": 0.25}
EPOCH = Epoch(4, 5, 1.2345e-05, MEANS, MEANS, 2.0, 123456.0)


@pytest.mark.parametrize("width", [140, 120, 100, 80, 60, 40])
def test_the_line_of_an_epoch_fits_the_terminal_and_keeps_the_validation(width):
    line = epoch_line(EPOCH, 20, width)
    assert len(line) <= width
    assert line.startswith("epoch  5/20  ")
    assert "val loss   1.5000" in line
    assert ("train loss" in line) == (width >= 100)
    assert ("images/s" in line) == (width >= 120)


def test_without_a_terminal_nothing_is_left_out():
    assert "images/s" in epoch_line(EPOCH, 20)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "watched"), [({}, True), ({"JPY_PARENT_PID": "7"}, False), ({"TERM": "dumb"}, False)]
)
def test_what_a_notebook_starts_has_no_bar(monkeypatch, variables, watched):
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert streams.is_watched() == watched
    assert streams.console().is_terminal == watched


def test_an_epoch_without_a_validation_says_so_on_any_terminal_and_its_columns_stand_under_the_others():
    without = Epoch(4, 5, 1.2345e-05, MEANS, None, 2.0, 123456.0)
    for width in (None, 140, 100, 80, 60, 40):
        line, other = epoch_line(without, 20, width), epoch_line(EPOCH, 20, width)
        assert "not validated" in line
        assert len(line) == len(other)


def test_the_result_says_metrics_in_words_and_what_was_used_of_a_budget():
    tally = Tally((METRICS["loss"], METRICS["bits_per_byte"]))
    tally.add(0, 2.0, {"val_loss": 1.5, "val_bits_per_byte": 2.5}, "val_bits_per_byte")
    said = (
        "finished: val loss 1.5000, val bits/byte 2.5000; best val bits/byte 2.5000 in epoch 1 (best.pt); 3 updates in "
    )
    assert result_line(tally, 3, "val_bits_per_byte") == f"{said}2.0s"
    assert result_line(tally, 3, "val_bits_per_byte", "3.98 s of the budget of 3 s").endswith(
        "; 3 updates in 3.98 s of the budget of 3 s"
    )
