"""Predictions: ranks follow the law, what was trained is measured, and what is not known is said to be a guess."""

from dataclasses import replace

import numpy as np
import pytest

from lrlab.forecast import laws, uncertainty
from lrlab.forecast.fit import LossCurve, fit
from lrlab.forecast.predictions import TrainedCurves, Untrained, forecast

T = 400
COSINE = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(T) / T))
SHAPES = {"linear": 0.1 * (1 - np.arange(T) / T), "constant": np.full(T, 0.1), "cosine": COSINE}
UPDATES = np.arange(8, T + 1, 8)


def _losses(lrs, scale=1.0, noise=0.005, seed=0):
    sums, noisy = laws.BOUND.features(lrs / 0.1, UPDATES)
    values, _ = laws.BOUND.losses(np.log([0.2, 0.6, 0.5, 0.08]), (sums / (COSINE.sum() / 0.1), noisy))
    return scale * values * np.exp(noise * np.random.default_rng(seed).normal(size=len(values)))


def _trained(lrs=COSINE, name="cosine", seed=0, **losses):
    curves = {split: LossCurve.of(lrs, UPDATES, values) for split, values in losses.items()}
    return TrainedCurves(f"{name},seed={seed}", name, float(lrs.max()), lrs, curves, settings=name)


def _both(lrs=COSINE, name="cosine", seed=0):
    return _trained(lrs, name, seed, train=_losses(lrs, 1.2, seed=seed), val=_losses(lrs, seed=seed + 100))


CANDIDATES = [Untrained(name, 0.1, lrs) for name, lrs in SHAPES.items()]


def test_schedules_are_ranked_by_what_the_law_says_of_them():
    found = forecast([_both()], CANDIDATES)
    assert found.judged_by == "val"
    truth = {name: _losses(lrs, noise=0)[-1] for name, lrs in SHAPES.items()}
    assert [one.name for one in found.predictions] == sorted(truth, key=lambda name: truth[name])
    assert [one.rank for one in found.predictions] == [1, 2, 3]
    for one in found.predictions:
        assert one.losses["val"].mean[0] <= truth[one.name] <= one.losses["val"].mean[1]


def test_what_was_trained_is_measured_and_stands_among_the_others():
    found = forecast([_both()], [CANDIDATES[0]])
    by_name = {one.name: one for one in found.predictions}
    assert by_name["cosine"].basis == "trained"
    assert by_name["cosine"].measured["val"] == _both().losses["val"].losses[-1]
    assert by_name["cosine"].losses["val"].value == pytest.approx(by_name["cosine"].measured["val"], rel=0.03)
    assert by_name["linear"].measured == {}
    assert by_name["linear"].basis == "predicted"


def test_more_seeds_narrow_the_mean_and_one_run_stays_as_wide_as_a_seed():
    one, three = forecast([_both()], CANDIDATES), forecast([_both(seed=seed) for seed in range(3)], CANDIDATES)

    def width(found, kind):
        trained = next(each for each in found.predictions if each.name == "cosine").losses["val"]
        low, high = getattr(trained, kind)
        return np.log(high / low)

    assert width(three, "mean") < width(one, "mean")
    for found in (one, three):
        assert width(found, "one_run") > width(found, "mean")


FAR = "the sum of its LRs is {} times the largest trained"


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (Untrained("high", 0.4, 4 * COSINE), ["its LR goes to 0.4, and 0.1 is the largest trained", FAR.format(4)]),
        (Untrained("low", 0.06, 0.6 * COSINE), ["another base LR, of which one was trained"]),
        (Untrained("long", 0.1, np.repeat(COSINE, 2)), [FAR.format(2), "another length"]),
        (Untrained("onecycle", 0.1, SHAPES["linear"], {"momentum": "a"}), ["momentum scheduled otherwise"]),
        (Untrained("groups", 0.1, COSINE, {"groups": "a"}), ["groups scheduled otherwise"]),
        (Untrained("small", 0.1, 0.1 * COSINE), [FAR.format(0.1)]),
    ],
)
def test_what_was_not_seen_is_a_guess(candidate, reasons):
    found = next(one for one in forecast([_both()], [candidate]).predictions if one.name == candidate.name)
    assert found.basis == f"a guess: {'; '.join(reasons)}"
    assert found.rank is not None
    assert found.measured == {}


