"""`lrlab study`: tuned by as many runs, judged on fresh seeds and on test images, gone on with, and never changed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from fabricated import write_study
from support import OWN_SPLITS, ROOT

from lrlab.commands import compare, study
from lrlab.comparison import design, led, verdict

SMALL = ("model=linear", "trainer.epochs=1", "data.batch_size=256", "hydra.launcher.in_process=true")
QUICK = ("scheduler=constant,cosine", "optimizer.lr=0.01,0.1", "study.tuning=4", "study.seeds=4", "study.looks=1")


@pytest.fixture
def carry_out(enter):
    """Run `lrlab study ARGUMENTS` in this process."""
    return partial(enter, study.main)


@pytest.fixture
def look(enter):
    return partial(enter, compare.main)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study that was carried out once."""
    folder, before, argv = tmp_path_factory.mktemp("done"), os.getcwd(), sys.argv
    os.chdir(folder)
    try:
        sys.argv = ["lrlab", "first", *QUICK, *SMALL]
        study.main()
    finally:
        os.chdir(before)
        sys.argv = argv
    return folder / "outputs"


@pytest.fixture
def outputs(done, tmp_path) -> Path:
    shutil.copytree(done, tmp_path / "outputs")
    return tmp_path / "outputs"


def said(outputs: Path, name: str = "first") -> dict:
    return json.loads((outputs / "studies" / name / "study.json").read_text())


def test_every_candidate_has_as_many_tuning_runs_and_seeds_that_decided_nothing(outputs):
    record = said(outputs)
    tuned = {name: {(lr, seed) for lr, seed, _ in runs} for name, runs in record["tuning"].items()}
    assert {name: len(runs) for name, runs in tuned.items()} == {"constant": 4, "cosine": 4}
    assert {(0.01, 0), (0.1, 0)} <= tuned["constant"] & tuned["cosine"]
    judged = {name: {seed for _, seed, _ in runs} for name, runs in record["judging"].items()}
    assert {len(seeds) for seeds in judged.values()} == {4}
    assert not judged["constant"] & judged["cosine"]
    tuning_seeds = {seed for runs in tuned.values() for _, seed in runs}
    assert not tuning_seeds & set.union(*judged.values())


def test_the_lr_is_chosen_on_val_and_the_verdict_is_on_test(outputs):
    record = said(outputs)
    folder = outputs / "studies" / "first"
    for name, runs in record["tuning"].items():
        values = {}
        for lr, _, run in runs:
            summary = json.loads((folder / "tuning" / run / "summary.json").read_text())
            values.setdefault(lr, []).append(summary["val_accuracy"])
            assert not (folder / "tuning" / run / "test.json").exists()  # tuning never looked at test images
        assert record["design"]["lrs"][name] in values
    found = verdict.read(folder)
    for judged in found.candidates:
        scores = [json.loads((run.folder / "test.json").read_text()) for run in judged.runs]
        assert judged.values == [score["measured"]["test_accuracy"] for score in scores]
        assert [score["looks"] for score in scores] == [1] * 4


