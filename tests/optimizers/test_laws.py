"""Of every optimizer: the planned LR is recorded, killed runs end as whole ones, extended ones go on, with groups."""

import os
import signal
from pathlib import Path

import numpy
import pytest
import torch
from support import StopAt, history, needs, points, same_weights, summary, weights

import lrlab
from lrlab.commands.preview_curves import plan_curves
from lrlab.config.catalogue import options
from lrlab.runs import checkpoint

NAMES = [pytest.param(name, marks=needs(name)) for name in options("optimizer")]
OURS = ("lion", "muon")
QUICK = (*OURS, "sgd", "adamw")
MOSTLY_SLOW = [  # what is a long trial for all but ours
    pytest.param(name, marks=needs(name) + [pytest.mark.slow] * (name not in OURS)) for name in options("optimizer")
]
WITH_AND_WITHOUT_GROUPS = [
    pytest.param(name, groups, marks=needs(name) + [pytest.mark.slow] * (name not in QUICK or groups == "one group"))
    for name in options("optimizer")
    for groups in ("one group", "groups")
]
SMALL = (
    *("data=fake", "data.train_images=60", "data.val_images=20", "data.image_size=8", "data.batch_size=10"),
    *("model=cnn", "model.width=2", "model.dropout=0.2", "trainer.epochs=3", "scheduler=warmup_constant"),
    "scheduler.lr_lambda.steps=2",
)
UPDATES = 6  # in an epoch
GROUPED = {
    # Prodigy takes one LR, or none for a time.
    "prodigy": ("optimizer.groups.head.delay=1ep", "optimizer.groups.head.weight_decay=0.5"),
}
SCALED = (
    *("optimizer.groups.head.lr_scale=0.5", "optimizer.groups.head.delay=1ep"),
    *("optimizer.groups.head.weight_decay=0.5", "optimizer.decay_bias_and_norm=false"),
)


def typed(name: str, *more: str) -> list[str]:
    """Settings of a small run; all but schedule-free optimizers are given an LR that falls."""
    falls = [] if name == "schedule_free" else ["scheduler=warmup_cosine"]
    guard = ["optimizer.safeguard_warmup=true"] if name == "prodigy" else []  # or it is warned of the warm-up
    return [
        *(one for one in SMALL if not falls or not one.startswith("scheduler=")),
        *falls,
        f"optimizer={name}",
        *guard,
        *more,
    ]


def stopped_and_resumed(command, monkeypatch, arguments: list[str], folder: str, step: int = 8) -> Path:
    """A run that a signal stops in its second epoch, and that goes on."""
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, step)
        assert command(*arguments, f"hydra.run.dir={folder}").code == 143
    done = command(f"resume={folder}")
    assert done.code == 0, done.err
    return Path(folder)


