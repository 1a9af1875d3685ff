"""`trainer.forecast=true`: from a third of a run on it says how it will end, also when it is resumed."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from support import same_weights, train, weights

from lrlab.comparison import event_files
from lrlab.errors import Interrupted
from lrlab.forecast import laws, online
from lrlab.forecast.fit import LossCurve, TooLittle
from lrlab.lr.horizon import Horizon
from lrlab.lr.plan import Plan
from lrlab.runs.display import Display
from lrlab.runs.foretelling import Foretelling
from lrlab.training.loop import Update

T = 600
COSINE = 0.5 * (1 + np.cos(np.pi * np.arange(T) / T))
TYPED = ("model=mlp", "trainer.epochs=30", "scheduler=cosine", "scheduler.interval=step", "data.batch_size=64")
TAGS = ("forecast/val_loss", "forecast/val_loss_low", "forecast/val_loss_high")


def _true(at):
    sums, noise = laws.BOUND.features(COSINE, np.asarray(at))
    return laws.BOUND.losses(np.log([0.2, 0.5, 0.6, 0.1]), (sums / COSINE.sum(), noise))[0]


def _foretelling(until: int) -> Foretelling:
    plan = Plan(Horizon(30, 20), "step", {"lr": tuple(COSINE)})
    found = Foretelling(plan)
    losses = _true(np.arange(1, T + 1))
    for step in range(until):
        found.update(step, torch.tensor(losses[step]))
    return found


def test_the_end_of_a_run_that_follows_the_law_is_foretold_the_better_the_later():
    at = np.arange(10, T + 1, 10)
    widths = []
    for share in (0.4, 0.6, 0.8, 0.95):
        seen = at <= share * T
        found = online.of_the_end(LossCurve(COSINE, at[seen], _true(at[seen])))
        assert found.value == pytest.approx(_true([T])[0], rel=0.1)
        assert found.mean[0] < _true([T])[0] < found.mean[1]
        widths.append(found.mean[1] / found.mean[0])
    assert widths == sorted(widths, reverse=True)


def test_nothing_is_foretold_before_a_third_and_then_at_twelve_moments():
    found = _foretelling(T)
    said = [done for done in range(1, T + 1) if found.foretold(done) is not None]
    assert len(said) == 12
    assert said[0] == T // 3
    assert said[-1] <= 0.96 * T
    assert max(np.diff(said)) - min(np.diff(said)) <= 1


def test_what_a_checkpoint_holds_is_all_that_it_needs():
    whole, half = _foretelling(T), _foretelling(300)
    again = Foretelling(Plan(Horizon(30, 20), "step", {"lr": tuple(COSINE)}))
    again.load_state_dict(json.loads(json.dumps(half.state_dict())))
    losses = _true(np.arange(1, T + 1))
    for step in range(300, T):
        again.update(step, torch.tensor(losses[step]))
    one, other = again.foretold(500), whole.foretold(500)
    assert one.losses["train"].value == pytest.approx(other.losses["train"].value, rel=1e-5)


def test_too_few_losses_foretell_nothing():
    with pytest.raises(TooLittle):
        online.of_the_end(LossCurve(COSINE, np.array([100, 200, 300]), np.array([0.9, 0.8, 0.7])))
    assert Foretelling(Plan(Horizon(30, 20), "step", {"lr": tuple(COSINE)})).foretold(300) is None


@pytest.mark.slow
def test_a_run_says_it_records_it_and_trains_as_it_would_without(tmp_path, capsys):
    plain, told = tmp_path / "plain", tmp_path / "told"
    train(plain, *TYPED)
    train(told, *TYPED, "trainer.forecast=true")
    assert same_weights(weights(plain), weights(told))
    assert (plain / "history.csv").read_text().split("seconds")[0] == (told / "history.csv").read_text().split(
        "seconds"
    )[0]
    value, low, high = (dict(event_files.scalar(told, tag)) for tag in TAGS)
    steps = sorted(value)
    assert 1 <= len(steps) <= 12
    assert steps[0] >= 210
    assert all(low[step] < value[step] < high[step] for step in steps)
    final = json.loads((told / "summary.json").read_text())["val_loss"]
    assert low[steps[-1]] < final < high[steps[-1]]
    assert "forecast   val loss" in capsys.readouterr().out
    assert not event_files.scalar(plain, TAGS[0])


@pytest.mark.slow
def test_a_run_that_is_resumed_foretells_what_it_would_have_foretold(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    typed = (*TYPED, "trainer.forecast=true")
    train(whole, *typed)
    show = Display.show

    def stopping(display, event):
        show(display, event)
        if isinstance(event, Update) and event.step == 350:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Display, "show", stopping)
        with pytest.raises(Interrupted):
            train(parts, *typed)
    train(parts, *typed, f"resume={parts}")
    for tag in TAGS:
        one, other = (dict(event_files.scalar(folder, tag)) for folder in (whole, parts))
        assert one.keys() == other.keys()
        assert [*one.values()] == pytest.approx([*other.values()], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("scheduler=plateau", "its LR follows a metric"),
        ("trainer.budget=3s", "how many updates it makes is not known before"),
    ],
)
def test_where_nothing_can_be_foretold_a_line_says_why(tmp_path, capsys, typed, reason):
    chosen = [one for one in TYPED if not one.startswith(("scheduler", "trainer.epochs"))]
    train(tmp_path / "run", *chosen, typed, "trainer.forecast=true")
    assert f"forecast   none, for {reason}" in capsys.readouterr().out
