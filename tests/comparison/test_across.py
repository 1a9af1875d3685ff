"""Several studies in one report: the same candidates on several data sets, matched by what they are."""

import json

import numpy as np
import pytest
from fabricated import write_study

from lrlab.commands import compare
from lrlab.comparison import across, verdict
from lrlab.errors import UserError

GOOD, BAD = [0.98, 0.975, 0.985, 0.98], [0.96, 0.955, 0.965, 0.96]


@pytest.fixture
def studies(tmp_path):
    """On two data sets `a` is better, with half of the errors; on the third they are equal."""
    tables = {"one": {"a": GOOD, "b": BAD}, "two": {"a": GOOD, "b": BAD}, "three": {"a": BAD, "b": BAD[::-1]}}
    return [write_study(tmp_path / name, table, maximum=4, looks=1) for name, table in tables.items()]


def read(folders):
    return across.across([verdict.read(folder) for folder in folders])


def test_wins_are_counted_by_the_claims_of_the_studies(studies):
    [wins] = read(studies).wins
    assert (wins.one, wins.other, wins.better, wins.worse, wins.undecided) == ("a", "b", 2, 0, 1)


def test_ratios_are_to_the_best_mean_error_of_each_data_set(studies):
    found = read(studies)
    assert np.mean(found.ratios["a"][0]) == pytest.approx(1.0)
    assert np.mean(found.ratios["b"][0]) == pytest.approx(2.0, rel=0.01)
    assert np.mean(found.ratios["b"][2]) == pytest.approx(1.0)
    assert found.iqm["a"].value < found.iqm["b"].value
    for name in ("a", "b"):
        assert found.iqm[name].low <= found.iqm[name].value <= found.iqm[name].high


def test_profiles_rise_to_all_runs(studies):
    for ratios, shares in read(studies).profiles.values():
        assert shares == sorted(shares)
        assert ratios == sorted(ratios)
        assert shares[-1] == 1.0


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert across.interquartile_mean([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 100.0]]).value == pytest.approx(4.5)


def test_it_is_shown_and_written_for_machines(studies, enter, tmp_path):
    shown = enter(compare.main, *map(str, studies), "compare.json=found.json")
    assert shown.code == 0, shown.err
    assert "2 candidates on 3 data sets: one, two, three" in shown.out
    assert "a against b, of 3: better on 2, undecided on 1" in shown.out
    said = json.loads((tmp_path / "found.json").read_text())
    assert (said["kind"], said["data_sets"]) == ("studies", ["one", "two", "three"])
    assert list(tmp_path.rglob("profiles.svg"))


def test_candidates_of_one_name_that_are_not_the_same_are_left_out(studies, tmp_path):
    file = studies[0] / "study.json"
    other = write_study(tmp_path / "other", {"a": GOOD, "b": BAD, "c": BAD}, maximum=4, looks=1)
    assert read([studies[0], other]).left_out == ["c"]
    record = json.loads(file.read_text())
    record["protocol"]["candidates"]["b"] = ["scheduler=b", "scheduler.gamma=0.9"]
    file.write_text(json.dumps(record))
    with pytest.raises(UserError, match="fewer than two candidates in common"):
        read([studies[0], other])


@pytest.mark.slow
def test_unfinished_studies_are_refused(studies, tmp_path):
    half = write_study(tmp_path / "half", {"a": [0.9, 0.91, 0.92, 0.9, 0.91], "b": [0.91, 0.9, 0.92, 0.9, 0.91]})
    with pytest.raises(UserError, match=r"studies that are not finished \(half\)"):
        read([studies[0], half])
