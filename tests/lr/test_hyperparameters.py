"""Group LRs are scales of what the scheduler gives, momentum and weight decay follow schedules; all of it resumes."""

import ast
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import StopAt, points, summary, train, weights
from torch.optim import lr_scheduler

import lrlab
from lrlab import models, schedules
from lrlab.commands.preview_curves import plan_curves
from lrlab.config import compose
from lrlab.config.prepare import prepare
from lrlab.lr import hyperparameters
from lrlab.lr.hyperparameters import HyperparameterScheduler, follows_metric, read
from lrlab.system import randomness

SCHEDULERS = {
    "StepLR": partial(lr_scheduler.StepLR, step_size=3, gamma=0.5),
    "CosineAnnealingLR": partial(lr_scheduler.CosineAnnealingLR, T_max=6, eta_min=0.01),
    "OneCycleLR": partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=20),
    "CyclicLR": partial(lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=4),
    "LambdaLR": partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: 0.9**t),
    "ExponentialLR": partial(lr_scheduler.ExponentialLR, gamma=0.9),
}


SGD = partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1)


def optimizer(groups=1, make=SGD):
    parameters = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(groups)]
    return make(parameters, lr=0.1)


def stepped(scheduler, count):
    rows = []
    for _ in range(count):
        rows.append(read(scheduler.optimizer))
        scheduler.optimizer.step()
        scheduler.step()
    return rows


@pytest.mark.parametrize("name", SCHEDULERS)
@given(scale=st.floats(0.0, 10.0), delay=st.integers(0, 9))
def test_a_groups_lr_is_its_scale_of_the_schedulers_and_zero_until_its_delay(name, scale, delay):
    alone = [row["lr"] for row in stepped(SCHEDULERS[name](optimizer()), 15)]
    grouped = optimizer(groups=2)
    scheduler = HyperparameterScheduler(
        SCHEDULERS[name](grouped), grouped, scales=[1.0, scale], delays=[0, delay], curves={}
    )
    rows = stepped(scheduler, 15)
    assert [row["lr"] for row in rows] == alone
    assert [row["lr/1"] for row in rows] == [scale * lr if t >= delay else 0.0 for t, lr in enumerate(alone)]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scaled_first_group_does_not_disturb_schedulers_that_compute_from_the_last_lr(name):
    alone = [row["lr"] for row in stepped(SCHEDULERS[name](optimizer()), 15)]
    scaled = optimizer()
    scaled.param_groups[0]["name"] = "head"
    scheduler = HyperparameterScheduler(SCHEDULERS[name](scaled), scaled, scales=[0.5], delays=[2], curves={})
    rows = stepped(scheduler, 15)
    assert [row["lr/head"] for row in rows] == [0.5 * lr * (t >= 2) for t, lr in enumerate(alone)]
    assert [row["lr"] for row in rows] == alone


@pytest.mark.parametrize("make", [SGD, torch.optim.AdamW])
def test_momentum_and_weight_decay_are_multiplied_by_their_schedules(make):
    made = optimizer(groups=2, make=make)
    made.param_groups[1]["weight_decay"] = 0.0
    before = read(made)
    curves = {"momentum": partial(schedules.linear, total=10), "weight_decay": partial(schedules.cosine, total=10)}
    scheduler = HyperparameterScheduler(
        SCHEDULERS["StepLR"](made), made, scales=[1.0, 1.0], delays=[0, 0], curves=curves
    )
    rows = stepped(scheduler, 10)
    for name, curve in curves.items():
        assert [row[name] for row in rows] == [before[name] * curve(t) for t in range(10)]
    assert made.param_groups[1]["weight_decay"] == 0.0


@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_goes_on_from_its_state(name):
    def build():
        made = optimizer(groups=2)
        curves = {"weight_decay": partial(schedules.cosine, total=20)}
        return HyperparameterScheduler(SCHEDULERS[name](made), made, scales=[1.0, 0.1], delays=[0, 7], curves=curves)

    whole = stepped(build(), 15)
    first, second = build(), build()
    stepped(first, 5)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr() == [group["lr"] for group in second.optimizer.param_groups]
    assert stepped(second, 10) == whole[5:]


