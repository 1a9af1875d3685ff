"""Pipes, devices and contents without an end in the place of files: one line or left out, and nothing is waited for."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
from support import TINY, StopAt, folder_of_images, train

from lrlab.commands import compare
from lrlab.data import datasets
from lrlab.errors import UserError
from lrlab.runs import checkpoint
from lrlab.system import disk


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, *TINY, "trainer.epochs=2")
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def look(enter):
    return partial(enter, compare.main)


@pytest.mark.parametrize("name", ["train.log", "history.csv", "summary.json", "more", "checkpoints/best.pt"])
def test_a_pipe_in_the_folder_of_a_run_is_refused_and_not_waited_for(command, run, name):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    outcome = command("resume=run", "extend=3")
    assert outcome.code == 1
    assert f"folder: got run/{name}, a pipe, a socket or a device; " in outcome.err


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "history.csv"])
@pytest.mark.parametrize("endless", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_run_with_a_file_without_an_end_is_left_out_of_a_comparison(look, run, name, endless):
    shutil.copytree(run, "runs/sound")
    shutil.copytree(run, "runs/odd")
    Path("runs/odd", name).unlink()
    endless(Path("runs/odd", name))
    endless(Path("runs/sweep.json"))
    outcome = look("runs", "compare.folder=there")
    assert outcome.code == 0
    assert "left out: odd (" in outcome.out


@pytest.mark.parametrize("endless", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_an_image_without_an_end_is_refused_by_name(command, tmp_path, endless):
    root = folder_of_images(tmp_path / "images")
    endless(root / "train" / "red" / "3.png")
    typed = ["data=imagefolder", f"data.root={root}", "data.workers=0", "data.batch_size=3", "model=linear"]
    outcome = command(*typed, "trainer.epochs=1")
    assert outcome.code == 1
    assert "red/3.png, which does not decode (it is no file but a pipe, a device or a folder)" in outcome.err
    assert len(datasets.image_folder(str(root), skip_bad="30%").train) == 6


def test_a_file_is_read_to_a_bound_only(tmp_path):
    (tmp_path / "long").write_bytes(b"x" * 11)
    assert disk.read_regular(tmp_path / "long", 11) == b"x" * 11
    with pytest.raises(OSError, match="more than 10 bytes"):
        disk.read_regular(tmp_path / "long", 10)


def bomb(levels: int) -> list:
    made: list = [1]
    for _ in range(levels):
        made = [made, made]
    return made


def itself() -> list:
    made: list = [1]
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("config", "x"), bomb(60)),
        (("state", "random", "python"), itself()),
        pytest.param(("state", "random", "python"), bomb(60), marks=pytest.mark.slow),
        pytest.param(("config", "x"), itself(), marks=pytest.mark.slow),
        pytest.param(("choices",), bomb(60), marks=pytest.mark.slow),
        pytest.param(("audit",), itself(), marks=pytest.mark.slow),
    ],
    ids=lambda one: ".".join(one) if isinstance(one, tuple) else "",
)
def test_contents_that_stand_for_far_more_than_the_file_holds_are_refused(run, place, value):
    contents = checkpoint.load(run / checkpoint.LAST)
    part = contents
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    del contents["lrlab"]
    checkpoint.save(run / checkpoint.LAST, contents)
    with pytest.raises(UserError, match="whose contents stand for far more than the file holds"):
        checkpoint.load(run / checkpoint.LAST)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": None}, "optimizer of the scheduler is no state of it"),
        ({"step": 3}, "step of the scheduler is no state of it"),
        ({"T_max": 0}, "scheduler: got CosineAnnealingLR, which fails in training (ZeroDivisionError"),
    ],
)
def test_a_schedulers_state_that_is_not_its_own_is_one_line(command, tmp_path, monkeypatch, change, said):
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 0)
        assert command(*TINY, "trainer.epochs=3", "hydra.run.dir=run").code == 143
    whole = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    whole["state"]["scheduler"] |= change
    del whole["lrlab"]
    checkpoint.save(tmp_path / "run" / checkpoint.LAST, whole)
    outcome = command("resume=run")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


LONG = "1" * 5000


@pytest.mark.parametrize(
    "typed",
    [
        f"seed={LONG}",
        f"trainer.epochs={LONG}",
        f"optimizer.lr={LONG}",
        f"checkpoint.every={LONG}",
        f"checkpoint.every={LONG}st",
        f"checkpoint.every={LONG}min",
        f"scheduler=step scheduler.step_size={LONG}st",
        f"-m seed=0,{LONG}",
        "trainer.epochs=4611686018427387904",
        "trainer.epochs=9000000 scheduler.interval=step",
    ],
    ids=lambda typed: typed[:40],
)
def test_numbers_without_an_end_are_one_line_at_once(command, tmp_path, typed):
    outcome = command(*typed.split())
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("lrlab: error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_partial_": True}, "model._partial_: got True"),
        ({"_recursive_": False}, "model._recursive_: got False"),
        ({"_convert_": "object"}, "model._convert_: got object"),
    ],
)
def test_how_a_node_is_called_is_not_a_files_to_say(command, run, change, said):
    whole = checkpoint.load(run / checkpoint.LAST)
    whole["config"]["model"] |= change
    del whole["lrlab"]
    checkpoint.save(run / checkpoint.LAST, whole)
    outcome = command("resume=run", "extend=3")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert said in outcome.err
