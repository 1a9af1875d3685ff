"""`lrlab evaluate`: the test split of trained runs, measured as validation is, and every look counted."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import DATASETS, OWN_SPLITS, composed, folder_of_images, needs_datasets, train

from lrlab.commands import evaluate
from lrlab.config import build, compose
from lrlab.data import datasets
from lrlab.models import Interface
from lrlab.runs import checkpoint, scores, testing

SMALL = ("model=linear", "trainer.epochs=2")


@pytest.fixture
def look(enter):
    """Run `lrlab evaluate ARGUMENTS` in this process."""
    return partial(enter, evaluate.main)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, *SMALL)
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def by_hand(folder: Path, weights: Path) -> torch.Tensor:
    """Logits of the official test images, with nothing of the loop."""
    node = compose.resolve(composed(*SMALL))["model"]
    model = build.build_model(node, Interface((1, 8, 8), 10, num_classes=10))
    model.load_state_dict(checkpoint.load(folder / weights)["state"]["model"])
    images, _ = datasets.digits().val.tensors
    with torch.no_grad():
        return model.eval()((images / 255 - 0.3054) / 0.376)


@pytest.mark.parametrize("weights", ["last", "best"])
def test_the_score_is_that_of_the_official_test_images_by_hand(look, run, weights):
    assert look(str(run), f"evaluate.weights={weights}").code == 0
    logits, labels = by_hand(run, testing.WEIGHTS[weights]), datasets.digits().val.tensors[1]
    score = scores.read(run, weights)
    assert (score.weights, score.images, score.looks) == (weights, 360, 1)
    assert score.measured["test_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert score.measured["test_accuracy"] == (logits.argmax(1) == labels).double().mean().item()
    if weights == "last":
        assert scores.each_image(run, "accuracy").tolist() == (logits.argmax(1) == labels).int().tolist()
        assert scores.each_image(run, "loss").mean() == pytest.approx(score.measured["test_loss"], rel=1e-5)


def test_every_look_is_counted_and_shown(look, run):
    for number in (1, 2, 3):
        outcome = look(str(run))
        assert outcome.code == 0
        header, row = outcome.out.splitlines()
        assert header.split()[-1] == "looks"
        assert row.split()[-1] == str(number)


@pytest.mark.slow
def test_what_a_run_names_of_the_users_own_is_typed_again_as_the_line_says(look, command, tmp_path):
    (tmp_path / "my_own_splits.py").write_text(OWN_SPLITS)
    typed = ("data._target_=my_own_splits.data", "data.val=25%", "model=linear", "trainer.epochs=1")
    assert command(*typed, "hydra.run.dir=mine").code == 0
    refused = look("mine")
    assert refused.code == 1
    do = refused.err.strip().partition("do: ")[2].partition(",")[0]
    assert look("mine", *do.split()).code == 0


def test_looks_by_other_weights_are_kept_apart_and_counted_together(look, run):
    assert look(str(run)).code == 0
    before = scores.read(run)
    assert look(str(run), "evaluate.weights=best").code == 0
    assert scores.read(run) == before
    assert scores.read(run, "best").looks == 2
    assert look(str(run)).out.splitlines()[-1].split()[-1] == "3"


def test_values_of_another_look_are_no_values_of_the_score(look, run):
    assert look(str(run)).code == 0
    before = (run / "test.npz").read_bytes()
    assert look(str(run)).code == 0
    assert scores.each_image(run, "loss") is not None
    (run / "test.npz").write_bytes(before)
    assert scores.each_image(run, "loss") is None


def test_looking_changes_nothing_of_the_run(look, run):
    before = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert look(str(run)).code == 0
    after = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {"test.json", "test.npz"}
    assert {name: after[name] for name in before} == before


def test_runs_without_a_test_split_and_unfinished_ones_are_told(look, run, tmp_path):
    train(tmp_path / "old", *SMALL, "data.val=official")
    alone = look(str(tmp_path / "old"))
    assert alone.code == 1
    assert "evaluate: got a run whose data has no test split; " in alone.err
    assert alone.err.endswith("; do: train again with data.val=10%\n")
    both = look(str(tmp_path / "old"), str(run))
    assert both.code == 0
    assert "left out: old (a run whose data has no test split)" in both.out
    said = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**said, "status": "running"}))
    assert "got a run that is not finished (running); " in look(str(run)).err
    none = look(str(tmp_path / "old"), str(run))
    assert none.code == 1
    assert "evaluate: got 2 runs, of which none can be measured; of the first, " in none.err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["data.val=20%"], "data.val: got 20%, but the checkpoint was saved with 10%; "),
        (["seed=1"], "seed: got 1, but the checkpoint was saved with 0; "),
        (["evaluate.weights=first"], "evaluate.weights: got 'first'; allowed: last, best, average; "),
        (["nowhere"], "which is no folder"),
        (["-m"], "command line: got -m; "),
    ],
)
def test_a_mistake_is_one_line_and_looks_at_nothing(look, run, typed, said):
    outcome = look(str(run), *typed)
    assert outcome.code == 1
    assert len(outcome.err.splitlines()) == 1
    assert said in outcome.err
    assert not (run / "test.json").exists()


@pytest.mark.slow
def test_other_data_than_it_was_trained_on_is_refused(look, tmp_path):
    folder_of_images(tmp_path / "images", ("train", "val", "test"))
    typed = ("data=imagefolder", f"data.root={tmp_path / 'images'}", "data.batch_size=6", *SMALL)
    train(tmp_path / "run", *typed)
    assert "data.root: got " in look(str(tmp_path / "run")).err  # a path from a file is typed again
    assert look(str(tmp_path / "run"), typed[1]).code == 0
    shutil.rmtree(tmp_path / "images" / "train" / "red")
    folder_of_images(tmp_path / "more", ("train",))
    shutil.copytree(tmp_path / "more" / "train" / "red", tmp_path / "images" / "train" / "red")
    (tmp_path / "images" / "train" / "red" / "extra.png").write_bytes(
        next((tmp_path / "images" / "train" / "red").glob("*")).read_bytes()
    )
    refused = look(str(tmp_path / "run"), typed[1])
    assert refused.code == 1
    assert "other data (train" in refused.err


def test_scores_from_anybody_are_read_as_far_as_they_make_sense(run):
    for text in (
        "{",
        "[]",
        '{"weights": 1}',
        '{"weights": "last", "step": "x", "images": 1, "looks": 1, "measured": 3}',
    ):
        (run / "test.json").write_text(text)
        assert scores.read(run) is None
    (run / "test.npz").write_bytes(b"PK nothing")
    assert scores.each_image(run, "accuracy") is None
    np.savez(run / "test.npz", accuracy=np.array([object()], dtype=object))
    assert scores.each_image(run, "accuracy") is None
    np.savez(run / "test.npz", accuracy=np.array([np.nan]), looks=np.array(1))
    assert scores.each_image(run, "accuracy") is None


@pytest.mark.slow
@needs_datasets
def test_mnist_is_measured_on_its_ten_thousand_test_images(look, tmp_path):
    data = (f"data.root={DATASETS}", "data.download=false")
    train(tmp_path / "run", "data=mnist", *data, "model=linear", "trainer.epochs=1")
    outcome = look(str(tmp_path / "run"), *data)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1].split()[-2:] == ["10,000", "1"]


def test_samples_are_called_what_they_are(look, run, tmp_path):
    def heading(folder: Path) -> list[str]:
        [line] = [line for line in look(str(folder)).out.splitlines() if line.endswith(" looks")]
        return line.split()[-2:]

    assert heading(run) == ["images", "looks"]
    typed = ("data=diabetes", "task=regression", "model=linear", "trainer.epochs=2")
    train(tmp_path / "numbers", *typed)
    assert heading(tmp_path / "numbers") == ["samples", "looks"]
    assert scores.read(tmp_path / "numbers").each == "sample"
    said = json.loads((run / "test.json").read_text())
    del said["each"]  # as earlier versions left it
    (run / "test.json").write_text(json.dumps(said))
    assert scores.read(run).each == "image"
