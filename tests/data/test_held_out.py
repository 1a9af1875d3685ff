"""Three splits of every data set: no image is in two of them, each class has its share, and all runs hold out alike."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import DATASETS, OWN_SPLITS, folder_of_images, needs_datasets, summary, train
from torch.utils.data import Dataset

from lrlab.data import datasets
from lrlab.data.held_out import Holding, chosen, hold_out
from lrlab.data.map_datasets import Fixed
from lrlab.data.splits import Splits
from lrlab.errors import UserError


def digits(val="10%", seed: int = 0) -> Splits:
    return Holding(val, seed).apply(datasets.digits())


def as_rows(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_the_official_test_images_decide_nothing():
    official, held = datasets.digits(), digits()
    assert held.sizes == {"train": 1293, "val": 144, "test": 360}
    assert torch.equal(held.test.tensors[0], official.val.tensors[0])
    together = [*as_rows(held.train.tensors[0]), *as_rows(held.val.tensors[0])]
    assert sorted(together) == sorted(as_rows(official.train.tensors[0]))


def test_official_means_the_two_splits_as_they_come():
    assert digits("official").sizes == digits(None).sizes == {"train": 1437, "val": 360}


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=200).map(np.array),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_each_class_has_its_share_to_the_image(labels, share, seed):
    count = min(max(1, round(share * len(labels))), len(labels) - 1)
    held = chosen(labels, count, np.random.RandomState(seed).permutation(len(labels)))
    assert held.sum() == count
    sizes = {label: int((labels == label).sum()) for label in set(labels.tolist())}
    for label, size in sizes.items():
        exact = size * count / len(labels)
        if min(sizes.values()) > 1 / (1 - count / len(labels)):  # or else some class would have none to learn from
            assert abs(held[labels == label].sum() - exact) < 1
        if len(labels) - count >= len(sizes):
            assert held[labels == label].sum() < size


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_holds_out_the_same_images_and_another_one_others(seed):
    one, again, other = (as_rows(digits(seed=number).val.tensors[0]) for number in (seed, seed, seed + 5))
    assert one == again
    assert one != other


def test_a_larger_share_holds_out_the_same_images_and_more():
    small, large = (set(as_rows(digits(val).val.tensors[0])) for val in ("10%", "30%"))
    assert small < large


class Numbers(Dataset):
    """Any data set of a user's: 50 images, whose pixel is their index, in two classes."""

    def __init__(self, *, targets: bool = False, files: bool = False):
        self.read = 0
        if targets:
            self.targets = [index % 5 == 0 for index in range(50)]
        if files:
            self.samples = [(f"/data/{index % 5 == 0}/{7 * index % 50:02}.png", 0) for index in range(50)]

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int):
        self.read += 1
        return torch.full((1, 1, 1), index, dtype=torch.uint8), int(index % 5 == 0)


def indices(part) -> list[int]:
    return [int(part[index][0]) for index in range(len(part))]


@pytest.mark.parametrize("known", [{}, {"targets": True}, {"targets": True, "files": True}])
def test_any_data_set_is_split_without_being_read_before_it_is_needed(known):
    whole = Numbers(**known)
    left, held = hold_out(whole, 0.2, seed=0)
    assert (len(left), len(held), whole.read) == (40, 10, 0)
    assert sorted([*indices(left), *indices(held)]) == list(range(50))
    assert sum(index % 5 == 0 for index in indices(held)) == 2
    assert whole.read == 60 + (0 if known else 50)


def test_images_with_files_are_held_out_by_their_names():
    one, other = Numbers(targets=True, files=True), Numbers(targets=True, files=True)
    other.samples = [(f"/elsewhere{path.removeprefix('/data')}", label) for path, label in other.samples]
    assert indices(hold_out(one, 0.2, seed=0)[1]) == indices(hold_out(other, 0.2, seed=0)[1])
    assert indices(hold_out(one, 0.2, seed=0)[1]) != indices(hold_out(one, 0.2, seed=1)[1])


