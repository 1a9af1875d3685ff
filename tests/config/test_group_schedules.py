"""A group's own schedule is the one of that name, from the end of the group's delay on; the run's stays as it was."""

import itertools

import pytest
import torch
from support import StopAt, composed, history, points, same_weights, slow_but, summary, train, weights

import lrlab
from lrlab.commands.preview_curves import plan_curves, with_groups
from lrlab.comparison import candidates, results
from lrlab.config import build, compose, trust
from lrlab.config.group_schedules import group_schedules
from lrlab.config.prepare import plan_only, prepare
from lrlab.lr import hyperparameters
from lrlab.lr.horizon import Horizon

LR, EPOCHS, PER_EPOCH = 0.02, 10, 6
BASE = ("model=linear", "data.batch_size=256", f"trainer.epochs={EPOCHS}")
HEAD = "optimizer.groups.head.schedule"
# The first weights are what the run's scheduler drives.
MLP = ("model=mlp", *BASE[1:])


def plan(*typed):
    return plan_only(composed(*MLP, *typed))[0]


def alone(name, interval, epochs=EPOCHS, **settings):
    """The LR of every update of a run of a schedule that nothing else is said of."""
    s = lrlab.schedule(name, lr=LR, epochs=epochs, steps_per_epoch=PER_EPOCH, interval=interval, **settings)
    return s.values()


CLOCKS = list(itertools.product(["epoch", "step"], repeat=2))
NAMES = ["linear", "wsd", "step", "cosine", "exponential", "sequence", "sequential", "cyclic", "constant"]


@pytest.mark.parametrize(("runs", "own"), CLOCKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_groups_lr_is_what_its_schedule_gives_alone_and_the_others_have_the_runs(name, runs, own):
    [curve] = [plan("scheduler=cosine", f"scheduler.interval={runs}", f"{HEAD}={{name:{name},interval:{own}}}")]
    assert curve.interval == ("step" if "step" in (runs, own) else "epoch")
    assert curve.per_update("lr/head") == alone(name, own)
    assert curve.per_update("lr") == alone("cosine", runs)
    assert curve.hashes["lr"] == plan("scheduler=cosine", f"scheduler.interval={runs}").hashes["lr"]


@pytest.mark.parametrize(("runs", "own"), CLOCKS)
def test_its_time_begins_when_its_delay_is_over_and_a_share_is_one_of_what_is_left(runs, own):
    typed = [f"scheduler.interval={runs}", f"{HEAD}={{name:warmup_linear,interval:{own},steps:50%}}"]
    made = plan("scheduler=step", *typed, "optimizer.groups.head.delay=2ep", "optimizer.groups.head.lr_scale=3")
    left = alone("warmup_linear", own, EPOCHS - 2, steps="50%")
    assert made.per_update("lr/head") == [0.0] * (2 * PER_EPOCH) + [3 * lr for lr in left]
    assert made.per_update("lr") == alone("step", runs)


def test_a_delay_is_in_counts_of_the_schedules_own_interval():
    typed = [f"{HEAD}={{name:linear,interval:step}}", "optimizer.groups.head.delay=7"]
    assert plan("scheduler=cosine", *typed).per_update("lr/head").count(0.0) == 7
    assert plan("scheduler=cosine", f"{HEAD}=linear", "optimizer.groups.head.delay=2").per_update("lr/head")[11:13] == [
        0.0,
        LR,
    ]


SAME = {
    "a name and settings beside it": [f"{HEAD}=wsd", f"{HEAD}.decay=30%", f"{HEAD}.floor=0.1"],
    "in any order": [f"{HEAD}.decay=30%", f"{HEAD}=wsd", f"{HEAD}.floor=0.1"],
    "a mapping": [f"{HEAD}={{name:wsd,decay:30%,floor:0.1}}"],
    "settings in their places": [f"{HEAD}={{name:wsd,lr_lambda:{{decay:30%,floor:0.1}}}}"],
    "a function": [f"{HEAD}={{_target_:lrlab.schedules.wsd,warmup:5%,decay:30%,floor:0.1,interval:step}}"],
    "all of the groups": ["optimizer.groups={head:{schedule:{name:wsd,decay:30%,floor:0.1}}}"],
    "a class": [
        f"{HEAD}={{_target_:torch.optim.lr_scheduler.LambdaLR,interval:step,"
        "lr_lambda:{_target_:lrlab.schedules.wsd,total:100%,warmup:5%,decay:30%,floor:0.1}}"
    ],
}


@pytest.mark.parametrize("way", SAME)
def test_what_can_be_typed_in_several_ways_is_the_same(way):
    assert plan(*SAME[way]).per_update("lr/head") == alone("wsd", "step", decay="30%", floor=0.1)


def test_an_option_of_the_users_own_is_found_by_its_name(command, tmp_path):
    (tmp_path / "mine" / "scheduler").mkdir(parents=True)
    text = (compose.CONF / "scheduler" / "wsd.yaml").read_text()
    (tmp_path / "mine" / "scheduler" / "own.yaml").write_text(text.replace("decay: 20%", "decay: 50%"))
    found = f"hydra.searchpath=[file://{tmp_path / 'mine'}]"
    for typed, settings in (([f"{HEAD}=own"], {}), ([f"{HEAD}=own", f"{HEAD}.floor=0.1"], {"floor": 0.1})):
        made = plan_only(compose.compose([*MLP, found, *typed]))[0]
        assert made.per_update("lr/head") == alone("wsd", "step", decay="50%", **settings)
    assert command(*MLP[:2], "trainer.epochs=10", "--config-dir", "mine", f"{HEAD}=own", "hydra.run.dir=run").code == 0
    assert command("resume=run", "extend=11").code == 0  # and does not need the file any more
    assert summary(tmp_path / "run")["audit"]["equal"]


def test_a_function_has_the_clock_of_the_runs_scheduler():
    node = {"groups": {"head": {"schedule": {"_target_": "lrlab.schedules.cosine"}}}}
    for interval in ("epoch", "step"):
        assert group_schedules(node, Horizon(6, 6), interval)["head"].interval == interval


def test_every_option_can_be_a_groups_schedule_or_says_in_a_line_why_not():
    for name in lrlab.schedule_names():
        if name not in ("onecycle", "cyclic", "cyclic_triangular2", "cyclic_exp_range", "lambda", "multiplicative"):
            assert plan(f"{HEAD}={name}", "trainer.epochs=20").per_update("lr/head")
    for name in ("onecycle", "cyclic"):
        assert plan(f"{HEAD}={{name:{name},cycle_momentum:false}}").per_update("lr/head") == alone(
            name, "step", cycle_momentum=False
        )


MIXED = {
    "steps beside epochs": ["scheduler=step", f"{HEAD}=warmup_cosine"],
    "epochs beside steps": ["scheduler=warmup_cosine", f"{HEAD}=exponential", "optimizer.groups.head.delay=1ep"],
    "momentum besides": ["scheduler=onecycle", f"{HEAD}=linear", "optimizer.schedule.weight_decay=cosine"],
    "split for weight decay": ["scheduler=cosine", f"{HEAD}=wsd", "optimizer.decay_bias_and_norm=false"],
    "all have their own": [f"{HEAD}=linear", "optimizer.groups.backbone.schedule=cosine"],
}


@pytest.mark.parametrize("which", slow_but(MIXED, "epochs beside steps", "momentum besides"))
def test_what_is_planned_is_trained_recorded_and_audited_also_after_a_resume(command, tmp_path, which):
    typed = [*MLP, *MIXED[which]]
    planned = prepare(compose.compose(typed)).plan
    train(tmp_path / "whole", *typed)
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 15, 15)
        command(*typed, "hydra.run.dir=stopped")
    assert command("resume=stopped").code == 0
    for folder in (tmp_path / "whole", tmp_path / "stopped"):
        audit = summary(folder)["audit"]
        assert (audit["equal"], audit["updates"]) == (True, EPOCHS * PER_EPOCH)
        recorded = points(folder)
        for name in planned.curves:
            if name.startswith("lr"):
                values = [float(torch.tensor(lr)) for lr in planned.per_update(name)]
                assert [lr for _, lr in recorded[name]] == values, name
    assert same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    assert history(tmp_path / "stopped") == history(tmp_path / "whole")
    assert points(tmp_path / "stopped")["train/loss"] == points(tmp_path / "whole")["train/loss"]


