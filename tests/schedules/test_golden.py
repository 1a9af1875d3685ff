"""Reference values of other libraries and papers, reproduced to 1e-12: base LR 0.1, T = 100, LR of update i.

`golden_schedules.json` says for each entry where it comes from, and whether that code was run or its formula read.
"""

import json
import math
from functools import partial
from pathlib import Path

import pytest

from lrlab.schedules import (
    constant,
    cooldown,
    cosine,
    exponential,
    exponential_hyperbolic,
    hyperbolic,
    inverse_sqrt,
    inverse_time,
    linear,
    multistep,
    noam,
    one_cycle,
    piecewise_constant,
    piecewise_linear,
    polynomial,
    polynomial_cycles,
    power,
    product,
    scale,
    sigmoid,
    step,
    tanh,
    triangular,
    untuned_warmup,
    warm_restarts,
    warmup,
    wsd,
)

GOLDEN = {
    entry["name"]: entry
    for entry in json.loads((Path(__file__).parents[1] / "golden_schedules.json").read_text())["schedules"]
}
END = 1000  # the total of schedules that need no horizon: the reference goes on to update 200


def from_zero(then, start=0.0, steps=10):
    """The warm-up of most libraries: `start` at update 0, the peak at update `steps`."""
    return partial(warmup, total=100, steps=steps, start=start, then=then)


def falling(steps, shape, of=constant, **settings):
    return partial(cooldown, steps=steps, of=of, shape=shape, **settings)


