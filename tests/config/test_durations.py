"""What is declared of a parameter decides what may be written there; durations become counts at any depth."""

import re
from collections.abc import Sequence

import pytest

from lrlab.config.durations import resolve
from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon
from lrlab.schedules.lengths import Level, Moment

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
        resolve({"lr_lambda": {"_target_": f"{OURS}.warmup", "steps": "5x"}}, RUN, "step", "scheduler")


def test_every_duration_in_a_node_of_ours_or_torchs_becomes_a_count_at_any_depth():
    node = {
        "_target_": "torch.optim.lr_scheduler.LambdaLR",
        "lr_lambda": {
            "_target_": "lrlab.schedules.sequence",
            "total": "100%",
            "milestones": ["10%", "5ep"],
            "schedules": {
                "up": {"_target_": "lrlab.schedules.piecewise_linear", "knots": [[0, 0.1], ["5%", 1.0]]},
                "flat": {"_target_": "lrlab.schedules.constant", "value": 1.0},
                "down": {
                    "_target_": "lrlab.schedules.warmup",
                    "steps": "50st",
                    "then": {
                        "_target_": "lrlab.schedules.piecewise_constant",
                        "milestones": ["20%"],
                        "values": [1.0, 0.1],
                    },
                },
            },
        },
    }
    resolved = resolve(node, RUN, "step", "scheduler")["lr_lambda"]
    assert (resolved["total"], resolved["milestones"]) == (1000, [100, 250])
    assert resolved["schedules"]["up"]["knots"] == [[0, 0.1], [50, 1.0]]
    assert resolved["schedules"]["flat"]["value"] == 1.0
    assert resolved["schedules"]["down"]["steps"] == 50
    assert resolved["schedules"]["down"]["then"]["milestones"] == [200]
    assert resolved["schedules"]["down"]["then"]["values"] == [1.0, 0.1]


def test_a_node_of_a_third_party_keeps_working_with_durations_wherever_they_stand():
    node = {"_target_": "support.Failing", "wait": "25%", "gamma": 0.5, "step_size": 0, "milestones": [3, "5ep", 2.5]}
    for target in (node["_target_"], "no.such.Thing"):  # whether there is one is another check's business
        resolved = resolve({**node, "_target_": target}, RUN, "epoch", "scheduler")
        assert resolved == {**node, "_target_": target, "wait": 5, "milestones": [3, 5, 2.5]}


def declares(optimizer: object, wait: Moment, levels: Sequence[Level] = ()):
    """A scheduler of somebody else's, of which only the signature is read."""


def test_a_third_party_that_declares_its_parameters_is_checked_as_ours_are():
    node = {"_target_": f"{__name__}.declares"}
    assert resolve({**node, "wait": "25%"}, RUN, "epoch", "scheduler")["wait"] == 5
    for settings, message in (
        ({"wait": -1}, r"scheduler\.wait: got -1, which is -1 epochs; allowed: a duration of at least 0 epochs"),
        ({"wait": 1.5}, r"scheduler\.wait: got 1\.5; allowed: a whole number of epochs"),
        (
            {"levels": [0.5, "10%"]},
            r"scheduler\.levels: got '10%', a duration; .*; do: 0\.1 in place of",
        ),
    ):
        with pytest.raises(UserError, match=message):
            resolve({**node, **settings}, RUN, "epoch", "scheduler")


