"""The data that a run was trained on is part of what it is: a resumed run and a sweep are refused on other data."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from image_changes import (
    add_one_and_remove_another,
    copy,
    move,
    rename_a_class,
    replace_all,
    replace_an_image,
    swap_classes,
    touch,
)
from support import folder_of_images, history, summary

from lrlab.commands import compare
from lrlab.runs import checkpoint

IMAGES = ("data=imagefolder", "data.workers=0", "data.batch_size=3", "data.shift=0", "model=mlp", "model.hidden=[4]")
RUN = (*IMAGES, "trainer.epochs=1", "trainer.device=cpu", "data.root=images")
SWEEP = ("-m", *RUN, "sweep=s", "hydra.launcher.in_process=true")
CHANGES = {
    rename_a_class: "train is without class red and with the new class crimson",
    swap_classes: "train/blue/0.png is another file",
    replace_an_image: "train/red/1.png is another file",
    replace_all: "train/blue/0.png is another file",
    add_one_and_remove_another: "train/red/0.png is gone",
}
IN_SWEEPS = (replace_all, rename_a_class, swap_classes, add_one_and_remove_another)


@pytest.fixture
def images() -> Path:
    return folder_of_images(Path("images"))


@pytest.fixture
def run(command, images) -> Path:
    assert command(*RUN[:-1], f"data.root={images}").code == 0
    (folder,) = Path("outputs/runs").iterdir()
    return folder


def forget(folder: Path) -> None:
    """Let a run be as commit 25a6d11 left it, which remembered nothing of its data."""
    for path in folder.glob("checkpoints/*.pt"):
        saved = checkpoint.load(path)
        del saved["facts"]["contents"], saved["lrlab"]
        checkpoint.save(path, saved)
    said = summary(folder)
    del said["contents"]
    (folder / "summary.json").write_text(json.dumps(said))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_run_is_not_gone_on_with_on_other_data(command, images, run, change):
    change(images)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    outcome = command(f"resume={run}", "extend=2", "data.root=images")
    assert outcome.code == 1
    assert outcome.err == (
        f"lrlab: error: data.root: got images, but the checkpoint was saved with other data ({CHANGES[change]}); "
        "allowed: the saved value, when a run is resumed; "
        "do: data.root=FOLDER with the files as they were, or start a new run\n"
    )
    assert before == {path: path.read_bytes() for path in before}


def test_another_folder_with_as_many_images_of_the_same_size_is_other_data(command, images, run):
    replace_all(copy(images))
    outcome = command(f"resume={run}", "extend=3", "data.root=copy")
    assert outcome.code == 1
    assert (
        "data.root: got copy, but the checkpoint was saved with other data (train/blue/0.png is another" in outcome.err
    )
    assert summary(run)["epochs"] == 1


@pytest.mark.parametrize("change", [touch, move, copy], ids=lambda change: change.__name__)
def test_a_run_goes_on_with_its_data_wherever_it_lies(command, images, run, change):
    place = change(images)
    outcome = command(f"resume={run}", "extend=2", f"data.root={place}")
    assert outcome.code == 0, outcome.err
    assert [row["epoch"] for row in history(run)] == ["0", "1"]


def test_a_run_that_remembers_nothing_goes_on_in_its_folder_only_and_remembers_from_then_on(command, images, run):
    forget(run)
    elsewhere = command(f"resume={run}", "extend=2", f"data.root={copy(images)}")
    assert elsewhere.code == 1
    assert elsewhere.err.startswith("lrlab: error: data.root: got copy, but the checkpoint was saved with images; ")
    replace_an_image(images)
    assert command(f"resume={run}", "extend=2", "data.root=images").code == 0
    replace_all(images)
    outcome = command(f"resume={run}", "extend=3", "data.root=images")
    assert (outcome.code, "is another file" in outcome.err) == (1, True)


@pytest.mark.parametrize("change", IN_SWEEPS, ids=lambda change: change.__name__)
def test_a_sweep_takes_no_more_seeds_on_other_data(command, images, change):
    assert command(*SWEEP, "seed=0,1").code == 0
    change(images)
    outcome = command(*SWEEP, "seed=0,1,2")
    assert outcome.code == 1
    assert re.fullmatch(
        rf"lrlab: error: data\.root: got images, but \S+/seed=0 holds a run with other data \({CHANGES[change]}\); "
        r"allowed: the settings and the data with which the sweep began; do: another name, sweep=NAME\n",
        outcome.err,
    ), outcome.err
    assert not Path("outputs/sweeps/s/seed=2").exists()


@pytest.mark.parametrize("change", [touch, move], ids=lambda change: change.__name__)
def test_a_sweep_goes_on_with_its_data_wherever_it_lies(command, images, change):
    assert command(*SWEEP, "seed=0,1").code == 0
    place = change(images)
    outcome = command(*SWEEP, "seed=0,1,2", f"data.root={place}")
    assert outcome.code == 0, outcome.err
    assert "2 finished and skipped" in outcome.out
    assert sorted(path.name for path in Path("outputs/sweeps/s").iterdir() if path.is_dir()) == [
        "seed=0",
        "seed=1",
        "seed=2",
    ]


def test_a_sweep_that_remembers_nothing_goes_on(command, images):
    assert command(*SWEEP, "seed=0,1").code == 0
    for name in ("seed=0", "seed=1"):
        forget(Path("outputs/sweeps/s") / name)
    replace_an_image(images)
    outcome = command(*SWEEP, "seed=0,1,2")
    assert outcome.code == 0, outcome.err
    assert "contents" in summary(Path("outputs/sweeps/s/seed=2"))


def test_a_sweep_goes_on_when_an_image_that_did_not_decode_is_replaced(command, images):
    path = images / "train" / "red" / "1.png"
    good = path.read_bytes()
    path.write_bytes(b"no image")
    assert command(*SWEEP, "seed=0,1").code == 1
    path.write_bytes(good)
    outcome = command(*SWEEP, "seed=0,1")
    assert outcome.code == 0, outcome.err
    assert summary(Path("outputs/sweeps/s/seed=0"))["contents"]["train"]["classes"]


def test_runs_on_other_data_are_not_compared(command, enter, images, run):
    replace_an_image(images)
    assert command(*RUN, "seed=1").code == 0
    outcome = enter(compare.main, "outputs/runs")
    assert outcome.code == 0, outcome.err
    assert "other data: train/red/1.png is another file" in outcome.out
    assert summary(run)["status"] == "finished"


def test_two_folders_in_one_sweep_are_two_runs_even_where_they_hold_the_same(command, images):
    copy(images)
    typed = ["-m", *RUN[:-1], "data.root=images,copy", "sweep=s", "hydra.launcher.in_process=true"]
    assert command(*typed).code == 0
    again = command(*typed)
    assert (again.code, "2 finished and skipped" in again.out) == (0, True)
    names = sorted(path.name for path in Path("outputs/sweeps/s").iterdir() if path.is_dir())
    assert names == ["root=copy", "root=images"]


def test_a_run_that_ended_at_a_bad_image_knows_its_classes_still(command, images):
    bad = images / "train" / "red" / "1.png"
    sound = bad.read_bytes()
    bad.write_bytes(b"no image")
    typed = [*RUN, "data.cache=none", "hydra.run.dir=bad"]
    assert command(*typed).code == 1
    bad.write_bytes(sound)
    (images / "train" / "red").rename(images / "train" / "green")
    (images / "val" / "red").rename(images / "val" / "green")
    refused = command("resume=bad", "data.root=images")
    assert refused.code == 1
    assert "other data (train is without class red and with the new class green)" in refused.err
    (images / "train" / "green").rename(images / "train" / "red")
    (images / "val" / "green").rename(images / "val" / "red")
    assert command("resume=bad", "data.root=images").code == 0


def test_what_a_run_remembers_is_in_its_checkpoint_and_its_summary(run):
    saved = torch.load(run / checkpoint.LAST, weights_only=True)["facts"]["contents"]
    assert saved == summary(run)["contents"]
    assert list(saved["train"]["classes"]) == ["blue", "red"]


def test_a_data_set_of_ones_own_is_known_by_its_fingerprint(command):
    code = (
        "from lrlab.data import Fixed, Splits\n"
        "from lrlab.data.datasets import digits\n"
        "def images(): return Splits(Fixed(digits().train, NAME), digits().val, 10)\n"
    )
    typed = ["data._target_=own_images.images", "data.shift=0", "model=mlp", "model.hidden=[4]", "trainer.epochs=1"]
    for name, code_expected in (("1st", 0), ("1st", 0), ("2nd", 1)):
        Path("own_images.py").write_text(f"NAME = '{name}'\n{code}")
        sys.modules.pop("own_images", None)
        importlib.invalidate_caches()
        shutil.rmtree("__pycache__", ignore_errors=True)
        done = list(Path("outputs/runs").glob("*"))
        told = [f"resume={done[0]}", f"extend={2 + len(history(done[0]))}", typed[0]] if done else typed
        outcome = command(*told)
        assert outcome.code == code_expected, outcome.err
    assert (
        "data: got this data, but the checkpoint was saved with other data (train had the fingerprint 1st, has 2nd)"
        in (outcome.err)
    )
