"""Odd values of every setting of conf/: one line, or trained with; no traceback, and nothing left behind."""

import random

import pytest
import yaml
from faults.mutations import mutations, try_all

from lrlab.config.catalogue import CONF
from lrlab.config.identity import flatten


@pytest.mark.slow
def test_hundreds_of_odd_settings_are_one_line_or_are_trained_with(tmp_path):
    counts = try_all(random.Random(0).sample(mutations(), 400), tmp_path / "tried")
    assert counts.wrong == []
    assert counts.outcomes["one line"] > counts.outcomes["accepted"] > 50


def test_every_setting_of_every_option_is_among_them():
    tried = {(one.option, one.typed.partition("=")[0]) for one in mutations()}
    for group in ("data", "model", "task", "optimizer", "scheduler", "trainer"):
        for path in (CONF / group).glob("*.yaml"):
            settings = flatten(yaml.safe_load(path.read_text()))
            assert {(f"{group}={path.stem}", f"{group}.{name}") for name in settings} <= tried
    assert {("", name) for name in ("seed", "resume", "extend", "sweep", "checkpoint", "checkpoint.every")} <= tried
