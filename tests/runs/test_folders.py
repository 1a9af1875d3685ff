"""Names of runs are readable, safe and different where the overrides differ; folders are never shared."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lrlab.config import names
from lrlab.errors import UserError
from lrlab.runs import folders
from lrlab.system import lock

SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=,._+-")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "default"),
        (["scheduler=cosine", "seed=1"], "scheduler=cosine,seed=1"),
        (["seed=1", "scheduler=cosine"], "seed=1,scheduler=cosine"),
        (["optimizer.lr=0.1", "+trainer.foo=1"], "lr=0.1,foo=1"),
        (["optimizer.lr=0.1", "head.lr=0.2"], "optimizer.lr=0.1,head.lr=0.2"),
        (["scheduler.milestones=[10,20]"], "milestones=10,20"),
        (["scheduler.step_size=12.5%"], "step_size=12.5pct"),
        (["trainer.device=cuda", "data.root=/a/b", "resume=x", "hydra.run.dir=x", "~scheduler.T_max"], "default"),
    ],
)
def test_names_say_what_was_overridden(overrides, name):
    assert names.run_name(overrides) == name


def test_keys_that_all_runs_share_can_be_left_out_and_then_only_they():
    assert names.run_name(["trainer.epochs=3", "seed=1"], leave_out=["trainer.epochs"]) == "seed=1"
    assert names.run_name(["trainer.device=cpu", "seed=1"], leave_out=[]) == "device=cpu,seed=1"


NASTY = [
    "note=../../etc",
    "note=/abs",
    "note=" + "y" * 300,
    "note=a b",
    "note=a:b*?",
    "note=日本",
    "note='a'",
    "note=~",
]


@pytest.mark.parametrize("override", NASTY)
def test_names_are_safe_short_and_stay_in_their_folder(override):
    name = names.run_name([override])
    assert set(name) <= SAFE
    assert 0 < len(name) <= 95
    assert (Path("/runs") / name).resolve().parent == Path("/runs")


def test_different_overrides_have_different_names():
    values = ["a/b", "a-b", "a b", "a:b", *("y" * 300 + end for end in "12")]
    assert len({names.run_name([f"note={value}"]) for value in values}) == len(values)


def test_folders_that_are_reserved_at_once_are_never_shared(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: folders.reserve(tmp_path / "runs" / "now"), range(32)))
    assert len(set(made)) == 32
    assert all(folder.is_dir() for folder in made)


def test_only_a_folder_with_nothing_but_a_log_is_discarded(tmp_path):
    used, unused = tmp_path / "used", tmp_path / "unused"
    for folder in (used, unused):
        folder.mkdir()
        (folder / "train.log").touch()
    (used / "config.yaml").touch()
    folders.discard_unused(used)
    folders.discard_unused(unused)
    assert used.is_dir()
    assert not unused.exists()


def test_a_folder_is_held_by_one_at_a_time_and_free_afterwards(tmp_path):
    with lock.held(tmp_path):
        again = lock.held(tmp_path)
        with pytest.raises(UserError, match="in which another process is training; allowed: one process at a time"):
            again.__enter__()
    with lock.held(tmp_path):
        pass


LATE = """
import torch
from lrlab.data import Splits

class Images:
    shape = (1, 8, 8)
    def __len__(self): return 9
    def __getitem__(self, index): return torch.zeros(1, 8, 8), 0.5

def data(): return Splits(Images(), Images(), 2)
"""


@pytest.mark.parametrize(
    ("there", "typed", "left"),
    [
        ([], "hydra.run.dir=mine/kept/run", []),
        (["mine/kept"], "hydra.run.dir=mine/kept/run", ["mine", "mine/kept"]),
        (["mine"], "hydra.run.dir=mine/kept/run", ["mine"]),
        (["outputs"], "seed=0", ["outputs"]),
        ([], "seed=0", []),
    ],
)
def test_a_run_that_did_not_begin_leaves_the_folders_that_were_there_and_no_others(
    command, tmp_path, there, typed, left
):
    (tmp_path / "late.py").write_text(LATE)
    for folder in there:
        (tmp_path / folder).mkdir(parents=True)
    outcome = command("data._target_=late.data", "data.cache=memory", "data.shift=0", "model=linear", typed)
    assert outcome.code == 1
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir())
    assert [path for path in found if "__pycache__" not in path] == left
