"""What counts as data in a folder of images, and which split a file belongs to."""

import os
import unicodedata

import pytest
from PIL import Image
from support import folder_of_images

from lrlab.data import datasets, image_files
from lrlab.errors import UserError


def names(dataset) -> list[str]:
    return [os.path.basename(path) for path, _ in dataset.samples]


def test_names_that_begin_with_a_dot_are_no_data(tmp_path):
    folder_of_images(tmp_path)
    for split in ("train", "val"):
        (tmp_path / split / ".ipynb_checkpoints").mkdir()
        Image.new("RGB", (12, 10)).save(tmp_path / split / ".ipynb_checkpoints" / "0-checkpoint.png")
        (tmp_path / split / "red" / "._0.png").write_bytes(b"\0\5\26\7 Mac OS X")
    splits = datasets.image_folder(str(tmp_path))
    assert (splits.num_classes, len(splits.train), splits.notes) == (2, 6, ())


@pytest.mark.parametrize("ending", ["jfif", "gif", "tga", "JPEG", "PNG", "webp", "bmp"])
def test_what_pil_reads_is_read(tmp_path, ending):
    folder_of_images(tmp_path)
    Image.new("RGB", (12, 10)).save(tmp_path / "train" / "red" / f"x.{ending}", format={"jfif": "JPEG"}.get(ending))
    assert len(datasets.image_folder(str(tmp_path)).train) == 7


def test_files_with_other_endings_are_counted(tmp_path):
    folder_of_images(tmp_path)
    for name in ("a.heic", "b.HEIC", "notes.txt", "README"):
        (tmp_path / "train" / "red" / name).write_bytes(b"x")
    splits = datasets.image_folder(str(tmp_path))
    assert len(splits.train) == 6
    assert splits.notes == ("data.root: not read, because of their endings: 2 .heic, 1 no ending, 1 .txt",)


def test_a_file_is_read_once_whatever_links_lead_to_it(tmp_path):
    folder_of_images(tmp_path)
    red = tmp_path / "train" / "red"
    (red / "loop").symlink_to(red)
    (red / "up").symlink_to(tmp_path)
    (red / "again.png").symlink_to(red / "0.png")
    (red / "more").mkdir()
    (red / "more" / "back").symlink_to(red)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (12, 10)).save(elsewhere / "new.png")
    (red / "linked").symlink_to(elsewhere)
    found = image_files.read(tmp_path / "train", None)
    reals = [os.path.realpath(path) for path, label in found.samples if label == 1]
    assert len(reals) == len(set(reals))
    assert {os.path.basename(path) for path in reals} >= {"0.png", "1.png", "2.png", "new.png"}


def test_two_forms_of_one_name_are_one_class(tmp_path):
    folder_of_images(tmp_path)
    name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    (tmp_path / "train" / "red").rename(tmp_path / "train" / unicodedata.normalize("NFC", name))
    (tmp_path / "val" / "red").rename(tmp_path / "val" / unicodedata.normalize("NFD", name))
    splits = datasets.image_folder(str(tmp_path))
    assert (splits.num_classes, len(splits.val)) == (2, 6)
    assert {label for _, label in splits.val.samples} == {0, 1}


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test", "Val", "VALID"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_the_folders_of_splits_have_the_names_that_people_give_them(tmp_path, train, val):
    assert len(datasets.image_folder(str(folder_of_images(tmp_path, (train, val)))).val) == 6


def test_val_is_taken_before_test(tmp_path):
    folder_of_images(tmp_path, ("train", "val", "test"))
    (tmp_path / "test" / "red" / "0.png").unlink()
    assert len(datasets.image_folder(str(tmp_path)).val) == 6


def test_one_class_is_refused_and_a_folder_that_stands_between_is_named(tmp_path):
    folder_of_images(tmp_path / "one", ("train/images", "val/images"))
    with pytest.raises(
        UserError, match=r"class folders \(images, which holds blue, red\); .*; do: move the folders of"
    ):
        datasets.image_folder(str(tmp_path / "one"))
    folder_of_images(tmp_path / "two")
    for split in ("train", "val"):
        (tmp_path / "two" / split / "red").rename(tmp_path / f"gone {split}")
    with pytest.raises(UserError, match=r"class folders \(blue\); .*; do: add the images of a second class"):
        datasets.image_folder(str(tmp_path / "two"))


