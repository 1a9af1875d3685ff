"""The clock law, for every schedule: defined for every t >= 0, the floor at t = total, held for ever."""

import math
from functools import partial

import pytest
import torch

from lrlab import schedules

TOTAL = 40
SHAPES = {
    "cosine": schedules.cosine,
    "cosine to a floor": partial(schedules.cosine, floor=0.1),
    "warm-up, cosine": partial(schedules.warmup, steps=5, then=schedules.cosine),
    "no warm-up, cosine": partial(schedules.warmup, steps=0, then=schedules.cosine),
    "warm-up in a warm-up": partial(
        schedules.warmup, steps=5, then=partial(schedules.warmup, steps=3, then=schedules.cosine)
    ),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def schedule(request):
    return request.param


def test_factors_are_finite_and_between_zero_and_one(schedule):
    factors = [schedule(t, total=TOTAL) for t in range(3 * TOTAL)]
    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in factors)


def test_the_floor_is_reached_at_total_and_held(schedule):
    floor = schedule(TOTAL, total=TOTAL)
    assert all(schedule(t, total=TOTAL) == floor for t in (TOTAL + 1, 2 * TOTAL, 10**9))
    assert schedule(TOTAL - 1, total=TOTAL) > floor


@pytest.mark.parametrize("steps", [0, 1, 5, TOTAL - 1])
def test_warmup_rises_by_equal_steps_from_above_zero_and_joins_without_a_jump(steps):
    factors = [schedules.warmup(t, steps=steps, total=TOTAL, then=schedules.cosine) for t in range(steps + 1)]
    assert factors == [(t + 1) / (steps + 1) for t in range(steps + 1)]


def test_what_follows_a_warmup_has_its_own_clock_and_the_rest_of_the_horizon():
    after = [schedules.warmup(t, steps=10, total=TOTAL, then=schedules.cosine) for t in range(10, 2 * TOTAL)]
    assert after == [schedules.cosine(t, total=TOTAL - 10) for t in range(2 * TOTAL - 10)]


def test_warmup_meets_a_schedule_that_does_not_start_at_one():
    later_half = partial(schedules.cosine, floor=0.5)
    below_one = partial(lambda t, *, total: later_half(t + total, total=total))
    assert [schedules.warmup(t, steps=1, total=4, then=below_one) for t in range(3)] == [0.25, 0.5, 0.5]


def test_cosine_is_torchs_on_the_way_down():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL, eta_min=0.1)
    for t in range(TOTAL + 1):
        assert schedules.cosine(t, total=TOTAL, floor=0.1) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (partial(schedules.cosine, total=0), "total: got 0; allowed: at least 1"),
        (partial(schedules.cosine, total=9, floor=-0.1), "floor: got -0.1; allowed: 0 to 1"),
        (partial(schedules.cosine, total=9, floor=1.1), "floor: got 1.1; allowed: 0 to 1"),
        (partial(schedules.warmup, steps=9, total=9, then=schedules.cosine), "got 9 of 9; allowed: 0 to 8"),
        (partial(schedules.warmup, steps=-1, total=9, then=schedules.cosine), "got -1 of 9; allowed: 0 to 8"),
    ],
)
def test_mistakes_are_named_at_the_first_call(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule(0)