def test_a_part_reaches_a_process_that_is_not_forked_and_has_a_name_where_the_whole_has_one():
    left, held = hold_out(Fixed(Numbers(), "numbers"), 0.2, seed=0)
    assert indices(pickle.loads(pickle.dumps(held))) == indices(held)
    assert left.fingerprint() != held.fingerprint()
    assert held.known_by() == {"fingerprint": "numbers"}
    assert not hasattr(hold_out(Numbers(), 0.2, seed=0)[0], "fingerprint")


@pytest.mark.parametrize("val", ["0%", "100%", 0, 1, "a lot", -0.1, True, "nan", "auto"])
def test_a_share_that_is_none_is_refused(val):
    with pytest.raises(UserError, match=r"data\.val: got .*; allowed: .*, or official; do: data\.val=10%"):
        digits(val)


def test_nothing_is_held_out_of_a_data_set_that_has_three_splits_or_one_image():
    part = Numbers()
    with pytest.raises(UserError, match=r"splits for validation and test of its own; .*; do: data\.val=official"):
        Holding("10%").apply(Splits(part, part, 2, test=part))
    with pytest.raises(UserError, match=r"which leaves none"):
        hold_out(Fixed([(torch.zeros(1, 1, 1), 0)], "one"), 0.5, seed=0)


FOLDERS = {
    ("train", "val"): ("auto", {"train": 6, "val": 6}),
    ("train", "val", "test"): ("auto", {"train": 6, "val": 6, "test": 6}),
    ("train", "test"): ("auto", {"train": 4, "val": 2, "test": 6}),  # of each class at least one
    ("train", "validation", "test"): ("official", {"train": 6, "val": 6}),
    ("train", "TEST"): ("official", {"train": 6, "val": 6}),
    ("Train", "Test"): ("34%", {"train": 4, "val": 2, "test": 6}),
}


@pytest.mark.parametrize("there", FOLDERS)
def test_folders_are_the_splits_that_their_names_say(tmp_path, there):
    val, sizes = FOLDERS[there]
    found = datasets.image_folder(str(folder_of_images(tmp_path, there)), val=val).sizes
    assert found.keys() == sizes.keys()
    if val != "34%":
        assert found == sizes


def test_a_class_that_only_the_test_folder_has_is_refused(tmp_path):
    folder_of_images(tmp_path, ("train", "val", "test"))
    (tmp_path / "test" / "red").rename(tmp_path / "test" / "green")
    with pytest.raises(UserError, match=r"classes that only test has: green; "):
        datasets.image_folder(str(tmp_path), val="auto")


@needs_datasets
def test_mnist_has_three_splits_with_every_class_in_proportion():
    splits = Holding("10%").apply(datasets.torchvision_images("MNIST", str(DATASETS)))
    assert splits.sizes == {"train": 54_000, "val": 6_000, "test": 10_000}
    counts = [part.tensors[1].bincount() for part in (splits.train, splits.val)]
    assert ((counts[0] / 9 - counts[1]).abs() < 1).all()


def test_a_data_set_of_ones_own_is_split_as_it_comes_unless_it_is_typed(command, tmp_path):
    (tmp_path / "my_splits.py").write_text(OWN_SPLITS)
    typed = ("data._target_=my_splits.data", "model=linear", "trainer.epochs=1")
    for extra, sizes in (((), {"train": 40, "val": 10}), (("data.val=25%",), {"train": 30, "val": 10, "test": 10})):
        ended = command(*typed, *extra, f"hydra.run.dir=run{len(extra)}")
        assert ended.code == 0, ended.err
        assert summary(tmp_path / f"run{len(extra)}")["data"] == {**sizes, "classes": 2}


def test_a_run_says_how_many_images_each_split_has_and_goes_on_with_them(tmp_path, command):
    said = train(tmp_path / "run", "model=linear", "trainer.epochs=1")
    assert said["data"] == {"train": 1293, "val": 144, "test": 360, "classes": 10}
    assert command(f"resume={tmp_path / 'run'}", "extend=2").code == 0
    refused = command(f"resume={tmp_path / 'run'}", "extend=3", "data.split_seed=1")
    assert "data.split_seed: got 1, but the checkpoint was saved with 0" in refused.err