def test_a_metric_is_passed_on_to_a_scheduler_that_follows_one():
    made = optimizer(groups=2)
    plateau = lr_scheduler.ReduceLROnPlateau(made, factor=0.5, patience=0)
    scheduler = HyperparameterScheduler(plateau, made, scales=[1.0, 0.1], delays=[0, 0], curves={})
    assert follows_metric(scheduler)
    assert follows_metric(plateau)
    assert not follows_metric(lr_scheduler.StepLR(optimizer(), 1))
    for metric in (1.0, 2.0):
        scheduler.step(metrics=metric)
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.05, 0.005])


GROUPED = (
    "optimizer.groups.head.lr_scale=2",
    "optimizer.groups.backbone.lr_scale=0.5",
    "optimizer.groups.backbone.delay=1ep",
    "optimizer.groups.backbone.params=[backbone.*]",
)


@pytest.mark.parametrize("scheduler", ["cosine", "onecycle", "step", "warmup_cosine", "plateau"])
def test_groups_train_at_their_own_lr_and_the_curve_is_recorded_and_audited(command, tmp_path, scheduler):
    done = command(f"scheduler={scheduler}", "trainer.epochs=3", "data.batch_size=256", *GROUPED)
    assert done.code == 0, done.err
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    recorded = {tag: dict(values) for tag, values in points(folder).items()}
    head, backbone = recorded["lr/head"], recorded["lr/backbone"]
    first = 6
    assert all(backbone[step] == 0.0 for step in range(first))
    assert all(backbone[step] == pytest.approx(head[step] / 4) for step in range(first, 18))
    assert all(head[step] == pytest.approx(2 * lr) for step, lr in recorded["lr"].items())
    audit = summary(folder)["audit"]
    assert audit.get("equal", "exempt" in audit)
    if scheduler != "plateau":
        [curve] = plan_curves([f"scheduler={scheduler}", "trainer.epochs=3", *GROUPED], 6)
        assert curve.plan.hashes["lr/head"] == summary(folder)["plan"]["sha256"]["lr/head"]
        assert curve.plan.hashes["lr"] == summary(folder)["plan"]["sha256"]["lr"]


def test_a_delayed_group_rests_until_its_time(tmp_path):
    typed = ["model=linear", "optimizer.weight_decay=0.1", "trainer.epochs=1"]
    train(tmp_path / "free", *typed)
    train(tmp_path / "resting", *typed, "++optimizer.groups.head.delay=1ep")

    randomness.seed_everything(0)
    untrained = models.linear((1, 8, 8), 10).state_dict()
    assert torch.equal(weights(tmp_path / "resting")["head.weight"], untrained["head.weight"])
    assert not torch.equal(weights(tmp_path / "free")["head.weight"], untrained["head.weight"])
    recorded = points(tmp_path / "resting")
    assert {lr for _, lr in recorded["lr/head"]} == {0.0}
    assert min(lr for _, lr in recorded["lr"]) > 0


def test_weight_decay_and_cycled_momentum_are_recorded_planned_audited_and_resumed(command, tmp_path):
    typed = ["scheduler=onecycle", "optimizer.schedule.weight_decay=cosine", "trainer.epochs=3", "data.batch_size=256"]
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 15, 8)
        assert command(*typed).code == 143
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert command(f"resume={folder}").code == 0
    recorded = points(folder)
    assert [step for step, _ in recorded["momentum"]] == list(range(18))
    decays = [value for _, value in recorded["weight_decay"]]
    assert decays == pytest.approx([0.0005 * schedules.cosine(t, total=18) for t in range(18)])
    momenta = [value for _, value in recorded["momentum"]]
    assert max(momenta) == pytest.approx(0.95)
    assert min(momenta) == pytest.approx(0.85, abs=0.002)
    lrs = [value for _, value in recorded["lr"]]
    assert momenta.index(min(momenta)) == lrs.index(max(lrs))
    ended = summary(folder)
    assert ended["audit"]["equal"]
    assert {"lr", "momentum", "weight_decay"} == set(ended["plan"]["sha256"])


def test_what_does_not_change_is_not_recorded(tmp_path):
    train(tmp_path, "trainer.epochs=1")
    assert not {"momentum", "weight_decay"} & set(points(tmp_path))


def test_reading_sees_what_the_optimizer_uses():
    made = optimizer(groups=3, make=torch.optim.AdamW)
    made.param_groups[2]["name"] = "head"
    made.param_groups[2]["lr"] = 0.3
    assert hyperparameters.read(made) == {
        "lr": 0.1,
        "lr/1": 0.1,
        "lr/head": 0.3,
        "momentum": 0.9,
        "weight_decay": 0.01,
    }


