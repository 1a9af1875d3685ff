"""Runs that average their weights are compared with those that do not, each by the weights that it would hand over."""

import csv
import json
from pathlib import Path

import pytest
from support import summary

from lrlab.commands import compare, study
from lrlab.comparison import contests, results
from lrlab.comparison.contest import columns
from lrlab.comparison.equal_terms import on_equal_terms
from lrlab.training import metrics

SMALL = ("model=linear", "trainer.epochs=3", "optimizer.lr=0.3", "scheduler=constant", "seed=0,1,2")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """A sweep over `trainer.average`, made once."""
    from support import train

    folder = tmp_path_factory.mktemp("sweep")
    for average in ("null", "ema", "lawa"):
        for seed in (0, 1, 2):
            typed = [one for one in SMALL if not one.startswith("seed")]
            train(folder / f"{average},{seed}", *typed, f"trainer.average={average}", f"seed={seed}")
    return folder


def values(folder: Path, average: str, name: str) -> dict[int, float]:
    return {seed: summary(folder / f"{average},{seed}")[name] for seed in (0, 1, 2)}


@pytest.mark.parametrize("metric", ["average_val_loss", "average_val_accuracy", "best_average_val_loss"])
def test_a_run_without_an_average_is_judged_by_its_weights_as_they_are(sweep, metric):
    [contest] = contests.compare(results.find([sweep]), metric=metric).contests
    found = {candidate.name: candidate for candidate in contest.candidates}
    assert {*found} == {"constant, average=null", "constant, average=ema", "constant, average=lawa"}
    assert found["constant, average=null"].values(0.3) == values(sweep, "null", metric.replace("average_", ""))
    for average in ("ema", "lawa"):
        assert found[f"constant, average={average}"].values(0.3) == values(sweep, average, metric)
    assert "judged by the weights as they are, for they average none: constant, average=null" in contest.warnings
    assert next(iter(columns(contest))) == metric


def test_by_other_metrics_they_are_equal_and_a_warning_says_what_to_compare_by(sweep):
    [contest] = contests.compare(results.find([sweep])).contests
    kept = [candidate.values(0.3) for candidate in contest.candidates]
    assert kept[0] == kept[1] == kept[2] == values(sweep, "null", "val_accuracy")
    assert (
        "val accuracy is of the weights as they are, which no average changes; "
        "compare.metric=average_val_accuracy judges averaged ones beside them"
    ) in contest.warnings


def test_runs_of_one_average_are_compared_without_a_word_about_it(sweep):
    only = [one for one in results.find([sweep]) if one.name.startswith("ema")]
    [contest] = contests.compare(only).contests
    assert not [line for line in contest.warnings if "average" in line]
    assert "average_val_accuracy" in columns(contest)
    without = [one for one in results.find([sweep]) if one.name.startswith("null")]
    [contest] = contests.compare(without).contests
    assert not [name for name in columns(contest) if "average" in name]


def test_nothing_is_made_up_but_where_averages_are_judged(sweep):
    found = results.find([sweep])
    assert on_equal_terms(found, "val_loss") == found
    [plain, *_] = [one for one in found if one.name == "null,0"]
    assert not [name for name in plain.summary if "average" in name]
    judged = next(one for one in on_equal_terms(found, "average_val_loss") if one.name == plain.name)
    assert judged.history[0].measured["average_val_loss"] == plain.history[0].measured["val_loss"]


def test_the_command_shows_it_and_writes_it_down(enter, sweep, tmp_path):
    typed = (str(sweep), "compare.metric=average_val_accuracy", f"compare.folder={tmp_path}", "compare.json=out.json")
    ended = enter(compare.main, *typed)
    assert ended.code == 0, ended.err
    assert "final average val accuracy" in ended.out
    assert "to confirm it" not in ended.out
    [contest] = json.loads(Path("out.json").read_text())["contests"]
    assert contest["metric"] == "average_val_accuracy"
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert rows["null,0"]["average_val_loss"] == ""
    assert float(rows["ema,0"]["average_val_loss"]) == summary(sweep / "ema,0")["average_val_loss"]
    assert {row["trainer.average"] for row in rows.values()} == {"", "ema", "lawa"}


def test_runs_of_which_none_averages_are_not_judged_by_averages(enter, sweep, tmp_path):
    plain = [str(path) for path in sorted(sweep.glob("null,*"))]
    refused = enter(compare.main, *plain, "compare.metric=average_val_loss", f"compare.folder={tmp_path}")
    assert refused.code == 1
    assert refused.err == (
        "lrlab: error: compare.metric: got average_val_loss, which these runs do not measure; allowed: val_accuracy, "
        "val_loss, best_val_accuracy, best_val_loss, train_accuracy, train_loss; do: compare.metric=val_accuracy\n"
    )


def test_a_run_whose_average_is_missing_is_left_out(sweep):
    found = results.find([sweep])
    [broken] = [one for one in found if one.name == "ema,0"]
    del broken.summary["average_val_loss"]
    compared = contests.compare(found, metric="average_val_loss")
    assert ("ema,0", "its files are missing or damaged (no average_val_loss)") in compared.left_out


def test_a_study_judges_weights_as_they_are_and_refuses_averages(enter):
    refused = enter(study.main, "mine", "scheduler=constant,cosine", "trainer.average=ema", "model=linear")
    assert refused.code == 1
    assert refused.err == (
        "lrlab: error: trainer.average: got ema, for a study, which judges the weights of the end as they are; "
        "allowed: null; a sweep judges averages, by compare.metric=average_val_accuracy; "
        "do: leave trainer.average out\n"
    )


def test_names_of_what_averages_measure_are_those_of_the_same_metrics():
    assert metrics.find("best_average_val_accuracy").name == "accuracy"
    assert metrics.lower_is_better("average_val_loss")
    assert "average_val_loss" not in metrics.monitors(metrics.known())
    assert "average_val_loss" in metrics.monitors(metrics.known(), averaged=True)
