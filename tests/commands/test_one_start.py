"""A command line is composed once, checked once and planned once, however the run begins; its classes are made once."""

import importlib
from collections import Counter

import pytest
import torch
from support import same_weights, summary, train, weights
from torch import nn

from lrlab.config import build, compose, prepare
from lrlab.config.compose import compose as compose_config
from lrlab.models import Interface
from lrlab.system import randomness
from lrlab.system.lock import held

CLASSES = """
from collections import Counter

import torch
from torch import nn

made = Counter()


class Net(nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        made["model"] += 1
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    def forward(self, images):
        return self.net(images)


class Sgd(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        made["optimizer"] += 1
        super().__init__(params, lr=lr)


class Steps(torch.optim.lr_scheduler.StepLR):
    def __init__(self, optimizer, step_size=2):
        made["scheduler"] += 1
        super().__init__(optimizer, step_size)
"""
OWN = ("model._target_=counted.Net", "optimizer._target_=counted.Sgd", "trainer.epochs=2", "data.batch_size=720")


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """How often each thing is done, by name; `made` has the user's classes."""
    (tmp_path / "counted.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(build, "_TRIED", {})
    module = importlib.import_module("counted")
    module.made.clear()
    counts: Counter[str] = module.made

    def count(place, name: str, what: str) -> None:
        original = getattr(place, name)

        def wrapper(*args, **kwargs):
            counts[what] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(place, name, wrapper)

    count(compose, "by_hydra", "compositions")
    count(prepare.settings, "check_top_level", "checks")
    count(prepare, "simulate", "plans")
    return counts


def test_a_run_is_composed_checked_and_planned_once(counted, command):
    assert command("scheduler=step", "optimizer.lr=0.05", "trainer.epochs=4").code == 0
    assert (counted["compositions"], counted["checks"], counted["plans"]) == (1, 1, 1)


def test_its_model_is_made_once_and_its_optimizer_once_to_plan_and_once_to_train(counted, command):
    assert command(*OWN, "scheduler._target_=counted.Steps").code == 0
    assert counted["model"] == 1
    assert counted["optimizer"] == counted["scheduler"] == 2
    assert (counted["compositions"], counted["checks"], counted["plans"]) == (1, 1, 1)


def test_a_setting_that_no_yaml_lists_costs_no_composition(counted, command):
    assert command(*OWN, "optimizer.groups.net.lr_scale=0.5", "scheduler=step").code == 0
    assert counted["compositions"] == 1


def test_a_resumed_run_is_composed_of_its_checkpoint_checked_and_planned_once(counted, command, tmp_path):
    assert command(*OWN, "hydra.run.dir=run").code == 0
    counted.clear()
    typed = [one for one in OWN if "_target_" in one]
    assert command("resume=run", "extend=3", *typed).code == 0
    assert (counted["compositions"], counted["checks"], counted["model"]) == (0, 1, 1)
    assert counted["plans"] == 1  # the old plan, to show it beside the new one, is made by the room of resuming
    assert summary(tmp_path / "run")["epochs"] == 3


def test_runs_that_differ_in_their_seeds_are_composed_and_planned_once_for_all(counted, command):
    ended = command("-m", "seed=0,1,2", *OWN, "hydra.launcher.in_process=true")
    assert ended.code == 0, ended.err
    assert (counted["checks"], counted["plans"]) == (3, 1)
    assert counted["compositions"] == 1 + 1  # what all have in common, and the first run
    assert counted["model"] == 3 + 1  # the first one is tried while the sweep is checked


def test_every_run_of_a_sweep_is_checked_and_planned_once(counted, command):
    ended = command("-m", "optimizer.lr=0.1,0.2,0.3", *OWN, "hydra.launcher.in_process=true")
    assert ended.code == 0, ended.err
    assert (counted["checks"], counted["plans"]) == (3, 3)


def test_the_model_that_was_tried_trains_as_one_that_was_made_for_it(tmp_path, monkeypatch):
    typed = ("model.dropout=0.3", "trainer.epochs=2", "scheduler=step")
    train(tmp_path / "tried", *typed)
    monkeypatch.setattr(build.Trial, "take", lambda *_: None)
    train(tmp_path / "new", *typed)
    assert same_weights(weights(tmp_path / "tried"), weights(tmp_path / "new"))


class Restless(nn.Module):
    """A model whose every pass changes its weights, its statistics and the random state."""

    def __init__(self):
        super().__init__()
        self.flatten, self.norm, self.linear = nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, images):
        self.norm.train()
        with torch.no_grad():
            self.linear.weight.add_(torch.rand(()))
        return self.linear(self.norm(self.flatten(images)))


