"""What is typed for a class is fitted to it: settings added, left-overs deleted, whole nodes replaced."""

import pytest

from lrlab.config import compose
from lrlab.config.targets import fit_to_targets


def scheduler(*typed: str) -> dict:
    return compose.resolve(compose.compose(fit_to_targets(list(typed))))["scheduler"]


def test_what_needs_no_fitting_is_left_alone():
    typed = ["scheduler=step", "scheduler.gamma=0.3", "~trainer.monitor", "+data.flip=true", "seed=1"]
    assert fit_to_targets(typed) == typed


def test_another_inner_target_brings_its_settings_and_loses_the_others():
    found = scheduler(
        "scheduler=warmup_cosine",
        "scheduler.lr_lambda.then._target_=lrlab.schedules.tanh",
        "scheduler.lr_lambda.then.upper=2.0",
        "scheduler.lr_lambda.then.floor=0.1",
    )
    assert found["lr_lambda"]["then"] == {
        "_target_": "lrlab.schedules.tanh",
        "_partial_": True,
        "upper": 2.0,
        "floor": 0.1,
    }


def test_a_setting_that_the_target_takes_and_the_yaml_does_not_list_is_added():
    assert scheduler("scheduler=rex", "scheduler.last_epoch=-1")["last_epoch"] == -1
    wsd = scheduler("scheduler=warmup_linear", "scheduler.lr_lambda.then.total=5")
    assert wsd["lr_lambda"]["then"]["total"] == 5


def test_a_whole_node_replaces_the_one_that_is_there():
    node = "{_target_:lrlab.schedules.cooldown,_partial_:true,steps:5,of:{_target_:lrlab.schedules.rex,_partial_:true}}"
    found = scheduler("scheduler=warmup_cosine", f"scheduler.lr_lambda.then={node}")
    assert found["lr_lambda"]["then"] == {
        "_target_": "lrlab.schedules.cooldown",
        "_partial_": True,
        "steps": 5,
        "of": {"_target_": "lrlab.schedules.rex", "_partial_": True},
    }


@pytest.mark.parametrize(
    ("typed", "path", "expected"),
    [
        (["optimizer.groups.head.lr_scale=10"], "groups", {"head": {"lr_scale": 10}}),
        (
            ["optimizer.groups.a.params=[x.*]", "optimizer.groups.a.delay=2ep"],
            "groups",
            {"a": {"params": ["x.*"], "delay": "2ep"}},
        ),
        (["optimizer.schedule.momentum=cosine"], "schedule", {"momentum": "cosine"}),
    ],
)
def test_groups_and_schedules_have_names_of_the_users_choice(typed, path, expected):
    config = compose.resolve(compose.compose(fit_to_targets(["optimizer=sgd", *typed])))
    assert config["optimizer"][path] == expected


def test_a_swept_group_is_left_alone():
    typed = ["scheduler=step,linear", "scheduler.interval=step"]
    assert fit_to_targets(typed) == typed
