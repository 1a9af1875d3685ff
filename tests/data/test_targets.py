"""A target is what its data set says of it, and one that is not is named with its place."""

import numpy
import pytest
import torch

from lrlab.data import map_datasets, targets
from lrlab.errors import UserError


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_named_with_its_index(label):
    images = map_datasets.Images(
        3, (1, 2, 2), 10, lambda: (torch.zeros(3, 1, 2, 2).byte(), torch.tensor([0, 9, label]))
    )
    with pytest.raises(UserError, match=f"got label {label} at index 2; allowed: 0 to 9 for 10 classes"):
        images.tensors  # noqa: B018


@pytest.mark.parametrize(
    "label",
    [
        3,
        True,
        numpy.int64(3),
        numpy.uint8(3),
        numpy.bool_(True),
        torch.tensor(3),
        torch.tensor([3]),
        numpy.array([[3]]),
    ],
)
def test_whatever_is_one_whole_number_is_a_class(label):
    assert targets.as_class(label, 0) in (1, 3)
    assert type(targets.as_class(label, 0)) in (int, bool)


NO_CLASSES = [
    (0.5, r"label 0\.5 \(float64\) at index 4"),
    (2.0, r"label 2\.0 \(float64\) at index 4"),
    (torch.tensor(0.25), r"label 0\.25 \(float32\) at index 4"),
    (torch.zeros(5), r"label float32 \(5,\) at index 4"),
    ([1, 0, 0], r"label int64 \(3,\) at index 4"),
    ("cat", r"label cat \(<U3\) at index 4"),
    (torch.tensor(1.0, dtype=torch.bfloat16), r"label 1\.0 \(bfloat16\) at index 4"),
    ([[1], [1, 2]], r"a label of list at index 4"),
    (None, r"label None \(object\) at index 4"),
]


@pytest.mark.parametrize(("label", "got"), NO_CLASSES)
def test_a_number_to_be_predicted_is_no_class_and_neither_are_several(label, got):
    with pytest.raises(UserError, match=f"data: got {got}; allowed: one whole number .*; do: return int\\(label\\)"):
        targets.as_class(label, 4)


@pytest.mark.parametrize("labels", [torch.rand(3), torch.zeros(3, 2).long(), torch.rand(3, 2)])
def test_images_that_come_at_once_have_one_class_each(labels):
    images = map_datasets.Images(3, (1, 2, 2), 10, lambda: (torch.zeros(3, 1, 2, 2).byte(), labels))
    with pytest.raises(UserError, match=r"got labels of .*; allowed: one whole number for each image"):
        images.tensors  # noqa: B018


REGRESSION = """
import torch
from lrlab.data import Splits

def targets(first, dtype="float32"):
    images = [torch.zeros(1, 8, 8, dtype=getattr(torch, dtype)) for _ in range(9)]
    train = [(image, first if index == 0 else 0.5) for index, image in enumerate(images)]
    return Splits(train, [(image, 1) for image in images], 2)
"""


@pytest.mark.parametrize("more", [[], ["data.workers=1"], ["data.cache=memory", "data.dtype=uint8"]])
@pytest.mark.parametrize("first", ["0.5", "1"])
def test_a_data_set_with_numbers_to_be_predicted_is_refused(command, tmp_path, first, more):
    (tmp_path / "regression.py").write_text(REGRESSION)
    outcome = command("data._target_=regression.targets", f"data.first={first}", "data.shift=0", "model=linear", *more)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("lrlab: error: data: got label 0.5 (float64) at index ")
    if first == "0.5":  # known before the run has a folder
        assert not (tmp_path / "outputs").exists()
