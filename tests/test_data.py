"""Data sets are described before they are read, and what is wrong with one is said with its place."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from support import DATASETS, needs_datasets

from lrlab import data
from lrlab.errors import UserError


def folder_of_images(root: Path, splits: tuple[str, ...] = ("train", "val"), size: tuple[int, int] = (12, 10)) -> Path:
    """Two classes with three images each in every split, one colour a class."""
    for split in splits:
        for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", size, colour).save(root / split / name / f"{index}.png")
    return root


def test_digits_are_split_by_class_and_every_image_is_in_one_split():
    splits = data.digits()
    (train, train_labels), (val, val_labels) = splits.train.tensors, splits.val.tensors
    assert train.shape == (1437, 1, 8, 8)
    assert val.shape == (360, 1, 8, 8)
    assert train.dtype == torch.uint8
    shares = val_labels.bincount() / (train_labels.bincount() + val_labels.bincount())
    assert ((shares - 0.2).abs() < 0.01).all()
    assert splits.shape == (1, 8, 8)


def test_nothing_is_read_before_it_is_needed():
    def load() -> tuple:
        raise AssertionError("read too early")

    splits = data.Splits(data.Images(5, (1, 8, 8), 10, load), data.Images(5, (1, 8, 8), 10, load), 10)
    assert len(splits.train) == 5
    assert splits.shape == (1, 8, 8)


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_named_with_its_index(label):
    images = data.Images(3, (1, 2, 2), 10, lambda: (torch.zeros(3, 1, 2, 2).byte(), torch.tensor([0, 9, label])))
    with pytest.raises(UserError, match=f"got label {label} at index 2; allowed: 0 to 9 for 10 classes"):
        images.tensors  # noqa: B018


@needs_datasets
def test_mnist_is_torchvisions_own():
    splits = data.torchvision_images("MNIST", str(DATASETS))
    images, labels = splits.val.tensors
    assert images.shape == (10_000, 1, 28, 28)
    assert labels[:4].tolist() == [7, 2, 1, 0]
    assert splits.shape == (1, 28, 28)


def test_files_that_are_missing_and_may_not_be_fetched_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.root: got .*nowhere, which does not exist; .* data\.download=true"):
        data.torchvision_images("MNIST", str(tmp_path / "nowhere"), download=False)
    splits = data.torchvision_images("CIFAR10", str(tmp_path), download=False)
    with pytest.raises(UserError, match=r"data\.root: got no usable CIFAR10 in .*; do: .* data=digits"):
        splits.train.tensors  # noqa: B018


@pytest.mark.parametrize("val", ["val", "test"])
def test_a_folder_of_images_is_read_by_class(tmp_path, val):
    splits = data.image_folder(str(folder_of_images(tmp_path, ("train", val))))
    image, label = splits.train[5]
    assert splits.num_classes == 2
    assert splits.shape == (3, 10, 12)
    assert label == 1
    assert image.dtype == torch.uint8
    assert image[:, 4, 4].tolist() == [255, 0, 0]


def test_images_are_cut_to_the_size_that_is_asked_for(tmp_path):
    splits = data.image_folder(str(folder_of_images(tmp_path, size=(40, 10))), image_size=8)
    assert splits.shape == (3, 8, 8)
    assert splits.val[0][0].shape == (3, 8, 8)


def test_grey_and_palette_images_become_rgb(tmp_path):
    folder_of_images(tmp_path)
    Image.new("L", (12, 10), 7).save(tmp_path / "train" / "blue" / "0.png")
    Image.new("P", (12, 10)).save(tmp_path / "train" / "blue" / "1.png")
    splits = data.image_folder(str(tmp_path))
    assert splits.train[0][0].shape == splits.train[1][0].shape == (3, 10, 12)
    assert splits.train[0][0].unique().tolist() == [7]


def test_an_image_that_does_not_decode_is_named(tmp_path):
    folder_of_images(tmp_path)
    whole = (tmp_path / "train" / "red" / "1.png").read_bytes()
    for broken in (b"", b"no image", whole[: len(whole) // 2]):
        (tmp_path / "train" / "red" / "1.png").write_bytes(broken)
        with pytest.raises(
            UserError, match=r"data\.root: got .*/train/red/1\.png, which does not decode .*; do: replace"
        ):
            data.image_folder(str(tmp_path)).train[4]


def test_a_class_without_images_is_named(tmp_path):
    folder_of_images(tmp_path)
    (tmp_path / "train" / "green").mkdir()
    with pytest.raises(UserError, match=r"data\.root: got .*train: .*green.*; do: add images"):
        data.image_folder(str(tmp_path))


def test_images_of_different_sizes_are_named_before_any_is_read(tmp_path):
    folder_of_images(tmp_path)
    Image.new("RGB", (7, 9)).save(tmp_path / "val" / "red" / "0.png")
    with pytest.raises(UserError, match=r"data\.image_size: got null .*12x10.*7x9.*; do: data\.image_size=64"):
        data.image_folder(str(tmp_path))
    assert data.image_folder(str(tmp_path), image_size=8).shape == (3, 8, 8)


def test_classes_that_only_one_split_has_are_named(tmp_path):
    folder_of_images(tmp_path)
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "rose")
    with pytest.raises(UserError, match="only one of the splits: red, rose"):
        data.image_folder(str(tmp_path))


def test_a_folder_without_splits_is_refused(tmp_path):
    with pytest.raises(UserError, match="which has no folder train"):
        data.image_folder(str(tmp_path))
    folder_of_images(tmp_path, ("train",))
    with pytest.raises(UserError, match="which has no folder val or test"):
        data.image_folder(str(tmp_path))


def test_fake_images_do_not_depend_on_what_was_drawn_before():
    first = data.fake(4, 2, channels=1, image_size=5).train[3][0]
    torch.rand(9)
    assert torch.equal(data.as_tensor(first), data.as_tensor(data.fake(4, 2, channels=1, image_size=5).train[3][0]))
