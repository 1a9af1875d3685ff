"""Each kind of data set answers the same questions, and only one room tells them apart."""

import ast
from contextlib import closing
from pathlib import Path

import pytest
import torch

import lrlab
from lrlab.data import kinds, map_datasets
from lrlab.data.batches import Batches, Batching
from lrlab.data.held_out import Holding
from lrlab.data.splits import Splits
from lrlab.errors import UserError

BYTES = [(torch.zeros(3, 6, 5).byte(), 0)] * 4
FLOATS = [(torch.zeros(3, 6, 5), 0)] * 4


def images() -> map_datasets.Images:
    return map_datasets.Images(4, (3, 6, 5), 1, lambda: (torch.zeros(4, 3, 6, 5).byte(), torch.zeros(4).long()))


CASES = {
    "tensors": (images(), True, True, True),
    "named, bytes": (map_datasets.Fixed(BYTES, "black"), False, True, True),
    "named, floats": (map_datasets.Fixed(FLOATS, "black"), False, True, False),
    "nameless": (BYTES, False, False, False),
}


@pytest.mark.parametrize(("dataset", "at_once", "is_fixed", "can_be_kept"), CASES.values(), ids=CASES)
def test_every_data_set_is_known_before_it_is_read(dataset, at_once, is_fixed, can_be_kept):
    kind = kinds.kind_of(dataset)
    assert (kind.at_once, kind.is_fixed, kind.can_be_kept()) == (at_once, is_fixed, can_be_kept)
    assert (kind.load() is not None) == at_once


def test_tensors_are_loaded_once_and_again_when_they_were_forgotten():
    dataset = images()
    kind = kinds.kind_of(dataset)
    assert kind.load() is dataset.tensors
    kind.forget()
    assert "tensors" not in vars(dataset)
    assert kind.load()[0].shape == (4, 3, 6, 5)


def test_a_fingerprint_is_the_data_sets_own():
    assert kinds.kind_of(map_datasets.Fixed(BYTES, "black")).fingerprint() == "black"
    assert kinds.kind_of(images()).fingerprint() == images().fingerprint()


def test_the_first_image_is_read_without_a_trace():
    class Noise:
        def __getitem__(self, index: int) -> tuple:
            return torch.rand(1, 2, 2), 0

    before = torch.get_rng_state()
    assert kinds.first_image(Noise()).shape == (1, 2, 2)
    assert torch.equal(torch.get_rng_state(), before)


def asks_for_the_kind(path: Path) -> bool:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return any(ast.unparse(call).startswith("isinstance(") and "Images" in ast.unparse(call) for call in calls)


def test_one_room_tells_the_kinds_apart():
    package = Path(lrlab.__file__).parent
    asking = [path.relative_to(package) for path in package.rglob("*.py") if asks_for_the_kind(path)]
    assert asking == [Path("data/kinds.py")]


class Signals:
    """A data set of a user's own: signals (2, 5), each with two numbers to predict. It is read one by one."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.full((2, 5), float(index)), torch.tensor([index, -index], dtype=torch.float64)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_read_one_by_one_may_have_any_shape_and_targets_of_any(workers):
    splits = Splits(Signals(), Signals())
    assert (splits.shape, splits.target_shape, splits.num_outputs) == ((2, 5), (2,), 2)
    assert splits.sample_dtype == torch.float32
    batching = Batching(batch_size=4, cache="none", workers=workers)
    batches = Batches(Signals(), batching, num_classes=None, seed=0, device=torch.device("cpu"), train=False)
    with closing(batches):
        [first, *_] = batches.epoch(0)
    inputs, targets = first
    assert inputs[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert targets.tolist() == [[index, -index] for index in range(4)]
    assert targets.dtype == torch.float32


def test_numbers_are_held_out_by_place_and_not_by_class():
    whole = Holding(val="25%").apply(Splits(Signals(), Signals()))
    train, val = ([int(part[index][1][0]) for index in range(len(part))] for part in (whole.train, whole.val))
    assert sorted(train + val) == list(range(12))
    assert len(val) == 3
    assert whole.test is not None


class Ragged(Signals):
    def __getitem__(self, index):
        return torch.zeros(2, 5), torch.zeros(1 + index % 2)


def test_targets_of_two_shapes_are_named():
    batching = Batching(batch_size=4, cache="none")
    batches = Batches(Ragged(), batching, num_classes=None, seed=0, device=torch.device("cpu"), train=False)
    with pytest.raises(UserError, match=r"data: got targets \(1,\) at index 0 and \(2,\) at index 1; "):
        next(batches.epoch(0))
