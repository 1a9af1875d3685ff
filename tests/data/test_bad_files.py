"""Images that do not decode may be left out, up to a share: counted, named, and found once."""

import pytest
from support import folder_of_images, history, summary

from lrlab.data import bad_files, datasets
from lrlab.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Twelve images, two of which are none; the memory of what is bad is in a home of their own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = folder_of_images(tmp_path / "images")
    (made / "train" / "red" / "1.png").write_bytes(b"")
    (made / "val" / "blue" / "0.png").write_bytes(b"<!DOCTYPE html>")
    return made


def test_they_are_left_out_counted_and_named(root):
    splits = datasets.image_folder(str(root), skip_bad="40%")
    assert (len(splits.train), len(splits.val)) == (5, 5)
    assert not any("red/1.png" in path for path, _ in splits.train.samples)
    one, other = splits.notes[-2:]
    assert one.startswith("data.skip_bad: left out 1 of 6 images that do not decode: ")
    assert one.endswith("red/1.png (an empty file)")
    assert "blue/0.png (no format that is known; it begins with <!DOCTYPE" in other


@pytest.mark.parametrize("share", ["10%", 0.16, "1%"])
def test_more_than_the_share_is_refused_with_the_files(root, share):
    with pytest.raises(UserError, match=r"data\.skip_bad: got 1 of 6 images that do not decode: .*red/1\.png"):
        datasets.image_folder(str(root), skip_bad=share)


@pytest.mark.parametrize("share", [2, -1, "x", False, True, "200%"])
def test_the_share_is_a_share(root, share):
    with pytest.raises(UserError, match=r"data\.skip_bad: got .*; do: data\.skip_bad=1%"):
        datasets.image_folder(str(root), skip_bad=share)


def test_what_was_found_is_known_at_the_next_start_until_a_file_changes(root, monkeypatch):
    datasets.image_folder(str(root), skip_bad="40%")
    tried = []
    monkeypatch.setattr(bad_files, "_tried", lambda files: tried.append(files) or {})
    assert len(datasets.image_folder(str(root), skip_bad="40%").train) == 5
    assert tried == []
    (root / "train" / "red" / "1.png").write_bytes((root / "train" / "red" / "0.png").read_bytes())
    assert len(datasets.image_folder(str(root), skip_bad="40%").train) == 6
    assert len(tried) == 1


def test_a_memory_that_says_something_else_is_not_believed(root, tmp_path):
    splits = datasets.image_folder(str(root), skip_bad="40%")
    for file in (tmp_path / "home").rglob("bad-*.json"):
        file.write_text('{"/etc/passwd": "bad"}')
    assert datasets.image_folder(str(root), skip_bad="40%").train.samples == splits.train.samples


def test_a_run_trains_on_the_rest_says_so_and_goes_on(command, root, tmp_path):
    typed = ["data=imagefolder", f"data.root={root}", "data.skip_bad=40%", "data.workers=0", "data.batch_size=5"]
    outcome = command(*typed, "model=mlp", "trainer.epochs=2", "hydra.run.dir=run")
    assert outcome.code == 0, outcome.err
    assert "warning: data.skip_bad: left out 1 of 6 images" in outcome.out
    assert len([one for one in summary(tmp_path / "run")["warnings"] if one.startswith("data.skip_bad")]) == 2
    assert summary(tmp_path / "run")["updates"] == 2
    assert command("resume=run", "extend=3", f"data.root={root}").code == 0
    assert len(history(tmp_path / "run")) == 3


def test_many_files_are_tried_by_several_processes(root, monkeypatch):
    monkeypatch.setattr(bad_files, "_FILES_WORTH_A_PROCESS", 3)
    monkeypatch.setattr(bad_files, "_CHUNK", 1)
    assert len(datasets.image_folder(str(root), skip_bad="40%").train) == 5
