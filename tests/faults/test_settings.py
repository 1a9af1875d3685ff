"""Odd values of every setting of conf/: one line, or trained with; no traceback, and nothing left behind."""

import random

import pytest
from faults.mutations import mutations, try_all


@pytest.mark.slow
def test_hundreds_of_odd_settings_are_one_line_or_are_trained_with(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # where a cache may go
    counts = try_all(random.Random(0).sample(mutations(), 600), tmp_path / "tried")
    assert counts.wrong == []
    assert counts.outcomes["one line"] > counts.outcomes["accepted"] > 50


def test_every_setting_of_every_option_is_among_them():
    typed = {one.typed.partition("=")[0] for one in mutations()}
    assert {"scheduler.lr_lambda.then.floor", "optimizer.betas", "data.cache", "model.hidden", "checkpoint"} <= typed
    assert len(mutations()) > 5000
