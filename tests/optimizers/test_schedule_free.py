"""The package schedulefree itself: what is saved is what was evaluated, and a stopped run ends as a whole one."""

from pathlib import Path

import pytest
from stopped_runs import stop_at, validation_again
from support import composed, history, points, same_weights, weights

from lrlab.commands import evaluate as evaluate_command
from lrlab.config.prepare import prepare
from lrlab.errors import UserError
from lrlab.runs import checkpoint

pytest.importorskip("schedulefree", reason="schedulefree is not installed")

CLASSES = ("AdamWScheduleFree", "SGDScheduleFree", "RAdamScheduleFree")
SMALL = ("model=cnn", "model.width=4", "model.dropout=0.3", "trainer.epochs=3", "data.batch_size=256")
UPDATES = 6  # in an epoch
OURS = ("optimizer=schedule_free", "optimizer.lr=0.01", "scheduler=warmup_constant", *SMALL)


def of_class(name: str) -> tuple[str, ...]:
    return (f"optimizer._target_=schedulefree.{name}", "optimizer.lr=0.05", "scheduler=constant", *SMALL)


WAYS = {"schedule_free": OURS, **{name: of_class(name) for name in CLASSES}}


def target(typed: tuple[str, ...]) -> list[str]:
    return [one for one in typed if "_target_" in one]


@pytest.mark.parametrize("way", WAYS)
def test_the_weights_of_every_epoch_that_are_saved_evaluate_to_what_was_recorded(command, way):
    assert command(*WAYS[way], "hydra.run.dir=run").code == 0
    losses = [float(row["val_loss"]) for row in history(Path("run"))]
    best = checkpoint.load(Path("run") / checkpoint.BEST)["state"]
    recorded = {"last": losses[-1], "best": losses[best["progress"]["epoch"] - 1]}
    for name, loss in recorded.items():
        assert validation_again(Path("run"), *WAYS[way], name=name) == pytest.approx(loss, rel=1e-6), name
    assert not best["is_training"]


@pytest.mark.parametrize("step", [2, UPDATES - 1, UPDATES, 2 * UPDATES - 1, "validation"])
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way == "schedule_free" else pytest.mark.slow) for way in WAYS]
)
def test_a_run_goes_on_exactly_from_wherever_it_was_stopped(command, monkeypatch, way, step):
    typed = WAYS[way]
    assert command(*typed, "hydra.run.dir=whole").code == 0
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert command(*typed, "hydra.run.dir=parts").code == 143
    assert command("resume=parts", *target(typed)).code == 0
    assert same_weights(weights(Path("parts")), weights(Path("whole")))
    assert same_weights(weights(Path("parts"), "best"), weights(Path("whole"), "best"))
    assert history(Path("parts")) == history(Path("whole"))
    assert points(Path("parts")) == points(Path("whole"))


def test_a_run_that_is_extended_is_one_that_was_as_long(command):
    """At a constant LR, for the average is the same whatever was planned."""
    typed = ("optimizer=schedule_free", "scheduler=constant", *SMALL)
    assert command(*typed, "hydra.run.dir=run").code == 0
    assert command("resume=run", "extend=5").code == 0
    assert command(*typed, "trainer.epochs=5", "hydra.run.dir=long").code == 0
    assert same_weights(weights(Path("run")), weights(Path("long")))
    assert history(Path("run")) == history(Path("long"))


def test_runs_of_a_sweep_are_what_they_are_alone(command):
    assert command(*OURS, "-m", "seed=0,1", "sweep=it", "hydra.launcher.in_process=true").code == 0
    assert command(*OURS, "seed=1", "hydra.run.dir=alone").code == 0
    assert same_weights(weights(Path("outputs/sweeps/it/seed=1")), weights(Path("alone")))


def test_the_command_that_evaluates_tests_the_average(command, enter):
    assert command(*OURS, "hydra.run.dir=run").code == 0
    done = enter(evaluate_command.main, "run")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "typed", [("scheduler=onecycle",), ("scheduler=constant", "optimizer.schedule.momentum=cosine")]
)
def test_a_momentum_that_changes_is_refused_for_the_average_is_found_by_it(typed):
    with pytest.raises(
        UserError, match=r"scheduler: got a momentum that changes, with lrlab\.optimizers\.schedule_free"
    ):
        prepare(composed("optimizer=schedule_free", *typed, *SMALL))
    prepare(composed("optimizer=schedule_free", "scheduler=onecycle", "scheduler.cycle_momentum=false", *SMALL))


@pytest.mark.parametrize(
    ("scheduler", "is_said"), [("cosine", True), ("step", True), ("constant", False), ("warmup_constant", False)]
)
def test_an_lr_that_falls_is_warned_about(scheduler, is_said):
    warnings = prepare(composed("optimizer=schedule_free", f"scheduler={scheduler}", *SMALL[:3])).checked.warnings
    said = [
        "optimizer: schedule_free averages its weights in place of a falling LR, which comes on top; "
        "scheduler=constant, or scheduler=warmup_constant"
    ]
    assert warnings == (said if is_said else [])
