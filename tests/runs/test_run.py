"""A run from config to files: what it leaves, that it repeats itself, and that it goes on where it stopped."""

import contextlib
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
import yaml
from forked import server
from support import UPDATES, StopAt, folder_of_images, history, points, same_weights, slow_but, summary, train, weights

from lrlab import __version__
from lrlab.config import compose
from lrlab.config.prepare import prepare
from lrlab.data import datasets, image_files
from lrlab.data.batches import Batches, Batching
from lrlab.data.held_out import Holding
from lrlab.errors import Interrupted, UserError, wrong
from lrlab.models import cnn
from lrlab.runs import checkpoint, records, run
from lrlab.runs.summary import Tally, versions
from lrlab.system import disk, randomness
from lrlab.system.lock import held

SHORT = ("trainer.epochs=4", "data.batch_size=256", "model.dropout=0.2")


def test_what_a_run_leaves(tmp_path):
    said = train(tmp_path, "scheduler=step", "trainer.epochs=3", "trainer.device=cpu")
    rows = history(tmp_path)
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == [
        *("checkpoints", "config", "events", "history", "summary")
    ]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.pt", "last.pt", "previous.pt"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [row["step"] for row in rows] == [str(epoch * UPDATES) for epoch in (1, 2, 3)]
    assert said["status"] == "finished"
    assert said["updates"] == 3 * UPDATES
    assert said["parameters"] == sum(value.numel() for value in cnn((1, 8, 8), 10).parameters())
    assert said["val_loss"] == float(rows[-1]["val_loss"])
    assert said["best_val_accuracy"] == max(float(row["val_accuracy"]) for row in rows)
    assert said["best_val_loss"] == min(float(row["val_loss"]) for row in rows)
    assert said["device"].startswith("cpu")
    assert (
        said["versions"]["torch"] == torch.__version__.partition("+")[0]
        or said["versions"]["torch"] in torch.__version__
    )
    assert said["plan"]["updates"] == 3 * UPDATES
    assert said["seconds"] > 0
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["scheduler"]["step_size"] == "25%"
    assert "${" not in (tmp_path / "config.yaml").read_text()


def test_the_points_are_those_of_the_history(tmp_path):
    train(tmp_path, "scheduler=exponential", "trainer.epochs=3")
    recorded, rows = points(tmp_path), history(tmp_path)
    assert [step for step, _ in recorded["train/loss"]] == list(range(3 * UPDATES))
    for tag, name in (("val/loss", "val_loss"), ("val/accuracy", "val_accuracy"), ("train/accuracy", "train_accuracy")):
        assert recorded[tag] == [(int(row["step"]), float(numpy.float32(float(row[name])))) for row in rows]


