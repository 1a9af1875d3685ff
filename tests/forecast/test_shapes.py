"""The search over shapes: better by the law than what has a name, within what the law knows, and as it can be typed."""

import numpy as np
import pytest

import lrlab
from lrlab.forecast import laws, shapes, uncertainty
from lrlab.forecast.fit import LossCurve, TooLittle, fit

T, LR = 500, 0.1
AT = np.arange(T) / T
COSINE = LR * 0.5 * (1 + np.cos(np.pi * AT))
NAMED = {
    "linear": LR * (1 - AT),
    "cosine": COSINE,
    "wsd": LR * np.minimum(1, (1 - AT) / 0.2),
    "rex": LR * (1 - AT) / (1 - AT / 2),
}
UPDATES = np.arange(10, T + 1, 10)


def _fitted(noise, lrs=COSINE):
    sums, noisy = laws.BOUND.features(lrs / lrs.max(), UPDATES)
    values, _ = laws.BOUND.losses(np.log([0.2, 0.5, 0.6, noise]), (sums / (lrs.sum() / lrs.max()), noisy))
    return fit([LossCurve.of(lrs, UPDATES, values)])


@pytest.mark.parametrize("noise", [0.001, 0.03, 0.3], ids=["noise matters little", "some", "much"])
def test_it_is_better_by_the_law_than_every_schedule_that_has_a_name(noise):
    fitted = _fitted(noise)
    found = shapes.best(fitted, COSINE, LR)
    known = [lrs for lrs in NAMED.values() if uncertainty.distance(lrs.sum(), [COSINE.sum()]) <= uncertainty.FAR]
    assert found.loss <= min(fitted.final(lrs) for lrs in known) * 1.002
    assert found.loss == pytest.approx(fitted.final(found.lrs(LR, T)))


@pytest.mark.parametrize("noise", [0.001, 0.03, 0.3])
def test_it_stays_within_what_the_law_knows(noise):
    lrs = shapes.best(_fitted(noise), COSINE, LR).lrs(LR, T)
    assert lrs.min() >= 0
    assert lrs.max() <= LR * 1.001
    assert uncertainty.distance(lrs.sum(), [COSINE.sum()]) < uncertainty.FAR + 0.02


def test_the_more_noise_the_lower_the_lr_ends_and_the_earlier_it_falls():
    little, much = (shapes.best(_fitted(noise), COSINE, LR).lrs(LR, T) for noise in (0.001, 0.3))
    assert much.sum() < little.sum()
    assert much[-1] < 0.1 * LR


def test_a_warm_up_stays_as_it_was_trained():
    warmed = np.where(AT < 0.1, LR * (0.1 + 9 * AT), LR * 0.5 * (1 + np.cos(np.pi * (AT - 0.1) / 0.9)))
    found = shapes.best(_fitted(0.05, warmed), warmed, LR)
    assert np.allclose(found.lrs(LR, T)[:48], warmed[:48], rtol=0.05)


def test_its_knots_are_few_and_can_be_typed():
    found = shapes.best(_fitted(0.05), COSINE, LR)
    assert 2 <= len(found.knots) <= 7
    knots = [[f"{time:g}%" if time else 0, factor] for time, factor in found.knots]
    made = lrlab.schedule("piecewise_linear", lr=LR, total_steps=T, knots=knots)
    assert np.allclose(made.values(), found.lrs(LR, T), atol=0.01 * LR)


class TestRefined:
    def test_even_norms_ask_for_a_schedule_that_falls_to_nothing(self):
        fitted = _fitted(0.05)
        least = shapes.best(fitted, COSINE, LR).loss
        found = shapes.refined(fitted, np.ones(T), COSINE, LR, 1.1 * least)
        lrs = found.lrs(LR, T)
        assert lrs.max() <= LR * 1.001
        assert lrs[-1] < 0.15 * LR
        assert np.allclose(lrs / lrs.max(), 1 - AT, atol=0.15)  # for equal norms the optimum is nearly linear

    def test_where_norms_are_large_the_lr_is_small(self):
        fitted = _fitted(0.05)
        norms = np.where(AT < 0.5, 3.0, 1.0)
        found = shapes.refined(fitted, norms, COSINE, LR, 10.0).lrs(LR, T)
        assert found[: T // 3].mean() < found[T // 2 + 30 : T // 2 + 80].mean()

    def test_norms_that_vanish_do_not_make_an_lr_without_end(self):
        norms = np.where(AT < 0.5, 1.0, 1e-9)
        assert shapes.refined(_fitted(0.05), norms, COSINE, LR, 10.0).lrs(LR, T).max() <= LR * 1.001

    def test_what_the_law_finds_worse_is_not_offered(self):
        fitted = _fitted(0.05)
        norms = np.where(AT < 0.8, 100.0, 1.0)  # hardly any training before the end
        with pytest.raises(TooLittle, match=r"worse than the best shape|farther"):
            shapes.refined(fitted, norms, COSINE, LR, shapes.best(fitted, COSINE, LR).loss)
        with pytest.raises(TooLittle, match="positive numbers, one for each update"):
            shapes.refined(fitted, np.zeros(T), COSINE, LR, 1.0)
