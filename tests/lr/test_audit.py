"""The audit says what was applied: equal to the plan, or where it first was not, and by how much."""

import pytest
from support import StopAt, summary, train

from lrlab.lr.audit import Audit
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan

PLAN = Plan(Horizon(2, 3), "epoch", {"lr": (0.1, 0.05), "momentum": (0.9, 0.9)})


def applied(step):
    return {"lr": 0.1 if step < 3 else 0.05, "momentum": 0.9}


def test_a_run_that_keeps_to_its_plan_is_equal():
    audit = Audit(PLAN)
    assert [audit.check(step, applied(step)) for step in range(6)] == [None] * 6
    assert audit.summary("val_loss", 6) == {
        "equal": True,
        "updates": 6,
        "differing": 0,
        "first_difference": None,
        "largest_difference": 0.0,
    }


@pytest.mark.parametrize("name", ["lr", "momentum"])
def test_the_first_difference_is_told_once_and_the_largest_is_kept(name):
    audit = Audit(PLAN)
    said = []
    for step in range(6):
        values = applied(step)
        if step in (1, 4):
            values[name] += 0.25 * step
        said.append(audit.check(step, values))
    assert [line is not None for line in said] == [False, True, False, False, False, False]
    planned = applied(1)[name]
    assert f"{name} at update 1 is {planned + 0.25}, and was planned as {planned}" in said[1]
    found = audit.summary("val_loss", 6)
    assert not found["equal"]
    assert found["differing"] == 2
    assert found["first_difference"] == {"update": 1, "name": name, "planned": planned, "applied": planned + 0.25}
    assert found["largest_difference"] == pytest.approx(1.0)


def test_the_smallest_difference_counts():
    audit = Audit(PLAN)
    audit.check(0, {"lr": 0.1 + 1e-18, "momentum": 0.9})  # the same float
    audit.check(1, {"lr": 0.10000000000000002, "momentum": 0.9})
    assert audit.differing == 1


def test_a_hyperparameter_that_nobody_planned_is_a_difference():
    audit = Audit(PLAN)
    audit.check(0, {**applied(0), "lr/head": 0.1})
    assert audit.first_difference == {"update": 0, "name": "lr/head", "planned": None, "applied": 0.1}


def test_nothing_is_claimed_of_what_was_not_compared():
    audit = Audit(PLAN)
    assert audit.summary("val_loss", 0)["equal"] is None
    audit.check(0, applied(0))
    assert audit.summary("val_loss", 2)["equal"] is None
    assert audit.summary("val_loss", 1)["equal"] is True


def test_a_metric_is_exempt():
    audit = Audit(Plan(Horizon(2, 3), "epoch", {}))
    assert audit.check(0, {"lr": 0.1}) is None
    assert audit.summary("val_accuracy", 1) == {"exempt": "the LR follows val_accuracy"}


CHEAT = """
import torch
from torch.optim.lr_scheduler import LRScheduler

class Cheat(LRScheduler):
    '''Halves the LR at update 5 of a real run, and not in a simulation, whose parameters are all zero.'''
    def __init__(self, optimizer, last_epoch=-1):
        self.real = any(p.abs().sum() > 0 for group in optimizer.param_groups for p in group["params"])
        super().__init__(optimizer, last_epoch)
    def get_lr(self):
        return [base * (0.5 if self.real and self.last_epoch >= 5 else 1.0) for base in self.base_lrs]
"""


def test_a_scheduler_that_does_otherwise_in_training_is_found_out_even_across_a_resume(command, tmp_path):
    (tmp_path / "cheat.py").write_text(CHEAT)
    typed = ["scheduler._target_=cheat.Cheat", "scheduler.interval=step", "trainer.epochs=2", "data.batch_size=256"]
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 15, 7)
        stopped = command(*typed)
    assert "warning: lr at update 5 is 0.01, and was planned as 0.02" in stopped.out
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert command(f"resume={folder}", typed[0]).code == 0
    found = summary(folder)["audit"]
    assert not found["equal"]
    assert (found["updates"], found["differing"], found["largest_difference"]) == (12, 7, 0.01)
    assert found["first_difference"] == {"update": 5, "name": "lr", "planned": 0.02, "applied": 0.01}


def test_two_configs_with_one_curve_have_one_hash(tmp_path):
    typed = ["trainer.epochs=2", "data.batch_size=720", "model=linear"]
    constant = train(tmp_path / "a", "scheduler=constant", *typed)
    flat = train(tmp_path / "b", "scheduler=step", "scheduler.step_size=5", "scheduler.interval=step", *typed)
    falling = train(tmp_path / "c", "scheduler=linear", *typed)
    assert constant["plan"]["sha256"] == flat["plan"]["sha256"] != falling["plan"]["sha256"]


def test_a_longer_run_is_audited_against_the_plan_that_was_in_force(command, tmp_path):
    assert command("scheduler=cosine", "trainer.epochs=2", "data.batch_size=720").code == 0
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert command(f"resume={folder}", "extend=4").code == 0
    assert summary(folder)["audit"]["equal"]
    assert summary(folder)["audit"]["updates"] == 8
