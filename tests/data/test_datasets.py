"""What is wrong with a data set is said with its place, and each is what it says."""

import pickle

import pytest
import torch
from PIL import Image
from support import DATASETS, folder_of_images, needs_datasets

from lrlab.data import datasets, samples
from lrlab.errors import UserError


def test_images_reach_a_process_that_is_not_forked():
    for split in (datasets.digits().train, datasets.digits().val):
        arrived = pickle.loads(pickle.dumps(split))
        assert torch.equal(arrived.tensors[0], split.tensors[0])
        assert arrived[5][1] == split[5][1]


def test_digits_are_split_by_class_and_every_image_is_in_one_split():
    splits = datasets.digits()
    (train, train_labels), (val, val_labels) = splits.train.tensors, splits.val.tensors
    assert train.shape == (1437, 1, 8, 8)
    assert val.shape == (360, 1, 8, 8)
    assert train.dtype == torch.uint8
    shares = val_labels.bincount() / (train_labels.bincount() + val_labels.bincount())
    assert ((shares - 0.2).abs() < 0.01).all()
    assert splits.shape == (1, 8, 8)


@needs_datasets
def test_mnist_is_torchvisions_own():
    splits = datasets.torchvision_images("MNIST", str(DATASETS))
    images, labels = splits.val.tensors
    assert images.shape == (10_000, 1, 28, 28)
    assert labels[:4].tolist() == [7, 2, 1, 0]
    assert splits.shape == (1, 28, 28)


def test_files_that_are_missing_and_may_not_be_fetched_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.root: got .*nowhere, which does not exist; .* data\.download=true"):
        datasets.torchvision_images("MNIST", str(tmp_path / "nowhere"), download=False)
    splits = datasets.torchvision_images("CIFAR10", str(tmp_path), download=False)
    with pytest.raises(UserError, match=r"data\.root: got no usable CIFAR10 in .*; do: .* data=digits"):
        splits.train.tensors  # noqa: B018


@pytest.mark.parametrize("val", ["val", "test"])
def test_a_folder_of_images_is_read_by_class(tmp_path, val):
    splits = datasets.image_folder(str(folder_of_images(tmp_path, ("train", val))))
    image, label = splits.train[5]
    assert splits.num_classes == 2
    assert splits.shape == (3, 10, 12)
    assert label == 1
    assert image.dtype == torch.uint8
    assert image[:, 4, 4].tolist() == [255, 0, 0]


def test_images_are_cut_to_the_size_that_is_asked_for(tmp_path):
    splits = datasets.image_folder(str(folder_of_images(tmp_path, size=(40, 10))), image_size=8)
    assert splits.shape == (3, 8, 8)
    assert splits.val[0][0].shape == (3, 8, 8)


def test_grey_and_palette_images_become_rgb(tmp_path):
    folder_of_images(tmp_path)
    Image.new("L", (12, 10), 7).save(tmp_path / "train" / "blue" / "0.png")
    Image.new("P", (12, 10)).save(tmp_path / "train" / "blue" / "1.png")
    splits = datasets.image_folder(str(tmp_path))
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
            datasets.image_folder(str(tmp_path)).train[4]


def test_a_class_without_images_is_named(tmp_path):
    folder_of_images(tmp_path)
    (tmp_path / "train" / "green").mkdir()
    with pytest.raises(UserError, match=r"data\.root: got .*train has no images of green; .*; do: add images"):
        datasets.image_folder(str(tmp_path))


def test_images_of_different_sizes_are_named_before_any_is_read(tmp_path):
    folder_of_images(tmp_path)
    Image.new("RGB", (7, 9)).save(tmp_path / "val" / "red" / "0.png")
    with pytest.raises(UserError, match=r"data\.image_size: got null .*12x10.*7x9.*; do: data\.image_size=64"):
        datasets.image_folder(str(tmp_path))
    assert datasets.image_folder(str(tmp_path), image_size=8).shape == (3, 8, 8)


def test_classes_that_only_one_split_has_are_named(tmp_path):
    folder_of_images(tmp_path)
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "rose")
    with pytest.raises(UserError, match="classes that only validation has: rose"):
        datasets.image_folder(str(tmp_path))


def test_a_folder_without_splits_is_refused(tmp_path):
    with pytest.raises(UserError, match="which has no folder train"):
        datasets.image_folder(str(tmp_path))
    folder_of_images(tmp_path, ("train",))
    with pytest.raises(UserError, match="which has no folder val or test"):
        datasets.image_folder(str(tmp_path))


def test_fake_images_do_not_depend_on_what_was_drawn_before():
    first = datasets.fake(4, 2, channels=1, image_size=5).train[3][0]
    torch.rand(9)
    assert torch.equal(
        samples.as_tensor(first), samples.as_tensor(datasets.fake(4, 2, channels=1, image_size=5).train[3][0])
    )
