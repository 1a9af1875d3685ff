"""Results for machines: every command that prints one writes it as JSON too, with the names that are documented."""

import json
import re
from pathlib import Path

import pytest
from fabricated import write_run, write_study, write_sweep
from support import ROOT, train

from lrlab.commands import advise, compare, evaluate, find_lr, noise, predict, preview, study

TABLE = {"constant": {0.1: [0.80, 0.82, 0.81]}, "cosine": {0.1: [0.90, 0.92, 0.91], 0.2: [0.5, 0.5, 0.5]}}
QUICK = ("model=linear", "trainer.epochs=1", "data.batch_size=256")


@pytest.fixture
def written(enter, tmp_path):
    """What a command writes, for what is typed."""

    def run(command, kind: str, *typed: str) -> dict:
        outcome = enter(command.main, *typed, f"{kind}.json=found.json")
        assert outcome.code == 0, outcome.err
        return json.loads((tmp_path / "found.json").read_text())

    return run


def names_in(value, found=None) -> set[str]:
    """Every name in a JSON value, but for those that are data: candidates, LRs, seeds."""
    found = set() if found is None else found
    if isinstance(value, dict):
        for name, one in value.items():
            if re.fullmatch(r"[a-z_0-9]*[a-z_][a-z_0-9]*", name):
                found.add(name)
            names_in(one, found)
    elif isinstance(value, list):
        for one in value:
            names_in(one, found)
    return found


def documented() -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs" / "json.md").read_text()))


def require_documented(said: dict, kind: str, data: set[str] = frozenset()) -> None:
    assert (said["schema"], said["kind"]) == (1, kind)
    assert names_in(said) - documented() - data == set()


def test_a_comparison(written, tmp_path):
    said = written(compare, "compare", str(write_sweep(tmp_path / "sweep", TABLE)))
    require_documented(said, "comparison")
    [contest] = said["contests"]
    [pair] = contest["pairs"]
    assert (said["exploratory"], pair["one"], pair["verdict"]) == (True, "cosine", "better")
    assert pair["difference"]["low"] > 0
    assert said["confirm"].startswith("lrlab study ") or "study" in said["confirm"]


def test_a_study(written, tmp_path):
    judged = {"constant": [0.80, 0.82, 0.81, 0.80], "cosine": [0.90, 0.92, 0.91, None]}
    said = written(compare, "compare", str(write_study(tmp_path / "study", judged, maximum=4, looks=1)))
    require_documented(said, "study", {"constant", "cosine"})
    [pair] = said["pairs"]
    assert (said["finished"], pair["one"], pair["verdict"]) == (True, "constant", "worse")
    assert [one["collapse_rate"]["value"] for one in said["candidates"]] == [0, 0.25]


@pytest.mark.slow
def test_an_unfinished_study_has_no_pairs(written, tmp_path):
    judged = {"a": [0.80, 0.82, 0.81, 0.80, 0.83], "b": [0.82, 0.80, 0.83, 0.80, 0.81]}
    said = written(compare, "compare", str(write_study(tmp_path / "study", judged)))
    assert (said["finished"], said["pairs"]) == (False, [])


@pytest.mark.parametrize(("values", "code"), [([0.90, 0.92, 0.91], 0), ([0.80, 0.82, 0.81], 3)])
def test_the_exit_code_says_whether_a_pair_is_undecided(enter, tmp_path, values, code):
    write_sweep(tmp_path / "sweep", {"constant": {0.1: [0.80, 0.82, 0.81]}, "cosine": {0.1: values}})
    assert enter(compare.main, "sweep", "compare.exit_code=true").code == code
    assert enter(compare.main, "sweep").code == 0


def test_noise(written, tmp_path):
    for seed, accuracy in enumerate((0.90, 0.92, 0.91)):
        write_run(tmp_path / "runs" / str(seed), seed=seed, accuracy=accuracy)
    said = written(noise, "noise", "runs")
    require_documented(said, "noise")
    [found] = said["candidates"]
    assert found["deviation"]["value"] == pytest.approx(
        0.0104, rel=0.01
    )  # of 0.90, 0.92, 0.91 and their rounding to hundredths
    differences = [one["difference"]["value"] for one in found["detectable"]]
    assert differences == sorted(differences, reverse=True)


def test_evaluations_and_previews_and_range_tests(written, tmp_path):
    train(tmp_path / "run", *QUICK)
    said = written(evaluate, "evaluate", "run")
    require_documented(said, "evaluate")
    assert said["runs"][0]["measured"].keys() == {"test_loss", "test_accuracy"}
    said = written(preview, "preview", "scheduler=step,cosine", "trainer.epochs=2")
    require_documented(said, "preview")
    assert [len(curve["values"]) for curve in said["curves"]] == [42, 42]
    said = written(find_lr, "find_lr", *QUICK, "find_lr.updates=100", "find_lr.seeds=2")
    require_documented(said, "find_lr")
    assert len(said["seeds"]) == 2


@pytest.mark.slow
def test_a_study_that_is_carried_out_writes_it_too(written):
    typed = ("scheduler=constant,cosine", "study.tuning=3", "study.seeds=3", "hydra.launcher.in_process=true")
    said = written(study, "study", "name", *QUICK, *typed)
    require_documented(said, "study", {"constant", "cosine"})


def test_numbers_that_are_not_known_are_null(written, tmp_path):
    write_sweep(tmp_path / "sweep", {"constant": {0.1: [0.8]}, "cosine": {0.1: [0.9]}})
    [contest] = written(compare, "compare", "sweep")["contests"]
    assert contest["pairs"][0]["difference"]["low"] is None
    assert "Infinity" not in Path("found.json").read_text()


def test_advice(written):
    said = written(
        advise, "advise", *QUICK, "trainer.epochs=10", "scheduler=linear", "budget=4", "hydra.launcher.in_process=true"
    )
    require_documented(said, "advise")
    assert said["cost"]["runs"] == len(said["tried"])


def test_predictions(written, tmp_path):
    train(tmp_path / "run", "model=linear", "trainer.epochs=12", "scheduler=linear", "data.batch_size=256")
    said = written(predict, "predict", str(tmp_path / "run"), "scheduler=cosine,plateau")
    require_documented(said, "predict")
    assert [row["rank"] for row in said["predictions"]] == [1, 2, None]
