"""`lrlab advise`: from a task to a schedule and its LR, within a budget, gone on with, and no verdict."""

import json
import shlex
from functools import partial
from pathlib import Path

import pytest

import lrlab
from lrlab.api import advising
from lrlab.commands import advise, study
from lrlab.commands import train as train_command
from lrlab.errors import Interrupted, UserError
from lrlab.sweeps import portion
from lrlab.sweeps.advice_request import read_request

TASK = ("model=linear", "trainer.epochs=10", "data.batch_size=128")
HERE = "hydra.launcher.in_process=true"
FEW = "scheduler=linear,wsd"


@pytest.fixture
def ask(enter):
    """Run `python -m lrlab.advise ARGUMENTS` in this process."""
    return partial(enter, advise.main)


def found(path: str = "found.json") -> dict:
    return json.loads(Path(path).read_text())


@pytest.mark.slow
def test_it_says_what_to_take_what_it_cost_and_what_to_type_next(ask, enter):
    done = ask(*TASK, HERE, FEW, "budget=9", "advise.json=found.json", "advise.file=found.png")
    assert (done.code, done.err) == (0, "")
    said = found()
    assert f"take {said['schedule']} at LR {said['lr']:g}: expected validation loss" in done.out
    assert said["interval"][0] < said["loss"] < said["interval"][1]
    assert {one["schedule"] for one in said["tried"]} <= {"cosine", "constant", "linear", "wsd"}
    assert Path("found.png").stat().st_size > 1000

    # Everything counts, and no more than was allowed is spent.
    trained = [json.loads(path.read_text())["updates"] for path in Path(said["folder"]).glob("runs/*/summary.json")]
    cost = said["cost"]
    assert (len(trained), sum(trained)) == (cost["runs"], cost["runs"] * cost["updates_each"])
    assert cost["runs_worth"] <= 9

    # What is printed to be typed can be typed.
    _, _, typed = said["command"].partition("train ")
    assert enter(train_command.main, *shlex.split(typed)).code == 0
    _, _, typed = said["study"].partition("study ")
    quick = ("study.tuning=3", "study.seeds=3", "study.looks=1", "trainer.epochs=1")
    assert enter(study.main, *shlex.split(typed), *quick).code == 0


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_says_the_same(ask, monkeypatch):
    typed = (*TASK, HERE, FEW, "budget=6", "advise.json=found.json")
    assert ask(*typed).code == 0
    first = found()
    monkeypatch.setattr(advising, "range_tests", None)  # would fail if it were called
    done = ask(*typed)
    assert done.code == 0, done.err
    assert "finished" not in done.out
    assert found() == first


