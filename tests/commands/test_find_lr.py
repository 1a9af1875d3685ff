"""The LR finder: a suggestion with its spread, a figure, and nothing else left behind."""

import csv
import json
import re
import shutil
import statistics
from dataclasses import fields
from functools import partial

import pytest
from support import train

from lrlab.commands import find_lr
from lrlab.training import range_test


@pytest.fixture
def find(enter):
    """Run `python -m lrlab.find_lr ARGUMENTS` in this process."""
    return partial(enter, find_lr.main)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_five_seeds_agree_and_a_figure_is_all_that_is_left(find, tmp_path, optimizer):
    done = find(f"optimizer={optimizer}", "model=mlp")
    assert done.code == 0, done.err
    [folder] = (tmp_path / "outputs" / "find_lr").iterdir()
    assert {path.name for path in folder.iterdir()} == {"figure.png", "losses.csv", "summary.json"}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["find_lr"]
    found = json.loads((folder / "summary.json").read_text())
    suggested = [seed["lr"] for seed in found["seeds"].values()]
    assert len(suggested) == 5
    assert max(suggested) < 3 * min(suggested)
    assert found["lr"] == pytest.approx(statistics.median(suggested), rel=0.05)
    assert f"optimizer.lr={found['lr']:g}  (median of 5 of 5 seeds" in done.out
    assert f"python -m lrlab optimizer={optimizer} model=mlp optimizer.lr={found['lr']:g}" in done.out
    with (folder / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["seed"] for row in rows} == {"0", "1", "2", "3", "4"}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_at_the_suggested_lr_is_as_good_as_at_the_default(find, tmp_path, optimizer):
    assert find(f"optimizer={optimizer}").code == 0
    [folder] = (tmp_path / "outputs" / "find_lr").iterdir()
    found = json.loads((folder / "summary.json").read_text())
    suggested = [seed["lr"] for seed in found["seeds"].values()]
    assert len(suggested) == 5
    assert max(suggested) < 3 * min(suggested)
    accuracy = {}
    for name, lr in (("default", []), ("suggested", [f"optimizer.lr={found['lr']}"])):
        runs = [
            train(tmp_path / f"{name} {seed}", f"optimizer={optimizer}", f"seed={seed}", "trainer.epochs=10", *lr)
            for seed in range(2)
        ]
        accuracy[name] = statistics.mean(run["val_accuracy"] for run in runs)
    assert accuracy["suggested"] >= accuracy["default"] - 0.007  # one of 144 images


def test_the_same_command_finds_the_same_lr(find):
    first, second = (find("model=linear", "find_lr.seeds=2", "find_lr.updates=100") for _ in range(2))
    assert first.out.replace("/figure", "-2/figure").splitlines()[:-1] == second.out.splitlines()[:-1]


def losses(find, tmp_path, *typed: str) -> list[float]:
    assert find("model=linear", "find_lr.seeds=1", "find_lr.updates=30", *typed).code == 0
    [folder] = (tmp_path / "outputs" / "find_lr").iterdir()
    with (folder / "losses.csv").open(newline="") as file:
        found = [float(row["loss"]) for row in csv.DictReader(file)]
    shutil.rmtree(folder)
    return found


def test_it_computes_as_training_does(find, tmp_path):
    plain = losses(find, tmp_path)
    assert losses(find, tmp_path, "trainer.accumulate=4") == pytest.approx(plain, rel=1e-3)
    rounded = losses(find, tmp_path, "trainer.precision=bf16")
    assert rounded != plain
    assert rounded == pytest.approx(plain, rel=0.1)
    # The schedule is not part of the test: onecycle would begin with another momentum.
    assert losses(find, tmp_path, "scheduler=onecycle") == plain


def test_it_says_what_makes_a_suggestion_doubtful(find):
    out = find("model=linear", "find_lr.seeds=2", "find_lr.updates=200", "find_lr.end=0.02").out
    assert "warning: the loss was still falling at the last LR; find_lr.end=0.2" in out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["find_lr.begin=1"],
            r"find_lr\.begin: got a setting that does not exist; allowed: start, end",
        ),
        (["find_lr.start=0"], r"find_lr\.start: got 0; allowed: a number > 0"),
        (["find_lr.start=2", "find_lr.end=1"], r"find_lr\.end: got 1; allowed: a number > 2"),
        (["find_lr.end=high"], r"find_lr\.end: got 'high'; allowed: a number"),
        (["find_lr.updates=5"], r"find_lr\.updates: got 5; allowed: an integer >= 20"),
        (["find_lr.seeds=0"], r"find_lr\.seeds: got 0; allowed: an integer >= 1"),
        (["optimizer=sgd,adam"], r"find-lr: got 2 runs \(optimizer=sgd,adam\)"),
        (["-m"], r"command line: got -m"),
        (["optimizer=adm"], r"optimizer: got 'adm' \(did you mean adam\?\)"),
        (
            ["model=linear", "find_lr.end=2e-6", "find_lr.updates=20"],
            r"find_lr: got a loss that hardly falls",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(find, tmp_path, typed, message):
    done = find(*typed)
    assert done.code == 1
    assert re.search(message, done.err), done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_says_what_there_is(find):
    out = find("--help").out
    for field in fields(find_lr.FindLrSettings):
        assert f"find_lr.{field.name}=" in out


def test_what_torch_cannot_compute_is_explained_as_in_training(find, tmp_path, monkeypatch):
    def fails(*_arguments, **_settings):
        raise RuntimeError("some_backward does not have a deterministic implementation. You can turn it off.")
        yield

    monkeypatch.setattr(range_test, "range_test", fails)
    done = find("model=linear")
    assert done.code == 1
    assert done.err.startswith("lrlab: error: trainer.deterministic: got true, for an operation that ")
    assert done.err.count("\n") == 1
    assert list((tmp_path / "outputs").glob("**/*.*")) == []


def test_several_schedules_are_refused_with_a_command_for_each(enter):
    outcome = enter(find_lr.main, "scheduler=cosine,step")
    assert outcome.code == 1
    assert "find-lr: got 2 runs (scheduler=cosine,step); allowed: one" in outcome.err
    assert "do: a command for each" in outcome.err
