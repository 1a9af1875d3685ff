"""The planned LR is what stepping the scheduler gives, and what cannot be trained with is refused."""

from functools import partial

import pytest
import torch
from torch.optim import lr_scheduler

from lrlab.errors import UserError
from lrlab.lr.horizon import Horizon, of_updates
from lrlab.lr.plan import Plan, side_by_side, simulate

HORIZON = Horizon(epochs=6, steps_per_epoch=5)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


@pytest.mark.parametrize(("interval", "counts"), [("epoch", 6), ("step", 30)])
def test_the_plan_is_the_scheduler_stepped_by_hand(interval, counts):
    make = partial(lr_scheduler.ExponentialLR, gamma=0.9)
    plan = simulate(make, optimizer, HORIZON, interval)
    by_hand, lrs = optimizer(), []
    scheduler = make(by_hand)
    for _ in range(counts):
        lrs.append(by_hand.param_groups[0]["lr"])
        by_hand.step()
        scheduler.step()
    assert plan.lrs == tuple(lrs)
    expected = [lr for lr in lrs for _ in range(30 // counts)]
    assert [plan.at(step) for step in range(30)] == expected


def test_a_scheduler_that_follows_a_metric_has_no_plan():
    plan = simulate(lr_scheduler.ReduceLROnPlateau, optimizer, HORIZON, "epoch")
    assert plan.lrs is None
    assert plan.curves == {}
    assert plan.at(3) is None
    assert "metric" in plan.summary()["note"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            partial(lr_scheduler.StepLR, step_size=2, gamma=-1.0),
            "planned LR of -0.1 in epoch 3; allowed: finite and not neg",
        ),
        (partial(lr_scheduler.ExponentialLR, gamma=1e200), r"planned LR of 1e\+199 in epoch 2"),
        (partial(lr_scheduler.LambdaLR, lr_lambda=lambda _: float("nan")), "planned LR of nan in epoch 1"),
        (
            partial(lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=3),
            "OneCycleLR, which fails after epoch 3 .*; allowed: .* 6 epochs",
        ),
    ],
)
def test_a_plan_that_cannot_be_trained_with_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        simulate(make, optimizer, HORIZON, "epoch")


def test_equal_curves_have_equal_hashes_and_others_do_not():
    def hashed(make) -> str:
        return simulate(make, optimizer, HORIZON, "epoch").summary()["sha256"]

    constant = hashed(partial(lr_scheduler.ConstantLR, factor=1.0))
    assert hashed(partial(lr_scheduler.StepLR, step_size=9)) == constant
    assert hashed(partial(lr_scheduler.StepLR, step_size=5)) != constant


def test_the_summary_samples_the_first_and_the_last_update():
    sampled = simulate(partial(lr_scheduler.StepLR, step_size=1, gamma=0.5), optimizer, HORIZON, "epoch").summary(
        points=4
    )
    assert list(sampled["lr"]) == ["0", "7", "14", "22", "29"]
    assert sampled["lr"]["29"] == 0.1 * 0.5**5
    assert sampled["updates"] == 30


def test_two_plans_stand_side_by_side_with_the_joint_marked():
    old = Plan(Horizon(4, 5), "epoch", {"lr": (0.4, 0.3, 0.2, 0.1)})
    new = Plan(Horizon(8, 5), "epoch", {"lr": (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)})
    lines = side_by_side(old, new, joint=4)
    assert len(lines) == 9
    assert lines[4].split() == ["4", "0.1", "0.5"]
    assert lines[5].split()[:3] == ["5", "-", "0.4"]
    assert [line.endswith("goes on here") for line in lines].index(True) == 5
    early = side_by_side(old, new, joint=1)
    assert [line.endswith("goes on here") for line in early].index(True) == 2


def test_a_plan_that_ends_within_an_epoch_has_a_value_for_every_update_and_no_more():
    plan = Plan(of_updates(7, 5), "epoch", {"lr": (0.2, 0.1)})
    by_steps = Plan(of_updates(7, 5), "step", {"lr": (0.2,) * 5 + (0.1,) * 2})
    assert plan.per_update() == list(by_steps.curves["lr"]) == [plan.at(step) for step in range(7)]
    assert plan.hashes == by_steps.hashes
    assert plan.hashes != Plan(Horizon(2, 5), "epoch", {"lr": (0.2, 0.1)}).hashes
    assert (plan.summary()["epochs"], plan.summary()["updates"]) == (1.4, 7)
