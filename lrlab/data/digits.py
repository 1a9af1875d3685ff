"""The digits that scikit-learn ships in one file, read and split without importing scikit-learn, which takes a second.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy
import torch
from torch import Tensor

from lrlab.errors import wrong

TRAIN, VAL = 1437, 360  # images in each split
SHAPE = (1, 8, 8)
NUM_CLASSES = 10
_FOLDER = Path("datasets", "data")  # below sklearn/
_FILE = "digits.csv.gz"  # the same bytes since version 0.18


def splits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (N, 1, 8, 8) uint8 and labels (N,) int64 of the training split, and of the validation split."""
    images, labels = _read(file_of_scikit_learn(_FILE))
    train, val = (torch.from_numpy(part) for part in stratified_split(labels.numpy(), VAL, seed=0))
    return (images[train], labels[train]), (images[val], labels[val])


def file_of_scikit_learn(name: str) -> Path:
    """Where scikit-learn keeps a data set. Raises UserError where it is not installed, or has no such file."""
    found = importlib.util.find_spec("sklearn")  # looks for the package and does not import it
    folders = found.submodule_search_locations if found is not None else None
    file = Path(folders[0]) / _FOLDER / name if folders else None
    if file is not None and file.is_file():
        return file
    what = name.partition("_")[0].partition(".")[0]
    raise wrong(
        "data",
        got=f"{what}, without its file ({file or 'scikit-learn is not installed'})",
        allowed=f"scikit-learn's own copy of the {what}",
        do="pip install --force-reinstall scikit-learn, or data=fake",
    )


def _read(file: Path) -> tuple[Tensor, Tensor]:
    """Images, with pixels 0..16 as 0..255, and labels: a line of the file has an image's 64 pixels and its label."""
    with gzip.open(file, "rt") as lines:
        rows = numpy.loadtxt(lines, delimiter=",")
    pixels = (rows[:, :-1] * (255 / 16)).round().astype("uint8")
    labels = rows[:, -1].astype("int64")
    return torch.from_numpy(pixels).view(-1, *SHAPE), torch.from_numpy(labels)


def stratified_split(labels: numpy.ndarray, val_count: int, *, seed: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Indices (N,) of the training and of the validation samples: each class has the same share of both.

    They are those of scikit-learn's `train_test_split(range(N), test_size, stratify=labels, random_state=seed)`, in its
    order: numpy promises that a `RandomState` draws the same in every version (NEP 19).
    Source: scikit-learn 1.9.1, sklearn/model_selection/_split.py, `StratifiedShuffleSplit._iter_indices`.
    """
    random = numpy.random.RandomState(seed)
    counts = numpy.bincount(labels)
    train_counts = _shares(counts, len(labels) - val_count, random)
    val_counts = _shares(counts - train_counts, val_count, random)
    train: list[int] = []
    val: list[int] = []
    for label, count in enumerate(counts):
        shuffled = numpy.flatnonzero(labels == label)[random.permutation(count)]
        first_val = train_counts[label]
        train += shuffled[:first_val].tolist()
        val += shuffled[first_val : first_val + val_counts[label]].tolist()
    return random.permutation(train), random.permutation(val)


def _shares(counts: numpy.ndarray, draws: int, random: numpy.random.RandomState) -> numpy.ndarray:
    """How many of `draws` samples each class gets: in proportion to its count, rounded so that they add up.

    Those with the largest remainders are rounded up; `random` decides between equal ones.
    Source: scikit-learn 1.9.1, sklearn/utils/extmath.py, `_approximate_mode`.
    """
    exact = counts / counts.sum() * draws
    shares = numpy.floor(exact)
    remainders = exact - shares
    missing = int(draws - shares.sum())
    for remainder in sorted(set(remainders.tolist()), reverse=True):
        if missing == 0:
            break
        equal = numpy.flatnonzero(remainders == remainder)
        rounded_up = random.choice(equal, size=min(len(equal), missing), replace=False)
        shares[rounded_up] += 1
        missing -= len(rounded_up)
    return shares.astype(int)