OURS = {
    "constant": partial(constant, total=100),
    "constant_factor_prefix": partial(piecewise_constant, total=100, milestones=[10], values=[1 / 3, 1.0]),
    "linear_warmup": from_zero(constant, start=0.01),
    "linear_decay_to_zero": partial(linear, total=100),
    "linear_decay_to_tenth": partial(linear, total=100, floor=0.1),
    "step": partial(step, total=END, step_size=30, gamma=0.1),
    "multistep": partial(multistep, total=100, milestones=[30, 60, 90], gamma=0.1),
    "exponential": partial(exponential, total=END, rate=0.95, steps=1),
    "polynomial_p1": partial(polynomial, total=100, power=1.0),
    "polynomial_p2": partial(polynomial, total=100, power=2.0),
    "polynomial_p0.9": partial(polynomial, total=100, power=0.9),
    "cosine": partial(cosine, total=100),
    "cosine_eta_min": partial(cosine, total=100, floor=0.01),
    "cyclic_triangular": partial(triangular, total=END, up=10, floor=0.1),
    "cyclic_triangular2": partial(triangular, total=END, up=10, floor=0.1, mode="triangular2"),
    "cyclic_exp_range": partial(triangular, total=END, up=10, floor=0.1, mode="exp_range", gamma=0.99),
    "one_cycle_cos": partial(one_cycle, total=99, up=29),  # torch peaks and ends an update earlier
    "inverse_time_lambda": partial(inverse_time, total=END, steps=10),
    "multiplicative": partial(exponential, total=END, rate=0.97, steps=1),
    "warmup_cosine_sequential": from_zero(cosine, start=0.01),
    "chained_constant_exponential": partial(
        product,
        total=END,
        schedules=[
            partial(piecewise_constant, milestones=[20], values=[0.1, 1.0]),
            partial(exponential, rate=0.95, steps=1),
        ],
    ),
    "timm_cosine_warmup_prefix": from_zero(partial(cosine, floor=1e-4), start=0.001),
    "timm_cosine_cycles": partial(warm_restarts, total=105, period=15, growth=2.0, peak_decay=0.5, floor=0.001),
    "timm_cosine_k_decay": partial(cosine, total=100, k_decay=2.0),
    "timm_tanh": partial(tanh, total=100),
    "timm_poly_p0.5": partial(polynomial, total=100, power=0.5, floor=0.001),
    "timm_multistep": partial(multistep, total=100, milestones=[24, 49, 74], gamma=0.1),  # timm's fire one earlier
    "timm_wsd_1-sqrt": from_zero(falling(20, "one_minus_sqrt"), start=0.001),
    "timm_wsd_linear": from_zero(falling(20, "linear", floor=0.01), start=0.001),
    "timm_wsd_cosine": from_zero(falling(20, "cosine")),
    "timm_rsqrt_cooldown": from_zero(falling(20, "linear", partial(inverse_sqrt, timescale=10), freeze=False)),
    "timm_power_cooldown": from_zero(
        falling(20, "one_minus_sqrt", partial(inverse_time, steps=10, power=0.51), freeze=False)
    ),
    "hf_cosine_with_min_lr": from_zero(partial(cosine, floor=0.1)),
    "hf_cosine_hard_restarts": from_zero(partial(warm_restarts, cycles=3)),
    "hf_polynomial_warmup": from_zero(partial(polynomial, power=2.0, floor=0.001)),
    "hf_inverse_sqrt": partial(warmup, total=END, steps=10, start=0.0, then=partial(inverse_sqrt, timescale=10)),
    "hf_wsd_1-sqrt_min0.1": from_zero(falling(20, "one_minus_sqrt", floor=0.1), start=0.1),
    "optax_exponential_staircase": partial(exponential, total=END, rate=0.5, steps=20, staircase=True),
    "optax_cosine_exponent2": partial(cosine, total=100, floor=0.01, exponent=2.0),
    "optax_warmup_cosine": from_zero(partial(cosine, floor=0.01)),
    "optax_cosine_onecycle": partial(one_cycle, total=100, up=30),
    "optax_piecewise_interpolate_linear": partial(piecewise_linear, total=100, knots=[(0, 1.0), (25, 0.5), (75, 0.05)]),
    "optax_piecewise_constant": partial(piecewise_constant, total=100, milestones=[25, 75], values=[1.0, 0.5, 0.05]),
    "keras_inverse_time_staircase": partial(inverse_time, total=END, steps=10, rate=0.5, staircase=True),
    "keras_polynomial_cycle": partial(polynomial_cycles, total=END, period=40, floor=0.01),
    "keras_cosine_restarts": partial(
        scale, total=END, factor=0.99, offset=0.01, of=partial(warm_restarts, period=20, growth=2.0, peak_decay=0.8)
    ),
    "paddle_noam": lambda t: noam(t - 1, total=END, warmup=10, d_model=64) if t else 0.0,  # Paddle is an update late
    "paddle_natural_exp": partial(exponential, total=END, rate=math.exp(-0.05), steps=1),
    "mmengine_linear_begin_end": from_zero(constant, start=0.1),
    "torchtitan_wsd_linear": partial(wsd, total=100, warmup=9, decay=20, shape="linear", floor=0.1),
    "fairseq_tri_stage": from_zero(falling(50, "geometric", floor=0.01), start=0.01),
    "olmo_power_lr": falling(
        10,
        "linear",
        partial(product, schedules=[from_zero(constant), partial(power, timescale=10, exponent=0.51)]),
        total=100,
    ),
    "olmo_cos_then_linear_tail": falling(10, "linear", from_zero(partial(cosine, floor=0.1)), total=100),
    "megatron_wsd_exponential": from_zero(falling(20, "exponential", rate=0.5, floor=0.1)),
    "lingua_wsd_inverse": from_zero(falling(20, "inverse_linear", floor=0.1)),
    "wsd_mirror_cosine": from_zero(falling(20, "mirror_cosine"), start=0.01),
    "wsd_square": from_zero(falling(20, "square"), start=0.01),
    "exponential_warmup": partial(untuned_warmup, total=END, beta2=0.9, then=constant),
    "deepseek_multistep": from_zero(partial(piecewise_constant, milestones=[70, 80], values=[1.0, 0.316, 0.1])),
    "caffe_sigmoid": partial(sigmoid, total=END, center=50, width=10),
    "caffe_inv": partial(inverse_time, total=END, steps=1, rate=0.1, power=0.75),
    "ignite_piecewise_linear": partial(piecewise_linear, total=100, knots=[(10, 1.0), (50, 0.2), (90, 0.01)]),
    "fastai_flat_cos": falling(25, "cosine", floor=1e-5, total=100),
    "fastai_one_cycle": partial(one_cycle, total=100, up=25, final_div_factor=4000.0),  # div_final = div x final_div
    "hyperbolic": partial(hyperbolic, total=100, upper_bound=250, floor=0.001),
    "exp_hyperbolic": partial(exponential_hyperbolic, total=100, upper_bound=250, floor=0.001),
}
NOT_SHARED = {
    "timm_cosine_warmup": "the warm-up lies over the cosine, so that the LR drops where it ends (timm#1242)",
    "chained_warmup_cosine_floor": "torch's recursive cosine makes the chain another curve than the product",
}
RISES_AFTER_THE_END = {
    "cosine": 100,
    "cosine_eta_min": 100,
    "warmup_cosine_sequential": 100,
    "hf_cosine_with_min_lr": 100,
    "one_cycle_cos": 99,
}


