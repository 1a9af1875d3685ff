"""What is made without Hydra is what Hydra makes; and nothing else is made so."""

from functools import partial
from typing import Any

import pytest

from lrlab.config import build, catalogue, own_targets
from lrlab.config.scheduler import as_partials

MATRIX = {"_target_": "torch.optim.SGD", "lr": 0.1}
WARMUP = {"_target_": "lrlab.schedules.warmup", "_partial_": True, "steps": 3, "total": 9}
HALVES = {"_target_": "lrlab.schedules.linear", "_partial_": True, "total": 9}


def shape(made: Any) -> Any:
    """What partials hold, for comparison."""
    if isinstance(made, partial):
        return made.func, made.args, {name: shape(value) for name, value in made.keywords.items()}
    if isinstance(made, dict):
        return {name: shape(value) for name, value in made.items()}
    return [shape(value) for value in made] if isinstance(made, list) else made


def without_durations(node: Any) -> Any:
    """A node in which every text that is no target is a count."""
    if isinstance(node, dict):
        return {name: value if name == "_target_" else without_durations(value) for name, value in node.items()}
    if isinstance(node, list):
        return [without_durations(value) for value in node]
    return 3 if isinstance(node, str) else node


@pytest.mark.parametrize("scheduler", catalogue.options("scheduler"))
def test_hydra_makes_the_same_scheduler(scheduler, monkeypatch):
    node = as_partials(without_durations(catalogue.option("scheduler", scheduler, {"optimizer.lr": 0.1})))
    node |= {"_partial_": True}
    made = build.make(node, "scheduler")
    monkeypatch.setattr(own_targets, "is_own", lambda _: False)
    assert shape(made) == shape(build.make(node, "scheduler"))


@pytest.mark.parametrize(
    "node",
    [
        {**MATRIX, "_partial_": True, "betas": [0.9, {"inside": [1, 2.5, None, True]}]},
        {**MATRIX, "_partial_": True, "then": {**WARMUP, "then": HALVES}, "several": [HALVES, {"last": HALVES}]},
    ],
)
def test_hydra_makes_the_same_of_nodes_in_nodes(node, monkeypatch):
    assert own_targets.is_own(node)
    made = build.make(node, "scheduler")
    monkeypatch.setattr(own_targets, "is_own", lambda _: False)
    assert shape(made) == shape(build.make(node, "scheduler"))


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.getcwd"},
        {"_target_": "my_pkg.MySGD"},
        {"_target_": "lrlab.system.disk.os.system"},  # somebody else's, by way of a module of lrlab's
        {"_target_": "lrlab.nothing"},
        {"_target_": ["torch.optim.SGD"]},
        {**MATRIX, "text": "${oc.env:HOME}"},
        {**MATRIX, "text": "???"},
        {**MATRIX, "_args_": [1]},
        {**MATRIX, "_convert_": "none"},
        {**MATRIX, "_partial_": "yes"},
        {**MATRIX, "inside": {"_target_": "my_pkg.MyLR"}},
        {**MATRIX, "inside": [{"_partial_": True}]},
        {**MATRIX, "inside": {1: 2}},
        {**MATRIX, "inside": (1, 2)},
        {"lr": 0.1},
    ],
)
def test_hydra_is_asked_for_everything_else(node):
    assert not own_targets.is_own(node)