def test_a_longer_run_plans_every_group_anew(command, tmp_path):
    typed = [*MLP, "scheduler=cosine", f"{HEAD}=warmup_linear", "optimizer.groups.head.delay=1ep"]
    assert command(*typed, "hydra.run.dir=run").code == 0
    assert command("resume=run", "extend=13").code == 0
    new = prepare(compose.compose([*typed, "trainer.epochs=13"])).plan
    old = prepare(compose.compose(typed)).plan
    for name in ("lr", "lr/head"):
        expected = old.per_update(name) + new.per_update(name)[EPOCHS * PER_EPOCH :]
        assert [lr for _, lr in points(tmp_path / "run")[name]] == [float(torch.tensor(lr)) for lr in expected]
    assert summary(tmp_path / "run")["audit"]["equal"]


@pytest.mark.parametrize("scheduler", ["plateau", "warmup_plateau", "greedy"])
def test_beside_a_scheduler_that_follows_a_metric_a_group_keeps_its_plan(command, tmp_path, scheduler):
    follows = [f"scheduler={scheduler}", "scheduler.patience=0", "scheduler.factor=0.5", "scheduler.threshold=0.9"]
    typed = [*MLP, *follows, f"{HEAD}=warmup_linear"]
    planned = prepare(compose.compose(typed)).plan
    assert planned.lrs is None
    assert planned.per_update("lr/head") == alone("warmup_linear", "step")
    train(tmp_path / "whole", *typed)
    train(tmp_path / "without", *typed[:-1])
    with pytest.MonkeyPatch.context() as patch:
        StopAt(patch, 15, 15)
        command(*typed, "hydra.run.dir=stopped")
    assert command("resume=stopped").code == 0
    assert same_weights(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    audit = summary(tmp_path / "stopped")["audit"]
    assert audit["exempt"].startswith("the LR follows val_loss")
    assert audit["equal"]
    # The run's scheduler is told what it would be told otherwise: the LR is a fall an epoch, as without groups.
    assert len({lr for _, lr in points(tmp_path / "whole")["lr"]}) > 2
    assert command("resume=whole", "extend=12").code == 0
    longer = alone("warmup_linear", "step", 12)[EPOCHS * PER_EPOCH :]
    assert [lr for _, lr in points(tmp_path / "whole")["lr/head"]][EPOCHS * PER_EPOCH :] == pytest.approx(longer)
    assert summary(tmp_path / "whole")["audit"]["equal"]


def test_a_metric_is_told_once_an_epoch_whatever_the_clock_of_the_groups():
    follows = ["scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5"]
    found = {}
    for own in ("epoch", "step"):
        prepared = prepare(compose.compose([*MLP, *follows, f"{HEAD}={{name:linear,interval:{own}}}"]))
        model = torch.nn.Sequential()
        model.add_module("backbone", torch.nn.Linear(2, 2))
        model.add_module("head", torch.nn.Linear(2, 2))
        optimizer = build.build_optimizer(prepared.config["optimizer"], model.named_parameters())
        scheduler = prepared.scheduler.build(optimizer)
        rows = []
        for metric in (1.0, 2.0, 2.0, 0.5, 2.0, 2.0):
            for _ in range(PER_EPOCH):
                rows.append(hyperparameters.read(optimizer)["lr"])
                optimizer.step()
                if prepared.scheduler.interval == "step":
                    scheduler.step()
            hyperparameters.tell(scheduler, metric)
        found[own] = rows
    assert found["epoch"] == found["step"]
    assert found["step"][::PER_EPOCH] == [0.02, 0.02, 0.01, 0.005, 0.005, 0.0025]


def test_a_sweep_over_schedules_of_a_group_has_a_candidate_each(command, tmp_path):
    typed = [*MLP[:2], "trainer.epochs=2", "sweep=groups"]
    assert command("-m", f"{HEAD}=linear,cosine", *typed).code == 0
    folder = tmp_path / "outputs" / "sweeps" / "groups"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"schedule=linear", "schedule=cosine"}
    assert all(summary(folder / f"schedule={name}")["audit"]["equal"] for name in ("linear", "cosine"))
    runs = results.find([folder])
    assert set(candidates.names_of(runs).values()) == {"cosine, schedule=linear", "cosine, schedule=cosine"}