PARTS = {
    "no decay of biases": ["optimizer.decay_bias_and_norm=false"],
    "scaled weights": ["optimizer.groups.w.params=['*.weight']", "optimizer.groups.w.lr_scale=0.5"],
    "own decays": ["optimizer.groups.head.weight_decay=0.1", "optimizer.groups.backbone.weight_decay=0.2"],
}


@pytest.mark.parametrize("groups", [[], *PARTS.values(), [*PARTS["no decay of biases"], *PARTS["scaled weights"]]])
def test_the_preview_plans_what_training_plans_whatever_the_groups(groups):
    typed = ["optimizer.schedule.weight_decay=cosine", "trainer.epochs=3", *groups]
    [curve] = plan_curves(typed, None)
    trained = prepare(compose.compose(typed)).plan
    assert set(trained.curves) <= set(curve.plan.curves)
    for name, values in trained.curves.items():
        assert values == curve.plan.curves[name], name
    decays = {name: values for name, values in trained.curves.items() if name.startswith("weight_decay")}
    assert decays
    for values in decays.values():
        assert values == pytest.approx([values[0] * schedules.cosine(t, total=3) for t in range(3)])
        assert values[0] > 0


def test_a_longer_run_with_a_metric_takes_its_new_weight_decay_at_once_and_is_audited(command, tmp_path):
    typed = ["scheduler=plateau", "optimizer.schedule.weight_decay=cosine", "data.batch_size=720"]
    assert command(*typed, "trainer.epochs=2").code == 0
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert command(f"resume={folder}", "extend=4").code == 0
    decays = [value for _, value in points(folder)["weight_decay"]]
    expected = [0.0005 * schedules.cosine(epoch, total=total) for total in (2, 4) for epoch in range(total)]
    assert decays[::2] == pytest.approx([*expected[:2], *expected[4:]])
    audit = summary(folder)["audit"]
    assert audit["exempt"] == "the LR follows val_loss"
    assert audit["equal"]
    assert audit["updates"] == 8


def test_what_lrlab_knows_of_a_group_is_in_keys_that_old_checkpoints_have_too():
    group = {"params": [torch.zeros(1, requires_grad=True)], "name": "head", "lr": 0.1}
    assert not hyperparameters.is_driven_apart(group)
    assert (hyperparameters.scale_of(group), hyperparameters.delay_of(group)) == (1.0, 0)
    hyperparameters.drive_apart(group, scale=2.0, delay="1ep")
    hyperparameters.give_weight_decay(group, 0.5, record=True)
    assert hyperparameters.is_driven_apart(group)
    assert (hyperparameters.scale_of(group), hyperparameters.delay_of(group)) == (2.0, "1ep")
    made = torch.optim.SGD([group], lr=0.1)
    HyperparameterScheduler(lr_scheduler.StepLR(made, 1), made, scales=[2.0], delays=[0], curves={})
    [saved] = made.state_dict()["param_groups"]
    kept = {name: saved[name] for name in ("lr", "unscaled_lr", "lr_scale", "delay", "own_weight_decay")}
    assert kept == {"lr": 0.2, "unscaled_lr": 0.1, "lr_scale": 2.0, "delay": "1ep", "own_weight_decay": True}
    assert read(made) == {"lr": 0.1, "lr/head": 0.2, "momentum": 0.0, "weight_decay/head": 0.5}


def test_a_fixture_of_an_old_checkpoint_has_the_keys_of_today():
    folder = Path(__file__).parents[1] / "fixtures" / "25a6d11" / "finished_groups"
    saved = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["state"]["optimizer"]["param_groups"]
    apart = [group for group in saved if hyperparameters.is_driven_apart(group)]
    assert apart
    assert all("unscaled_lr" in group for group in saved)
    assert {hyperparameters.scale_of(group) for group in apart} != {1.0}


def test_only_one_room_reads_and_writes_these_keys():
    package = Path(lrlab.__file__).parent
    keys = {"lr_scale", "delay", "unscaled_lr", "own_schedule", "own_weight_decay"}
    users = {}
    for path in sorted(package.rglob("*.py")):
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        if found := keys & texts:
            users[str(path.relative_to(package))] = found
    # To the rooms of config the first two are names of settings.
    settings = {"config/groups.py": {"lr_scale", "delay"}}
    settings |= {f"config/{room}.py": {"delay"} for room in ("cooled", "group_schedules", "scheduler")}
    assert users == {"lr/hyperparameters.py": keys, **settings}
