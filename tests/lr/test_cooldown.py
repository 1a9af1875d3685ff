"""A cooldown is its trunk to the bit up to a moment, and from there a decay of the LR that the trunk has there."""

from functools import partial

import pytest
import torch
from torch.optim import lr_scheduler

from lrlab import schedules
from lrlab.errors import WrongArgument
from lrlab.lr.cooldown import Cooldown
from lrlab.lr.greedy import GreedyLR
from lrlab.lr.hyperparameters import count_as_stepped
from lrlab.schedules.stable import fall

TOTAL = 40  # of the trunks
TRUNKS = {
    "StepLR": partial(lr_scheduler.StepLR, step_size=7, gamma=0.5),
    "CosineAnnealingLR": partial(lr_scheduler.CosineAnnealingLR, T_max=TOTAL),
    "OneCycleLR": partial(lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=TOTAL),
    "CyclicLR": partial(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=9),
    "MultiStepLR": partial(lr_scheduler.MultiStepLR, milestones=[5, 20]),
    "ConstantLR": partial(lr_scheduler.ConstantLR, factor=1.0, total_iters=1),
    "wsd": partial(
        lr_scheduler.LambdaLR, lr_lambda=partial(schedules.wsd, total=TOTAL, warmup=5, decay=8, shape="linear")
    ),
    "inverse_sqrt": partial(lr_scheduler.LambdaLR, lr_lambda=partial(schedules.inverse_sqrt, total=TOTAL, timescale=4)),
}


def optimizer_of_two() -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros((), requires_grad=True)], "lr": lr} for lr in (0.1, 0.037)]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    count_as_stepped(optimizer)
    return optimizer


def lrs(make, steps: int) -> list[list[float]]:
    """The LRs of both groups at every step, the first of which is before any."""
    optimizer = optimizer_of_two()
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append([float(group["lr"]) for group in optimizer.param_groups])
        assert found[-1] == scheduler.get_last_lr()
        scheduler.step()
    return found


@pytest.mark.parametrize("shape", ["linear", "one_minus_sqrt"])
@pytest.mark.parametrize("at", [1, 13, TOTAL])
@pytest.mark.parametrize("name", TRUNKS)
def test_it_is_its_trunk_to_the_bit_and_then_a_decay_to_its_floor(name, at, shape):
    trunk = lrs(TRUNKS[name], at + 1) if at < TOTAL or name != "OneCycleLR" else lrs(TRUNKS[name], TOTAL)
    found = lrs(partial(Cooldown, trunk=TRUNKS[name], at=at, steps=10, shape=shape, floor=0.2), at + 14)
    assert found[: len(trunk)] == trunk
    for done in range(1, 14):
        left = fall(min(done / 10, 1.0), shape=shape, floor=0.2)
        assert found[at + done] == [lr * left for lr in found[at]]
    assert found[at + 10] == found[at + 13] == pytest.approx([0.2 * lr for lr in found[at]])


def test_a_trunk_that_counts_epochs_is_cooled_down_step_by_step():
    trunk = lrs(TRUNKS["StepLR"], 10)
    found = lrs(partial(Cooldown, trunk=TRUNKS["StepLR"], at=29, steps=6, every=3, shape="linear"), 36)
    assert found[:30] == [trunk[step // 3] for step in range(30)]
    assert found[35] == [0, 0]
    assert found[32] == [lr * fall(0.5, shape="linear") for lr in trunk[9]]


def test_a_cooldown_of_a_warmup_and_a_constant_is_wsd():
    constant = partial(schedules.warmup, total=TOTAL, steps=5, then=schedules.constant)
    trunk = partial(lr_scheduler.LambdaLR, lr_lambda=constant)
    for at, steps in ((10, 3), (24, 6), (TOTAL, 10)):
        wsd = partial(schedules.wsd, total=at + steps, warmup=5, decay=steps)
        typed = lrs(partial(lr_scheduler.LambdaLR, lr_lambda=wsd), at + steps + 1)
        assert lrs(partial(Cooldown, trunk=trunk, at=at, steps=steps), at + steps + 1) == typed


@pytest.mark.parametrize("stopped", [4, 13, 17])
@pytest.mark.parametrize("name", TRUNKS)
def test_it_goes_on_from_its_state(name, stopped):
    make = partial(Cooldown, trunk=TRUNKS[name], at=13, steps=10, every=2)
    whole = lrs(make, 25)
    before, after = optimizer_of_two(), optimizer_of_two()
    one, other = make(before), make(after)
    for _ in range(stopped):
        one.step()
    after.load_state_dict(before.state_dict())
    other.load_state_dict(one.state_dict())
    found = []
    for _ in range(stopped, 25):
        found.append([float(group["lr"]) for group in after.param_groups])
        other.step()
    assert found == whole[stopped:]


def test_a_momentum_that_the_trunk_drives_stays_as_it_is_where_the_decay_begins():
    optimizer = optimizer_of_two()
    scheduler = Cooldown(optimizer, trunk=TRUNKS["OneCycleLR"], at=8, steps=10)
    momenta = []
    for _ in range(12):
        momenta.append(optimizer.param_groups[0]["momentum"])
        scheduler.step()
    assert len(set(momenta[:9])) == 9
    assert len(set(momenta[8:])) == 1


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"at": 0}, "at: got 0; allowed: at least 1; do: at=1"),
        ({"steps": 0}, "steps: got 0; allowed: at least 1; do: steps=1"),
        ({"every": 0}, "every: got 0; allowed: at least 1; do: every=1"),
        ({"shape": "round"}, "shape: got round; allowed: linear, one_minus_sqrt, "),
        ({"shape": "power"}, "exponent: got None; allowed: above 0"),
        ({"floor": 2.0}, "floor: got 2.0 with shape one_minus_sqrt; allowed: 0 to 1"),
        (
            {"trunk": lr_scheduler.ReduceLROnPlateau},
            "trunk: got ReduceLROnPlateau, which follows a metric; allowed: a scheduler whose LR is known before; ",
        ),
        ({"trunk": GreedyLR}, "trunk: got GreedyLR, which follows a metric"),
    ],
)
def test_what_cannot_be_cooled_down_is_one_line(changed, line):
    settings = {"trunk": TRUNKS["StepLR"], "at": 5, "steps": 5, **changed}
    with pytest.raises(WrongArgument) as error:
        Cooldown(optimizer_of_two(), **settings)
    assert str(error.value).startswith(line)
