"""The digits are scikit-learn's own, split as scikit-learn splits them, without scikit-learn."""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import numpy
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from support import ROOT

from lrlab.data import datasets, digits
from lrlab.errors import UserError


def test_they_are_bit_for_bit_what_scikit_learn_reads_and_splits():
    bunch = load_digits()
    images = torch.from_numpy((bunch.images * (255 / 16)).round().astype("uint8"))[:, None]
    labels = torch.from_numpy(bunch.target).long()
    indices = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    for split, places in zip((datasets.digits().train, datasets.digits().val), indices, strict=True):
        assert split.tensors[0].dtype == torch.uint8
        assert torch.equal(split.tensors[0], images[places])
        assert torch.equal(split.tensors[1], labels[places])


@pytest.mark.parametrize("seed", range(10))
def test_any_labels_are_split_in_scikit_learns_order(seed):
    """Classes of many sizes, so that shares are rounded and ties are drawn."""
    labels = numpy.random.RandomState(seed).randint(0, 3 + seed, 100 + seed)
    theirs = train_test_split(range(len(labels)), test_size=33, stratify=labels, random_state=seed)
    ours = digits.stratified_split(labels, 33, seed=seed)
    assert [part.tolist() for part in ours] == list(theirs)


MISSING = {
    "no scikit-learn": (None, "scikit-learn is not installed"),
    "no folder": (ModuleSpec("sklearn", None), "scikit-learn is not installed"),
    "no file": ("/nowhere/sklearn", r"/nowhere/sklearn/datasets/data/digits\.csv\.gz"),
}


@pytest.mark.parametrize(("found", "said"), MISSING.values(), ids=MISSING)
def test_a_file_that_is_missing_is_one_line(monkeypatch, found, said):
    if isinstance(found, str):
        spec = ModuleSpec("sklearn", None, is_package=True)
        spec.submodule_search_locations = [found]
        found = spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: found)
    line = (
        rf"^data: got digits, without its file \({said}\); allowed: scikit-learn's own copy of the digits; "
        r"do: pip install --force-reinstall scikit-learn, or data=fake$"
    )
    with pytest.raises(UserError, match=line):
        datasets.digits().train.tensors  # noqa: B018


@pytest.mark.slow
def test_nothing_heavy_is_imported_to_read_them():
    script = (
        "import sys\n"
        "from lrlab.data import datasets\n"
        "import lrlab.models\n"
        "datasets.digits().train.tensors\n"
        "print(sorted({'sklearn', 'scipy', 'PIL', 'torchvision', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT).strip() == "[]"