def test_the_same_command_goes_on_with_nothing_and_says_the_same(carry_out, outputs):
    before = {path: path.stat().st_mtime_ns for path in (outputs / "studies").rglob("history.csv")}
    again = carry_out("first", *QUICK, *SMALL)
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in (outputs / "studies").rglob("history.csv")} == before
    assert again.out.count("seeds each") == 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (["study.seeds=5"], "maximum 5 and not 4"),
        (["study.margin=1%"], "margin 0.01 and not None"),
        pytest.param(["study.metric=loss"], "metric loss and not accuracy", marks=pytest.mark.slow),
        pytest.param(["study.tuning=5"], "tuning 5 and not 4", marks=pytest.mark.slow),
        pytest.param(["study.test=welch"], "test welch and not auto", marks=pytest.mark.slow),
    ],
)
def test_a_protocol_is_not_changed_after_a_look_without_a_word(carry_out, outputs, changed, what):
    before = (outputs / "studies" / "first" / "study.json").read_bytes()
    refused = carry_out("first", *QUICK, *SMALL, *changed)
    assert refused.code == 1
    assert f"got another protocol than that of outputs/studies/first ({what}" in refused.err
    assert "after 1 look; " in refused.err
    assert "do: study.change=true, which makes this one exploratory" in refused.err
    assert (outputs / "studies" / "first" / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (["trainer.epochs=2"], "number of epochs (2 and not 1)"),
        pytest.param(["data.split_seed=1"], "split", marks=pytest.mark.slow),
        pytest.param(["optimizer.momentum=0"], "setting", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("asked", [[], ["study.change=true"]])
def test_other_runs_are_another_study_even_while_it_is_tuned(carry_out, outputs, changed, what, asked):
    """They once were counted as runs of the new protocol: folders are named by what varies."""
    file = outputs / "studies" / "first" / "study.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "design": None, "judging": {}, "looks": 0}))
    (outputs / "studies" / "first" / "judging" / "sweep.json").unlink()
    refused = carry_out("first", *QUICK, *SMALL, *changed, *asked)
    assert refused.code == 1
    assert f"study: got runs with another {what} than those of outputs/studies/first; " in refused.err


@pytest.mark.usefixtures("outputs")
@pytest.mark.slow
def test_looking_again_by_other_weights_changes_no_verdict(enter, look):
    from lrlab.commands import evaluate

    before = look("outputs/studies/first").out
    assert enter(evaluate.main, "outputs/studies/first/judging", "evaluate.weights=best").code == 0
    assert look("outputs/studies/first").out == before


def test_a_hand_on_the_design_stays_visible_when_the_study_goes_on(carry_out, outputs):
    file = outputs / "studies" / "first" / "study.json"
    record = json.loads(file.read_text())
    record["design"]["levels"] = [0.5]
    file.write_text(json.dumps(record))
    again = carry_out("first", *QUICK, *SMALL)
    assert again.code == 0, again.err
    assert "exploratory: the design changed after 1 look" in again.out
    assert "changed: study.json by hand, after 1 look" in again.out


def test_without_its_tuning_runs_a_study_claims_nothing(look, outputs):
    shutil.rmtree(outputs / "studies" / "first" / "tuning")
    shown = look("outputs/studies/first")
    assert shown.code == 0, shown.err
    assert "exploratory: the tuning runs are not those by which the design was made" in shown.out


@pytest.mark.parametrize("said", [{"test_accuracy": 1.7}, {"test_loss": 0.5}])
def test_a_score_that_is_none_is_measured_again_and_never_claimed(carry_out, look, outputs, said):
    run = next((outputs / "studies" / "first" / "judging").glob("*cosine*"))
    score = json.loads((run / "test.json").read_text())
    (run / "test.json").write_text(json.dumps({**score, "measured": said}))
    assert "unfinished: " in look("outputs/studies/first").out
    assert carry_out("first", *QUICK, *SMALL).code == 0
    assert json.loads((run / "test.json").read_text())["measured"] == score["measured"]


@pytest.mark.slow
def test_runs_that_do_not_say_how_they_ended_are_told_and_not_waited_for(carry_out, tmp_path):
    typed = (*QUICK, *SMALL, "data.val=official")
    assert carry_out("name", *typed).code == 0
    for file in (tmp_path / "outputs" / "studies" / "name" / "judging").glob("*/summary.json"):
        summary = json.loads(file.read_text())
        del summary["val_accuracy"]
        file.write_text(json.dumps(summary))
    refused = carry_out("name", *typed)
    assert refused.code == 1
    assert "got runs that have ended and do not say how; " in refused.err


@pytest.mark.parametrize("name", ["a b", "../x", ""])
def test_a_name_that_is_none_is_told_as_the_studys(carry_out, name):
    refused = carry_out(name, *QUICK, *SMALL)
    assert "lrlab: error: study: got " in refused.err
    assert "sweep" not in refused.err


@pytest.mark.parametrize("option", ["compare.metric=val_loss", "compare.reference=cosine", "compare.target=0.5"])
@pytest.mark.usefixtures("outputs")
def test_what_a_study_declared_is_not_asked_for_again(look, option):
    refused = look("outputs/studies/first", option)
    assert refused.code == 1
    assert ", for a study, which declared what it is judged by; " in refused.err


@pytest.mark.usefixtures("outputs")
def test_a_change_that_is_asked_for_makes_the_report_exploratory(carry_out, look):
    changed = carry_out("first", *QUICK, *SMALL, "study.seeds=5", "study.change=true")
    assert changed.code == 0, changed.err
    assert "exploratory: the design changed after " in changed.out
    assert "changed: maximum 5 and not 4" in changed.out
    assert " is better than " not in changed.out
    shown = look("outputs/studies/first")
    assert "exploratory: the design changed after " in shown.out


def test_a_design_that_is_changed_by_hand_makes_it_exploratory_too(look, outputs):
    file = outputs / "studies" / "first" / "study.json"
    assert "exploratory" not in look("outputs/studies/first").out
    record = json.loads(file.read_text())
    record["protocol"]["margin"] = 0.5
    file.write_text(json.dumps(record))
    shown = look("outputs/studies/first")
    assert shown.code == 0
    assert "exploratory: the design changed after 1 look" in shown.out


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (
            ["study.seeds=2"],
            "study.seeds: got 2, which find no difference of three standard deviations among 1 pair; allowed: 3 to",
        ),
        (["study.tuning=1"], "study.tuning: got 1; allowed: at least 2, a run for each base LR; do: study.tuning=7"),
        (["study.margin=0"], "study.margin: got 0.0; allowed: a number above 0, such as 0.005 or 0.5%"),
        (["study.margin=a"], "study.margin: got a; allowed: a number above 0"),
        (
            ["study.margin=0.5"],
            "study.margin: got 0.5, which is 50 points; allowed: below 10% of accuracy; do: study.margin=0.5%",
        ),
        (["data.val=0.3%"], "study: got 4 samples that choose the base LRs; allowed: 10 or more"),
        (["study.looks=11"], "study.looks: got 11; allowed: an integer >= 1 and <= 10"),
        (["optimizer.lr=0.1,abc"], "optimizer.lr: got abc; allowed: a number above 0 for every candidate"),
        (["optimizer.lr=0.1,nan"], "optimizer.lr: got nan; allowed: a number above 0"),
        (["optimizer.lr=0.1,null"], "optimizer.lr: got None; allowed: a number above 0"),
        (["seed=0,1"], "seed: got 0,1, for a study; allowed: nothing: "),
        (["sweep=x"], "sweep: got x, for a study; allowed: nothing: "),
        (["trainer.epochs=1,2"], "study: got candidates with different trainer.epochs ("),
        (["data.val=10%,20%"], "study: got candidates with different data ("),
        (["study.metric=speed"], "study.metric: got 'speed'; allowed: loss, accuracy, "),
        (["study.test=t"], "study.test: got 't'; allowed: auto, welch, paired; "),
        (["scheduler=constant"], "study: got one candidate ("),
        (["another"], "study: got 2 names (name, another); allowed: one name for the study; "),
        (["scheduler=cosin,constant"], "scheduler: got "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(carry_out, tmp_path, typed, error):
    keys = [one.partition("=")[0] for one in typed]
    others = [one for one in (*QUICK, *SMALL) if one.partition("=")[0] not in keys]
    refused = carry_out("name", *others, *typed)
    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert error in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_study_of_ones_own_data_is_judged_by_its_test_images(carry_out, tmp_path):
    (tmp_path / "my_study_splits.py").write_text(OWN_SPLITS)
    typed = ("data._target_=my_study_splits.data", "data.val=25%", "data.batch_size=8")
    ended = carry_out("name", *QUICK, *SMALL[:2], *SMALL[3:], *typed)
    assert ended.code == 0, ended.err
    assert "judged by test accuracy" in ended.out


@pytest.mark.slow
def test_the_name_stands_anywhere_beside_a_folder_of_ones_own(carry_out, tmp_path):
    (tmp_path / "conf" / "scheduler").mkdir(parents=True)
    typed = ("--config-dir", str(tmp_path / "conf"), *QUICK, *SMALL)
    assert carry_out(*typed, "name").code == 0
    assert carry_out("name", *typed).code == 0


@pytest.mark.slow
def test_a_recipe_names_candidates_and_lrs_and_its_seeds_are_the_studys(carry_out, tmp_path):
    typed = (
        "experiment=schedules_digits",
        "scheduler=constant,cosine",
        "study.tuning=3",
        "study.seeds=3",
        "study.looks=1",
    )
    ended = carry_out("name", *typed, *SMALL)
    assert ended.code == 0, ended.err
    record = said(tmp_path / "outputs", "name")
    assert record["protocol"]["grids"] == {"constant": [0.02, 0.06, 0.2], "cosine": [0.02, 0.06, 0.2]}


def test_more_candidates_need_more_seeds(carry_out):
    typed = ("scheduler=constant,cosine,linear,exponential,rex,polynomial", "study.test=welch", "study.looks=1")
    refused = carry_out("name", *typed, "study.seeds=4", *SMALL)
    said = "study.seeds: got 4, which find no difference of three standard deviations among 15 pairs; allowed: 5 to "
    assert said in refused.err
    assert refused.err.endswith("do: study.seeds=5\n")


@pytest.mark.slow
def test_a_killed_study_goes_on_to_what_it_would_have_been(outputs, tmp_path):
    """Killed at several moments, and started again each time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lrlab.study", "killed", *QUICK, *SMALL[:-1], "hydra.launcher.threads=1"]
    (tmp_path / "there").mkdir()
    for seconds in (3.0, 5.0, 7.0):
        process = subprocess.Popen(
            command, cwd=tmp_path / "there", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1)
    ended = subprocess.run(
        command, cwd=tmp_path / "there", env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    whole, killed = said(outputs), said(tmp_path / "there" / "outputs", "killed")
    for part in ("protocol", "design", "tuning", "judging", "looks"):
        assert killed[part] == whole[part]
    assert killed["sha256"] == whole["sha256"]
    values = [
        [judged.values for judged in verdict.read(folder).candidates]
        for folder in (outputs / "studies" / "first", tmp_path / "there" / "outputs" / "studies" / "killed")
    ]
    assert values[0] == values[1]


@pytest.mark.slow
def test_without_a_test_split_it_says_so_and_judges_by_val(carry_out, tmp_path):
    ended = carry_out("name", *QUICK, *SMALL, "data.val=official")
    assert ended.code == 0, ended.err
    assert "judged by val accuracy" in ended.out
    assert "no test split: fresh seeds were judged by the images that chose the base LRs" in ended.out
    assert not list(tmp_path.rglob("test.json"))
    assert "exploratory: the samples that judge have chosen the base LRs too" in ended.out
    assert not re.search(r" is (better|worse) than ", ended.out)


@pytest.mark.slow
def test_runs_that_diverge_count_in_tuning_and_as_collapsed_in_judging(carry_out, tmp_path):
    typed = ("scheduler=constant,cosine", "optimizer.lr=0.05,1e20", "study.tuning=4", "study.seeds=3", "study.looks=1")
    ended = carry_out("name", *typed, *SMALL)
    assert ended.code == 0, ended.err
    found = verdict.read(tmp_path / "outputs" / "studies" / "name")
    assert [judged.tuning.failed for judged in found.candidates] == [1, 1]
    assert [judged.tuning.runs for judged in found.candidates] == [4, 4]
    assert all(judged.tuning.lr < 1 for judged in found.candidates)
    assert ", 1 failed" in ended.out


@pytest.mark.slow
def test_an_unfinished_study_claims_nothing_and_says_how_to_go_on(look, tmp_path):
    table = {"a": [0.90, 0.91, 0.90, 0.92, 0.91], "b": [0.91, 0.90, 0.91, 0.92, 0.90]}
    write_study(tmp_path / "half", table, maximum=20, looks=4)
    shown = look(str(tmp_path / "half"))
    assert shown.code == 0, shown.err
    assert "unfinished: 1 of 4 looks done, and nothing is claimed before the study ends; to go on:" in shown.out
    assert "lrlab study fabricated" in shown.out
    assert "cannot be told apart" not in shown.out
    assert " is better than " not in shown.out


def test_a_finished_study_is_shown_with_its_page_its_paragraph_and_its_table(look, outputs):
    shown = look("outputs/studies/first", "compare.json=found.json", "compare.exit_code=true")
    assert shown.code in (0, 3)
    folder = outputs / "studies" / "first"
    found = json.loads((outputs.parent / "found.json").read_text())
    assert (found["schema"], found["kind"], found["finished"]) == (1, "study", True)
    [pair] = found["pairs"]
    assert (shown.code == 3) == (pair["verdict"] == "undecided")
    page = (folder / "report.html").read_text()
    methods = (folder / "methods.txt").read_text().strip()
    for fact in ("1,293 samples", "144 validation", "360 test samples", "4 runs", "Welch's t", "data.val=10%", "torch"):
        assert fact in methods
    assert "each model was evaluated 1 time, after training" in methods
    for judged in verdict.read(folder).candidates:
        assert all(f"judging/{run.name.replace('=', '%3D').replace(',', '%2C')}" in page for run in judged.runs)
        assert judged.name in (folder / "table.tex").read_text()


@pytest.mark.slow
def test_a_damaged_study_is_one_line(look, outputs):
    file = outputs / "studies" / "first" / "study.json"
    record = json.loads(file.read_text())
    record["judging"]["cosine"][0][2] = "../../elsewhere"
    odd = {**record, "judging": said(outputs)["judging"]}
    texts = [json.dumps({**odd, part: value}) for part in ("protocol", "design", "looks") for value in ([], "x", -1)]
    for part in ("protocol", "design"):
        for name in odd[part]:
            texts += [json.dumps({**odd, part: {**odd[part], name: value}}) for value in ({}, [], -1, [None], "x")]
    told = [text for text in texts if json.loads(text) != odd]
    for text in ("{", "[]", json.dumps({**record, "study": 99}), json.dumps(record), *told):
        file.write_text(text)
        shown = look("outputs/studies/first")
        if shown.code == 0:  # it may still make sense: another margin, say
            assert "exploratory" in shown.out or "unfinished" in shown.out, text
            continue
        assert shown.code == 1
        assert len(shown.err.splitlines()) == 1
        assert "study.json, which is damaged (" in shown.err


@pytest.mark.slow
@pytest.mark.usefixtures("outputs")
def test_where_it_is_computed_is_no_other_protocol(carry_out):
    again = carry_out("first", *QUICK, *SMALL[:-1], "hydra.launcher.n_jobs=2", "trainer.device=cpu")
    assert again.code == 0, again.err


def test_the_record_is_read_back_as_it_was_written(outputs):
    folder = outputs / "studies" / "first"
    record = design.read(folder)
    before = (folder / "study.json").read_text()
    record.write(folder)
    assert (folder / "study.json").read_text() == before


PREDICTED = ("scheduler=constant,cosine,linear", "study.seeds=5", "study.looks=1", "study.predict=true")


@pytest.mark.slow
def test_lrs_follow_from_those_of_one_candidate_with_fewer_runs(carry_out, look, tmp_path):
    typed = (*PREDICTED, "study.tuning=6", *SMALL[:1], "trainer.epochs=6", *SMALL[2:])
    done = carry_out("led", *typed)
    assert done.code == 0, done.err
    assert "predict    LRs of 2 candidates follow from those of cosine: 14 tuning runs instead of 18" in done.out
    record = said(tmp_path / "outputs", "led")
    tuned = {name: [lr for lr, _, _ in runs] for name, runs in record["tuning"].items()}
    assert {name: len(lrs) for name, lrs in tuned.items()} == {"cosine": 6, "constant": 4, "linear": 4}

    # They are those of the bound, and nothing else of the protocol is another one.
    lr, ratios = record["design"]["lrs"]["cosine"], record["protocol"]["led"]["ratios"]
    for name, ratio in ratios.items():
        follows = led.following_lr(lr, ratio)
        assert tuned[name][0] == tuned[name][3] == follows
        assert min(tuned[name]) < follows < max(tuned[name])
    assert ratios["constant"] < 0.9 < ratios["linear"]
    assert {len(runs) for runs in record["judging"].values()} == {5}
    assert look("outputs/studies/led").code == 0
    [methods] = Path("outputs").rglob("methods.txt")
    assert "of cosine with 6 runs (a grid" in methods.read_text()
    assert "of constant, linear with 4 runs each, beginning with the learning rate that follows" in methods.read_text()

    # The same command again trains nothing.
    again = carry_out("led", *typed)
    assert again.code == 0
    assert "[1/" not in again.out


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["model=linear,mlp"], "got true, for candidates that differ in model; allowed: candidates that differ in"),
        (["scheduler=cosine,plateau"], "got true; allowed: at least two candidates whose LRs are known"),
    ],
)
def test_candidates_whose_lrs_do_not_follow_are_tuned_by_themselves(carry_out, typed, line):
    done = carry_out("led", *typed, *QUICK[1:], *SMALL[1:], "study.predict=true")
    assert done.code == 1
    assert f"study.predict: {line}" in done.err


@pytest.mark.usefixtures("outputs")
def test_a_study_that_began_without_predictions_is_not_gone_on_with_by_them(carry_out):
    done = carry_out("first", *QUICK, *SMALL, "study.predict=true")
    assert done.code == 1
    assert "another protocol than that of outputs/studies/first (led)" in done.err
