"""Each kind of data set answers the same questions, and only one room tells them apart."""

import ast
from pathlib import Path

import pytest
import torch

import lrlab
from lrlab.data import kinds, splits

BYTES = [(torch.zeros(3, 6, 5).byte(), 0)] * 4
FLOATS = [(torch.zeros(3, 6, 5), 0)] * 4


def images() -> splits.Images:
    return splits.Images(4, (3, 6, 5), 1, lambda: (torch.zeros(4, 3, 6, 5).byte(), torch.zeros(4).long()))


CASES = {
    "tensors": (images(), True, True, True),
    "named, bytes": (splits.Fixed(BYTES, "black"), False, True, True),
    "named, floats": (splits.Fixed(FLOATS, "black"), False, True, False),
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
    assert kinds.kind_of(splits.Fixed(BYTES, "black")).fingerprint() == "black"
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
