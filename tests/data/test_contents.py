"""A folder of images is known again wherever it lies, and what changed in it is said."""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from image_changes import (
    add_an_image,
    add_one_and_remove_another,
    call_val_test,
    copy,
    link,
    move,
    move_an_image_to_another_class,
    rename_a_class,
    replace_all,
    replace_an_image,
    replace_an_image_by_one_of_its_size,
    swap_classes,
    touch,
)
from support import folder_of_images

from lrlab.config import other_data
from lrlab.data import contents
from lrlab.data.datasets import digits, fake, image_folder
from lrlab.data.map_datasets import Fixed
from lrlab.data.splits import Splits


@pytest.fixture
def root(tmp_path) -> Path:
    return folder_of_images(tmp_path / "images")


def known(root: Path) -> dict:
    return image_folder(str(root)).contents


CHANGES = {
    rename_a_class: "train is without class red and with the new class crimson",
    swap_classes: "train/blue/0.png is another file",
    replace_an_image: "train/red/1.png is another file",
    replace_an_image_by_one_of_its_size: "val/red/1.png is another file",
    replace_all: "train/blue/0.png is another file",
    add_an_image: "train/red holds 4 files and held 3",
    add_one_and_remove_another: "train/red/0.png is gone",
    move_an_image_to_another_class: "val/blue holds 4 files and held 3",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_is_said(root, change):
    before = known(root)
    change(root)
    assert other_data.difference(before, known(root)) == CHANGES[change]


@pytest.mark.parametrize("change", [touch, move, copy, link, call_val_test], ids=lambda change: change.__name__)
def test_the_same_files_elsewhere_and_of_another_time_are_the_same_data(root, change):
    before = known(root)
    after = change(root)
    assert known(after) == before
    assert known(f"{after}/") == before
    assert other_data.difference(before, known(after)) == ""


def test_a_relative_path_and_an_absolute_one_are_the_same_data(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert known(Path("images")) == known(root) == known(Path("../") / root.parent.name / "images")


def test_of_many_files_all_names_count_many_sizes_and_some_beginnings(tmp_path, monkeypatch):
    """A folder of 30 files stands for a large one: the bounds are lowered."""
    for bound, value in (("_SIZES", 10), ("_BEGINNINGS", 5), ("_NAMED", 3)):
        monkeypatch.setattr(contents, bound, value)
    folder = tmp_path / "train"
    (folder / "red").mkdir(parents=True)
    for index in range(30):
        (folder / "red" / f"{index:02}.png").write_bytes(bytes([index]) * 50)
    samples = [(str(path), 0) for path in sorted(folder.rglob("*.png"))]
    asked: list[str] = []
    for name in ("_size", "_beginning"):
        original = getattr(contents, name)
        monkeypatch.setattr(contents, name, lambda path, original=original: asked.append(path) or original(path))
    before = contents.of_files([folder / "red"], samples, ["red"])
    assert len(asked) == 10 + 5
    assert len(before["files"]) == 3
    (folder / "red" / "03.png").write_bytes(b"x" * 51)
    assert (
        _said(before, contents.of_files([folder / "red"], samples, ["red"])) == "train holds other files in class red"
    )
    (folder / "red" / "03.png").write_bytes(bytes([3]) * 50)
    (folder / "red" / "00.png").write_bytes(b"x" * 50)
    assert _said(before, contents.of_files([folder / "red"], samples, ["red"])) == "train/red/00.png is another file"
    (folder / "red" / "00.png").write_bytes(bytes(50))
    renamed = [*samples[:-1], (str(folder / "red" / "30.png"), 0)]
    assert (
        _said(before, contents.of_files([folder / "red"], renamed, ["red"])) == "train holds other files in class red"
    )
    assert contents.of_files([folder / "red"], samples, ["red"]) == before


def _said(before: dict, now: dict) -> str:
    return other_data.difference({"train": before}, {"train": now})


def test_names_that_no_terminal_should_show_are_told_with_escapes(tmp_path):
    root = folder_of_images(tmp_path / "images")
    for name in (b"\xff.png", b"a\nb.png"):
        shutil.copy(root / "train" / "red" / "1.png", os.path.join(os.fsencode(root / "train" / "red"), name))
    files = known(root)["train"]["files"]
    assert {"red/\\xff.png", "red/a\\nb.png"} <= files.keys()


def test_a_file_that_cannot_be_read_is_told_when_it_is_decoded(root):
    path = root / "train" / "red" / "1.png"
    path.unlink()
    path.symlink_to("nowhere.png")
    assert known(root)["train"]["files"]["red/1.png"] == [-1, ""]


def test_data_in_memory_costs_nothing_and_says_nothing(monkeypatch):
    monkeypatch.setattr(
        "lrlab.data.map_datasets.Images.tensors", property(lambda _: pytest.fail("the images were loaded"))
    )
    assert digits().contents is None
    assert fake().contents is None
    assert Splits(torch.utils.data.TensorDataset(), torch.utils.data.TensorDataset(), 2).contents is None


def test_a_fingerprint_of_ones_own_is_believed():
    def named(name: str) -> dict:
        return Splits(Fixed([1], name), [1], 2).contents

    assert named("a") == {"train": {"fingerprint": "a"}}
    assert other_data.difference(named("a"), named("a")) == ""
    assert other_data.difference(named("a"), named("b")) == "train had the fingerprint a, has b"


@pytest.mark.parametrize("seed", range(20))
def test_what_anybody_may_have_written_breaks_nothing(root, seed):
    draw = random.Random(seed)
    odd = [None, 3, "x", [], {}, {"train": 1}, [1, 2], float("nan")]

    def mangled(value):
        if draw.random() < 0.2:
            return draw.choice(odd)
        return {key: mangled(one) for key, one in value.items()} if isinstance(value, dict) else value

    for _ in range(50):
        assert isinstance(other_data.difference(mangled(known(root)), mangled(known(root))), str)