def states(folder: Path) -> list[dict]:
    """What the optimizer has gathered for each parameter, and its groups."""
    saved = checkpoint.load(folder / checkpoint.LAST)["state"]["optimizer"]
    return [*saved["state"].values(), *saved["param_groups"]]


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize(("name", "groups"), WITH_AND_WITHOUT_GROUPS)
def test_the_planned_lr_is_recorded_and_a_stopped_run_ends_as_a_whole_one(command, monkeypatch, name, groups):
    arguments = typed(name, *(GROUPED.get(name, SCALED) if groups == "groups" else ()))
    done = command(*arguments, "hydra.run.dir=whole")
    assert done.code == 0, done.err
    assert "warning" not in done.out
    parts = stopped_and_resumed(command, monkeypatch, arguments, "parts")
    whole = Path("whole")

    # What was planned is what was recorded, of every group.
    [curve] = plan_curves(arguments, None)
    recorded = points(whole)
    assert curve.plan is not None
    lrs = [tag for tag in recorded if tag.startswith("lr") and "effective" not in tag]
    assert any(tag.startswith("lr/head") for tag in lrs) == (groups == "groups")
    for tag in lrs:
        planned = curve.plan.per_update(tag)
        assert recorded[tag] == [(step, float(numpy.float32(lr))) for step, lr in enumerate(planned)], tag
        assert len({lr for _, lr in recorded[tag]}) > 1
    assert summary(whole)["audit"]["equal"]
    assert summary(whole)["audit"]["updates"] == 3 * UPDATES

    # Bit for bit: weights, what the optimizer gathered, curves and history.
    assert same_weights(weights(parts), weights(whole))
    assert all(same(one, other) for one, other in zip(states(parts), states(whole), strict=True))
    assert points(parts) == recorded
    assert history(parts) == history(whole)


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_an_extended_run_goes_on_with_what_the_optimizer_gathered(command, name):
    arguments = typed(name)
    assert command(*arguments, "hydra.run.dir=run").code == 0
    before = states(Path("run"))
    longer = command("resume=run", "extend=4")
    assert longer.code == 0, longer.err
    ended = summary(Path("run"))
    assert ended["audit"]["equal"]
    assert ended["updates"] == 4 * UPDATES
    [plan] = plan_curves([*arguments, "trainer.epochs=4"], None)
    recorded = [lr for _, lr in points(Path("run"))["lr"]][3 * UPDATES :]
    assert recorded == [float(numpy.float32(lr)) for lr in plan.plan.per_update()[3 * UPDATES :]]
    for one, other in zip(before, states(Path("run")), strict=True):
        for key in {"step", "k"} & one.keys():  # counters, of a parameter or of a group
            assert other[key] == one[key] + UPDATES


@pytest.mark.parametrize("name", MOSTLY_SLOW)
@pytest.mark.parametrize("way", ["trainer.accumulate=2", "trainer.precision=bf16", "trainer.clip_grad_norm=0.1"])
def test_it_trains_whatever_the_way_in_which_gradients_are_computed(command, name, way):
    done = command(*typed(name), way, "trainer.epochs=1", "hydra.run.dir=run")
    assert done.code == 0, done.err
    assert summary(Path("run"))["audit"]["equal"]
    assert all(torch.isfinite(value).all() for value in weights(Path("run")).values())


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_parts_of_a_batch_give_the_same_updates(command, name):
    """Up to rounding, which a sign makes much of: one of a gradient near zero may be another."""
    without_norm = ["model=mlp", "model.hidden=[4]", "model.dropout=0.0"]
    arguments = [one for one in typed(name) if not one.startswith("model")] + without_norm
    assert command(*arguments, "trainer.epochs=1", "hydra.run.dir=whole").code == 0
    assert command(*arguments, "trainer.epochs=1", "trainer.accumulate=5", "hydra.run.dir=parts").code == 0
    for key, value in weights(Path("whole")).items():
        assert torch.allclose(value, weights(Path("parts"))[key], atol=1e-3), key


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_is_swept_two_runs_at_a_time(command, name):
    arguments = typed(name, "-m", "seed=0,1", "optimizer.lr=0.01,0.02", "sweep=it")
    done = command(*arguments, "hydra.launcher.n_jobs=2", "hydra.launcher.threads=1")
    assert done.code == 0, done.err
    folders = [folder for folder in Path("outputs/sweeps/it").iterdir() if folder.is_dir()]
    assert len(folders) == 4
    assert all(summary(folder)["status"] == "finished" for folder in folders)
    assert all(summary(folder)["audit"]["equal"] for folder in folders)


@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_python_takes_it_as_it_takes_sgd(name):
    run = lrlab.train(*typed(name, "trainer.epochs=1"))
    assert run.status == "finished"
    assert os.path.isdir("outputs/runs")


@pytest.mark.slow
def test_a_sweep_in_python_takes_several():
    names = ["sgd", "lion", "muon", "nadam"]
    settings = [one for one in SMALL if not one.startswith("trainer.epochs")]
    runs = lrlab.sweep(*settings, f"optimizer={','.join(names)}", "trainer.epochs=1", "hydra.launcher.in_process=true")
    assert [run.status for run in runs] == ["finished"] * len(names)
