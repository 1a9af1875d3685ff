"""What is declared of a parameter decides what may be written there; durations become counts at any depth."""

import pytest

from lrlab.config.durations import resolve
from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon

RUN = Horizon(epochs=20, steps_per_epoch=50)


def test_only_strings_that_look_like_numbers_are_durations_in_a_node():
    node = {
        "T_max": "100%",
        "milestones": ["50%", 7, "15ep"],
        "mode": "min",
        "lr": 0.1,
        "then": {"steps": "5%"},
        "x": None,
    }
    assert resolve(node, RUN, "epoch", "scheduler") == {
        "T_max": 20,
        "milestones": [10, 7, 15],
        "mode": "min",
        "lr": 0.1,
        "then": {"steps": 1},
        "x": None,
    }


def test_a_mistake_in_a_node_is_named_by_its_whole_key():
    with pytest.raises(UserError, match=r"scheduler\.lr_lambda\.steps: got '5x'"):
        resolve({"lr_lambda": {"steps": "5x"}}, RUN, "step", "scheduler")
