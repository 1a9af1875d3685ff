"""The clock law for every schedule, and the laws of combining them, over random parameters."""

import inspect
import itertools
import math
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrlab import schedules
from lrlab.schedules import constant, cosine, inverse_sqrt, linear, warmup
from lrlab.schedules.combine import RAMPS
from lrlab.schedules.stable import ALL_SHAPES, fall

SHARE = st.floats(0.0, 1.0)
ABOVE_ZERO = st.floats(0.01, 1.0)
POWER = st.floats(0.1, 5.0)


def length(total, least=1):
    return st.integers(least, max(least, total))


def shapes():
    """The settings of `shape` that go together."""
    plain = st.sampled_from(["linear", "one_minus_sqrt", "cosine", "mirror_cosine", "square"])
    return st.one_of(
        st.fixed_dictionaries({"shape": plain, "floor": SHARE}),
        st.fixed_dictionaries({"shape": st.just("power"), "floor": SHARE, "exponent": POWER}),
        st.fixed_dictionaries({"shape": st.just("exponential"), "floor": SHARE, "rate": st.floats(0.01, 0.99)}),
        st.fixed_dictionaries({"shape": st.sampled_from(["geometric", "inverse_linear"]), "floor": ABOVE_ZERO}),
    )


def rising(total, values):
    """Up to four different moments in order, each with one of `values`."""
    moments = st.lists(st.integers(1, max(1, total - 1)), unique=True, min_size=1, max_size=4).map(sorted)
    return moments.flatmap(lambda times: st.tuples(st.just(times), st.lists(values, min_size=9, max_size=9)))