def test_another_schedule_is_another_run(command):
    assert command(*MLP[:2], "trainer.epochs=1", f"{HEAD}=linear", "hydra.run.dir=run").code == 0
    refused = command("resume=run", "extend=2", f"{HEAD}=cosine")
    assert "optimizer.groups.head.schedule: got cosine, but the checkpoint was saved with linear" in refused.err


def test_the_preview_has_a_curve_for_each_group_that_differs():
    groups = [f"{HEAD}=linear", "optimizer.groups.backbone.lr_scale=1", "optimizer.decay_bias_and_norm=false"]
    [curve] = plan_curves(["scheduler=cosine", *groups], None)
    assert [one.name for one in with_groups(curve, "lr")] == [curve.name, f"{curve.name} head"]
    assert [one.name for one in with_groups(curve, "momentum")] == [curve.name]
    assert with_groups(curve, "lr")[1].plan.lrs == curve.plan.curves["lr/head"]


def test_what_hardly_anyone_means_is_said_of_the_group():
    def warned(*typed):
        return plan_only(composed(*MLP, *typed, "trainer.epochs=20"))[1]

    assert warned(f"{HEAD}=linear") == []
    [said] = warned(f"{HEAD}={{name:cosine,T_max:15}}")
    assert said == (
        "optimizer.groups.head.schedule: the LR rises at the end, from 0 in epoch 15 to 0.00331; "
        "optimizer.groups.head.schedule.T_max=100% goes down once"
    )
    [said] = warned(f"{HEAD}={{name:cosine,T_max:20}}", "optimizer.groups.head.delay=5ep")
    assert said.startswith("optimizer.groups.head.schedule.T_max: 20 epochs are longer than its 15 epochs")


def test_a_run_without_such_a_schedule_has_the_state_that_it_always_had():
    settings = prepare(compose.compose([*MLP, "optimizer.groups.head.lr_scale=2"])).scheduler
    plain = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    assert isinstance(settings.build(plain), torch.optim.lr_scheduler.CosineAnnealingLR)
    scaled = torch.optim.SGD([{"params": [torch.zeros(1)], "name": "head", "lr_scale": 2.0}], lr=0.1)
    assert set(settings.build(scaled).state_dict()) == {"scheduler", "count"}


def test_a_checkpoint_from_somebody_else_may_name_torchs_schedulers_and_no_others():
    for target, is_fine in (("torch.optim.lr_scheduler.StepLR", True), ("os.system", False)):
        config = {"optimizer": {"groups": {"head": {"schedule": {"_target_": target}}}}}
        assert (trust.to_type(config) == []) is is_fine
