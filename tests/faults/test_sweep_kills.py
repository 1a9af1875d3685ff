"""A sweep that is killed in any of its processes and started again is the undisturbed one.

Its runs share beginnings, as planned or as a metric decides, or train in one step.
"""

from pathlib import Path

import pytest
from faults.harness import first_difference
from faults.sweeps import SHARED, STACKED, SWEEPS, disturb, runs, undisturbed

from lrlab.sweeps import shared

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")


@pytest.mark.slow
@pytest.mark.parametrize("typed", SWEEPS.values(), ids=SWEEPS)
def test_a_sweep_that_is_killed_and_started_again_is_the_undisturbed_one(tmp_path, typed):
    whole = undisturbed(tmp_path / "whole", *typed)
    assert len(whole) == 6
    assert disturb(tmp_path / "killed", *typed, kills=6, seed=1).all > 0
    assert first_difference(runs(tmp_path / "killed"), whole) == ""


@pytest.mark.slow
def test_what_is_shared_by_processes_is_what_each_run_is_alone(tmp_path):
    whole = undisturbed(tmp_path / "shared", *SHARED)
    assert any((tmp_path / "shared" / "outputs/sweeps/it" / shared.FOLDER).glob("*-*.pt"))
    alone = undisturbed(tmp_path / "alone", *SHARED, "hydra.launcher.share=false")
    assert first_difference(whole, alone) == ""


@pytest.mark.slow
def test_what_trains_in_one_step_in_processes_is_what_each_run_is_alone(tmp_path):
    whole = undisturbed(tmp_path / "stacked", *STACKED)
    alone = undisturbed(tmp_path / "alone", *STACKED, "hydra.launcher.stack=false")
    assert first_difference(whole, alone) == ""
