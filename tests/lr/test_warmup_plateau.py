"""A warm-up by update, and then torch's plateau: it heeds no metric before, and is torch's to the last bit after."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import StopAt, composed, history, points, same_weights, summary, train, weights
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlab import schedules
from lrlab.config.prepare import plan_only
from lrlab.config.scheduler import scheduler_settings
from lrlab.lr.horizon import Horizon
from lrlab.lr.hyperparameters import follows_metric, tell
from lrlab.lr.plan import simulate
from lrlab.lr.warmup_plateau import WarmupPlateau

PER_EPOCH = 3


def optimizer(*lrs):
    return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in lrs or (0.1,)])


def lrs(scheduler, metrics, *, per_epoch=PER_EPOCH):
    """The LR of every update, where each epoch ends with one of `metrics`."""
    found = []
    for metric in metrics:
        for _ in range(per_epoch):
            found.append(scheduler.optimizer.param_groups[0]["lr"])
            scheduler.step()
        scheduler.tell(metric)
        assert scheduler.get_last_lr() == [group["lr"] for group in scheduler.optimizer.param_groups]
    return found


@given(
    warmup=st.integers(0, 40), shape=st.sampled_from(["linear", "cosine", "sqrt"]), start=st.none() | st.floats(0, 1)
)
def test_it_warms_up_as_every_schedule_does_and_then_has_the_base_lr(warmup, shape, start):
    scheduler = WarmupPlateau(optimizer(0.1), warmup=warmup, shape=shape, start=start)
    planned = [
        0.1 * schedules.warmup(t, steps=warmup, total=100, then=schedules.constant, shape=shape, start=start)
        for t in range(60)
    ]
    assert lrs(scheduler, [1.0] * 10, per_epoch=6) == planned


METRICS = [3.0, 2.0, 2.0, 2.0, 1.9, 2.5, 2.5, 2.5, 2.5, 2.5]


@pytest.mark.parametrize("warmup", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize(
    "settings", [{}, {"patience": 0}, {"patience": 1, "cooldown": 2}, {"mode": "max", "patience": 0}]
)
def test_after_the_warm_up_it_is_torchs_plateau_that_was_told_nothing_before(warmup, settings):
    found = lrs(WarmupPlateau(optimizer(0.1), warmup=warmup, **settings), METRICS)
    plateau = ReduceLROnPlateau(optimizer(0.1), **settings)
    expected = []
    for epoch, metric in enumerate(METRICS):
        expected += [plateau.optimizer.param_groups[0]["lr"]] * PER_EPOCH
        if (epoch + 1) * PER_EPOCH >= warmup:
            plateau.step(metric)
    assert found[warmup:] == expected[warmup:]


def test_every_group_has_its_own_lr_and_least_lr():
    made = optimizer(0.1, 0.2)
    scheduler = WarmupPlateau(made, warmup=1, patience=0, factor=0.5, min_lr=[0.04, 0.0])
    assert [group["lr"] for group in made.param_groups] == [0.05, 0.1]
    for metric in (1.0, 1.0, 1.0, 1.0):
        scheduler.step()
        scheduler.tell(metric)
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.04, 0.025])


@pytest.mark.parametrize("epochs", range(1, 10))
def test_it_goes_on_from_its_state_with_its_own_settings(epochs):
    settings = {"warmup": 5, "patience": 1, "factor": 0.5}
    whole = lrs(WarmupPlateau(optimizer(), **settings), METRICS)
    first, second = WarmupPlateau(optimizer(), **settings), WarmupPlateau(optimizer(), **settings)
    lrs(first, METRICS[:epochs])
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert lrs(second, METRICS[epochs:]) == whole[epochs * PER_EPOCH :]
    assert not {"patience", "factor", "warmup"} & {*first.state_dict(), *first.state_dict()["plateau"]}


def test_a_loop_tells_it_a_metric_beside_its_steps():
    scheduler = WarmupPlateau(optimizer(), warmup=0, patience=0)
    assert follows_metric(scheduler)
    for metric in (1.0, 1.0):
        tell(scheduler, metric)
    assert scheduler.get_last_lr() == [pytest.approx(0.01)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 1.0}, "factor: got 1.0; allowed: between 0 and 1"),
        ({"shape": "sine"}, "shape: got sine"),
        ({"start": 2}, "start: got 2"),
        ({"warmup": -1}, "steps: got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        WarmupPlateau(optimizer(), **{"warmup": 3, **settings})


def test_its_plan_is_the_warm_up():
    def make(made):
        return WarmupPlateau(made, warmup=4)

    plan = simulate(make, optimizer, Horizon(3, 4), "step")
    assert plan.curves == {"lr": tuple((t + 1) / 5 * 0.1 for t in range(4))}
    assert plan.lrs is None
    assert [plan.at(step) for step in (0, 3, 4, 11)] == [plan.curves["lr"][0], plan.curves["lr"][3], None, None]
    assert plan.known_updates() == 4
    told = plan.summary()
    assert told["lr"] is None
    assert told["known"] == {"updates": 4, "lr": {str(step): plan.at(step) for step in range(4)}}
    assert "from update 4 on" in told["note"]


def patience_and_cooldown(*typed):
    config = composed("scheduler=warmup_plateau", *typed)
    plateau = scheduler_settings(dict(config.scheduler), Horizon(20, 21)).build(optimizer()).plateau
    return plateau.patience, plateau.cooldown


def test_its_patience_is_in_epochs_whatever_the_clock_of_its_warm_up():
    assert patience_and_cooldown("scheduler.patience=25%", "scheduler.cooldown=2ep") == (5, 2)
    assert patience_and_cooldown("scheduler.patience=7", "scheduler.interval=epoch") == (7, 0)
    assert patience_and_cooldown("scheduler.patience=63st") == (3, 0)


def test_a_patience_longer_than_the_run_is_warned_of_in_epochs():
    _, warnings = plan_only(composed("scheduler=warmup_plateau", "scheduler.patience=20"))
    assert warnings == [
        "scheduler.patience: 20 never runs out in its 20 epochs; scheduler.patience=17, or a longer run"
    ]


RUN = (
    *("scheduler=warmup_plateau", "scheduler.patience=0", "scheduler.threshold=0.5", "scheduler.factor=0.5"),
    *("scheduler.warmup=9st", "trainer.epochs=6", "data.batch_size=256", "model=linear"),
)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [(), ("optimizer.groups.head.lr_scale=2",)])
def test_a_run_is_recorded_audited_and_resumed_bit_for_bit(command, tmp_path, groups):
    train(tmp_path / "whole", *RUN, *groups)
    for stop in (5, 9, 17):
        folder = tmp_path / f"stopped{stop}"
        with pytest.MonkeyPatch.context() as patch:
            StopAt(patch, 15, stop)
            command(*RUN, *groups, f"hydra.run.dir={folder}")
        assert command(f"resume={folder}").code == 0
        assert same_weights(weights(folder), weights(tmp_path / "whole"))
        assert history(folder) == history(tmp_path / "whole")
        assert points(folder)["lr"] == points(tmp_path / "whole")["lr"]
    ended = summary(tmp_path / "whole")
    assert ended["audit"]["exempt"] == "the LR follows val_loss from update 9 on"
    assert ended["audit"]["equal"]
    assert ended["audit"]["updates"] == 36
    falls = [lr for _, lr in points(tmp_path / "whole")["lr"]][9:]
    # Warm in the second epoch, whose loss is the first that counts; every epoch without half the loss is a fall.
    assert falls == pytest.approx([0.02] * 3 + [0.02] * 6 + [0.02 * 0.5**k for k in (1, 2, 3) for _ in range(6)])


def test_a_longer_run_keeps_what_the_metric_has_done_and_gets_new_durations(command, tmp_path):
    typed = [*RUN[:3], "scheduler.factor=0.5", "scheduler.warmup=25%", *RUN[5:]]
    assert command(*typed, "trainer.epochs=4", "hydra.run.dir=run").code == 0
    assert command("resume=run", "extend=8").code == 0
    found = [lr for _, lr in points(tmp_path / "run")["lr"]]
    assert found[:6] == pytest.approx([0.02 * (t + 1) / 7 for t in range(6)])
    assert list(itertools.chain(found[12:18:5], found[18:24:5])) == pytest.approx([0.01, 0.01, 0.005, 0.005])
    assert found[24:30] == pytest.approx([0.0025] * 6)
    assert summary(tmp_path / "run")["audit"]["equal"]


def test_a_metric_of_training_is_told_in_every_epoch_however_seldom_it_is_evaluated(tmp_path):
    typed = [*RUN, "scheduler.monitor=train_loss"]
    train(tmp_path / "each", *typed)
    train(tmp_path / "seldom", *typed, "trainer.eval_every=3")
    assert points(tmp_path / "each")["lr"] == points(tmp_path / "seldom")["lr"]
    assert len({lr for _, lr in points(tmp_path / "each")["lr"][9:]}) > 2