def test_a_trial_pass_leaves_weights_statistics_and_random_state_as_they_were(monkeypatch):
    monkeypatch.setattr(build, "make", lambda *_args, **_given: Restless())
    randomness.seed_everything(3)
    untried, expected = Restless(), torch.get_rng_state()
    randomness.seed_everything(3)
    model = build.build_model({"_target_": "torch.nn.Identity"}, Interface((1, 8, 8), 10, num_classes=10))
    assert same_weights(model.state_dict(), untried.state_dict())
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize(
    "typed", ["+hydra.callbacks.mine._target_=my.Callback", "hydra.job.chdir=true", "hydra/job_logging=none"]
)
def test_a_setting_of_hydras_that_would_change_nothing_is_refused(typed, command, tmp_path):
    ended = command(typed)
    assert ended.code == 1
    key = typed.lstrip("+").partition("=")[0]
    assert f"{key}: got a setting of Hydra's that a single run does not heed; allowed: " in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("said", ["job: {chdir: true}", "job: {env_set: {A: b}}", "verbose: true"])
def test_such_a_setting_in_a_file_of_the_users_is_refused_too(said, command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(f"# @package _global_\nhydra: {{{said}}}\n")
    ended = command("--config-dir", "mine", "experiment=own")
    assert ended.code == 1
    assert "got a setting of Hydra's that a single run does not heed" in ended.err
    assert not (tmp_path / "outputs").exists()


def test_what_checks_a_run_is_plain_values_that_another_process_can_be_given():
    import pickle

    prepared = prepare.prepare(compose_config(["scheduler=warmup_cosine", "optimizer.groups.head.lr_scale=2"]))
    again = prepare.equip(pickle.loads(pickle.dumps(prepared.checked)))
    assert again.checked == prepared.checked
    assert again.plan.fingerprint() == prepared.plan.fingerprint()
    assert again.facts() == prepared.facts()


def test_who_is_refused_a_folder_leaves_it_to_the_process_that_holds_it(command, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "train.log").write_text("the first run's\n")
    with held(folder):
        ended = command(f"hydra.run.dir={folder}", "trainer.epochs=1")
    assert ended.code == 1
    assert "in which another process is training" in ended.err
    assert (folder / "train.log").read_text().startswith("the first run's\n")


@pytest.mark.parametrize("typed", ["scheduler=3", "scheduler=null", "model=1.5", "data=true"])
def test_an_option_that_is_no_name_is_told_in_one_line(typed, command):
    ended = command(typed)
    group, _, value = typed.partition("=")
    assert ended.code == 1
    assert ended.err.startswith(f"lrlab: error: {group}: got '{value}'; allowed: ")
    assert ended.err.count("\n") == 1


def test_several_values_for_a_run_that_goes_on_are_refused(command):
    assert command("model=linear", "trainer.epochs=1", "hydra.run.dir=run").code == 0
    ended = command("resume=run", "optimizer.lr=0.1,0.2")
    assert ended.code == 1
    assert ended.err.startswith("lrlab: error: optimizer.lr: got several values, 0.1,0.2; allowed: one, ")


class Hidden(nn.Module):
    """A model with a statistic that no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1), persistent=False)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        self.mean += 1
        return self.net(images)


def test_a_trial_pass_leaves_statistics_that_no_checkpoint_holds_as_they_were(monkeypatch):
    monkeypatch.setattr(build, "make", lambda *_args, **_given: Hidden())
    assert build.build_model({"_target_": "torch.nn.Identity"}, Interface((1, 8, 8), 10, num_classes=10)).mean == 0


def test_what_a_lazy_model_draws_in_its_first_pass_is_not_drawn_again(monkeypatch):
    def lazy(*_args, **_given):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    monkeypatch.setattr(build, "make", lazy)
    randomness.seed_everything(3)
    made = lazy()
    made(torch.zeros(2, 1, 8, 8))
    expected = torch.get_rng_state()
    randomness.seed_everything(3)
    model = build.build_model({"_target_": "torch.nn.Identity"}, Interface((1, 8, 8), 10, num_classes=10))
    assert same_weights(model.state_dict(), made.state_dict())
    assert torch.equal(torch.get_rng_state(), expected)
