"""What a report says, on folders of runs whose truth is known: each wrong word that was found once, and its kind."""

import json
import math
import re
from pathlib import Path

import pytest
from fabricated import VERSIONS, counted, write_run, write_sweep

from lrlab.comparison import confirm, contests, pairs, report, results, text
from lrlab.comparison.candidates import reached
from lrlab.comparison.claims import sentence
from lrlab.comparison.contest import Contest
from lrlab.comparison.pairs import Sample, judge
from lrlab.comparison.statistics import Interval
from lrlab.comparison.written import inside, shown_difference, shown_mean

CONSTANT = {0.06: [0.847, 0.856, 0.842, 0.858, 0.869], 0.2: [0.80, 0.81, 0.79, 0.80, 0.82]}
COSINE = {0.06: [0.75, 0.76, 0.74, 0.73, 0.78], 0.2: [0.908, 0.892, 0.900, 0.883, 0.917]}
TRUE = "cosine looks better than constant by"


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Cosine is better by five points, and its best LR is the larger one."""
    return write_sweep(tmp_path / "sweep", {"constant": CONSTANT, "cosine": COSINE})


def said(folder: Path, **settings) -> list[str]:
    return text.lines(contests.compare(results.find([folder]), **settings))


def only(folder: Path, **settings) -> Contest:
    [contest] = contests.compare(results.find([folder]), **settings).contests
    return contest


@pytest.mark.parametrize("accuracy", [0.1, 0.75, 0.99, 1.0])
@pytest.mark.parametrize(("scheduler", "lr"), [("cosine", 0.06), ("constant", 0.2)])
@pytest.mark.parametrize("status", ["finished", "diverged", "running"])
def test_a_run_at_a_losing_lr_never_changes_the_verdict(sweep, scheduler, lr, accuracy, status):
    """Once it did: the LR with one seed more was the only one that counted as complete."""
    [before] = only(sweep).pairs
    write_run(
        sweep / "one more", scheduler=scheduler, lr=lr, seed=5, accuracy=counted(accuracy), status=status, error="e"
    )
    [after] = only(sweep).pairs
    assert after == before
    assert any(line.strip().startswith(TRUE) for line in said(sweep))


def test_an_audit_that_found_another_lr_is_a_warning(sweep):
    run = sweep / "scheduler=cosine,lr=0.2,seed=3"
    write_run(run, scheduler="cosine", lr=0.2, seed=3, accuracy=counted(0.883), audit={"equal": False, "updates": 9})
    warning = "cosine: the LR of a run was not the one that was planned (see the summary.json of "
    [said] = [line for line in only(sweep).warnings if line.startswith(warning)]
    assert run.name in said


def test_table_and_sentence_come_from_the_same_runs_whatever_their_seeds(tmp_path):
    """Once the table had all seeds of each, and the sentence those that both have."""
    ours, theirs = (0.95, 0.96, 0.97, 0.98, 0.96, 0.97), (0.92, 0.93, 0.94, 0.92, 0.93, 0.92)
    for scheduler, first, values in (("cosine", 0, ours), ("constant", 3, theirs)):
        for number, value in enumerate(values):
            seed = first + number
            write_run(tmp_path / f"{scheduler}{seed}", scheduler=scheduler, seed=seed, accuracy=counted(value))
    contest = only(tmp_path)
    means = {one.name: one.mean("val_accuracy") for one in contest.candidates}
    [pair] = contest.pairs
    assert pair.seeds == (6, 6)
    assert pair.difference.value == pytest.approx(means["cosine"] - means["constant"])


@pytest.mark.parametrize("reference", ["a", "b", "c", "d"])
def test_whichever_reference_a_reader_tries_the_intervals_are_the_same(tmp_path, reference):
    shifts = {"a": 0.0, "b": 0.01, "c": 0.02, "d": 0.05}
    table = {name: {0.1: [0.8 + shift, 0.82 + shift, 0.81 + shift]} for name, shift in shifts.items()}
    write_sweep(tmp_path, table)
    ours, theirs = only(tmp_path, reference=reference), only(tmp_path)
    assert ours.pairs == theirs.pairs
    assert len(ours.pairs) == 6


def test_a_claim_is_made_exactly_where_the_interval_excludes_zero(sweep):
    for pair in only(sweep).pairs:
        for one in (pair, pair.reversed()):
            claimed = one.verdict in ("better", "worse")
            assert claimed == one.difference.excludes(0.0)


def test_what_never_arrives_is_infinite(tmp_path):
    """Once the median was that of the seeds that arrived."""
    for seed in range(5):
        curve = (0.5, 0.95) if seed < 2 else (0.5, 0.6)
        write_run(tmp_path / f"{seed}", seed=seed, curve=curve, accuracy=0.95 if seed < 2 else 0.6)
    contest = only(tmp_path, target=0.9)
    found = reached(contest.candidates[0], 0.9)
    assert (found.epochs.value, found.reached, found.seeds) == (math.inf, 2, 5)
    [row] = report.table(contest)
    assert row[-1] == "not reached by half (2 of 5)"
    write_run(tmp_path / "2", seed=2, curve=(0.5, 0.5), accuracy=0.95)
    assert report.table(only(tmp_path, target=0.9))[0][-1] == "3 (3 of 5)"


def test_the_median_has_an_interval_from_six_seeds_on(tmp_path):
    for seed in range(6):
        write_run(tmp_path / f"{seed}", seed=seed, curve=[0.5] * (seed + 1) + [0.95] * (5 - seed), accuracy=0.95)
    assert report.table(only(tmp_path, target=0.9))[0][-1] == "4.5, 2 to 7 (6 of 6)"


@pytest.mark.parametrize("shift", [0, 1])
def test_equal_counts_tie_exactly_and_the_smaller_lr_wins(tmp_path, shift):
    """Once the rounding of a sum decided: 349 + 351 of 360 are as many as 350 + 350."""
    counts = {0.1: (349, 351), 0.2: (350, 350 + shift)}
    write_sweep(tmp_path, {"step": {lr: [count / 360 for count in both] for lr, both in counts.items()}})
    assert only(tmp_path).candidates[0].best_lr == (0.2 if shift else 0.1)


def test_no_share_is_below_zero_or_above_all(tmp_path):
    write_sweep(tmp_path, {"step": {0.1: [0.0, 1.0]}, "cosine": {0.1: [0.995, 0.999, 1.0]}})
    contest = only(tmp_path)
    for candidate in contest.candidates:
        shown = shown_mean(contest.mean(candidate, "val_accuracy"), "val_accuracy")
        low, high = map(float, re.search(r"\((\S+) to (\S+)\)", shown).groups())
        assert 0 <= low <= high <= 100


def test_equal_counts_still_have_an_interval_that_has_a_width(tmp_path):
    write_sweep(tmp_path, {"step": {0.1: [0.9] * 3}})
    contest = only(tmp_path)
    found = contest.mean(contest.candidates[0], "val_accuracy")
    assert found.is_known
    assert found.half_width > 0


@pytest.mark.parametrize("name", [*VERSIONS, "device", "commit"])
def test_whatever_computed_runs_otherwise_is_named(sweep, name):
    other = {"versions": {**VERSIONS, name: "9.9"}} if name in VERSIONS else {name: "9.9"}
    run = sweep / "scheduler=cosine,lr=0.2,seed=3"
    write_run(run, scheduler="cosine", lr=0.2, seed=3, accuracy=counted(0.883), **other)
    assert any(f"not all computed alike: {name} " in one and "9.9 (1 run)" in one for one in only(sweep).warnings)


def test_lengths_without_a_common_schedule_are_told(tmp_path):
    write_run(tmp_path / "a", scheduler="step", epochs=2)
    write_run(tmp_path / "b", scheduler="cosine", epochs=3)
    told = "warning: runs of different lengths are not compared, and no schedule was trained for all of them"
    assert any(line.startswith(told) for line in said(tmp_path))
    write_run(tmp_path / "c", scheduler="cosine", epochs=2)
    assert not any(line.startswith(told) for line in said(tmp_path))


def test_equivalence_needs_the_whole_interval_inside_the_margin():
    close = {"a": Sample([0.90, 0.91, 0.90, 0.91]), "b": Sample([0.905, 0.905, 0.91, 0.90])}
    [pair] = judge(close, lower_is_better=False, margin=0.02)
    assert pair.verdict == "equivalent"
    assert pair.difference.inside(0.02)
    assert f"{pair.name} and {pair.other} are equivalent within 2 points: " in sentence(
        pair, "test_accuracy", confirmed=True
    )
    [strict] = judge(close, lower_is_better=False, margin=0.005)
    assert strict.verdict == "undecided"
    [without] = judge(close, lower_is_better=False)
    assert without.verdict == "undecided"


def test_of_a_loss_the_lower_one_is_better():
    losses = {"a": Sample([0.30, 0.31, 0.29]), "b": Sample([0.50, 0.52, 0.51])}
    [pair] = judge(losses, lower_is_better=True)
    assert (pair.verdict, pair.reversed().verdict) == ("better", "worse")
    assert pair.superiority.value == 1.0


def test_a_run_that_collapsed_is_worse_than_every_run_that_trained():
    [pair] = judge({"a": Sample([0.9] * 4, collapsed=4), "b": Sample([0.1, 0.2, 0.1, 0.2])}, lower_is_better=False)
    assert pair.superiority.value == 0.5


def test_two_seeds_claim_nothing():
    [pair] = judge({"a": Sample([0.90, 0.91]), "b": Sample([0.10, 0.11])}, lower_is_better=False)
    assert pair.verdict == "undecided"


def test_the_levels_of_all_pairs_add_up_to_five_percent():
    for candidates in (2, 3, 6):
        each = pairs.level_of_each(pairs.count(candidates))
        assert pairs.count(candidates) * (1 - each) == pytest.approx(0.05)


def test_what_would_confirm_a_comparison_is_a_study_of_one_budget(tmp_path):
    for epochs in (2, 3):
        for scheduler in ("step", "cosine"):
            write_run(tmp_path / f"{scheduler}{epochs}", scheduler=scheduler, epochs=epochs)
    command = "lrlab sweep scheduler=step,cosine trainer.epochs=2,3 seed=0 hydra.launcher.n_jobs=2 sweep=both"
    (tmp_path / "sweep.json").write_text(json.dumps({"command": command, "runs": []}))
    compared = contests.compare(results.find([tmp_path]))
    said = confirm.command([tmp_path], compared.contests)
    assert said.endswith(f"study {tmp_path.name} scheduler=step,cosine hydra.launcher.n_jobs=2 trainer.epochs=3")
    assert confirm.command([tmp_path], []) is None
    named = tmp_path / "scheduler=step,cosine"  # a word with = is a setting, where a study's name is asked for
    assert "study scheduler-step,cosine " in str(confirm.command([named], compared.contests))


def test_a_candidate_without_a_run_that_can_be_judged_is_not_compared():
    [pair] = judge({"a": Sample((0.9, 0.91, 0.92)), "b": Sample((), collapsed=3)}, lower_is_better=False)
    assert sentence(pair, "test_accuracy", confirmed=True) == "a and b cannot be compared: no run of b can be judged"
    assert shown_difference(pair.difference, "test_accuracy") == "--"


def test_a_mean_has_no_bounds_that_its_metric_cannot_have():
    share, loss = Interval(0.6, -0.9, 2.5), Interval(0.5, -1.6, 2.6)
    assert inside(share, "val_accuracy") == Interval(0.6, 0.0, 1.0)
    assert inside(loss, "val_loss") == Interval(0.5, 0.0, 2.6)


def test_paired_runs_without_a_common_seed_are_not_said_to_be_none():
    samples = {"a": Sample((0.9, 0.8, 0.7), seeds=(0, 1, 2)), "b": Sample((0.9, 0.8, 0.6), seeds=(3, 4, 5))}
    [pair] = judge(samples, lower_is_better=False, test="paired")
    assert "they have no seed in common" in sentence(pair, "test_accuracy", confirmed=True)
