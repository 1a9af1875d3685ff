"""Validation images that are taken from the training images, so that the test images decide nothing.

A data set has an official training split, and another one by which results are published. Learning rates, best epochs
and schedules are chosen by validation images. Where these are the official test images, a published number is too
good. So a share of the training images is held out for validation, the same ones for every run, and what was official
is the test split.
"""

import functools
import hashlib
import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy
from numpy.typing import NDArray

from lrlab.data.kinds import kind_of
from lrlab.data.map_datasets import MapDataset
from lrlab.data.splits import Splits
from lrlab.errors import wrong

OFFICIAL = "official"  # the split that comes with the data set is for validation, and there is no test split


@dataclass(frozen=True)
class Holding:
    """How a data set is split: the settings `data.val` and `data.split_seed`."""

    val: float | str | None = OFFICIAL  # a share of the training images, such as "10%" or 0.1
    split_seed: int = 0  # which images these are

    @property
    def share(self) -> float | None:
        """The share of the training images that is held out; None for none. Raises UserError."""
        return None if self.val in (None, OFFICIAL) else share("data.val", self.val, or_else=f", or {OFFICIAL}")

    def apply(self, splits: Splits) -> Splits:
        """The splits of a run. Raises UserError where there is nothing to hold out, or no need."""
        held = self.share
        if held is None:
            return splits
        if splits.test is not None:
            got = f"{self.val}, for a data set that has splits for validation and test of its own"
            raise wrong("data.val", got=got, allowed=OFFICIAL, do=f"data.val={OFFICIAL}")
        has_labels = splits.num_classes is not None and splits.target_shape == ()
        train, val = hold_out(splits.train, held, seed=self.split_seed, by_class=has_labels)
        return replace(splits, train=train, val=val, test=splits.val)


def share(key: str, value: Any, *, or_else: str = "") -> float:
    """The share of the images that is meant by `value` of the setting `key`. Raises UserError."""
    try:
        is_percent = isinstance(value, str) and value.endswith("%")
        found = float(value[:-1]) / 100 if is_percent else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not 0 < found < 1:
        example = "1%" if key == "data.skip_bad" else "10%"
        allowed = f"a share of the images, above 0 and below 100%{or_else}"
        raise wrong(key, got=repr(value), allowed=allowed, do=f"{key}={example}")
    return found


def hold_out(dataset: MapDataset, held: float, *, seed: int, by_class: bool = True) -> tuple[MapDataset, MapDataset]:
    """The data set without the share `held` of its images, and these, each class in proportion if `by_class`.

    Which images these are follows from `seed` and from the names of their files, or else from their indices. How many
    they are is known before anything is read. Raises UserError where one of the parts would be empty.
    """
    count = max(1, math.floor(held * len(dataset) + 0.5))
    if count >= len(dataset):
        got = f"{held:.0%} of {len(dataset)} training images, which leaves none"
        raise wrong("data.val", got=got, allowed="a share that leaves some", do=f"data.val={OFFICIAL}")
    kind = kind_of(dataset)

    @functools.cache
    def choose() -> NDArray[Any]:
        labels = kind.labels() if by_class else numpy.zeros(len(dataset), dtype=int)
        return chosen(labels, count, _places(dataset, seed))

    return kind.parts(count, choose)


def chosen(labels: NDArray[Any], count: int, places: NDArray[Any]) -> NDArray[numpy.bool_]:
    """Which of the images (N,) are held out, `count` in all: of each class its share, those at its smallest `places`.

    >>> chosen(numpy.array([0, 0, 0, 0, 1, 1]), 3, numpy.array([5, 0, 3, 1, 4, 2])).tolist()
    [False, True, False, True, False, True]
    """
    classes, sizes = numpy.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quotas = numpy.floor(exact).astype(int)
    most = numpy.maximum(sizes - 1, 0)  # a class keeps an image to learn from, as long as that is possible
    while (missing := count - quotas.sum()) > 0:
        room = quotas < (most if (quotas < most).any() else sizes)
        by_remainder = numpy.argsort(numpy.where(room, quotas - exact, numpy.inf), kind="stable")
        quotas[by_remainder[: min(missing, room.sum())]] += 1
    held = numpy.zeros(len(labels), dtype=bool)
    for label, quota in zip(classes, quotas, strict=True):
        own = numpy.flatnonzero(labels == label)
        held[own[numpy.argsort(places[own], kind="stable")[:quota]]] = True
    return held


def _places(dataset: MapDataset, seed: int) -> NDArray[Any]:
    """The order (N,) in which images are held out: by the names of their files, or by their indices."""
    samples = getattr(dataset, "samples", None)  # as torchvision's folders of images name theirs: (path, label)
    if not isinstance(samples, list) or len(samples) != len(dataset):
        return numpy.random.RandomState(seed).permutation(len(dataset))
    return numpy.array([place_of(os.path.join(*str(path).split(os.sep)[-2:]), seed) for path, *_ in samples])


def place_of(name: str, seed: int = 0) -> float:
    """Where a file stands between 0 and 1: a function of its name and of `seed` alone, so that others move none."""
    text = name if seed == 0 else f"{seed}\0{name}"
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
