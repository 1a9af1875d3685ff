"""Runs whose last epoch is cut short: what is planned is applied, and they stop, go on and are extended like others."""

import re
import signal
from pathlib import Path

import pytest
from support import TINY, StopAt, history, points, same_weights, slow_but, summary, train, weights

from lrlab.config import compose
from lrlab.config.prepare import prepare
from lrlab.errors import Interrupted, UserError

RUN = (*TINY, "data.batch_size=8", "model.dropout=0.2")  # 60 images: 7 updates of 8 and one of 4 in an epoch
PER_EPOCH = 8
LENGTHS = {"trainer.steps=19": 19, "trainer.epochs=2.4": 19, "trainer.steps=136im": 18, "trainer.epochs=0.3": 2}

SCHEDULES = (
    *("constant", "step", "exponential", "cosine", "linear", "polynomial", "multiplicative", "lambda", "onecycle"),
    *("warmup_cosine", "wsd", "inverse_sqrt", "rex", "tanh", "exponential_decay", "noisy_cosine"),
)


def prepared(*typed: str):
    return prepare(compose.compose([*RUN, *typed]))


@pytest.mark.parametrize("typed", LENGTHS)
def test_a_run_makes_so_many_updates_and_is_validated_at_its_end(tmp_path, typed):
    said, rows = train(tmp_path, *RUN, typed, "trainer.eval_every=2"), history(tmp_path)
    updates = LENGTHS[typed]
    assert said["updates"] == said["plan"]["updates"] == updates
    assert said["plan"]["epochs"] == updates / PER_EPOCH
    ends = [*range(PER_EPOCH, updates, PER_EPOCH), updates]
    assert [int(row["step"]) for row in rows] == ends
    assert [bool(row["val_loss"]) for row in rows] == [(index + 1) % 2 == 0 for index in range(len(ends) - 1)] + [True]
    assert [step for step, _ in points(tmp_path)["train/loss"]] == list(range(updates))
    assert said["status"] == "finished"
    assert said["audit"]["equal"]


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("scheduler", slow_but(SCHEDULES, "step", "cosine", "onecycle", "wsd", "noisy_cosine"))
def test_what_is_planned_is_applied_to_the_last_update(tmp_path, scheduler, interval):
    typed = (f"scheduler={scheduler}", f"scheduler.interval={interval}", "trainer.steps=163")
    planned = prepared(*typed).plan.per_update()
    said = train(tmp_path, *RUN, *typed)
    assert len(planned) == said["updates"] == said["audit"]["updates"] == 163
    assert said["audit"]["equal"]
    recorded = points(tmp_path)["lr"]
    assert [step for step, _ in recorded] == list(range(163))
    assert [lr for _, lr in recorded] == pytest.approx(planned, rel=1e-6)  # TensorBoard has them in 32 bits


def stopped(monkeypatch, folder: Path, step: int, *typed: str) -> None:
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, step)
        with pytest.raises(Interrupted):
            train(folder, *RUN, *typed)


@pytest.mark.parametrize("step", [17, 18], ids=["within the last epoch", "at the last update"])
@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_run_goes_on_within_an_epoch_that_is_cut_short_bit_for_bit(tmp_path, monkeypatch, interval, step):
    typed = ("scheduler=cosine", f"scheduler.interval={interval}", "trainer.steps=19")
    stopped(monkeypatch, tmp_path / "stopped", step, *typed)
    said = train(tmp_path / "stopped", *RUN, *typed, f"resume='{tmp_path / 'stopped'}'")
    assert said["audit"]["equal"]
    train(tmp_path / "whole", *RUN, *typed)
    assert same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    assert history(tmp_path / "stopped") == history(tmp_path / "whole")
    assert points(tmp_path / "stopped") == points(tmp_path / "whole")


