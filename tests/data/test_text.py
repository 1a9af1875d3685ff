"""A text becomes windows, each token predicted from those before it; no window lies in two splits."""

import hashlib

import pytest
import torch

from lrlab.data import text
from lrlab.data.batches import Batches, Batching
from lrlab.errors import UserError

CPU = torch.device("cpu")


def written(splits, part):
    """The text of a split's windows, and what follows each of its tokens."""
    inputs, targets = getattr(splits, part).tensors
    return ["".join(splits.vocabulary[token] for token in tokens.flatten()) for tokens in (inputs, targets)]


@pytest.mark.parametrize("length", [1, 7, 64])
def test_a_target_is_the_next_character_of_the_text(length):
    splits = text.text(length=length)
    for part in ("train", "val", "test"):
        inputs, targets = written(splits, part)
        assert targets[:-1] == inputs[1:]
        assert splits.shape == splits.target_shape == (length,)


def test_the_splits_are_the_text_in_order_and_have_nothing_in_common():
    splits = text.text(length=10)
    whole = text._bundled().decode()
    place = 0
    for part in ("train", "val", "test"):
        inputs, targets = written(splits, part)
        begin = whole.index(inputs, place)
        assert begin >= place
        place = begin + len(inputs) + 1  # the last target is a character that no later window has
        assert whole[place - 1] == targets[-1]
    assert len(whole) - place < 10
    sizes = splits.sizes
    assert sizes["val"] == pytest.approx(sizes["train"] / 8, rel=0.01)


def test_the_bundled_text_is_the_one_whose_hash_is_told():
    assert hashlib.sha256(text._bundled()).hexdigest() == text.BUNDLED_SHA256


def test_bytes_and_characters_of_the_same_text(tmp_path):
    (tmp_path / "a.txt").write_text("älter " * 200, encoding="utf-8")
    by_characters, by_bytes = (
        text.text(str(tmp_path / "a.txt"), tokens=kind, length=6) for kind in ("characters", "bytes")
    )
    assert by_characters.vocabulary == tuple(sorted(set("älter ")))
    assert (by_characters.num_classes, by_bytes.num_classes) == (6, 256)
    assert len(by_bytes.train) > len(by_characters.train)
    sizes = text.bytes_of_tokens(by_characters.vocabulary, 6)
    assert dict(zip(by_characters.vocabulary, sizes.tolist(), strict=True))["ä"] == 2
    assert text.bytes_of_tokens(by_bytes.vocabulary, 256).tolist() == [1.0] * 256


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.md").write_text("b" * 100)
    (tmp_path / "a.txt").write_text("a" * 100)
    (tmp_path / "c.png").write_bytes(b"\xff\x00")
    several = text.text([str(tmp_path / "a.txt"), str(tmp_path / "b.md")], length=5)
    folder = text.text(str(tmp_path), length=5)
    assert folder.contents == several.contents
    assert set(written(folder, "train")[0][:90]) == {"a"}


def test_another_text_another_split_or_another_window_is_told_by_its_contents(tmp_path):
    (tmp_path / "a.txt").write_text("abc" * 300)
    known = [text.text(), text.text(length=32), text.text(val="20%"), text.text(str(tmp_path / "a.txt"))]
    told = [repr(splits.contents) for splits in known]
    assert len(set(told)) == len(told)


def test_tokens_reach_the_model_as_whole_numbers():
    splits = text.text(length=8)
    batches = Batches(
        splits.train, Batching(batch_size=4), num_classes=splits.num_classes, seed=0, device=CPU, train=True
    )
    inputs, targets = next(batches.epoch(0))
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.shape == targets.shape == (4, 8)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


WRONG = {
    "nothing there": ({"root": "nowhere.txt"}, "data.root: got .*nowhere.txt, which does not exist"),
    "no text": ({"root": "latin.txt"}, r"data.root: got .*latin.txt, which is no text in UTF-8 \(byte 4\)"),
    "an empty file": ({"root": "empty.txt"}, "data.root: got .*empty.txt without any text"),
    "an empty folder": ({"root": "folder"}, r"data.root: got .*folder, a folder without \*.txt or \*.md"),
    "a short text": ({"root": "short.txt"}, "data.length: got .* too few for a window of 64"),
    "words": ({"tokens": "words"}, "data.tokens: got words; allowed: characters, bytes; do: data.tokens=characters"),
    "no length": ({"length": 0}, "data.length: got 0; allowed: an integer >= 1"),
    "official": ({"val": "official"}, "data.val: got 'official'; allowed: a share"),
    "too much": ({"val": "60%", "test": "40%"}, "data.val: got 60%, with 40% for testing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_one_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("so süß".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "folder").mkdir()
    settings, said = WRONG[case]
    with pytest.raises(UserError, match=said):
        text.text(**settings)
