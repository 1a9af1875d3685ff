"""What commit 25a6d11 wrote goes on: runs are resumed and extended, a sweep is finished, all of it is compared.

`fixtures/25a6d11` holds runs that finished with 3 or 4 epochs, one that was stopped in mid-epoch, and a sweep that was
stopped in its third run; all train an mlp of 8 units on digits. Old import paths lead to the new ones.
"""

import importlib
import shutil
from pathlib import Path

import pytest
from support import history, points, summary, train

from lrlab.comparison import results
from lrlab.comparison.results import Result
from lrlab.data import held_out
from lrlab.runs import checkpoint

FIXTURES = Path(__file__).parent / "fixtures" / "25a6d11"
FINISHED = sorted(path.name for path in FIXTURES.glob("finished_*"))
SMALL = ("model=mlp", "model.hidden=[8]", "trainer.device=cpu")
OFFICIAL = "data.val=official"  # as all runs of that commit were
UPDATES = 23  # in an epoch, then


@pytest.fixture
def earlier(tmp_path):
    """A copy of a fixture."""

    def copy(name: str, to: str = "") -> Path:
        folder = tmp_path / (to or name)
        shutil.copytree(FIXTURES / name, folder)
        return folder

    return copy


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_is_known_to_be_finished(name, earlier, command):
    folder = earlier(name)
    ended = command(f"resume={folder}")
    assert ended.code == 0
    assert ended.out.startswith("nothing to do: all ")


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_can_be_extended(name, earlier, command):
    folder = earlier(name)
    before = history(folder)
    ended = command(f"resume={folder}", "extend=6")
    assert ended.code == 0, ended.err
    assert history(folder)[: len(before)] == before
    assert [row["epoch"] for row in history(folder)] == list("012345")
    assert summary(folder)["status"] == "finished"
    assert summary(folder)["extended_from"] == len(before)
    assert [step for step, _ in points(folder)["lr"]] == list(range(6 * UPDATES))


def test_a_stopped_run_ends_as_one_that_was_never_stopped(earlier, command, tmp_path):
    folder = earlier("stopped")
    assert command(f"resume={folder}").code == 0
    whole = train(tmp_path / "whole", *SMALL, OFFICIAL, "scheduler=warmup_cosine", "trainer.epochs=4")
    ended = summary(folder)
    assert ended["updates"] == whole["updates"] == 4 * UPDATES
    assert ended["plan"] == whole["plan"]
    assert ended["audit"]["equal"]
    assert ended["val_loss"] == pytest.approx(whole["val_loss"], rel=1e-4)  # another processor adds up otherwise


def test_a_sweep_goes_on_with_the_command_that_began_it(earlier, command):
    folder = earlier("sweep", "outputs/sweeps/study")
    finished = [folder / f"scheduler=step,seed={seed}" / "history.csv" for seed in (0, 1)]
    times = [path.stat().st_mtime_ns for path in finished]
    typed = ["sweep=study", *SMALL, "trainer.epochs=3", "scheduler=step,cosine", "seed=0,1"]
    refused = command("-m", *typed)  # its validation images are others today, and it says how to have those
    assert refused.code == 1
    assert "data.val: got 10%, but " in refused.err
    assert refused.err.endswith("do: data.val=official to go on with it, or another name, sweep=NAME\n")
    ended = command("-m", *typed, OFFICIAL, "hydra.launcher.in_process=true")
    assert ended.code == 0, ended.err
    assert "2 finished and skipped, 1 begun and continued" in ended.out
    assert [path.stat().st_mtime_ns for path in finished] == times
    runs = [summary(folder / f"scheduler={name},seed={seed}") for name in ("step", "cosine") for seed in (0, 1)]
    assert {run["status"] for run in runs} == {"finished"}
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(
        f"scheduler={name},seed={seed}" for name in ("step", "cosine") for seed in (0, 1)
    )


def test_another_sweep_into_its_folder_is_refused_by_name(earlier, command):
    earlier("sweep", "outputs/sweeps/study")
    ended = command("-m", "sweep=study", *SMALL, OFFICIAL, "trainer.epochs=5", "scheduler=step,cosine", "seed=0,1")
    assert ended.code == 1
    assert "trainer.epochs: got 5, but " in ended.err


