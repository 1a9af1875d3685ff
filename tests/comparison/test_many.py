"""Comparisons of very many schedules: what is shown is the best of them, and says nothing else than it would of all."""

import re
from pathlib import Path

import pytest
from fabricated import counted, write_run
from hypothesis import given
from hypothesis import strategies as st

from lrlab.comparison import candidates, choice, contests, pairs, panels, report, results, text
from lrlab.comparison.candidates import names_of
from lrlab.comparison.statistics import exact_mean
from lrlab.words import FEW, MANY

SCHEDULES = 230  # more than have all of their pairs judged


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A sweep of so many schedules, of which the last is the best; every seventh run failed."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(SCHEDULES):
        for seed in range(3):
            how = {"status": "failed", "error": "it broke"} if (3 * number + seed) % 7 == 0 and seed else {}
            accuracy = counted(0.5 + 0.4 * number / SCHEDULES + 0.003 * seed)
            name = f"scheduler=S{number:03},seed={seed}"
            write_run(folder / name, scheduler=f"S{number:03}", seed=seed, accuracy=accuracy, **how)
    return folder


@pytest.fixture(scope="module")
def compared(many) -> contests.Comparison:
    return contests.compare(results.find([many]))


def test_the_best_few_are_shown_and_the_reference_and_how_many_there_are(compared):
    lines = text.lines(compared, 200)
    table = [line for line in lines if re.match(r"S\d+ ", line)]
    [contest] = compared.contests
    assert [line[:4] for line in table] == [*(one.name for one in contest.candidates[:FEW]), "S000"]
    assert f"({SCHEDULES} schedules in all, of which these are the best, and S000)" in lines
    assert len(lines) < 120
    assert any(re.fullmatch(r"and \d+ warnings more", line) for line in lines)
    assert any(re.fullmatch(r"and \d+ runs more", line) for line in lines)


def test_a_pair_that_is_judged_is_what_it_is_among_all_pairs(compared):
    [contest] = compared.contests
    samples = {one.name: pairs.Sample([*one.values(one.best_lr).values()]) for one in contest.candidates}
    step = contest.steps.get(contest.metric, 0.0)
    level = pairs.level_of_each(pairs.count(SCHEDULES))
    for pair in contest.pairs[:: SCHEDULES // 10]:
        two = {name: samples[name] for name in (pair.name, pair.other)}
        assert pairs.judge(two, lower_is_better=False, step=step, level=level) == [pair]
    assert len(contest.pairs) == SCHEDULES - 1
    assert any("are judged, at the level at which all of them hold together" in one for one in contest.warnings)


def test_another_reference_is_judged_and_shown_where_it_is_asked_for(many):
    [contest] = contests.compare(results.find([many]), reference="S005").contests
    assert {pair.other for pair in contest.against} == {"S005"}
    assert [one.name for one in contest.drawn][-1] == "S005"


@pytest.mark.slow
def test_the_page_draws_the_best_few_and_its_tables_have_an_end(compared, many):
    page = report.page(compared, title="many", command=None, facts={}, folder=many)
    [contest] = compared.contests
    assert len(panels.learning_panels(contest)[0].bands) == FEW + 1
    assert page.count("<figcaption>") == FEW + 1
    assert f"Of {SCHEDULES} schedules the best are drawn" in page
    assert len(page) < 3_000_000


def test_few_schedules_are_all_shown(tmp_path):
    for number in range(3):
        write_run(tmp_path / f"scheduler=S{number}", scheduler=f"S{number}")
    [contest] = contests.compare(results.find([tmp_path])).contests
    assert contest.drawn is contest.candidates
    assert contest.told == contest.against
    assert "in all" not in "\n".join(text.lines(contests.compare(results.find([tmp_path]))))


def test_names_are_found_group_by_group_and_not_run_by_run(many, monkeypatch):
    calls, differing = [], candidates.differing
    monkeypatch.setattr(candidates, "differing", lambda runs: calls.append(runs) or differing(runs))
    names = names_of(results.find([many]))
    assert len(calls) == len(set(names.values())) == SCHEDULES


VALUES = st.lists(st.lists(st.integers(0, 360), min_size=3, max_size=3), min_size=2, max_size=5)


@given(VALUES, st.booleans())
def test_the_best_mean_is_what_no_other_lr_beats_where_all_have_all_seeds(table, lower_is_better):
    values = {float(lr): {seed: count / 360 for seed, count in enumerate(row)} for lr, row in enumerate(table, start=1)}
    found = choice.best_lr(values, {}, lower_is_better=lower_is_better, are_shares=True)
    sign = -1 if lower_is_better else 1
    means = {lr: sign * exact_mean(row.values(), are_shares=True) for lr, row in values.items()}
    worst = {lr: min(means[lr] - means[other] for other in means if other != lr) for lr in means}
    assert found == max(sorted(worst), key=lambda lr: worst[lr])


def test_so_many_lines_are_shown_whole():
    from lrlab.words import few

    assert few(["line"] * MANY) == ["line"] * MANY
    assert few(["line"] * (MANY + 1)) == [*["line"] * FEW, f"and {MANY + 1 - FEW} more"]