@pytest.mark.parametrize(
    ("first", "extend", "same"),
    [
        ("trainer.steps=19", "4", "trainer.epochs=4"),
        ("trainer.epochs=2.4", "3", "trainer.epochs=3"),  # within the same epoch
        ("trainer.epochs=2", "2.5", "trainer.epochs=2.5"),
        ("trainer.epochs=2", "30st", "trainer.steps=30"),
        ("trainer.steps=19", "200im", "trainer.steps=200im"),
    ],
)
def test_a_longer_run_goes_on_within_the_epoch_that_was_cut_short(command, tmp_path, first, extend, same):
    constant = ("scheduler=constant", "model.dropout=0")  # the same LR, however long the run is
    folder, whole = tmp_path / "run", tmp_path / "whole"
    train(folder, *RUN, *constant, first)
    longer = command(f"resume={folder}", f"extend={extend}")
    assert longer.code == 0, longer.err
    assert "a longer run: planned for " in longer.out
    said = train(whole, *RUN, *constant, same)
    assert summary(folder)["updates"] == said["updates"]
    assert summary(folder)["audit"]["equal"]
    assert summary(folder)["plan"] == said["plan"]
    assert same_weights(weights(folder), weights(whole))
    assert "nothing to do: all " in command(f"resume={folder}").out


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_a_longer_run_follows_the_new_plan_from_where_it_was_cut_short(command, tmp_path, interval):
    typed = ("scheduler=cosine", f"scheduler.interval={interval}")
    train(tmp_path / "run", *RUN, *typed, "trainer.steps=19")
    longer = command(f"resume={tmp_path / 'run'}", "extend=4")
    assert longer.code == 0, longer.err
    old, new = (prepared(*typed, length).plan.per_update() for length in ("trainer.steps=19", "trainer.epochs=4"))
    recorded = [lr for _, lr in points(tmp_path / "run")["lr"]]
    assert recorded == pytest.approx(old + new[19:], rel=1e-6)
    assert summary(tmp_path / "run")["extended_from"] == 19 / PER_EPOCH


@pytest.mark.parametrize(
    ("first", "typed", "line"),
    [
        ("trainer.steps=19", "extend=2", r"extend: got 2; allowed: more than the 19 updates planned; do: extend=38st"),
        ("trainer.steps=19", "extend=19st", r"extend: got 19st; allowed: more than the 19 updates planned; "),
        ("trainer.epochs=2.5", "extend=2", r"extend: got 2; allowed: more than the 2.5 epochs planned; do: extend=5"),
        (
            "trainer.epochs=2.5",
            "extend=soon",
            r"extend: got 'soon'; allowed: epochs in all, a number > 0, or with ",
        ),
        (
            "trainer.steps=19",
            "trainer.steps=20",
            r"trainer.steps: got 20, but .* saved with 19; .*; do: extend=20st in its place, to train ",
        ),
        (
            "trainer.steps=19",
            "trainer.epochs=9",
            r"trainer.epochs: got 9, but .* saved with trainer.steps=19; .*; do: extend=9 ",
        ),
        (
            "trainer.steps=19",
            "trainer.epochs=1",
            r"trainer.epochs: got 1, but .*; do: leave it out, or start ",
        ),
        (
            "trainer.steps=19",
            "trainer.budget=6s",
            r"trainer.budget: got 6s, but .* with trainer.steps=19; .*; do: leave it out, or ",
        ),
        (
            "trainer.epochs=0.4",
            "extend=0.2",
            r"extend: got 0.2; allowed: more than the 3 updates planned; do: extend=6st",
        ),
        (
            "scheduler=plateau trainer.steps=19",
            "extend=4",
            r"extend: got 4, for a run that ended within an epoch, after which its scheduler was told a metric; ",
        ),
    ],
)
def test_what_cannot_be_extended_so_is_refused_in_one_line(command, tmp_path, first, typed, line):
    train(tmp_path / "run", *RUN, *first.split())
    refused = command(f"resume={tmp_path / 'run'}", typed)
    assert refused.code == 1
    assert re.match(f"lrlab: error: {line}", refused.err), refused.err
    assert refused.err.count("\n") == 1


def test_a_run_says_its_length_as_it_is(command, tmp_path):
    done = command(*RUN, "trainer.steps=19")
    assert "2.375 x 8 updates = 19 in all" in done.out
    assert "epoch 3/3" in done.out
    folder = next((tmp_path / "outputs" / "runs").iterdir())
    assert command(f"resume={folder}").out.startswith("nothing to do: all 19 updates of ")


def test_less_than_half_an_update_is_no_run(tmp_path):
    line = r"got 0.01, which is less than half an update; allowed: at least one update, of which an epoch has 8; do: "
    with pytest.raises(UserError, match=line + "trainer.epochs=1"):
        train(tmp_path, *RUN, "trainer.epochs=0.01")


def test_a_recipes_length_gives_way_to_another_that_is_typed():
    recipe = "experiment=tutorial"  # which says trainer.epochs
    assert prepare(compose.compose([recipe, "trainer.steps=100"])).horizon.steps == 100