def test_old_runs_and_new_ones_are_compared(earlier, enter, tmp_path):
    from lrlab.commands import compare

    earlier("sweep", "all/sweep")
    earlier("finished_cosine", "all/cosine")
    train(tmp_path / "all" / "new", *SMALL, OFFICIAL, "scheduler=cosine", "trainer.epochs=3", "seed=1")
    train(tmp_path / "all" / "held", *SMALL, "scheduler=cosine", "trainer.epochs=3", "seed=2")
    ended = enter(compare.main, str(tmp_path / "all"))
    assert ended.code == 0, ended.err
    [row] = [line for line in ended.out.splitlines() if line.startswith("cosine ")]
    assert row.split()[:3] == ["cosine", "0.02", "2"]  # the old run and the new one are one candidate
    assert "left out: held (other data or model: data.val=10%)" in ended.out  # validated by other images


def test_label_smoothing_is_the_tasks_now_and_an_old_run_means_what_it_meant(earlier, command):
    folder = earlier("finished_groups")
    saved = checkpoint.load(folder / "checkpoints" / "last.pt")["config"]
    assert saved["task"] == {
        "_target_": "lrlab.training.task.Classification",
        "label_smoothing": 0.1,
        "loss": None,
    }
    assert "label_smoothing" not in saved["trainer"]
    refused = command(f"resume={folder}", "extend=6", "task.label_smoothing=0.2")
    assert "task.label_smoothing: got 0.2, but the checkpoint was saved with 0.1" in refused.err
    refused = command(f"resume={folder}", "extend=6", "trainer.label_smoothing=0.1")
    assert "trainer.label_smoothing: got a setting that is task.label_smoothing now; " in refused.err
    assert command(f"resume={folder}", "extend=6").code == 0
    assert checkpoint.load(folder / "checkpoints" / "last.pt")["config"]["task"] == saved["task"]


def test_what_an_old_run_does_not_say_of_its_splits_is_official(earlier):
    settings = results.settings_of(earlier("finished_cosine"))
    assert (settings["data.val"], settings["data.split_seed"]) == (held_out.OFFICIAL, 0)


def test_an_old_run_and_a_new_one_have_the_same_settings(earlier, tmp_path):
    old = results.settings_of(earlier("finished_groups"))
    train(tmp_path / "new", *SMALL, OFFICIAL, "optimizer=adamw", "scheduler=warmup_cosine", "task.label_smoothing=0.1")
    new = results.settings_of(tmp_path / "new")
    assert {key: value for key, value in new.items() if key.startswith(("task.", "trainer."))} == {
        key: value for key, value in old.items() if key.startswith(("task.", "trainer."))
    } | {"trainer.epochs": 20}
    assert [key for key in old if key.startswith("task.")] == ["task._target_", "task.label_smoothing", "task.loss"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lrlab.datasets.digits", "lrlab.data.datasets.digits"),
        ("lrlab.datasets.image_folder", "lrlab.data.datasets.image_folder"),
        ("lrlab.greedy.GreedyLR", "lrlab.lr.greedy.GreedyLR"),
        ("lrlab.chains.sequential", "lrlab.lr.torch_composites.sequential"),
    ],
)
def test_a_name_that_moved_is_found_at_its_old_place_with_a_warning(old, new):
    place, _, leaf = old.rpartition(".")
    module = importlib.import_module(place)
    with pytest.warns(DeprecationWarning, match=f"{old} has moved to {new}"):
        found = getattr(module, leaf)
    assert f"{found.__module__}.{found.__qualname__}" == new
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_documented_names_stay_where_they_were():
    from lrlab.data import Fixed, Images, MapDataset, Splits
    from lrlab.models import cnn, mlp, resnet_cifar
    from lrlab.schedules import cosine, warmup

    assert all(map(callable, (Fixed, Images, MapDataset, Splits, cnn, mlp, resnet_cifar, cosine, warmup)))


@pytest.mark.filterwarnings("ignore:lrlab.datasets.digits has moved:DeprecationWarning")
def test_an_old_name_that_is_typed_means_the_run_of_the_new_one(earlier, command):
    typed = ["data._target_=lrlab.datasets.digits", *SMALL, "trainer.epochs=1", "hydra.launcher.in_process=true"]
    for _ in range(2):
        assert command("-m", "seed=0", "sweep=old", *typed).code == 0
    single = command(*typed[:-1])
    assert "warning: data._target_: lrlab.datasets.digits is lrlab.data.datasets.digits now" in single.out
    ended = command(f"resume={earlier('stopped')}", typed[0])
    assert ended.code == 0, ended.err


def test_a_choice_that_was_saved_under_an_old_name_is_the_one_of_today(tmp_path):
    old = Result("old", tmp_path, {}, {"choices": {"scheduler": "lrlab.greedy.GreedyLR"}}, [])
    new = Result("new", tmp_path, {}, {"choices": {"scheduler": "lrlab.lr.greedy.GreedyLR"}}, [])
    assert old.choice("scheduler") == new.choice("scheduler")
