"""What is typed for a class is fitted to it: settings added, left-overs deleted, whole nodes replaced."""

import pytest

from lrlab.config import compose
from lrlab.config.targets import forced
from lrlab.errors import UserError

pytestmark = pytest.mark.usefixtures("composed_anew")


def scheduler(*typed: str) -> dict:
    return compose.resolve(compose.compose(list(typed)))["scheduler"]


def test_what_hydra_composes_itself_is_left_to_it():
    typed = ["scheduler=step", "~trainer.monitor", "+data.flip=true", "seed=1", "hydra.run.dir=here", "++model.width=8"]
    assert forced(typed) == typed
    assert forced(["scheduler.gamma=0.3"]) == ["++scheduler.gamma=0.3"]


def test_a_config_that_hydra_composed_becomes_the_one_that_lrlab_composes():
    typed = [
        *("scheduler=warmup_cosine", "scheduler.lr_lambda.then._target_=lrlab.schedules.tanh", "optimizer.lr=0.3"),
        *("scheduler.lr_lambda.then.upper=2.0", "~trainer.timeout", "optimizer.groups.head.lr_scale=10"),
    ]
    config = compose.by_hydra(forced(typed))
    compose.settle(config, forced(typed))
    assert compose.plain(config) == compose.plain(compose.compose(typed))


def test_targets_decide_which_settings_there_are_wherever_they_stand():
    typed = ["optimizer.rho=0.8", "optimizer._target_=torch.optim.Adadelta", "optimizer=sgd"]
    optimizer = compose.resolve(compose.compose(typed))["optimizer"]
    assert optimizer["rho"] == 0.8
    assert "momentum" not in optimizer


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("+trainer.epochs=3", r"\+trainer.epochs: got a setting that is there already \(20\); allowed: "),
        ("~trainer.epochs=3", r"~trainer.epochs: got another value than 20, which it has; "),
        ("~trainer.nope", r"trainer.nope: got a setting that does not exist; "),
        ("trainer.epochs=3,4", r"trainer.epochs: got several values, 3,4; allowed: one, unless this is a sweep; "),
        ("scheduler.schedulers.a.b=3", r"scheduler.schedulers.a.b: got a setting that does not exist"),
    ],
)
def test_what_cannot_be_put_into_the_config_is_told(typed, said):
    with pytest.raises(UserError, match=said):
        compose.compose([typed])


def test_hydra_knows_all_that_was_typed():
    config = compose.compose(["optimizer.lr=0.3", "scheduler=step", "hydra.job.name=x", "seed=3"])
    assert config.hydra.overrides.task == ["optimizer.lr=0.3", "scheduler=step", "seed=3"]
    assert config.hydra.job.override_dirname == "optimizer.lr=0.3,scheduler=step,seed=3"


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
    config = compose.resolve(compose.compose(["optimizer=sgd", *typed]))
    assert config["optimizer"][path] == expected


@pytest.mark.parametrize(
    "typed",
    [
        "{a:{_target_:lrlab.schedules.cosine},b:{_target_:lrlab.schedules.linear}}",
        "[{_target_:lrlab.schedules.cosine}]",
    ],
)
def test_several_nodes_replace_the_several_that_are_there_whether_in_a_mapping_or_a_list(typed):
    there = scheduler("scheduler=product", f"scheduler.lr_lambda.schedules={typed}")["lr_lambda"]["schedules"]
    assert list(there) == ["a", "b"] if isinstance(there, dict) else len(there) == 1


def test_a_mapping_without_nodes_is_merged_into_the_one_that_is_there():
    there = scheduler("scheduler=product", "scheduler.lr_lambda.schedules={cycles:{floor:0.1}}")["lr_lambda"][
        "schedules"
    ]
    assert (there["cycles"]["floor"], there["cycles"]["cycles"]) == (0.1, 4)
    assert "envelope" in there


def test_a_data_set_of_ones_own_inherits_nothing_that_is_said_of_the_images_of_another(monkeypatch, tmp_path):
    (tmp_path / "own_data.py").write_text("def images(size=3):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    of_digits = compose.resolve(compose.compose([]))["data"]
    own = compose.resolve(compose.compose(["data._target_=own_data.images", "data.flip=true"]))["data"]
    told = {name: value for name, value in own.items() if not name.startswith("_")}
    assert told == {"flip": True} | {
        name: of_digits[name]
        for name in ("batch_size", "drop_last", "cache", "cache_bytes", "cache_dir", "workers", "prefetch", "timeout")
    }
    chosen = compose.resolve(compose.compose(["data=cifar10", "data._target_=own_data.images"]))["data"]
    assert (chosen["flip"], chosen["shift"]) == (True, 4)
    assert len(chosen["mean"]) == 3
    same = compose.resolve(compose.compose([f"data._target_={of_digits['_target_']}"]))["data"]
    assert same == of_digits
