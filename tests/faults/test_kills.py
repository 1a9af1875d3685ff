"""A run that is killed at any moment and resumed ends as if nothing had happened; and the harness would notice if not.

`python -m benchmarks faults` is the long version: 200 kills and more.
"""

import signal

import pytest
from faults import mutants
from faults.harness import Case, Plan, cases, disturb, first_difference, undisturbed

CASES = cases()
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")


@pytest.mark.parametrize(
    "case",
    [CASES[3], *(pytest.param(case, marks=pytest.mark.slow) for case in CASES if case != CASES[3])],
    ids=lambda case: case.name,
)
def test_a_run_that_is_killed_and_resumed_is_the_undisturbed_one(case, tmp_path):
    tally = disturb(case, tmp_path, Plan(4, inside=0.3))
    assert tally.wrong == []
    assert tally.stops == 4


@pytest.mark.slow
def test_a_kill_inside_of_every_part_of_a_write_costs_nothing(tmp_path):
    tally = disturb(CASES[1], tmp_path, Plan(5, seed=1, inside=1, per_run=5))
    assert tally.wrong == []
    assert tally.inside == tally.stops == 5


@pytest.mark.slow
def test_runs_that_nothing_disturbs_are_equal(tmp_path):
    with undisturbed(CASES[0], tmp_path / "one") as (one, _), undisturbed(CASES[0], tmp_path / "other") as (other, _):
        assert first_difference(one, other) == ""
        assert len(one["points"]["train/loss"]) == one["summary"]["updates"]


@pytest.mark.slow
@pytest.mark.parametrize("broken", mutants.ALL, ids=lambda broken: broken.__name__)
def test_the_harness_notices_when_lrlab_is_broken(broken, tmp_path):
    in_writes = broken is mutants.saved_in_place
    tally = disturb(CASES[3], tmp_path, Plan(12, inside=1 if in_writes else 0, per_run=3, broken=broken))
    assert tally.wrong


@pytest.mark.slow
def test_a_killed_rank_and_a_resumed_group_are_the_undisturbed_one(tmp_path):
    case = Case("two ranks", (*CASES[3].overrides, "data.batch_size=64"), ranks=2)
    tally = disturb(case, tmp_path, Plan(2, inside=0.3))
    assert tally.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("typed", [("ema", "trainer.monitor=average_val_loss"), ("lawa", "trainer.average_every=7st")])
def test_an_average_of_the_weights_is_the_undisturbed_one_too(typed, ranks, tmp_path):
    average, more = typed
    case = Case("average", (*CASES[3].overrides, "data.batch_size=64", f"trainer.average={average}", more), ranks=ranks)
    tally = disturb(case, tmp_path, Plan(4 // ranks, inside=0.3))
    assert tally.wrong == []


@pytest.mark.slow
def test_a_kill_leaves_no_loader_worker_behind(tmp_path):
    case = Case("workers", (*CASES[0].overrides, "data.cache=none", "data.workers=2"))
    tally = disturb(case, tmp_path, Plan(3, inside=0.3))
    assert tally.wrong == []


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)),
    ],
    ids=lambda number: number.name,
)
def test_a_signal_at_any_moment_saves_and_says_so(number, tmp_path):
    tally = disturb(CASES[2], tmp_path, Plan(4, number=number))
    assert tally.wrong == []
    assert tally.codes == {128 + number: 4}
