"""Fits: a law that is true is found, noise widens what is said, and what cannot be fitted is refused."""

import numpy as np
import pytest

from lrlab.forecast import fit, laws
from lrlab.forecast.fit import LossCurve, TooLittle, early_rise

T = 500
COSINE = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(T) / T))
LINEAR = 0.1 * (1 - np.arange(T) / T)
CONSTANT = np.full(T, 0.1)
UPDATES = np.arange(10, T + 1, 10)
TRUE = {"L0": 0.3, "A": 0.5, "alpha": 0.6, "B": 0.05}


def _curve(lrs, noise=0.0, seed=0, law=laws.BOUND):
    """A curve that the bound law describes; sums are in units of cosine's."""
    eta = lrs / 0.1
    sums, noisy = law.features(eta, UPDATES)
    values, _ = law.losses(np.log(list(TRUE.values())), (sums / (COSINE.sum() / 0.1), noisy))
    random = np.random.default_rng(seed)
    return LossCurve.of(lrs, UPDATES, values * np.exp(noise * random.normal(size=len(values))))


def test_a_true_law_is_found_again_and_predicts_other_schedules():
    cosine = _curve(COSINE)
    found = fit.fit([cosine])
    assert found.parameters == pytest.approx(TRUE, rel=0.12)
    for lrs in (LINEAR, CONSTANT):
        assert found.final(lrs) == pytest.approx(_curve(lrs).losses[-1], rel=1e-2)
    assert fit.leave_out_error([cosine]) < 5e-3
    assert fit.leave_out_error([cosine, _curve(CONSTANT)]) < 5e-2


def test_the_unit_of_the_lr_changes_no_prediction():
    scaled = fit.fit([LossCurve.of(1000 * COSINE, UPDATES, _curve(COSINE).losses)])
    assert scaled.final(1000 * LINEAR) == pytest.approx(fit.fit([_curve(COSINE)]).final(LINEAR), rel=1e-9)


def test_a_few_wild_points_change_little():
    clean, wild = _curve(COSINE, 0.003), _curve(COSINE, 0.003)
    wild.losses[[20, 33, 41]] *= 3
    assert fit.fit([wild]).final(LINEAR) == pytest.approx(fit.fit([clean]).final(LINEAR), rel=0.03)


@pytest.mark.slow
def test_deviations_cover_what_fits_to_other_noise_find():
    truth = _curve(LINEAR).losses[-1]
    fits = [fit.fit([_curve(COSINE, 0.02, seed)]) for seed in range(40)]
    off = np.array([np.log(one.final(LINEAR) / truth) / one.final_deviation(LINEAR) for one in fits])
    assert np.mean(np.abs(off) < 2) > 0.75
    assert fit.fit([_curve(COSINE, 0.05)]).final_deviation(LINEAR) > fits[0].final_deviation(LINEAR)


@pytest.mark.parametrize("several", laws.LAWS.values(), ids=laws.LAWS)
def test_every_law_can_be_fitted_to_a_curve_that_falls(several):
    found = fit.best_fit([_curve(COSINE, 0.01)], several)
    predicted = found.losses(COSINE, UPDATES[10:])
    assert np.mean(np.abs(np.log(predicted / _curve(COSINE).losses[10:]))) < 0.03


@pytest.mark.parametrize(
    ("lrs", "updates", "losses", "reason"),
    [
        (COSINE, [10, 20], [1.0, float("nan")], "not finite"),
        (COSINE, [10, 20], [1.0, -1.0], "the loss is -1, and laws are of positive ones"),
        (COSINE, [20, 10], [1.0, 1.0], "ascending"),
        (COSINE, [10, T + 1], [1.0, 1.0], "up to 500"),
        (0 * COSINE, [10, 20], [1.0, 1.0], "some are positive"),
        (-COSINE, [10, 20], [1.0, 1.0], "from 0"),
    ],
)
def test_what_no_law_describes_is_refused(lrs, updates, losses, reason):
    with pytest.raises(TooLittle, match=reason):
        LossCurve.of(lrs, updates, losses)


def test_few_points_are_refused():
    few = LossCurve.of(COSINE, UPDATES[-7:], _curve(COSINE).losses[-7:])
    with pytest.raises(TooLittle, match="7 points"):
        fit.fit([few])


def test_bins_keep_the_mean_and_leave_the_beginning_out():
    dense = LossCurve.of(CONSTANT, np.arange(1, T + 1), np.linspace(2, 1, T))
    binned = dense.binned()
    assert len(binned.updates) == fit.BINS
    assert binned.updates[0] > fit.SKIPPED * T
    np.testing.assert_allclose(binned.losses, np.interp(binned.updates, dense.updates, dense.losses), atol=1e-2)


def test_a_rise_at_the_beginning_is_seen_and_one_later_or_a_single_spike_are_not():
    at = np.arange(1, 201)
    lrs = np.ones(200)
    falling = 2.0 * np.exp(-at / 80)

    def rise(places, height):
        losses = falling.copy()
        losses[places] = height
        return early_rise(LossCurve.of(lrs, at, losses))

    assert rise([], 0.0) == 1.0
    assert rise([4, 5, 6, 7], 9.0) == pytest.approx(9.0 / falling[0])
    assert rise([150, 151, 152], 9.0) == 1.0
    assert rise([5], 4.0) < 1.5
    assert early_rise(LossCurve.of(lrs, [1, 100, 200], [1.0, 9.0, 1.0])) == 1.0
