"""The last-iterate bound: its form with positive terms is the published one, and what follows from it holds."""

import numpy as np
import pytest

from lrlab.forecast import bound

T = 300


def _linear(updates=T):
    return 1 - np.arange(updates) / updates


SCHEDULES = {
    "linear": _linear(),
    "cosine": 0.5 * (1 + np.cos(np.pi * np.arange(T) / T)),
    "constant": np.ones(T),
    "wsd": np.minimum(1, _linear() / 0.2),
    "cycles": 0.2 + np.abs(np.sin(np.arange(T) / 15)),
}


def _published(lrs, norms, distance):
    """Theorem 10 of Defazio et al. 2023 with its double sum, in which an update counts from 1."""
    last, total = len(lrs), lrs.sum()
    squared = lrs**2 * norms**2
    found = (distance**2 + squared.sum()) / (2 * total)
    for k in range(1, last):
        after, from_here = lrs[k:].sum(), lrs[k - 1 :].sum()
        found += 0.5 * lrs[k - 1] / after / from_here * squared[k - 1 :].sum()
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_form_with_positive_terms_is_the_published_bound(seed):
    random = np.random.default_rng(seed)
    lrs, norms, distance = random.uniform(0.01, 1, 40), random.uniform(0.3, 3, 40), random.uniform(0.1, 10)
    assert bound.terms(lrs, norms).bound(distance=distance) == pytest.approx(
        _published(lrs, norms, distance), rel=1e-12
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_best_base_lr_is_where_the_bound_is_least_and_others_pay_the_same_penalty(name):
    terms = bound.terms(SCHEDULES[name])
    best = terms.best_base_lr(distance=3.0)
    assert terms.bound(distance=3.0, base_lr=best) == pytest.approx(terms.least(distance=3.0), rel=1e-12)
    for multiple in (0.25, 0.9, 1.5, 4.0):
        there = terms.bound(distance=3.0, base_lr=multiple * best) / terms.least(distance=3.0)
        assert there == pytest.approx(float(bound.lr_penalty(multiple)), rel=1e-12)
        assert there > 1


def test_the_ratio_of_best_base_lrs_knows_neither_distance_nor_scale():
    ratio = bound.base_lr_ratio(SCHEDULES["wsd"], of=SCHEDULES["linear"])
    assert ratio == pytest.approx(bound.base_lr_ratio(SCHEDULES["wsd"], of=3 * SCHEDULES["linear"]) / 3, rel=1e-12)
    assert ratio < 1  # it stays high for long
    assert bound.base_lr_ratio(SCHEDULES["linear"], of=SCHEDULES["linear"]) == 1


def test_schedules_are_ordered_as_theory_orders_them():
    worth = {name: bound.terms(lrs).least() for name, lrs in SCHEDULES.items()}
    assert worth["linear"] < worth["cosine"] < worth["wsd"] < worth["constant"]
    assert worth["linear"] * np.sqrt(T) == pytest.approx(2, rel=0.02)  # 2 D G / sqrt(T) of all its terms


@pytest.mark.parametrize(
    "norms", [np.ones(50), np.linspace(3, 0.5, 50), np.linspace(0.5, 3, 50)], ids=["1", "down", "up"]
)
def test_no_schedule_is_better_than_the_optimum_in_closed_form(norms):
    lrs, least = bound.optimal(norms, distance=2.0)
    assert bound.terms(lrs, norms).bound(distance=2.0) == pytest.approx(least, rel=1e-12)
    assert bound.terms(lrs, norms).best_base_lr(distance=2.0) == pytest.approx(1, rel=1e-9)
    random = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        other = lrs * np.exp(size * random.normal(size=50))
        assert bound.terms(other, norms).bound(distance=2.0) > least


def test_the_final_weights_have_a_bound_also_where_the_last_lrs_are_zero():
    lrs = np.append(_linear(50), [0.0, 0.0])
    assert bound.of_final_weights(lrs) == bound.of_final_weights(lrs[:-2])
    assert bound.of_final_weights(lrs, np.ones(52)) == bound.of_final_weights(lrs)
    extended = min(bound.terms(np.append(_linear(50), v)).bound() for v in np.geomspace(1e-3, 30, 3000))
    assert bound.of_final_weights(lrs) == pytest.approx(extended, rel=1e-4)
    assert bound.of_final_weights(lrs) <= extended
    with pytest.raises(ValueError, match="whose last LR is positive"):
        bound.terms(lrs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bound.terms([]),
        lambda: bound.terms([0.1, -0.1]),
        lambda: bound.terms([0.1, float("nan")]),
        lambda: bound.of_final_weights([0.0, 0.0]),
        lambda: bound.optimal([1.0, 0.0]),
        lambda: bound.optimal([]),
        lambda: bound.terms([0.1, 0.1], [1.0, 1.0, 1.0]),
    ],
)
def test_what_is_no_schedule_is_refused(call):
    with pytest.raises(ValueError, match=r"LR|positive|norms"):
        call()