OURS, TORCHS, COMPOSITES = "lrlab.schedules", "torch.optim.lr_scheduler", "lrlab.lr.torch_composites"
REFUSED = [
    # levels that are written as durations: alone, in lists, in pairs
    (f"{TORCHS}.StepLR", "gamma", "50%", r"got '50%', a duration; allowed: a number; do: scheduler\.gamma=0\.5$"),
    (f"{TORCHS}.StepLR", "gamma", "5ep", r"got '5ep', a duration; allowed: a number; do: scheduler\.gamma=0\.5$"),
    (f"{TORCHS}.CyclicLR", "base_lr", ["1%"], r"got '1%', a duration; allowed: a number; do: 0\.01 in place of '1%'"),
    (f"{TORCHS}.CosineAnnealingWarmRestarts", "T_mult", "2ep", "got '2ep', a duration; allowed: a number"),
    (f"{TORCHS}.OneCycleLR", "epochs", "25%", "got '25%', a duration; allowed: a number"),
    (f"{OURS}.piecewise_constant", "values", [1.0, "10%"], "got '10%', a duration; .*: 0.1 in place of '10%'"),
    (f"{OURS}.piecewise_linear", "knots", [[0, "100%"]], "got '100%', a duration; .*: 1 in place of '100%'"),
    (f"{OURS}.restart", "cycles", "25%", "got '25%', a duration; allowed: a number"),
    (f"{OURS}.noam", "d_model", "25%", "got '25%', a duration; allowed: a number"),
    (f"{OURS}.noise", "seed", "1ep", "got '1ep', a duration; allowed: a number"),
    ("lrlab.lr.greedy.GreedyLR", "reset_after", "25%", "got '25%', a duration; allowed: a number"),
    # lengths that are not whole
    (f"{TORCHS}.CosineAnnealingLR", "T_max", 0.5, r"got 0\.5; allowed: a whole number of steps, .*=50%$"),
    (f"{TORCHS}.MultiStepLR", "milestones", [3, 5.5], r"got 5\.5; allowed: a whole number .*: 6 in place of 5\.5"),
    (f"{TORCHS}.ReduceLROnPlateau", "patience", 2.5, r"got 2\.5; allowed: a whole number of steps"),
    (f"{OURS}.piecewise_linear", "knots", [[0, 1.0], [0.5, 0.1]], r"got 0\.5; allowed: a whole .*: 50% in place of"),
    (f"{OURS}.wsd_s", "ends", [2.5], r"got 2\.5; allowed: a whole number"),
    # lengths below their least
    (f"{TORCHS}.StepLR", "step_size", 0, "got 0, which is 0 steps; allowed: a duration of at least 1 step; do: .*=25%"),
    (f"{TORCHS}.StepLR", "step_size", "0%", "got 0%, which is 0 steps; allowed: a duration of at least 1 step"),
    (f"{TORCHS}.LinearLR", "total_iters", 0, "got 0, which is 0 steps; allowed: a duration of at least 1 step"),
    (
        f"{TORCHS}.MultiStepLR",
        "milestones",
        [-1, 5],
        r"got \[-1, 5\], which is -1 steps; .* 0 steps; .*=\[50%\]",
    ),
    (f"{TORCHS}.ReduceLROnPlateau", "cooldown", -1, "got -1, which is -1 steps; allowed: .* at least 0 steps"),
    ("lrlab.lr.greedy.GreedyLR", "patience", -1, "got -1, which is -1 steps; allowed: .* at least 0 steps"),
    ("lrlab.lr.greedy.GreedyLR", "window", 0, "got 0, which is 0 steps; allowed: .* at least 1 step;"),
    (f"{OURS}.triangular", "up", 0, "got 0, which is 0 steps; allowed: .* at least 1 step;"),
    (f"{OURS}.warmup", "steps", -1, "got -1, which is -1 steps; allowed: .* at least 0 steps"),
    # moments that do not rise, though they may have been written so
    (f"{TORCHS}.MultiStepLR", "milestones", [9, 5], r"which is \[9, 5\] steps; allowed: durations that rise.*=\[5,9\]"),
    (f"{TORCHS}.MultiStepLR", "milestones", [5, 5], "allowed: durations that rise, each of them once"),
    (f"{COMPOSITES}.sequential", "milestones", ["10ep", "1ep"], r"which is \[500, 50\] steps; allowed: durations that"),
]


@pytest.mark.parametrize(("target", "name", "value", "message"), REFUSED)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_what_is_not_as_declared_is_refused_by_its_whole_key_at_any_depth(target, name, value, message, depth):
    node, key = {"_target_": target, name: value}, "scheduler"
    for _ in range(depth):
        node, key = {"_target_": f"{COMPOSITES}.chained", "schedulers": {"one": node}}, f"{key}.schedulers.one"
    with pytest.raises(UserError) as raised:
        resolve(node, RUN, "step", "scheduler")
    assert raised.value.key == f"{key}.{name}"
    assert re.search(message.replace(r"scheduler\.", re.escape(f"{key}.")), str(raised.value)), raised.value


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        (f"{OURS}.warmup", "steps", 0),
        (f"{OURS}.sigmoid", "center", -5),  # the curve may have its middle outside of the run
        (f"{OURS}.piecewise_linear", "knots", [[0, 1], [5, 0]]),  # whole levels
        (f"{OURS}.wsd_s", "ends", []),
        (f"{OURS}.warm_restarts", "period", None),
        (f"{TORCHS}.CyclicLR", "step_size_down", None),
        (f"{TORCHS}.MultiStepLR", "milestones", [0, 5]),
    ],
)
def test_what_is_as_declared_is_left_as_it_is(target, name, value):
    node = {"_target_": target, name: value}
    assert resolve(node, RUN, "step", "scheduler") == node


class Foreign:
    """As schedulers of transformers and others: some parameters take a text, some a number, some say nothing."""

    def __init__(self, steps: int, decay_type: str = "linear", kind="cosine", ends=None, *, rate: float = 1):
        pass


def test_texts_of_others_stay_texts_and_their_lengths_become_counts():
    node = {"_target_": f"{__name__}.Foreign", "steps": "25%", "decay_type": "1-sqrt", "kind": "2nd", "ends": "5ep"}
    assert resolve(node, RUN, "step", "scheduler") == {**node, "steps": 250, "ends": 250}
    assert resolve({**node, "decay_type": "25%"}, RUN, "step", "scheduler")["decay_type"] == "25%"
    inside = {"_target_": f"{__name__}.Foreign", "ends": {"decay_type": "1-sqrt"}}
    assert resolve(inside, RUN, "step", "scheduler") == inside


@pytest.mark.parametrize("name", ["steps", "rate", "ends"])
def test_what_only_starts_like_a_number_is_a_mistake_where_a_number_belongs(name):
    with pytest.raises(UserError, match=rf"scheduler\.{name}: got '1-sqrt', which is no duration"):
        resolve({"_target_": f"{__name__}.Foreign", name: "1-sqrt"}, RUN, "step", "scheduler")