def test_a_schedule_that_follows_a_metric_is_not_predicted():
    found = forecast([_both()], [Untrained("plateau", 0.1, None, refused="its LR follows a metric")])
    last = found.predictions[-1]
    assert (last.basis, last.rank, last.losses) == ("not predicted: its LR follows a metric", None, {})


def test_validation_that_rises_is_refused_and_training_ranks():
    rising = np.append(_losses(COSINE)[:25], np.linspace(0.5, 1.5, 25))
    found = forecast([_trained(train=_losses(COSINE), val=rising)], CANDIDATES)
    assert "it rises" in found.refused["val"]
    assert found.judged_by == "train"
    assert "val" not in found.predictions[0].losses


def test_a_curve_that_the_law_does_not_describe_is_refused():
    jumps = _losses(COSINE)
    jumps[36:] *= 1.5  # something happened that no LR explains
    found = forecast([_trained(train=jumps)], CANDIDATES)
    assert "off where it was left out" in found.refused["train"]
    assert found.refused["val"] == "it was not measured"
    assert found.judged_by is None
    assert all(one.rank is None for one in found.predictions)


def test_a_worse_law_widens_the_interval():
    assert uncertainty.law_error(0.1) > uncertainty.law_error(0.01) >= uncertainty.LAW_ERROR
    assert uncertainty.law_error(0.1, distance=1.0) > uncertainty.law_error(0.1)
    narrow, wide = (uncertainty.Doubt(law).around(1.0) for law in (0.02, 0.1))
    assert wide.mean[0] < narrow.mean[0] < 1 < narrow.mean[1] < wide.mean[1]
    assert narrow.one_run[0] < narrow.mean[0]


def test_two_base_lrs_make_a_third_one_known():
    lower = replace(_both(0.25 * COSINE, "lower"), lr=0.025)
    between = Untrained("between", 0.05, 0.5 * SHAPES["linear"])
    found = {one.name: one for one in forecast([_both(), lower], [between]).predictions}
    assert found["between"].basis == "predicted"


def test_equal_lrs_with_another_momentum_are_another_schedule():
    found = forecast([_both()], [Untrained("twin", 0.1, COSINE, {"momentum": "a"})])
    by_name = {one.name: one for one in found.predictions}
    assert by_name["twin"].basis == "a guess: momentum scheduled otherwise"
    assert by_name["cosine"].basis == "trained"


def test_a_loss_that_is_mostly_noise_of_the_lr_is_refused_for_a_smaller_lr_is_better():
    sums, noisy = laws.BOUND.features(COSINE / 0.1, UPDATES)
    values, _ = laws.BOUND.losses(np.log([0.05, 0.1, 0.5, 1.0]), (sums / (COSINE.sum() / 0.1), noisy))
    found = forecast([_trained(val=values)], CANDIDATES)
    assert found.refused["val"].startswith("half-way ")
    assert found.refused["val"].endswith("was noise of the LR, and 60% is the most: a smaller LR is likely better")


def test_a_loss_that_moves_much_about_the_law_is_refused_and_one_that_moves_less_has_wider_intervals():
    found = forecast([_trained(val=_losses(COSINE, noise=0.3))], CANDIDATES)
    assert "val" in found.refused
    widths = []
    for noise in (0.002, 0.01, 0.03):
        [*_, last] = forecast([_trained(val=_losses(COSINE, noise=noise))], CANDIDATES).predictions
        widths.append(np.log(last.losses["val"].one_run[1] / last.losses["val"].value))
    assert widths[0] < widths[1] < widths[2]


def test_the_part_that_is_noise_is_what_a_law_without_it_lacks():
    fitted = fit([LossCurve.of(COSINE, UPDATES, _losses(COSINE, noise=0))])
    half = T // 2
    _, noisy = laws.BOUND.features(COSINE / 0.1, np.array([half]))
    noise = fitted.parameters["B"] * noisy[0] / fitted.losses(COSINE, [half])[0]
    assert fitted.noise_share(COSINE) == pytest.approx(noise)
    assert fit([LossCurve.of(COSINE, UPDATES, _losses(COSINE))], laws.LAWS["tissue"][0]).noise_share(COSINE) == 0.0


def test_a_run_whose_loss_rose_far_at_the_beginning_predicts_nothing():
    calm = _both()
    assert forecast([replace(calm, rise=1.4)], CANDIDATES).refused == {}
    refused = forecast([replace(calm, rise=3.2)], CANDIDATES).refused
    assert set(refused) == {"train", "val"}
    assert "rose to 3.2 times its first value" in refused["val"]