def test_the_same_seed_gives_the_same_run_bit_for_bit(tmp_path):
    for name in ("one", "two", "three"):
        train(tmp_path / name, *SHORT, *(["seed=1"] if name == "three" else []))
    assert same_weights(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert history(tmp_path / "one") == history(tmp_path / "two")
    assert not same_weights(weights(tmp_path / "one"), weights(tmp_path / "three"))


def test_the_tutorials_loop_by_hand_gives_the_same_lr_and_the_same_weights(tmp_path):
    epochs = 20
    train(
        tmp_path,
        *("optimizer.lr=0.01", "optimizer.momentum=0.9", "optimizer.weight_decay=0", f"trainer.epochs={epochs}"),
        *("scheduler=exponential", "scheduler.gamma=0.9", "trainer.device=cpu"),
    )
    settings = Batching(batch_size=64, shift=2, mean=[0.3054], std=[0.3760])
    splits, cpu = Holding("10%").apply(datasets.digits()), torch.device("cpu")
    batches = Batches(splits.train, settings, num_classes=10, seed=0, device=cpu, train=True)

    randomness.seed_everything(0)
    model = cnn((1, 8, 8), 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    lrs = []
    for epoch in range(epochs):
        for images, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        lrs.append(scheduler.get_last_lr()[0])
        scheduler.step()

    assert [float(row["lr"]) for row in history(tmp_path)] == lrs
    assert same_weights(weights(tmp_path), model.state_dict())


def test_the_best_epoch_is_kept_by_the_metric_that_is_monitored(tmp_path):
    for monitor, choose in (("val_accuracy", max), ("val_loss", min), ("train_loss", min)):
        folder = tmp_path / monitor
        said = train(folder, f"trainer.monitor={monitor}", "trainer.epochs=6", "scheduler=constant", "optimizer.lr=0.2")
        values = [float(row[monitor]) for row in history(folder)]
        best = values.index(choose(values))
        assert said["best_epoch"] == best
        kept = checkpoint.load(folder / "checkpoints" / "best.pt")
        assert kept["state"]["progress"]["epoch"] == best + 1


def test_of_equal_epochs_the_first_is_the_best():
    tally = Tally()
    metrics = {"val_loss": 1.0, "val_accuracy": 0.5}
    assert tally.add(0, 1.0, metrics, "val_accuracy")
    assert not tally.add(1, 1.0, metrics, "val_accuracy")
    assert not tally.add(2, 1.0, {"train_loss": 0.1}, "val_accuracy")
    assert tally.add(3, 1.0, metrics | {"val_accuracy": 0.6}, "val_accuracy")
    assert (tally.best_epoch, tally.epochs, tally.seconds) == (3, 4, 4.0)


def test_biases_and_norms_can_be_exempt_from_decay_in_a_group_of_their_own(tmp_path):
    train(tmp_path, "optimizer.decay_bias_and_norm=false", "optimizer.weight_decay=0.1", "trainer.epochs=1")
    groups = checkpoint.load(tmp_path / "checkpoints" / "last.pt")["state"]["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in groups] == [3, 5]
    recorded = points(tmp_path)
    assert recorded["lr/no_decay"] == recorded["lr"]


def test_an_epoch_that_is_not_validated_has_no_validation_in_its_row(tmp_path):
    train(tmp_path, "trainer.eval_every=2", "trainer.epochs=3")
    assert [bool(row["val_loss"]) for row in history(tmp_path)] == [False, True, True]


def test_a_run_does_not_overwrite_another(tmp_path):
    from lrlab.errors import UserError

    train(tmp_path, "trainer.epochs=1")
    with pytest.raises(UserError, match="which holds a run already"):
        train(tmp_path, "trainer.epochs=1")


SCHEDULERS = ["step", "onecycle", "plateau", "warmup_cosine", "cosine_bounce", "cyclic"]


def assert_same_run(folder: Path, whole: Path) -> None:
    assert same_weights(weights(folder), weights(whole))
    assert same_weights(weights(folder, "best"), weights(whole, "best"))
    assert history(folder) == history(whole)
    assert points(folder) == points(whole)
    assert (folder / "config.yaml").read_text() == (whole / "config.yaml").read_text()
    ours, theirs = summary(folder), summary(whole)
    assert {name: ours[name] for name in ours if name != "seconds"} == {n: theirs[n] for n in theirs if n != "seconds"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of `SHORT` with a scheduler that nothing disturbs, made once for each scheduler."""
    made: dict[str, Path] = {}

    def folder(scheduler: str = "cosine") -> Path:
        if scheduler not in made:
            made[scheduler] = tmp_path_factory.mktemp("whole") / scheduler
            train(made[scheduler], f"scheduler={scheduler}", *SHORT)
        return made[scheduler]

    return folder


def carry_out(folder: Path, *overrides: str, kill_after: tuple[int, float] | None = None) -> None:
    """Train in a process of its own; kill it (rows of history, seconds) after it has something to go on from."""
    child = server().Process(target=train, args=(folder, *overrides))
    child.start()
    if kill_after is not None:
        rows, seconds = kill_after
        while child.is_alive() and not ((folder / checkpoint.LAST).exists() and len(history(folder)) >= rows):
            time.sleep(0.005)
        time.sleep(seconds)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "every"), [("warmup_cosine", "null"), ("plateau", "7st")])
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path, scheduler, every):
    overrides = (
        *(f"scheduler={scheduler}", "trainer.epochs=24", "model.dropout=0.2", "data.batch_size=32"),
        f"checkpoint.every={every}",
    )
    carry_out(tmp_path / "whole", *overrides)
    moments, killed_in_training = random.Random(scheduler), 0
    for attempt in range(3):
        folder = tmp_path / f"killed {attempt}"
        resume: list[str] = []
        for rows in sorted(moments.sample(range(14), 2)):  # long before the end
            carry_out(folder, *overrides, *resume, kill_after=(rows, moments.uniform(0, 0.1)))
            assert (folder / checkpoint.LAST).exists()
            resume = [f"resume='{folder}'"]
            killed_in_training += checkpoint.load(folder / checkpoint.LAST)["state"]["progress"]["epoch"] < 24
        carry_out(folder, *overrides, *resume)
        assert_same_run(folder, tmp_path / "whole")
    assert killed_in_training >= 3, "the kills came too late to prove anything"


@pytest.mark.parametrize("scheduler", slow_but(SCHEDULERS, "onecycle", "plateau", "warmup_cosine"))
@pytest.mark.parametrize("stop", [(signal.SIGINT, 2), (signal.SIGTERM, 8), (signal.SIGUSR2, 5)], ids=str)
def test_a_signal_stops_the_run_after_its_update_and_the_run_goes_on_exactly(command, tmp_path, whole, scheduler, stop):
    number, step = stop
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, number, step)
        stopped = command(f"scheduler={scheduler}", *SHORT)
    folder = next((tmp_path / "outputs" / "runs").iterdir()).relative_to(tmp_path)
    assert stopped.code == 128 + number
    assert f"stopped by {number.name} after update {step + 1}, saved; to go on:" in stopped.out
    assert stopped.out.splitlines()[-1] == f"python train.py resume={folder}"
    assert summary(folder)["status"] == "interrupted"
    resumed = command(f"resume={folder}")
    assert resumed.code == 0
    assert f"resumed after update {step + 1}" in resumed.out
    assert_same_run(folder, whole(scheduler))


@pytest.mark.parametrize(
    "typed",
    [
        ("optimizer._target_=own_classes.Steps",),
        ("task.loss={_target_: own_classes.Loss}", "optimizer._target_=own_classes.Steps"),
    ],
)
def test_the_command_that_is_printed_goes_on_with_classes_of_ones_own_too(command, tmp_path, typed):
    (tmp_path / "own_classes.py").write_text(
        "import torch\nclass Steps(torch.optim.SGD):\n    pass\nclass Loss(torch.nn.CrossEntropyLoss):\n    pass\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 5)
        stopped = command(*SHORT, *typed)
    assert stopped.code == 143, stopped.err
    printed = shlex.split(stopped.out.splitlines()[-1])
    assert printed[:2] == ["python", "train.py"]
    assert command(*printed[2:]).code == 0
    assert summary(next((tmp_path / "outputs" / "runs").iterdir()))["status"] == "finished"


def test_checkpoints_are_written_within_epochs_and_the_run_is_the_same(tmp_path, monkeypatch):
    steps: list[int] = []
    save = checkpoint.save

    def noting(path, contents, **more):
        if path.name == checkpoint.LAST.name:
            steps.append(contents["state"]["progress"]["step"])
        save(path, contents, **more)

    monkeypatch.setattr(checkpoint, "save", noting)
    train(tmp_path / "often", *SHORT, "checkpoint.every=2st")
    within, steps[:] = set(steps), []
    train(tmp_path / "seldom", *SHORT, "checkpoint.every=null")
    ends = {int(row["step"]) for row in history(tmp_path / "seldom")}
    assert set(steps) == {0, *ends}
    assert within > set(steps)
    assert max(later - step for step, later in itertools.pairwise(sorted(within))) == 2
    assert history(tmp_path / "often") == history(tmp_path / "seldom")
    assert points(tmp_path / "often") == points(tmp_path / "seldom")
    assert same_weights(weights(tmp_path / "often"), weights(tmp_path / "seldom"))


def checkpoints_written(monkeypatch) -> list[tuple[str, int]]:
    """The checkpoints that are written from now on: their names, and the updates that they hold."""
    written: list[tuple[str, int]] = []
    save = checkpoint.save

    def noting(path, contents, **more):
        written.append((path.stem, contents["state"]["progress"]["step"]))
        save(path, contents, **more)

    monkeypatch.setattr(checkpoint, "save", noting)
    return written


def test_what_is_written_follows_time_and_holds_the_best_epoch(tmp_path, monkeypatch):
    train(tmp_path / "each", *SHORT, "checkpoint.every=null")
    written = checkpoints_written(monkeypatch)
    train(tmp_path / "timed", *SHORT)
    last, best = int(history(tmp_path / "each")[-1]["step"]), summary(tmp_path / "each")["best_epoch"]
    assert written == [("last", 0), ("best", int(history(tmp_path / "each")[best]["step"])), ("last", last)]
    for name in ("last", "best"):
        assert same_weights(weights(tmp_path / "timed", name), weights(tmp_path / "each", name))
    assert sorted(path.name for path in (tmp_path / "timed" / "checkpoints").iterdir()) == [
        *("best.pt", "last.pt", "previous.pt")
    ]


@pytest.mark.parametrize("stops_at", [1, 2, 3, 4, 5, 6, 7])
def test_wherever_a_write_is_cut_off_the_run_that_goes_on_has_the_same_best_epoch(tmp_path, monkeypatch, stops_at):
    """The process is killed before or after its n-th checkpoint is in place."""
    settings = (*SHORT, "trainer.epochs=3", "checkpoint.every=null", "seed=1")
    train(tmp_path / "whole", *settings)
    folder, count = tmp_path / "cut", 0
    save = checkpoint.save

    class Killed(BaseException):
        pass

    def cut_off(path, contents, **more):
        nonlocal count
        count += 1
        if count == stops_at:
            raise Killed
        save(path, contents, **more)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", cut_off)
        with pytest.raises(Killed):
            train(folder, *settings)
    if not (folder / checkpoint.LAST).exists():
        return
    known = checkpoint.load(folder / checkpoint.LAST)["progress"]["best_epoch"]

    # A run that stops at once, before anything is trained again, has the best epoch that its last.pt speaks of.
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, checkpoint.load(folder / checkpoint.LAST)["state"]["progress"]["step"])
        with contextlib.suppress(Interrupted):
            train(folder, *settings, f"resume='{folder}'")
    if known is not None and summary(folder)["status"] == "interrupted":
        assert checkpoint.load(folder / checkpoint.BEST)["progress"]["best_epoch"] == known
    train(folder, *settings, f"resume='{folder}'")
    assert same_weights(weights(folder, "best"), weights(tmp_path / "whole", "best"))
    assert same_weights(weights(folder), weights(tmp_path / "whole"))
    assert not (folder / checkpoint.BEST_BEFORE).exists()


def test_where_the_disk_refuses_the_best_epoch_no_last_one_claims_it(tmp_path, monkeypatch):
    settings = (*SHORT, "checkpoint.every=null")
    save, refused = checkpoint.save, []

    def full_once(path, contents, **more):
        if path.name == checkpoint.BEST.name and contents["progress"]["best_epoch"] > 0 and not refused:
            refused.append(path)
            raise wrong("disk", got="a full one", allowed="one with room", do="make room", kind=disk.Refused)
        save(path, contents, **more)

    train(tmp_path / "whole", *settings)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full_once)
        with pytest.raises(UserError):
            train(tmp_path / "run", *settings)
    assert refused
    last, best = (checkpoint.load(tmp_path / "run" / name)["progress"] for name in (checkpoint.LAST, checkpoint.BEST))
    assert last["best_epoch"] == best["best_epoch"]
    train(tmp_path / "run", *settings, f"resume='{tmp_path / 'run'}'")
    assert same_weights(weights(tmp_path / "run", "best"), weights(tmp_path / "whole", "best"))


def test_a_refused_resume_leaves_the_best_epoch_that_last_pt_speaks_of(command, tmp_path):
    train(tmp_path / "run", *SHORT, "checkpoint.every=null")
    folder = tmp_path / "run" / "checkpoints"
    shutil.copy(folder / "best.pt", folder / "best_before.pt")
    rows = tmp_path / "run" / "history.csv"
    told = rows.read_text()
    rows.write_text(told.replace("epoch", "Epoch"))
    refused = command(f"resume={folder / 'last.pt'}", "extend=5")
    assert refused.code == 1
    assert "another program has changed it" in refused.err
    assert (folder / "best_before.pt").exists()


def test_what_an_error_ends_is_kept_as_far_as_its_last_epoch(tmp_path, monkeypatch):
    show = run.Display.show

    def failing(display, event):
        show(display, event)
        if isinstance(event, run.Update) and event.step == 15:
            raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(run.Display, "show", failing)
        with pytest.raises(ValueError, match="a bug"):
            train(tmp_path / "run", *SHORT)
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)["state"]["progress"]
    assert (saved["epoch"], saved["step"]) == (2, 12)
    assert checkpoint.load(tmp_path / "run" / checkpoint.BEST)["progress"]["best_epoch"] in (0, 1)
    train(tmp_path / "run", *SHORT, f"resume='{tmp_path / 'run'}'")
    train(tmp_path / "whole", *SHORT)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_what_is_kept_in_memory_is_a_copy_and_tied_weights_stay_tied():
    weight = torch.ones(3)
    contents = {"model": {"a": weight, "b": weight, "c": weight[:2]}, "sizes": [1, (2, torch.zeros(2))]}
    kept = checkpoint.copied(contents)
    weight.add_(1)
    contents["sizes"].append(3)
    assert kept["model"]["a"].tolist() == [1, 1, 1]
    assert kept["model"]["a"] is kept["model"]["b"]
    assert kept["sizes"][0] == 1
    assert len(kept["sizes"]) == 2


@pytest.mark.parametrize("every", ["0min", "0s", "0st", "-1", "soon", "true", "1.5", "[1]"])
def test_a_rhythm_that_is_none_is_refused(command, tmp_path, every):
    refused = command(f"checkpoint.every={every}")
    assert refused.code == 1
    assert refused.err.startswith("lrlab: error: checkpoint.every: got ")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_is_whole(command, tmp_path, monkeypatch):
    def impatient(*_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same request once more
        time.sleep(0.6)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    write = records.Records.write_checkpoints
    monkeypatch.setattr(
        records.Records, "write_checkpoints", lambda this: (impatient if this.state.step else write)(this)
    )
    assert command(*SHORT, "checkpoint.every=null").code == 130
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    assert checkpoint.load(folder / checkpoint.LAST)["state"]["progress"]["step"] == 0


def test_a_finished_run_is_left_as_it_is(command, tmp_path):
    command(*SHORT)
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = command(f"resume={folder}")
    assert again.code == 0
    assert again.out.startswith("nothing to do: all 4 epochs of ")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a run of `SHORT` that a signal stopped after its seventh update."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 6)
        with pytest.raises(Interrupted):
            train(folder, *SHORT)
    return folder


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("optimizer.lr=0.2", "optimizer.lr: got 0.2, but the checkpoint was saved with 0.02; allowed: the saved value"),
        (
            "scheduler=step",
            "scheduler._target_: got torch.optim.lr_scheduler.StepLR, but the checkpoint was saved with torch.optim.",
        ),
        ("model=mlp", "model._target_: got lrlab.models.mlp, but the checkpoint was saved with lrlab.models.cnn; "),
        ("data.batch_size=32", "data.batch_size: got 32, but the checkpoint was saved with 256; "),
        ("seed=3", "seed: got 3, but the checkpoint was saved with 0; "),
        ("trainer.epochs=9", "trainer.epochs: got 9, but the checkpoint was saved with 4; "),
        ("trainer.clip_grad_norm=1", "trainer.clip_grad_norm: got 1, but the checkpoint was saved with None; "),
        ("extend=4", "extend: got 4; allowed: more than the 4 epochs planned; do: extend=8"),
    ],
)
def test_what_may_not_change_is_refused_by_name_and_nothing_is_touched(command, tmp_path, interrupted, typed, line):
    folder = tmp_path / "run"
    shutil.copytree(interrupted, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "train.log"}
    refused = command(f"resume={folder}", typed)
    assert refused.code == 1
    assert refused.err.startswith(f"lrlab: error: {line}")
    assert refused.err.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("scheduler", ["cosine", "step", "warmup_cosine", "onecycle", "plateau"])
def test_a_longer_run_follows_the_new_plan_which_is_shown_first(command, tmp_path, scheduler):
    command(f"scheduler={scheduler}", *SHORT)
    folder = next((tmp_path / "outputs" / "runs").iterdir()).relative_to(tmp_path)
    longer = command(f"resume={folder}", "extend=7")
    assert longer.code == 0
    assert "a longer run: planned for 4 epochs, now for 7" in longer.out
    assert longer.out.index("LR planned before") < longer.out.index("epoch 5/7")
    rows = history(folder)
    assert [row["epoch"] for row in rows] == list("0123456")
    overrides = [f"scheduler={scheduler}", *SHORT[1:]]
    plans = [prepare(compose.compose([*overrides, f"trainer.epochs={n}"])).plan for n in (4, 7)]
    if scheduler != "plateau":
        steps = [int(row["step"]) - 1 for row in rows]
        assert [float(row["lr"]) for row in rows] == [plans[i >= 4].at(step) for i, step in enumerate(steps)]
    assert summary(folder)["plan"]["epochs"] == 7
    assert command(f"resume={folder}").out.startswith("nothing to do: all 7 epochs")


def test_a_run_goes_on_whatever_has_become_of_the_config_files(command, tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 6)
        command("scheduler=step", *SHORT, "trainer.device=cpu")
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    monkeypatch.setattr(compose, "CONF", tmp_path / "nowhere")
    assert command(f"resume={folder}", "trainer.device=cpu").code == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "whole", "scheduler=step", *SHORT, "trainer.device=cpu")
    assert history(folder) == history(tmp_path / "whole")


def test_a_path_is_taken_as_it_is_typed(command, tmp_path, monkeypatch):
    odd = tmp_path / "a b,c=d[e]'f{g}\\"
    train(odd, *SHORT)
    assert "nothing to do" in command(f"resume={odd}").out
    monkeypatch.chdir(odd / "checkpoints")
    assert command("resume=best.pt", "extend=5").code == 0


def test_a_second_process_in_the_same_folder_is_refused(command, tmp_path):
    train(tmp_path / "run", *SHORT)
    with held(tmp_path / "run"):
        refused = command(f"resume={tmp_path / 'run'}", "extend=9")
    assert refused.code == 1
    assert "in which another process is training" in refused.err


def test_data_that_changed_is_refused(command, tmp_path):
    images = folder_of_images(tmp_path / "images")
    arguments = ("data=imagefolder", f"data.root={images}", "data.workers=0", "data.batch_size=2", "trainer.epochs=4")
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 3)
        command(*arguments, "scheduler=onecycle")
    shutil.copy(images / "train" / "red" / "0.png", images / "train" / "red" / "9.png")
    refused = command(f"resume={next((tmp_path / 'outputs' / 'runs').iterdir())}", f"data.root={images}")
    assert refused.code == 1
    assert refused.err.startswith(
        f"lrlab: error: data.root: got {images}, but the checkpoint was saved with other data "
        "(train/red holds 4 files and held 3); "
    )


def test_where_images_are_kept_is_said_and_changes_nothing(command, tmp_path):
    images = folder_of_images(tmp_path / "images")
    arguments = ("data=imagefolder", f"data.root={images}", "trainer.device=cpu", *SHORT)
    said = {
        "auto": "kept in memory, 4.3 kB",
        "disk": "kept on disk, 4.3 kB, below kept",
        "none": "read when needed, by 1 worker",
    }
    for place, words in said.items():
        outcome = command(*arguments, f"data.cache={place}", "data.cache_dir=kept", "data.workers=1")
        assert (outcome.code, outcome.err) == (0, "")
        assert f"6 training and 6 validation images 3x10x12, 2 classes; {words}\n" in outcome.out
    runs = list((tmp_path / "outputs" / "runs").iterdir())
    assert len(runs) == 3
    assert all(same_weights(weights(runs[0]), weights(run)) for run in runs)
    assert len(list((tmp_path / "kept").glob("*/images"))) == 2
    run = next(run for run in runs if "cache: none" in (run / "config.yaml").read_text())
    assert command(f"resume={run}", "extend=5", arguments[1], "data.cache=memory").code == 0


def test_how_updates_are_computed_is_said(command):
    plain = command(*SHORT, "trainer.device=cpu")
    assert re.search(r"^device     cpu \(1 thread\)$", plain.out, re.MULTILINE)
    other = command(*SHORT, "trainer.device=cpu", "trainer.precision=bf16", "trainer.accumulate=2")
    assert re.search(r"^device     cpu \(1 thread\), bf16, batches in 2 parts$", other.out, re.MULTILINE)


def test_a_signal_while_images_are_read_ends_the_run_before_it_begins(command, tmp_path, monkeypatch):
    images = folder_of_images(tmp_path / "images")
    read = image_files.ImageFiles.__getitem__

    def signalled(dataset, index):
        os.kill(os.getpid(), signal.SIGTERM)
        return read(dataset, index)

    monkeypatch.setattr(image_files.ImageFiles, "__getitem__", signalled)
    outcome = command("data=imagefolder", f"data.root={images}", "data.image_size=8", "model=linear")
    assert outcome.code == 143
    assert "epoch 1/" not in outcome.out
    assert not list((tmp_path / "outputs" / "runs").glob("*/config.yaml"))


def test_state_that_could_not_be_read_back_is_refused_before_training(command, tmp_path):
    (tmp_path / "my_curve.py").write_text(
        "import numpy, torch\n"
        "class Curve(torch.optim.lr_scheduler.LambdaLR):\n"
        "    def __init__(self, optimizer):\n"
        "        self.curve = numpy.linspace(1, 0, 1000)\n"
        "        super().__init__(optimizer, lambda t: self.curve[t])\n"
    )
    outcome = command("scheduler._target_=my_curve.Curve", *SHORT)
    assert outcome.code == 1
    assert outcome.err.startswith("lrlab: error: checkpoint: got state that cannot be read back (numpy")
    assert "epoch 1/" not in outcome.out


def test_a_plateau_counts_in_the_longer_run_as_the_longer_run_asks(command, tmp_path):
    command("scheduler=plateau", "scheduler.patience=50%", *SHORT)
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    command(f"resume={folder}", "extend=8")
    assert checkpoint.load(folder / checkpoint.LAST)["state"]["scheduler"]["patience"] == 4


def test_a_sweep_over_devices_names_them(command, tmp_path):
    assert command("-m", "trainer.device=cpu,auto", *SHORT).code == 0
    sweep = next((tmp_path / "outputs" / "sweeps").iterdir())
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["device=auto", "device=cpu"]


def test_going_back_to_the_best_epoch_drops_what_came_after(command, tmp_path):
    command(*SHORT, "trainer.monitor=train_loss", "scheduler=constant", "optimizer.lr=0.4")
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    whole = points(folder), history(folder)
    assert command(f"resume={folder}/checkpoints/best.pt").code == 0
    assert (points(folder), history(folder)) == whole


def test_of_a_damaged_checkpoint_the_one_before_is_used_and_the_run_ends_the_same(command, tmp_path, whole):
    command(*SHORT)
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    last = folder / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    resumed = command(f"resume={folder}")
    assert resumed.code == 0
    assert resumed.err.count("\n") == 1
    assert re.fullmatch(
        r"warning: resume: got .*last\.pt, which cannot .*; previous\.pt, .* used instead\n", resumed.err
    )
    assert_same_run(folder, whole())


def test_where_no_checkpoint_is_whole_the_run_is_refused_and_left(command, tmp_path):
    command(*SHORT)
    last = next((tmp_path / "outputs" / "runs").iterdir()) / "checkpoints" / "last.pt"
    (last.parent / "previous.pt").unlink()
    last.write_bytes(last.read_bytes()[:1000])
    refused = command(f"resume={last.parent.parent}")
    assert refused.code == 1
    assert "which cannot be read" in refused.err
    assert "best.pt" in refused.err
    assert last.stat().st_size == 1000


def test_a_failed_run_says_so_in_its_summary(command, tmp_path):
    command("optimizer.lr=1e30", "model=mlp", "scheduler=constant", "trainer.epochs=2")
    said = json.loads(next((tmp_path / "outputs" / "runs").glob("*/summary.json")).read_text())
    assert said["status"] == "diverged"
    assert "got nan at update" in said["error"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_follows_the_same_plan_and_learns_as_much(tmp_path):
    settings = ("model=mlp", "trainer.epochs=3", "scheduler=onecycle")
    plain = train(tmp_path / "plain", *settings)
    compiled = train(tmp_path / "compiled", *settings, "trainer.compile=true")
    assert points(tmp_path / "compiled")["lr"] == points(tmp_path / "plain")["lr"]
    assert compiled["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-3)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_in_sixteen_bits_keeps_weights_in_float32_and_goes_on_bit_for_bit(precision, tmp_path, monkeypatch):
    settings = (*SHORT, "model.width=4", f"trainer.precision={precision}", "trainer.channels_last=true")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, *settings)
    StopAt(monkeypatch, signal.SIGTERM, 9)
    with pytest.raises(Interrupted):
        train(stopped, *settings)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    train(stopped, *settings, f"resume={stopped}")
    assert all(tensor.dtype != torch.float16 for tensor in weights(whole).values())
    assert same_weights(weights(stopped), weights(whole))
    assert history(stopped) == history(whole)


def test_what_computes_otherwise_than_before_is_named_when_a_run_goes_on(command, tmp_path, monkeypatch):
    def go_on() -> list[str]:
        outcome = command(f"resume={next((tmp_path / 'outputs' / 'runs').iterdir())}", f"extend={next(longer)}")
        assert outcome.code == 0
        return [line for line in outcome.out.splitlines() if line.startswith("warning: the last bits")]

    longer = iter(range(5, 9))
    command(*SHORT, "trainer.device=cpu")
    assert go_on() == []
    now = torch.get_num_threads()
    torch.set_num_threads(now + 1)
    try:
        (line,) = go_on()
    finally:
        torch.set_num_threads(now)
    assert re.search(rf"stopped: device was cpu \({now} threads?\), is cpu \({now + 1} threads\)$", line)
    assert len(go_on()) == 1  # back on as many threads
    monkeypatch.setattr("lrlab.runs.summary.versions", lambda: {"torch": "9.9"})
    (line,) = go_on()
    assert re.search(r"torch was 2\..*, is 9\.9", line)


def test_logs_that_cannot_be_cut_cost_no_checkpoint(command, tmp_path):
    assert command("model=linear", "trainer.epochs=3", "hydra.run.dir=run").code == 0
    log, last = tmp_path / "run" / "history.csv", tmp_path / "run" / "checkpoints" / "last.pt"
    log.write_text("cut")
    before = last.read_bytes()
    ended = command("resume=run/checkpoints/best.pt", "extend=5")
    assert ended.code == 1
    assert "history.csv, which is 3 bytes long" in ended.err
    assert last.read_bytes() == before


def test_a_run_goes_on_with_the_metrics_that_it_began_with(command):
    assert command("model=linear", "trainer.epochs=1", "hydra.run.dir=run").code == 0
    contents = checkpoint.load(Path("run/checkpoints/last.pt"))
    contents["progress"] |= {"train_top2": 0.5, "val_top2": 0.5}
    checkpoint.save(Path("run/checkpoints/last.pt"), contents)
    ended = command("resume=run", "extend=2")
    assert ended.code == 1
    assert "task: got a task that measures loss, accuracy, but the checkpoint was saved with loss, " in ended.err


def test_the_version_that_a_run_names_is_that_of_its_code():
    assert versions()["lrlab"] == __version__
