"""A candidate that is led gets the LR that follows, unless its runs say otherwise beyond doubt."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.comparison import led

HOW = {"lower_is_better": True, "are_shares": False}


def chosen(values, failed=None, *, noise=0.1, following=0.03):
    return led.best_lr(values, failed or {}, following, led.Luck(noise, is_relative=True), **HOW)


def test_an_lr_beside_it_is_taken_only_where_it_is_clearly_better():
    close = {0.03: {0: 1.0, 1: 1.0}, 0.0173: {0: 0.8}, 0.052: {0: 1.2}}  # within two standard errors: 2 * .1 * 1.22
    assert chosen(close) == 0.03
    assert chosen(close | {0.0173: {0: 0.75}}) == 0.0173
    assert chosen(close, noise=0.05) == 0.0173
    assert chosen(close, noise=math.inf) == 0.03


def test_shares_are_better_the_higher_they_are():
    values = {0.03: {0: 0.90, 1: 0.90}, 0.0173: {0: 0.80}, 0.052: {0: 0.95}}
    shares, luck = {"lower_is_better": False, "are_shares": True}, led.Luck(0.01, is_relative=False)
    assert led.best_lr(values, {}, 0.03, luck, **shares) == 0.052


def test_losses_are_compared_by_their_ratios():
    values = {0.03: {0: 1.0, 1: 1.0}, 0.0173: {0: 0.7}}
    assert chosen(values) == chosen({lr: {s: 1000 * v for s, v in own.items()} for lr, own in values.items()}) == 0.0173


def test_a_loss_of_nothing_puts_all_of_a_study_on_one_scale():
    values = {0.03: {0: 0.5, 1: 0.5}, 0.0173: {0: 0.0}}
    luck = led.luck_of([[0.5, 0.5], [0.0]], lower_is_better=True)
    assert not luck.is_relative
    assert led.best_lr(values, {}, 0.03, luck, **HOW) == 0.0173


def test_where_it_failed_the_best_of_the_others_is_taken():
    values = {0.0173: {0: 1.1}, 0.01: {0: 0.9}}
    assert chosen(values, {0.03: 1, 0.052: 1}) == 0.01


def test_an_lr_at_which_a_run_failed_is_not_taken():
    assert chosen({0.03: {0: 1.0}, 0.0173: {1: 0.1}}, {0.0173: 1}) == 0.03


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_so_many_runs_are_spent_and_the_lr_that_follows_comes_first(runs):
    ended = {}
    while wanted := led.next_runs(0.03, runs, ended):
        ended |= dict.fromkeys(wanted, 1.0)
    assert len(ended) == runs
    assert next(iter(ended)) == (0.03, 0)


def test_runs_at_other_lrs_count_too():
    elsewhere = dict.fromkeys([(0.03, 0), (0.0173, 0), (0.052, 0), (0.03, 1)], 1.0)
    assert led.next_runs(0.1, 4, elsewhere) == []
    assert len(led.next_runs(0.1, 6, elsewhere)) == 2


def test_where_it_failed_the_last_run_is_at_a_smaller_lr():
    ended = {(0.03, 0): None, (0.0173, 0): 1.0, (0.052, 0): None}
    [(lr, seed)] = led.next_runs(0.03, 4, ended)
    assert (lr < 0.0173, seed) == (True, 0)


@given(st.floats(1e-6, 10), st.floats(1e-3, 1e3))
def test_it_is_never_farther_than_a_factor_of_three(lr, ratio):
    assert 1 / 3.02 < led.following_lr(lr, ratio) / lr < 3.02


def test_noise_without_a_second_seed_is_unknown():
    assert led.luck_of([[1.0], [2.0]], lower_is_better=True).deviation == math.inf
    assert led.luck_of([[1.0, 1.0], [2.0, 2.0]], lower_is_better=True).deviation == 0.0
