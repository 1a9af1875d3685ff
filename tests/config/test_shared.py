"""Configs of many runs that are composed together are those that Hydra composes of each."""

import pytest
from omegaconf import DictConfig, OmegaConf

from lrlab.config import compose, composed_once
from lrlab.config.catalogue import options
from lrlab.errors import UserError

pytestmark = pytest.mark.usefixtures("composed_anew")
GROUPS = ("data", "model", "task", "optimizer", "scheduler", "trainer", "tracking")
ODD = (
    ["seed=7"],
    ["seed=007"],
    ["seed='7'"],
    ["seed=null"],
    ["seed=${trainer.epochs}", "trainer.epochs=3"],
    ["++seed=4"],
    ["resume='a b,c=d'"],
    ["sweep=x", "seed=1", "seed=2"],
    ["seed=1", "scheduler=cosine", "scheduler.T_max=7"],
    ["scheduler._target_=torch.optim.lr_scheduler.StepLR", "scheduler.step_size=3", "seed=5"],
    ["optimizer={_target_:torch.optim.SGD,lr:0.1}", "seed=5"],
    ["~scheduler.T_max", "scheduler=cosine", "seed=3"],
    ["+trainer.note=1", "seed=3"],
    ["hydra.run.dir=elsewhere", "seed=3"],
    ["hydra.job.chdir=true", "seed=9", "model=mlp"],
    ["hydra/launcher=basic", "seed=3"],
    ["experiment=tutorial", "seed=3"],
    ["optimizer.groups.head.schedule=wsd", "optimizer.groups.head.schedule.decay=30%", "seed=1"],
    ["optimizer.lr=0.1", "model.width=4", "data.batch_size=7", "seed=1"],
)
WRONG = (
    ["sede=3"],
    ["seed=3", "nothing=1"],
    ["seed=1,2"],
    ["~seed=8"],
    ["+seed=8"],
    ["scheduler=nothing", "seed=1"],
    ["model=3", "seed=1"],
    ["hydra=3"],
    ["seed={a:1}", "trainer.epochs=2", "trainer.nothing=1"],
)


def alike(config: DictConfig) -> object:
    """All of a config: its values, what is not filled in yet, and its flags."""
    flags = [(OmegaConf.is_struct(config), OmegaConf.is_readonly(config)), OmegaConf.is_readonly(config.hydra)]
    values = compose.everything(config)
    values["hydra"]["runtime"].pop("cwd")  # each of these tests has a folder of its own
    return values, flags, compose.resolve(config)


@pytest.fixture(scope="module")
def shared() -> composed_once.Shared:
    """One for all tests, as it is one for all runs of a sweep."""
    return composed_once.Shared()


def every_option() -> list[list[str]]:
    return [[f"{group}={option}", "seed=3"] for group in GROUPS for option in options(group)]


def outcome(overrides: list[str], **by: composed_once.Shared) -> object:
    """The whole config, or what is said to be wrong."""
    try:
        return alike(compose.compose(overrides, **by))
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("overrides", [*ODD, *every_option()], ids=" ".join)
def test_what_is_composed_together_is_what_is_composed_alone(shared, overrides):
    alone = outcome(overrides)
    assert outcome(overrides, by=shared) == alone
    assert outcome(overrides, by=shared) == alone  # what is kept was not changed


def test_a_fault_in_what_is_composed_together_would_be_noticed(monkeypatch):
    whole = composed_once.Shared.__call__

    def without_plain_settings(this: composed_once.Shared, overrides: list[str]) -> DictConfig:
        config = whole(this, overrides)
        config.seed = 11
        return config

    monkeypatch.setattr(composed_once.Shared, "__call__", without_plain_settings)
    for overrides in (["seed=7"], ["scheduler=cosine"], ["model=mlp", "seed=3"]):
        assert outcome(overrides, by=composed_once.Shared()) != outcome(overrides)


@pytest.mark.parametrize("overrides", WRONG, ids=" ".join)
def test_mistakes_are_told_in_the_same_words(shared, overrides):
    with pytest.raises(UserError) as alone:
        compose.compose(overrides)
    with pytest.raises(UserError) as together:
        compose.compose(overrides, by=shared)
    assert str(together.value) == str(alone.value)


def test_runs_that_differ_in_plain_settings_are_composed_by_hydra_once(monkeypatch):
    composed = []
    by_hydra = compose.by_hydra
    monkeypatch.setattr(compose, "by_hydra", lambda overrides: composed.append(overrides) or by_hydra(overrides))
    shared = composed_once.Shared()
    for scheduler in ("step", "cosine"):
        for seed in range(3):
            for lr in (0.1, 0.2):
                run = [f"scheduler={scheduler}", f"seed={seed}", f"optimizer.lr={lr}", "sweep=a"]
                config = compose.compose(run, by=shared)
                assert (config.seed, config.optimizer.lr, config.sweep) == (seed, lr, "a")
    assert composed == [["scheduler=step"], ["scheduler=cosine"]]