@pytest.mark.slow
def test_one_that_is_stopped_goes_on_to_the_same(ask, monkeypatch):
    typed = (*TASK, HERE, FEW, "budget=7", "advise.json=found.json")
    assert ask(*typed).code == 0
    whole = found()
    Path("outputs").rename("whole")
    carry_out, calls = portion.carry_out, []

    def stopped(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted(2)
        return carry_out(*arguments, **named)

    monkeypatch.setattr(portion, "carry_out", stopped)
    done = ask(*typed)
    assert done.code == 130
    assert "To go on:" in done.out
    monkeypatch.setattr(portion, "carry_out", carry_out)
    assert ask(*typed).code == 0
    assert found() == whole


@pytest.mark.slow
def test_a_larger_budget_goes_on_from_what_a_smaller_one_has_trained(ask):
    assert ask(*TASK, HERE, FEW, "budget=5", "advise.json=found.json").code == 0
    before = {path.parent.name for path in Path(found()["folder"]).glob("runs/*/summary.json")}
    done = ask(*TASK, HERE, FEW, "budget=8", "advise.json=found.json")
    assert done.code == 0
    after = {path.parent.name for path in Path(found()["folder"]).glob("runs/*/summary.json")}
    assert before < after
    assert done.out.count("finished") == len(after) - len(before)


@pytest.mark.slow
def test_in_python_it_is_a_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    advice = lrlab.advise(*TASK, HERE, FEW, budget=5)
    assert advice.schedule in ("cosine", "constant", "linear", "wsd")
    assert advice.overrides[-2:] == [f"scheduler={advice.schedule}", f"optimizer.lr={advice.lr}"]
    assert advice.tried[0].loss == min(cell.loss for cell in advice.tried)
    assert advice.sentence in repr(advice)
    assert "<svg" in advice._repr_html_()
    assert len(advice.to_frame()["lr"]) == len(advice.tried)
    with pytest.raises(ValueError, match="budget: got 2; allowed: a number >= 4"):
        lrlab.advise(*TASK, budget=2)


@pytest.mark.slow
def test_a_schedule_that_follows_a_metric_is_left_out_and_a_line_says_so(ask):
    done = ask(*TASK, HERE, "scheduler=linear,plateau", "budget=4")
    assert done.code == 0, done.err
    assert "left out   plateau: its LR follows a metric" in done.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["seed=0,1"], "seed: got 0,1, for advice; allowed: nothing"),
        (["optimizer.lr=0.1"], "optimizer.lr: got 0.1, for advice"),
        (["scheduler.gamma=0.5"], "scheduler.gamma: got a setting of one schedule"),
        (["model=mlp,linear"], "advise: got 2 runs (model=mlp,linear)"),
        (["budget=3"], "advise.budget: got 3; allowed: a number >= 4"),
        (["advise.budget=many"], "advise.budget: got 'many'"),
        (["scheduler=cosin"], "did you mean cosine"),
        (["optimizer=prodigy"], "optimizer"),
        (["scheduler=nope"], "scheduler: got 'nope'"),
        (["scheduler=linear,all"], "scheduler: got linear,all; allowed: all, or names of schedules"),
        (["trainer.stop_early=2"], "trainer.stop_early: got 2, for advice"),
        (["trainer.budget=1min"], "trainer.budget: got 1min, for advice"),
        (["resume=here"], "resume="),
        (["nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_leaves_nothing(ask, typed, said):
    done = ask(*TASK, *typed)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert not [*Path().rglob("*.json")]


@pytest.mark.slow
def test_where_every_run_diverges_it_says_so(ask, tmp_path):
    (tmp_path / "exploding.py").write_text(
        "import torch\n"
        "def optimizer(parameters, lr=0.1):\n"
        "    class Exploding(torch.optim.SGD):\n"
        "        def step(self, closure=None):\n"
        "            for group in self.param_groups:\n"
        "                for p in group['params']:\n"
        "                    p.data.mul_(1e30)\n"
        "    return Exploding(parameters, lr=lr)\n"
    )
    typed = ("optimizer._target_=exploding.optimizer", "~optimizer.momentum", "~optimizer.nesterov")
    done = ask(*TASK, HERE, "budget=8", *typed, "~optimizer.weight_decay", "~optimizer.dampening")
    assert done.code == 1
    assert "of which every one diverged" in done.err or "optimizer" in done.err


OWN = """
import torch

class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


@pytest.mark.slow
def test_a_model_of_ones_own_is_advised_on(ask, tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    done = ask("model={_target_: mine.Net}", *TASK[1:], HERE, FEW, "budget=5", "advise.json=found.json")
    assert (done.code, done.err) == (0, "")
    assert found()["judged_by"] == "val"


@pytest.mark.slow
@pytest.mark.parametrize("budget", [4, 6])
def test_no_more_is_spent_than_was_allowed_also_where_a_run_is_short(ask, budget):
    typed = ("model=linear", "trainer.epochs=3", "data.batch_size=512", HERE, "scheduler=linear", f"budget={budget}")
    assert ask(*typed, "advise.json=found.json").code == 0
    assert found()["cost"]["runs_worth"] <= budget


def test_a_recipe_says_which_schedules_and_its_lrs_and_seeds_are_not_heeded():
    asked = read_request(["experiment=schedules_digits", "model=linear"], 16.0)
    named = ["constant", "step", "exponential", "cosine", "warmup_cosine", "onecycle"]
    assert sorted(asked.schedules) == sorted(named)
    assert asked.asked_for == {*named}
    assert "experiment=schedules_digits" in asked.common
    assert not [one for one in asked.common if one.startswith(("seed", "optimizer.lr"))]
    typed = read_request(["experiment=schedules_digits", "scheduler=wsd"], 16.0)
    assert sorted(typed.schedules) == ["constant", "cosine", "wsd"]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("published_lenet_onecycle", "scheduler.three_phase, scheduler.anneal_strategy"),
        ("published_lenet_inv", "scheduler.interval, scheduler.lr_lambda"),
        ("published_resnet20", "scheduler.interval, scheduler.milestones"),
    ],
)
def test_a_recipe_of_one_schedule_is_none_to_be_advised_on(recipe, said):
    with pytest.raises(UserError, match=rf"experiment: got {recipe}, which sets {said}"):
        read_request([f"experiment={recipe}", "data=digits"], 16.0)


def test_a_recipe_of_several_tasks_is_none_to_be_advised_on():
    with pytest.raises(UserError, match=r"experiment: got horizons, which sets scheduler.lr_lambda"):
        read_request(["experiment=horizons"], 16.0)
    with pytest.raises(UserError, match=r"advise: got 3 runs .*allowed: one data set, model and optimizer"):
        read_request(["experiment=short_and_long"], 16.0)


@pytest.mark.slow
def test_schedules_that_cannot_be_planned_are_left_out_unless_they_were_asked_for(ask):
    short = ("model=linear", "trainer.epochs=1", "data.batch_size=128", HERE, "budget=4")
    done = ask(*short)
    assert done.code == 0, done.err
    assert "left out   step: " in done.out
    asked = ask(*short, "scheduler=step")
    assert asked.code == 1
    assert "scheduler.step_size" in asked.err


@pytest.mark.slow
def test_a_smaller_budget_keeps_what_a_larger_one_has_trained(ask):
    assert ask(*TASK, HERE, FEW, "budget=8", "advise.json=found.json").code == 0
    before = found()
    done = ask(*TASK, HERE, FEW, "budget=5", "advise.json=found.json")
    assert "finished" not in done.out
    assert {**found(), "budget": 8} == before
