"""Laws of loss curves: their derivatives are right, and what they say of the LRs is what their formulas say."""

import numpy as np
import pytest

from lrlab.forecast import laws

T = 400
UPDATES = np.arange(20, T + 1, 20)
UP_AND_DOWN = np.concatenate([np.linspace(0.1, 1, 50), 0.5 * (1 + np.cos(np.pi * np.arange(T - 50) / (T - 50)))])
STAIRS = np.repeat([1.0, 0.5, 0.1, 0.3], T // 4)
EVERY = [law for several in laws.LAWS.values() for law in several]


@pytest.mark.parametrize("law", EVERY, ids=lambda law: law.name)
@pytest.mark.parametrize("lrs", [UP_AND_DOWN, STAIRS], ids=["up and down", "stairs"])
def test_derivatives_are_those_of_the_losses(law, lrs):
    features = law.features(lrs, UPDATES)
    logs = np.log(np.linspace(0.3, 0.9, len(law.parameters)))
    losses, slopes = law.losses(logs, features)
    assert losses.shape == (len(UPDATES),)
    assert slopes.shape == (len(UPDATES), len(logs))
    for i, step in enumerate(1e-6 * np.eye(len(logs))):
        numeric = (law.losses(logs + step, features)[0] - law.losses(logs - step, features)[0]) / 2e-6
        np.testing.assert_allclose(slopes[:, i], numeric, rtol=1e-5, atol=1e-7)


def _noise(lrs, t, v):
    return v + sum(lrs[k] ** 2 / (sum(lrs[k + 1 : t]) + v) for k in range(t))


@pytest.mark.parametrize("lrs", [UP_AND_DOWN, STAIRS], ids=["up and down", "stairs"])
def test_the_noise_term_is_its_formula(lrs):
    for t in (1, 2, 57, T):
        expected = min(_noise(lrs, t, v) for v in laws.VIRTUAL)
        assert laws.noise(lrs, np.array([t]))[0] == pytest.approx(expected, rel=1e-10)


def test_the_noise_term_falls_with_the_lr_and_stays_where_nothing_moves():
    constant, decayed = np.ones(T), np.append(np.ones(T // 2), np.linspace(1, 0, T // 2))
    last = np.array([T])
    assert laws.noise(decayed, last) < laws.noise(constant, last)
    still = np.append(decayed, np.zeros(10))
    assert laws.noise(still, np.array([T + 10])) == pytest.approx(laws.noise(still, last), rel=1e-12)


@pytest.mark.parametrize("lrs", [UP_AND_DOWN, STAIRS], ids=["up and down", "stairs"])
def test_sums_over_blocks_are_those_over_updates(lrs):
    law = laws.FUNCTIONAL
    floor, scale, alpha, size, rate, beta = values = 0.3, 0.5, 0.7, 0.2, 0.1, 0.9
    for t in (5, 150, T):
        expected = floor + scale * lrs[:t].sum() ** -alpha
        expected += size * sum(lrs[k] ** 2 * (1 + rate * lrs[k + 1 : t].sum()) ** -beta for k in range(t))
        found = law.losses(np.log(values), law.features(lrs, np.array([t])))[0]
        assert found == pytest.approx(expected, rel=2e-3)


def test_what_falls_have_gained_is_its_formula():
    floor, scale, alpha, size, rate, beta, gamma = values = 0.9, 0.5, 0.7, 0.2, 0.3, 0.5, 0.4
    for t in (90, 150, 390):
        expected = floor + scale * STAIRS[:t].sum() ** -alpha
        for k in range(1, t):
            grown = rate * STAIRS[k] ** -gamma * STAIRS[k:t].sum()
            expected -= size * (STAIRS[k - 1] - STAIRS[k]) * (1 - (1 + grown) ** -beta)
        law = laws.MULTI_POWER
        assert law.losses(np.log(values), law.features(STAIRS, np.array([t])))[0] == pytest.approx(expected, rel=2e-2)


def test_the_momentum_of_falls_is_its_formula():
    law = laws.TISSUE[2]
    for t in (90, 150, 390):
        drops = [(STAIRS[k - 1] - STAIRS[k], k + 1) for k in range(1, t)]  # an update counts from 1
        expected = sum(drop * (1 - law.decay ** (t - k + 1)) for drop, k in drops)
        assert law.features(STAIRS, np.array([t]))[1] == pytest.approx(expected, rel=1e-9)


def test_a_curve_of_many_updates_needs_little_memory():
    import tracemalloc

    lrs, updates = np.linspace(1, 0, 100_000), np.linspace(500, 100_000, 200).astype(np.int64)
    for law in (laws.BOUND, laws.FUNCTIONAL, laws.MULTI_POWER, laws.TISSUE[0]):
        tracemalloc.start()
        law.features(lrs, updates)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 50_000_000