def arguments(total):
    """For every schedule that is no combination: random arguments, and the lowest and highest factor they allow."""
    floor = SHARE.map(lambda floor: {"floor": floor})
    return {
        "constant": SHARE.map(lambda value: {"value": value}),
        "linear": floor,
        "polynomial": st.fixed_dictionaries({"floor": SHARE, "power": POWER}),
        "polynomial_cycles": st.fixed_dictionaries({"floor": SHARE, "power": POWER, "period": length(total)}),
        "exponential": st.fixed_dictionaries(
            {"rate": ABOVE_ZERO, "steps": st.none() | length(total), "staircase": st.booleans(), "floor": SHARE}
        ),
        "cosine": st.fixed_dictionaries({"floor": SHARE, "exponent": POWER, "k_decay": POWER}),
        "tanh": st.fixed_dictionaries({"floor": SHARE, "lower": st.floats(-9, 0), "upper": st.floats(0.1, 9)}),
        "sigmoid": st.fixed_dictionaries({"floor": SHARE, "center": length(total), "width": length(total)}),
        "rex": floor,
        "hyperbolic": st.fixed_dictionaries({"floor": SHARE, "upper_bound": length(3 * total, total)}),
        "exponential_hyperbolic": st.fixed_dictionaries({"floor": ABOVE_ZERO, "upper_bound": length(3 * total, total)}),
        "step": st.fixed_dictionaries({"step_size": length(2 * total), "gamma": ABOVE_ZERO}),
        "multistep": rising(total, ABOVE_ZERO).map(lambda drawn: {"milestones": drawn[0], "gamma": drawn[1][0]}),
        "piecewise_constant": rising(total, SHARE).map(
            lambda drawn: {"milestones": drawn[0], "values": drawn[1][: len(drawn[0]) + 1]}
        ),
        "piecewise_linear": rising(total, SHARE).map(
            lambda drawn: {"knots": list(zip(drawn[0], drawn[1], strict=False))}
        ),
        "inverse_time": st.fixed_dictionaries(
            {"steps": length(total), "rate": POWER, "power": POWER, "staircase": st.booleans()}
        ),
        "inverse_sqrt": length(total).map(lambda timescale: {"timescale": timescale}),
        "noam": st.fixed_dictionaries({"warmup": length(total), "d_model": st.none() | st.integers(1, 999)}),
        "power": st.fixed_dictionaries({"timescale": length(total), "exponent": POWER}),
        "triangular": st.fixed_dictionaries(
            {
                "up": length(total),
                "down": st.none() | length(total),
                "floor": SHARE,
                "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
                "gamma": ABOVE_ZERO,
            }
        ),
        "slanted_triangular": st.fixed_dictionaries({"up": length(total - 1), "ratio": st.floats(1, 99)}),
        "warm_restarts": st.fixed_dictionaries(
            {"period": length(total), "growth": st.floats(1, 3), "peak_decay": ABOVE_ZERO, "floor": SHARE}
        ),
        "one_cycle": st.fixed_dictionaries(
            {
                "up": length((total - 1) // 2),
                "div_factor": st.floats(1, 99),
                "final_div_factor": st.floats(1, 1e5),
                "anneal": st.sampled_from(["cosine", "linear"]),
                "three_phase": st.booleans(),
            }
        ),
        "fractal_chebyshev": st.fixed_dictionaries(
            {"period": st.sampled_from([1, 2, 8, 64]), "low": st.floats(1, 2), "high": st.floats(2, 99)}
        ),
        "wsd": st.tuples(st.integers(0, total // 2), length(total // 2), shapes()).map(
            lambda drawn: {"warmup": drawn[0], "decay": drawn[1], **drawn[2]}
        ),
        "wsd_s": st.tuples(st.integers(0, total // 4), length(total // 4), shapes()).map(
            lambda drawn: {"warmup": drawn[0], "decay": drawn[1], "ends": [total // 2], **drawn[2]}
        ),
    }


def bounds(name, settings):
    """The lowest and the highest factor that the arguments of a schedule allow."""
    floor = settings.get("floor", 0.0)
    if name == "constant":
        return settings["value"], settings["value"]
    if name == "hyperbolic":
        return floor, 1.0
    if name == "fractal_chebyshev":
        return 1 / settings["high"], 1 / settings["low"]
    if name == "slanted_triangular":
        return 1 / settings["ratio"], 1.0
    if name == "one_cycle":
        return 1 / settings["div_factor"] / settings["final_div_factor"], 1.0
    if name in ("wsd", "wsd_s"):
        return min(floor, 1 / (settings["warmup"] + 1)), 1.0
    if name in ("piecewise_constant", "piecewise_linear"):
        values = settings.get("values") or [value for _, value in settings["knots"]]
        return min(values), max(values)
    return floor, 1.0


LEAVES = sorted(arguments(20))
COMBINATIONS = {
    *("warmup", "untuned_warmup", "cooldown", "sequence", "product"),
    *("scale", "floor", "ceiling", "restart", "noise"),
}


@st.composite
def leaf(draw, total, name=None):
    """A random schedule that is no combination."""
    name = name or draw(st.sampled_from(LEAVES))
    return partial(getattr(schedules, name), **draw(arguments(total)[name]))


@st.composite
def tree(draw, total, depth=2):
    """A random combination of combinations; lengths are those that each part's own horizon allows."""
    if depth == 0 or total < 8:
        return draw(leaf(max(total, 4)))
    kind = draw(st.sampled_from(sorted(COMBINATIONS)))
    inner = partial(tree, depth=depth - 1)
    if kind == "warmup":
        steps = draw(st.integers(0, total - 4))
        return partial(warmup, steps=steps, shape=draw(st.sampled_from(sorted(RAMPS))), then=draw(inner(total - steps)))
    if kind == "untuned_warmup":
        return partial(schedules.untuned_warmup, beta2=draw(st.floats(0.5, 0.999)), then=draw(inner(total)))
    if kind == "cooldown":
        settings = {**draw(shapes()), "steps": draw(st.integers(0, total)), "freeze": draw(st.booleans())}
        return partial(schedules.cooldown, of=draw(inner(total)), **settings)
    if kind == "sequence":
        milestone = draw(st.integers(4, total - 4))
        parts = [draw(inner(milestone)), draw(inner(total - milestone))]
        return partial(schedules.sequence, schedules=parts, milestones=[milestone])
    if kind == "product":
        return partial(schedules.product, schedules=[draw(inner(total)), draw(inner(total))])
    if kind == "restart":
        period = draw(st.integers(4, total))
        return partial(schedules.restart, of=draw(inner(period)), period=period, peak_decay=draw(ABOVE_ZERO))
    own = {
        "scale": st.fixed_dictionaries({"factor": SHARE, "offset": st.just(0.0)}),
        "floor": st.fixed_dictionaries({"value": SHARE}),
        "ceiling": st.fixed_dictionaries({"value": SHARE}),
        "noise": st.fixed_dictionaries({"amount": SHARE, "seed": st.integers(0, 9)}),
    }[kind]
    made = partial(getattr(schedules, kind), of=draw(inner(total)), **draw(own))
    return partial(schedules.ceiling, of=made, value=1.0) if kind == "noise" else made


TOTAL = st.integers(9, 60)


def test_every_schedule_is_under_the_laws():
    assert {*LEAVES, *COMBINATIONS} == set(schedules.__all__)


@pytest.mark.parametrize("name", LEAVES)
@given(data=st.data())
def test_factors_are_finite_and_between_floor_and_ceiling_and_held_after_total(name, data):
    total = data.draw(TOTAL)
    chosen = data.draw(arguments(total)[name])
    schedule = partial(getattr(schedules, name), total=total, **chosen)
    low, high = bounds(name, chosen)
    factors = [schedule(t) for t in range(3 * total + 1)]
    assert all(math.isfinite(factor) and low - 1e-12 <= factor <= high + 1e-12 for factor in factors)
    assert all(schedule(t) == factors[total] for t in (*range(total, 3 * total), 10**9))


@given(data=st.data())
def test_combinations_of_combinations_obey_the_same_law(data):
    total = data.draw(TOTAL)
    schedule = data.draw(tree(total))
    factors = [schedule(t, total=total) for t in range(3 * total + 1)]
    assert all(math.isfinite(factor) and -1e-12 <= factor <= 1 + 1e-12 for factor in factors)
    assert all(factor == factors[total] for factor in factors[total:])


FALLING_TO_THE_FLOOR = [
    *("linear", "polynomial", "cosine", "tanh", "rex"),
    *("wsd", "wsd_s"),
]


@pytest.mark.parametrize("name", FALLING_TO_THE_FLOOR)
@given(data=st.data())
def test_the_floor_is_reached_at_total_and_a_decay_never_rises_on_the_way(name, data):
    total = data.draw(TOTAL)
    chosen = data.draw(arguments(total)[name])
    factors = [getattr(schedules, name)(t, total=total, **chosen) for t in range(total + 1)]
    assert factors[-1] == pytest.approx(chosen["floor"], abs=1e-12)
    if not name.startswith("wsd"):
        assert all(earlier >= later - 1e-12 for earlier, later in itertools.pairwise(factors))


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_a_decay_falls_from_one_to_its_floor(shape):
    settings = {"exponent": 3.0} if shape == "power" else {"rate": 0.5} if shape == "exponential" else {}
    levels = [fall(q / 50, shape=shape, floor=0.1, **settings) for q in range(51)]
    assert levels[0] == 1.0
    assert levels[-1] == pytest.approx(0.1)
    assert all(earlier > later for earlier, later in itertools.pairwise(levels))


@given(shape=st.sampled_from(sorted(RAMPS)), steps=st.integers(0, 3000), data=st.data())
def test_warmup_rises_strictly_from_above_zero_and_joins_without_a_jump(shape, steps, data):
    then = data.draw(
        st.sampled_from([constant, cosine, partial(linear, floor=0.5), partial(inverse_sqrt, timescale=5)])
    )
    factors = [warmup(t, steps=steps, total=steps + 10, then=then, shape=shape) for t in range(steps + 1)]
    assert factors[0] > 0
    assert all(earlier < later for earlier, later in itertools.pairwise(factors))
    assert factors[-1] == then(0, total=10)
    assert factors[-1] - factors[-2:][0] <= 2.1 / (steps + 1)


@given(shape=st.sampled_from(sorted(RAMPS)), steps=st.integers(2, 300), start=st.floats(0.0, 0.9))
def test_a_warmup_with_a_start_begins_there_and_joins_too(shape, steps, start):
    ramp = partial(warmup, steps=steps, total=steps + 10, then=constant, shape=shape, start=start)
    factors = [ramp(t) for t in range(steps + 1)]
    assert factors[0] == start
    assert all(earlier < later for earlier, later in itertools.pairwise(factors))
    assert factors[-1] == 1.0


def test_a_linear_warmup_is_exact():
    for steps in (0, 1, 5, 39):
        factors = [warmup(t, steps=steps, total=40, then=cosine) for t in range(steps + 1)]
        assert factors == [(t + 1) / (steps + 1) for t in range(steps + 1)]


def test_what_follows_a_warmup_has_its_own_clock_and_the_rest_of_the_horizon():
    after = [warmup(t, steps=10, total=40, then=cosine) for t in range(10, 80)]
    assert after == [cosine(t, total=30) for t in range(70)]


@given(data=st.data())
def test_a_cooldown_joins_exactly_and_ends_at_its_share_of_the_schedule(data):
    total = data.draw(TOTAL)
    of = data.draw(leaf(total))
    settings = data.draw(shapes())
    steps = data.draw(st.integers(1, total))
    for freeze in (True, False):
        cooled = partial(schedules.cooldown, total=total, of=of, steps=steps, freeze=freeze, **settings)
        joint = total - steps
        assert [cooled(t) for t in range(joint + 1)] == [of(t, total=total) for t in range(joint + 1)]
        expected = of(joint if freeze else total, total=total) * settings["floor"]
        assert cooled(total) == pytest.approx(expected, abs=1e-12)


@given(data=st.data())
def test_a_sequence_is_associative(data):
    total = data.draw(st.integers(30, 90))
    first, second = sorted(data.draw(st.lists(st.integers(4, total - 4), min_size=2, max_size=2, unique=True)))
    if second - first < 4:
        second = first + 4
    if total - second < 4:
        total = second + 4
    a, b, c = data.draw(leaf(first)), data.draw(leaf(second - first)), data.draw(leaf(total - second))
    sequence = schedules.sequence
    flat = partial(sequence, total=total, schedules=[a, b, c], milestones=[first, second])
    left = partial(sequence, schedules=[a, b], milestones=[first])
    right = partial(sequence, schedules=[b, c], milestones=[second - first])
    for t in range(total + 5):
        assert sequence(t, total=total, schedules=[left, c], milestones=[second]) == flat(t)
        assert sequence(t, total=total, schedules=[a, right], milestones=[first]) == flat(t)


@given(data=st.data())
def test_each_part_of_a_sequence_is_as_it_is_alone(data):
    total = data.draw(st.integers(20, 60))
    milestone = data.draw(st.integers(8, total - 8))
    a, b = data.draw(tree(milestone, 1)), data.draw(tree(total - milestone, 1))
    run = [schedules.sequence(t, total=total, schedules=[a, b], milestones=[milestone]) for t in range(total + 3)]
    alone = [a(t, total=milestone) for t in range(milestone)]
    assert run == alone + [b(t, total=total - milestone) for t in range(total - milestone + 3)]


@given(data=st.data())
def test_a_product_is_a_product(data):
    total = data.draw(TOTAL)
    parts = [data.draw(tree(total, 1)) for _ in range(data.draw(st.integers(1, 3)))]
    for t in range(2 * total):
        expected = math.prod(part(t, total=total) for part in parts)
        assert schedules.product(t, total=total, schedules=parts) == expected
        assert schedules.product(t, total=total, schedules=dict(enumerate(parts))) == expected


@given(data=st.data())
def test_floor_ceiling_and_scale_do_what_they_say(data):
    total = data.draw(TOTAL)
    of, level = data.draw(leaf(total)), data.draw(SHARE)
    for t in range(total + 1):
        factor = of(t, total=total)
        assert schedules.floor(t, total=total, of=of, value=level) == max(level, factor)
        assert schedules.ceiling(t, total=total, of=of, value=level) == min(level, factor)
        assert schedules.scale(t, total=total, of=of, factor=level, offset=0.25) == 0.25 + level * factor


@given(period=st.integers(2, 30), growth=st.sampled_from([1.0, 1.5, 2.0, 3.0]), decay=ABOVE_ZERO)
def test_a_restart_repeats_its_schedule_and_a_cosine_restarted_is_warm_restarts(period, growth, decay):
    total = 200
    settings = {"period": period, "growth": growth, "peak_decay": decay}
    cosines = partial(schedules.restart, total=total, of=cosine, **settings)
    for t in range(total + 3):
        assert cosines(t) == pytest.approx(schedules.warm_restarts(t, total=total, **settings), abs=1e-12)
    start, length, cycle = 0.0, float(period), 0
    while start < total:
        if start == int(start):
            assert cosines(int(start)) == pytest.approx(decay**cycle)
        start, length, cycle = start + length, length * growth, cycle + 1


@given(
    total=st.integers(2, 3000),
    cycles=st.integers(1, 60),
    growth=st.sampled_from([1.0, 1.1, 1.5, 2.0, 2.7]),
    data=st.data(),
)
def test_every_cycle_starts_where_exact_arithmetic_says(total, cycles, growth, data):
    """Against fractions: no rounding puts an update on the wrong side of a restart, nor the end of the run."""
    by_count = growth == 1.0 and cycles <= total
    period = Fraction(total, cycles) if by_count else Fraction(data.draw(st.integers(1, total)))
    settings = {"cycles": cycles} if by_count else {"period": int(period), "growth": growth}
    exact, starts, length = Fraction(str(growth)), [Fraction(0)], period
    while starts[-1] + length < total:
        starts, length = [*starts, starts[-1] + length], length * exact
    for t in {
        *range(min(total, 40)),
        total,
        *(math.ceil(start) for start in starts),
        *(int(start) for start in starts),
    }:
        start = max(start for start in starts if start <= t)
        since = float((t - start) / (period * exact ** starts.index(start)))
        expected = 0.0 if since == 1 else (1 + math.cos(math.pi * since)) / 2
        assert schedules.warm_restarts(t, total=total, **settings) == pytest.approx(expected, abs=1e-6)
        assert schedules.restart(t, total=total, of=linear, **settings) == pytest.approx(1 - since, abs=1e-6)


def test_a_cycle_that_ends_with_the_run_is_held_at_its_end():
    assert [schedules.warm_restarts(t, total=20, period=10) for t in (10, 20, 99)] == [1.0, 0.0, 0.0]
    assert schedules.warm_restarts(20, total=21, period=10) == 1.0
    assert schedules.warm_restarts(21, total=21, period=10) == pytest.approx(cosine(1, total=10))
    assert schedules.restart(9, total=9, of=linear, cycles=3) == 0.0


@given(seed=st.integers(-5, 10**9), amount=ABOVE_ZERO)
def test_noise_is_a_function_of_seed_and_time_with_the_spread_that_it_says(seed, amount):
    noisy = [schedules.noise(t, total=2000, of=constant, amount=amount, seed=seed) for t in range(2000)]
    backwards = [schedules.noise(t, total=2000, of=constant, amount=amount, seed=seed) for t in reversed(range(2000))]
    assert noisy == backwards[::-1]
    assert noisy != [schedules.noise(t, total=2000, of=constant, amount=amount, seed=seed + 1) for t in range(2000)]
    spread = [(factor - 1) / amount for factor in noisy]
    assert all(-1 <= share <= 1 for share in spread)
    assert sum(spread) / 2000 == pytest.approx(0, abs=0.07)
    assert sum(share**2 for share in spread) / 2000 == pytest.approx(1 / 3, abs=0.04)


def test_a_fractal_permutation_visits_every_node_once():
    steps = sorted(schedules.fractal_chebyshev(t, total=64, period=64, low=1, high=9) for t in range(64))
    nodes = sorted(1 / (5 - 4 * math.cos((node + 0.5) * math.pi / 64)) for node in range(64))
    assert steps == pytest.approx(nodes)


@pytest.mark.parametrize("name", ["one_cycle", "slanted_triangular", "triangular", "piecewise_linear"])
@given(data=st.data())
def test_phases_join_without_a_jump(name, data):
    total = 4000
    chosen = {
        "one_cycle": {"up": data.draw(st.integers(500, 1500)), "three_phase": data.draw(st.booleans())},
        "slanted_triangular": {"up": data.draw(st.integers(500, 3500))},
        "triangular": {"up": data.draw(st.integers(500, 900)), "down": data.draw(st.integers(500, 900))},
        "piecewise_linear": {"knots": [(500, data.draw(SHARE)), (1500, data.draw(SHARE)), (3000, data.draw(SHARE))]},
    }[name]
    factors = [getattr(schedules, name)(t, total=total, **chosen) for t in range(total + 2)]
    assert max(abs(a - b) for a, b in itertools.pairwise(factors)) < 1.7 / 450


def stepped(make, counts, lr=1.0):
    """The LR that a scheduler of torch gives at each of `counts` + 1 counts."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    lrs = []
    for _ in range(counts + 1):
        lrs.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return lrs


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (partial(cosine, floor=0.1), partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=40, eta_min=0.1)),
        (
            partial(schedules.polynomial, power=0.9),
            partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=40, power=0.9),
        ),
        (partial(schedules.step, step_size=7), partial(torch.optim.lr_scheduler.StepLR, step_size=7)),
        (
            partial(schedules.warm_restarts, period=6, growth=2, floor=0.01),
            partial(torch.optim.lr_scheduler.CosineAnnealingWarmRestarts, T_0=6, T_mult=2, eta_min=0.01),
        ),
        (
            partial(schedules.triangular, up=7, down=4, floor=0.1, mode="triangular2"),
            partial(
                torch.optim.lr_scheduler.CyclicLR,
                base_lr=0.1,
                max_lr=1.0,
                step_size_up=7,
                step_size_down=4,
                mode="triangular2",
                cycle_momentum=False,
            ),
        ),
    ],
    ids=["cosine", "polynomial", "step", "warm_restarts", "triangular2"],
)
def test_ours_is_torchs_within_the_run(ours, torchs):
    assert [ours(t, total=40) for t in range(40)] == pytest.approx(stepped(torchs, 39), rel=1e-9, abs=1e-12)


BOTH = {"total": 20, "of": constant}
MISTAKES = [
    (partial(cosine, total=0), "total: got 0; allowed: at least 1"),
    (partial(cosine, total=9, floor=-0.1), "floor: got -0.1; allowed: 0 to 1"),
    (partial(cosine, total=9, floor=1.1), "floor: got 1.1; allowed: 0 to 1"),
    (partial(cosine, total=9, exponent=0.0), "exponent: got 0.0; allowed: a number above 0"),
    (partial(constant, total=9, value=-1.0), "value: got -1.0; allowed: a number from 0"),
    (partial(schedules.exponential, total=9, rate=1.5), "rate: got 1.5; allowed: above 0, at most 1"),
    (partial(schedules.tanh, total=9, lower=3.0, upper=3.0), "upper: got 3.0 with lower=3.0"),
    (partial(schedules.sigmoid, total=9, center=4, width=0), "width: got 0; allowed: a number above 0"),
    (partial(schedules.hyperbolic, total=9, upper_bound=8), "upper_bound: got 8; allowed: at least total, 9"),
    (partial(schedules.exponential_hyperbolic, total=9, upper_bound=9, floor=0.0), "floor: got 0.0; allowed: above 0"),
    (partial(schedules.polynomial_cycles, total=9, period=10), "period: got 10 of 9; allowed: 1 to 9"),
    (partial(schedules.step, total=9, step_size=0), "step_size: got 0; allowed: a number above 0"),
    (partial(schedules.multistep, total=9, milestones=[4, 4]), r"milestones: got \[4, 4\]; allowed: times that rise"),
    (partial(schedules.piecewise_constant, total=9, milestones=[4], values=[1.0]), "values: got 1 with 1 milestones"),
    (partial(schedules.piecewise_linear, total=9, knots=[]), r"knots: got \[\]; allowed: pairs"),
    (partial(schedules.noam, total=9, warmup=0), "warmup: got 0; allowed: a number above 0"),
    (partial(schedules.triangular, total=9, up=2, mode="sine"), "mode: got sine; allowed: triangular, triangular2"),
    (partial(schedules.slanted_triangular, total=9, up=9), "up: got 9 of 8; allowed: 1 to 8"),
    (partial(schedules.one_cycle, total=9, up=5, three_phase=True), "up: got 5 of 4; allowed: 1 to 4"),
    (partial(schedules.one_cycle, total=9, up=3, div_factor=0.5), "div_factor: got 0.5; allowed: a number from 1"),
    (partial(schedules.warm_restarts, total=9), "period: got None and cycles None; allowed: one of them"),
    (partial(schedules.warm_restarts, total=9, period=3, growth=0.5), "growth: got 0.5; allowed: a number from 1"),
    (partial(schedules.warm_restarts, total=9, period=3, peak_decay=2.0), "peak_decay: got 2.0; allowed: above 0"),
    (partial(schedules.fractal_chebyshev, total=9, period=6), "period: got 6; allowed: a power of 2"),
    (
        partial(schedules.wsd, total=9, warmup=5, decay=5),
        "decay: got 5, in a stretch of 4 ",
    ),
    (partial(schedules.wsd, total=9, warmup=1, decay=5, shape="sine"), "shape: got sine; allowed: linear, one_minus"),
    (partial(schedules.wsd, total=9, warmup=0, decay=5, shape="power"), "exponent: got None; allowed: above 0"),
    (partial(schedules.wsd, total=9, warmup=0, decay=5, rate=0.5), "rate: got 0.5; allowed: null, unless the shape is"),
    (partial(schedules.wsd, total=9, warmup=0, decay=5, shape="geometric"), "floor: got 0.0 with shape geometric"),
    (partial(warmup, steps=9, total=9, then=cosine), "got 9 of 9; allowed: 0 to 8"),
    (partial(warmup, steps=-1, total=9, then=cosine), "got -1 of 9; allowed: 0 to 8"),
    (partial(warmup, steps=2, total=9, then=cosine, shape="constant"), "start: got None; allowed: 0 to 1"),
    (partial(warmup, steps=2, total=9, then=cosine, shape="sine"), "shape: got sine; allowed: linear, cosine"),
    (partial(schedules.untuned_warmup, total=9, beta2=1.0, then=cosine), "beta2: got 1.0; allowed: 0 to 1"),
    (partial(schedules.cooldown, steps=21, **BOTH), "cooldown steps: got 21 of 20; allowed: 0 to 20"),
    (partial(schedules.sequence, total=9, schedules=[cosine], milestones=[3]), "milestones: got 1 for 1 schedules"),
    (
        partial(schedules.sequence, total=9, schedules=[cosine] * 2, milestones=[9]),
        r"milestones: got \[9\]; allowed: ris",
    ),
    (partial(schedules.product, total=9, schedules=[]), r"schedules: got \[\]; allowed: schedules, at least one"),
    (partial(schedules.scale, factor=-1.0, **BOTH), "factor: got -1.0; allowed: a number from 0"),
    (partial(schedules.floor, value=-1.0, **BOTH), "value: got -1.0; allowed: a number from 0"),
    (partial(schedules.noise, amount=1.5, **BOTH), "amount: got 1.5; allowed: 0 to 1"),
]


@pytest.mark.parametrize(("schedule", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_are_named_at_the_first_call(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule(0)


def test_no_file_of_the_package_hides_a_function_of_its_name():
    assert not {path.stem for path in Path(schedules.__file__).parent.glob("*.py")} & {*schedules.__all__}


@pytest.mark.parametrize("name", schedules.__all__)
def test_every_public_function_says_its_formula_and_landmarks(name):
    function = getattr(schedules, name)
    assert ">>>" in function.__doc__, "a doctest with landmark values"
    assert {"t", "total"} <= set(inspect.signature(function).parameters)