def test_every_entry_is_reproduced_or_says_why_not():
    assert {*OURS, *NOT_SHARED} == set(GOLDEN)
    assert not {*OURS} & {*NOT_SHARED}


@pytest.mark.parametrize("name", OURS)
def test_reference_values_are_reproduced(name):
    entry = GOLDEN[name]
    last = RISES_AFTER_THE_END.get(name, END)
    values = {int(t): lr for t, lr in {**entry["values"], **entry.get("extra_values", {})}.items() if int(t) <= last}
    assert len(values) >= 8 - (last < 100)
    base = entry["params"]["base_lr"]
    for t, lr in values.items():
        assert base * OURS[name](t) == pytest.approx(lr, rel=1e-12, abs=1e-17), f"update {t}"


@pytest.mark.parametrize("name", RISES_AFTER_THE_END)
def test_where_others_rise_after_the_end_ours_is_held(name):
    late = {int(t): lr for t, lr in {**GOLDEN[name]["values"], **GOLDEN[name]["extra_values"]}.items() if int(t) > 100}
    end = OURS[name](100)
    assert all(OURS[name](t) == end for t in late)
    theirs = [lr for lr in late.values() if isinstance(lr, float)]  # torch's OneCycleLR raises instead
    assert len(theirs) == (0 if name == "one_cycle_cos" else 4)
    assert not theirs or any(lr != pytest.approx(0.1 * end) for lr in theirs)


@pytest.mark.parametrize("name", NOT_SHARED)
def test_what_is_not_shared_is_another_curve_than_the_one_that_its_name_promises(name):
    promised = {
        "timm_cosine_warmup": from_zero(partial(cosine, floor=1e-4), start=0.001),
        "chained_warmup_cosine_floor": partial(
            product, total=100, schedules=[from_zero(constant, start=0.1), partial(cosine, floor=0.1)]
        ),
    }[name]
    assert any(0.1 * promised(int(t)) != pytest.approx(lr, rel=1e-6) for t, lr in GOLDEN[name]["values"].items())


def test_milestones_of_other_libraries_are_ours_moved_by_one():
    ours = [multistep(t, total=9, milestones=[4]) for t in range(9)]
    timm = [multistep(t, total=9, milestones=[4 - 1]) for t in range(9)]
    keras = [multistep(t, total=9, milestones=[4 + 1]) for t in range(9)]
    assert [factors.index(0.1) for factors in (timm, ours, keras)] == [3, 4, 5]
    assert ours == timm[:1] + timm[:8]
    assert keras == ours[:1] + ours[:8]


def test_warmup_counted_outside_is_a_longer_run():
    outside = [warmup(t, steps=5, total=25, then=cosine) for t in range(5, 25)]  # Keras: 5, and 20 of cosine
    assert outside == [cosine(t, total=20) for t in range(20)]
    inside = [warmup(t, steps=5, total=20, then=cosine) for t in range(5, 20)]
    assert inside == [cosine(t, total=15) for t in range(15)]


def test_the_final_factor_of_one_cycle_is_divided_twice_as_in_torch_and_once_in_fastai():
    torch_and_optax = one_cycle(100, total=100, up=25, div_factor=25.0, final_div_factor=1e5)
    fastai = one_cycle(100, total=100, up=25, div_factor=25.0, final_div_factor=1e5 / 25)
    assert (1 / torch_and_optax, 1 / fastai) == pytest.approx((25e5, 1e5))


def test_untuned_warmup_is_not_truncated():
    ours = [untuned_warmup(t, total=999, beta2=0.99, then=constant, shape="linear") for t in (198, 199)]
    assert ours == pytest.approx([0.995, 1.0])  # pytorch_warmup's period is int(2 / (1 - 0.99)) = 199
    assert int(2 / (1 - 0.99)) == 199