def test_a_class_that_validation_lacks_is_a_warning_and_keeps_its_label(tmp_path, command):
    folder_of_images(tmp_path)
    (tmp_path / "val" / "blue").rename(tmp_path / "gone")
    splits = datasets.image_folder(str(tmp_path))
    assert (splits.num_classes, len(splits.val)) == (2, 3)
    assert {label for _, label in splits.val.samples} == {1}
    done = command("data=imagefolder", f"data.root={tmp_path}", "model=linear", "trainer.epochs=1", "data.batch_size=6")
    assert done.code == 0, done.err
    assert "warning: data.root: validation has no images of blue" in done.out


def many(root, count: int) -> None:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.new("L", (4, 4)).save(root / name / f"{index:04}.png")


@pytest.mark.parametrize("inside", ["", "train"])
def test_a_share_is_held_out_by_the_names_of_the_files(tmp_path, inside):
    many(tmp_path / inside, 100)
    first = datasets.image_folder(str(tmp_path), val="20%")
    held_out = {path for path, _ in first.val.samples}
    assert len(first.train) + len(first.val) == 200
    assert held_out.isdisjoint({path for path, _ in first.train.samples})
    assert 8 <= sum(label == 0 for _, label in first.val.samples) <= 36  # 20 are expected, with a deviation of 4
    # More files move none.
    many(tmp_path / inside, 150)
    more = datasets.image_folder(str(tmp_path), val=0.2)
    assert {path for path, _ in more.val.samples} >= held_out
    assert {path for path, _ in more.train.samples} >= {path for path, _ in first.train.samples}


def test_a_small_class_is_in_both_splits(tmp_path):
    many(tmp_path, 2)
    splits = datasets.image_folder(str(tmp_path), val="1%")
    assert [label for _, label in splits.train.samples] == [label for _, label in splits.val.samples] == [0, 1]


@pytest.mark.parametrize("val", ["0%", "100%", 0, 1, "a lot", -0.1, True, "nan"])
def test_a_share_that_is_none_is_refused(tmp_path, val):
    many(tmp_path, 3)
    with pytest.raises(UserError, match=r"data\.val: got .*; do: data\.val=10%"):
        datasets.image_folder(str(tmp_path), val=val)


def test_a_share_beside_a_folder_for_it_is_refused(tmp_path):
    folder_of_images(tmp_path)
    with pytest.raises(
        UserError, match=r"data\.val: got a share, for .*, which has a folder val; .*; do: data\.val=auto"
    ):
        datasets.image_folder(str(tmp_path), val="10%")


def test_an_unsplit_folder_is_told_how_to_split_it_and_then_trains(tmp_path, command):
    many(tmp_path / "flat", 20)
    typed = ("data=imagefolder", "data.root=flat", "model=linear", "trainer.epochs=1")
    refused = command(*typed)
    assert refused.code == 1
    assert "which has no folder train; " in refused.err
    assert refused.err.endswith("; do: data.val=10% to hold out a tenth of its images\n")
    done = command(*typed, "data.val=10%")
    assert done.code == 0, done.err


def test_a_folder_that_is_not_there_is_told_as_such_with_the_one_that_was_probably_meant(tmp_path):
    folder_of_images(tmp_path / "flowers")
    with pytest.raises(UserError, match=r"/flwoers, which does not exist \(did you mean .*/flowers\?\)") as told:
        datasets.image_folder(str(tmp_path / "flwoers"))
    assert told.value.do == f"data.root={tmp_path / 'flowers'}"
    with pytest.raises(UserError, match=r"/x/y, which does not exist; .*; do: data\.root=FOLDER"):
        datasets.image_folder(str(tmp_path / "x" / "y"))
