"""What makes a run that run is asked in one place: settings, and data where it is known."""

import pytest

from lrlab.config import identity
from lrlab.config.identity import Identity, difference

SAVED = {"seed": 0, "optimizer": {"lr": 0.1}, "data": {"_target_": "m.images", "root": "a"}, "trainer": {"epochs": 5}}
FOLDER = "lrlab.data.datasets.image_folder"


def contents(size: int = 9) -> dict:
    known = {"classes": {"red": [1, str(size)]}, "files": {"red/0.png": [size, ""]}}
    return {"train": known, "val": known}


def changed(**parts: dict) -> Identity:
    return identity.of({**SAVED, **parts})


@pytest.mark.parametrize(
    ("now", "key", "before", "got"),
    [
        ({"optimizer": {"lr": 0.2}}, "optimizer.lr", "0.1", "0.2"),
        ({"optimizer": {"lr": 0.1, "momentum": 0.9}}, "optimizer.momentum", "nothing", "0.9"),
        ({"optimizer": {}}, "optimizer.lr", "0.1", "nothing"),
        ({"seed": 1, "optimizer": {"_target_": "x", "lr": 0.2}}, "optimizer._target_", "nothing", "x"),
        ({"trainer": {"epochs": 9}}, "trainer.epochs", "5", "9"),
        ({"data": {"_target_": "m.images", "root": "b"}}, "data.root", "a", "b"),
    ],
)
def test_the_first_difference_is_named_classes_first(now, key, before, got):
    found = difference(identity.of(SAVED), changed(**now))
    assert (found.key, found.before, found.now, found.in_data) == (key, before, got, False)
    assert str(found.refusal("the run has", allowed="the same", do="leave it out")) == (
        f"{key}: got {got}, but the run has {before}; allowed: the same; do: leave it out"
    )


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"optimizer": {"lr": 0.1}, "seed": 0.0, "trainer": {"epochs": 5, "device": "cuda", "timeout": 3}},
        {"resume": "x", "extend": 9, "sweep": "s", "checkpoint": {"every": "5min"}},
        {"data": {**SAVED["data"], "workers": 3, "cache": "none", "cache_dir": "there", "download": False}},
    ],
)
def test_where_and_how_a_run_computes_makes_it_no_other_run(now):
    assert difference(identity.of(SAVED), changed(**now)) is None


def test_what_may_change_is_no_difference():
    assert difference(identity.of(SAVED), changed(trainer={"epochs": 9}), may_change=["trainer.epochs"]) is None


def test_values_are_compared_as_values():
    assert difference(Identity({"a": 1, "b": [1, 2]}), Identity({"a": 1.0, "b": [1.0, 2]})) is None
    assert difference(Identity({"a": float("nan")}), Identity({"a": float("nan")})) is None
    assert difference(Identity({"a": True}), Identity({"a": 1})).key == "a"
    assert difference(Identity({"a": None}), Identity({"a": "None"})).key == "a"


def test_data_that_is_known_decides_and_its_place_does_not():
    def known(root: str, size: int | None) -> Identity:
        return Identity({"data._target_": FOLDER, "data.root": root}, None if size is None else contents(size))

    assert difference(known("a", 9), known("b", 9)) is None
    other = difference(known("a", 9), known("b", 8))
    assert (other.key, other.before, other.now) == ("data.root", "other data (train/red/0.png is another file)", "b")
    assert other.in_data
    assert difference(known("a", 9), known("a", 8)).in_data
    for one, two in ((9, None), (None, 9), (None, None)):  # as in runs of commit 25a6d11
        assert difference(known("a", one), known("a", two)) is None
        assert difference(known("a", one), known("b", two)).before == "a"


def test_another_class_of_data_is_named_before_what_the_data_holds():
    one, other = Identity({"data._target_": "x"}, contents(1)), Identity({"data._target_": "y"}, contents(2))
    assert difference(one, other).key == "data._target_"


def test_the_tab_of_hyperparameters_asks_here_too():
    config = {
        **SAVED,
        "checkpoint": {"every": 3},
        "sweep": "s",
        "trainer": {"epochs": 5, "monitor": "x", "device": "cpu"},
    }
    assert identity.watched(config) == {
        "optimizer.lr": 0.1,
        "data._target_": "m.images",
        "data.root": "a",
        "trainer.epochs": 5,
    }


def test_folders_of_images_are_other_data_and_a_downloaded_set_is_the_same_wherever_it_lies():
    images = [
        identity.identity({"data": {"_target_": "lrlab.data.datasets.image_folder", "root": root}}) for root in "ab"
    ]
    known = [
        identity.identity({"data": {"_target_": "lrlab.data.datasets.torchvision_images", "root": root}})
        for root in "ab"
    ]
    assert identity.fingerprint(images[0]) != identity.fingerprint(images[1])
    assert identity.fingerprint(known[0]) == identity.fingerprint(known[1])


def test_settings_are_the_same_where_their_values_are():
    assert identity.fingerprint({"a": 1, "b": float("nan")}) == identity.fingerprint({"b": float("nan"), "a": 1.0})
    assert identity.fingerprint({"a": True}) != identity.fingerprint({"a": 1})


@pytest.mark.parametrize("seed", [2**53, 2**63 - 2])
def test_seeds_that_a_float_cannot_tell_apart_are_two_runs(seed):
    one, other = identity.of({"seed": seed}), identity.of({"seed": seed + 1})
    assert identity.difference(one, other).key == "seed"
    assert identity.fingerprint(one.settings) != identity.fingerprint(other.settings)


def test_values_inside_of_lists_are_compared_as_values_too():
    one = identity.of({"scheduler": {"schedulers": [{"_target_": "x", "gamma": 1, "steps": [2.0]}]}})
    other = identity.of({"scheduler": {"schedulers": [{"steps": [2], "gamma": 1.0, "_target_": "x"}]}})
    another = identity.of({"scheduler": {"schedulers": [{"steps": [2], "gamma": 1.5, "_target_": "x"}]}})
    assert identity.difference(one, other) is None
    assert identity.difference(one, another).key == "scheduler.schedulers"


@pytest.mark.parametrize(
    ("before", "now"), [({"dropout": 0}, {"dropout": 0.0}), ({"crop": None}, {}), ({}, {"crop": None})]
)
def test_settings_that_mean_the_same_are_no_difference(before, now):
    one, other = identity.of({"model": before}), identity.of({"model": now})
    assert identity.difference(one, other) is None
    assert identity.fingerprint(one.settings) == identity.fingerprint(other.settings)


def test_another_place_is_free_only_where_both_splits_are_known():
    known = {"fingerprint": "a"}
    here, there = {"data": {"root": "here"}}, {"data": {"root": "there"}}
    both, one = {"train": known, "val": known}, {"val": known}
    assert identity.difference(identity.of(here, both), identity.of(there, both)) is None
    assert identity.difference(identity.of(here, one), identity.of(there, one)).key == "data.root"
    assert identity.difference(identity.of(here, both), identity.of(there, one)).key == "data.root"
