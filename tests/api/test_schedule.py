"""`lrlab.schedule`: the LRs that a run of the same words would have, and a torch scheduler that gives them."""

import inspect
import re
import warnings

import numpy
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR

import lrlab
from lrlab.api import frames
from lrlab.api.schedule_makers import NAMES
from lrlab.commands.preview_curves import plan_curves
from lrlab.schedules import wsd

RUN = {"lr": 0.1, "epochs": 7, "steps_per_epoch": 13}


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_is_what_a_run_of_that_name_has(name):
    [curve] = plan_curves([f"scheduler={name}", "optimizer.lr=0.1", "trainer.epochs=7"], 13)
    s = lrlab.schedule(name, **RUN)
    assert s.values() == curve.plan.per_update()
    assert [s(t) for t in range(len(s))] == s.values()
    assert s.sha256 == curve.plan.hashes["lr"]
    assert s.interval == curve.plan.interval


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (
            "scheduler=wsd scheduler.lr_lambda.decay=40% scheduler.lr_lambda.shape=linear",
            {"decay": "40%", "shape": "linear"},
        ),
        ("scheduler=step scheduler.step_size=2ep scheduler.gamma=0.1", {"step_size": "2ep", "gamma": 0.1}),
        ("scheduler=warmup_cosine scheduler.lr_lambda.then.floor=0.1", {"floor": 0.1}),
        ("scheduler=warmup_cosine scheduler.lr_lambda.then.floor=0.1", {"then": {"floor": 0.1}}),
        ("scheduler=multistep scheduler.milestones=[2,4]", {"milestones": (2, 4)}),
        ("scheduler=product scheduler.lr_lambda.schedules.cycles.cycles=2", {"cycles": {"cycles": 2}}),
        ("scheduler=cosine scheduler.interval=step", {"interval": "step"}),
    ],
)
def test_settings_are_those_of_the_command_line(typed, given):
    [curve] = plan_curves([*typed.split(), "optimizer.lr=0.1", "trainer.epochs=7"], 13)
    name = typed.partition(" ")[0].removeprefix("scheduler=")
    assert lrlab.schedule(name, **RUN, **given).values() == curve.plan.per_update()


def test_a_function_is_a_schedule_and_its_durations_are_counted():
    s = lrlab.schedule(wsd, lr=0.1, total_steps=100, warmup="10%", decay="20%", shape="linear")
    assert s.values() == lrlab.wsd(lr=0.1, total_steps=100, warmup=10, decay=20, shape="linear").values()
    assert lrlab.schedule(lambda t: 0.5**t, lr=2.0, total_steps=3).values() == [2.0, 1.0, 0.5]
    assert lrlab.schedule(lambda t, total: 1 - t / total, total_steps=4).values() == [1.0, 0.75, 0.5, 0.25]


def test_a_list_is_a_schedule_that_stays_at_its_end():
    s = lrlab.schedule([0.1, 0.2, 0.05])
    assert (s.values(), s(99), s.factor(1)) == ([0.1, 0.2, 0.05], 0.05, 1.0)


def test_every_time_from_zero_on_has_an_lr():
    for name in NAMES:
        s = lrlab.schedule(name, **RUN)
        assert s(10 * len(s)) >= 0
        with pytest.raises(ValueError, match="allowed: 0 or more"):
            s(-1)
        with pytest.raises(ValueError, match="allowed: an integer"):
            s(0.5)
        assert s(numpy.int64(3)) == s(3)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cosin", {}, "did you mean cosine?"),
        ("plateau", {}, 'do: lrlab.train("scheduler=plateau")'),
        ("wsd", {"dcay": 3}, "did you mean decay?"),
        ("wsd", {"epochs": None, "epoch": 3}, "did you mean epochs?"),
        ("wsd", {"epochs": None, "steps_per_epoch": None, "totalsteps": 30}, "did you mean total_steps?"),
        ("wsd", {"decay": "0ep"}, 'do: decay="25%"'),
        ("wsd", {"shape": "foo"}, 'do: shape="one_minus_sqrt"'),
        ("step", {"gamma": "50%"}, "do: gamma=0.5"),
        ("step", {"step_size": 0.25}, 'do: step_size="25%"'),
        ("product", {"floor": 0.1}, 'do: cycles={"floor": ...}'),
        ("wsd", {"interval": "day"}, 'do: interval="epoch"'),
        ("wsd", {"lr": 0}, "lr: got 0; allowed: a number above 0"),
        ("wsd", {"epochs": 0}, "epochs: got 0"),
        ("wsd", {"total_steps": 7}, "do: total_steps=91"),
        (None, {}, "allowed: a name, a function, or a list"),
        (lambda t: str(t) + "a", {}, "a function that fails at a time"),
        (lambda t: t + 1.0, {"foo": 3}, "unexpected keyword argument"),
        (lambda t: t * float("nan"), {}, "finite and not negative"),
    ],
)
def test_a_mistake_is_a_value_error_about_an_argument(name, given, said):
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        lrlab.schedule(name, **{**RUN, **given}).values()
    assert "scheduler." not in str(raised.value)


def test_a_schedule_says_how_it_was_made():
    s = lrlab.wsd(lr=0.1, total_steps=100, decay="20%")
    assert repr(s) == "lrlab.schedule('wsd', lr=0.1, total_steps=100, decay='20%')"
    assert eval(repr(s)).values() == s.values()
    assert s.replace(lr=0.2).values() == [2 * lr for lr in s.values()]
    assert len(s.replace(epochs=3, steps_per_epoch=5)) == 15
    assert len(lrlab.wsd(epochs=20, steps_per_epoch=469).replace(epochs=40)) == 40 * 469
    assert lrlab.schedule([1.0, 0.5]).replace(lr=0.1).values() == [0.1, 0.05]
    with pytest.raises(ValueError, match="allowed: lr"):
        lrlab.schedule([1.0, 0.5]).replace(total_steps=3)
    for name in NAMES:
        if name != "lambda":
            assert inspect.signature(getattr(lrlab, name)).parameters
    assert "decay" in inspect.signature(lrlab.wsd).parameters


def test_a_frame_is_a_dict_of_columns_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    s = lrlab.linear(lr=0.1, epochs=2, steps_per_epoch=2)
    assert s.to_frame() == {"step": [0, 1, 2, 3], "epoch": [0, 0, 1, 1], "lr": s.values()}
    assert frames.frame({"a": (1,)}) == {"a": [1]}


def test_a_notebook_shows_a_picture_in_the_ink_of_the_page():
    drawn = lrlab.cosine(lr=0.1, epochs=10)._repr_html_()
    assert "<svg" in drawn
    assert "currentColor" in drawn


def test_a_picture_is_saved_by_its_suffix(tmp_path):
    picture = lrlab.cosine(lr=0.1, epochs=10).plot(x="percent", log=True)
    picture.save("a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match=r"allowed: \.png, \.svg, \.pdf"):
        picture.save("a.txt")


# As torch's scheduler.


def optimizer_of(*lrs: float, **names: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(2, requires_grad=True)], "lr": lr} for lr in lrs]
    groups += [{"params": [torch.zeros(2, requires_grad=True)], "lr": lr, "name": name} for name, lr in names.items()]
    return torch.optim.SGD(groups)


def stepped(scheduler, optimizer: torch.optim.Optimizer, count: int) -> list[list[float]]:
    lrs = []
    for _ in range(count):
        lrs.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return lrs


def test_torchs_scheduler_gives_each_group_its_own_base():
    s = lrlab.wsd(lr=0.1, total_steps=40)
    optimizer = optimizer_of(0.1, 0.02)
    lrs = stepped(s.scheduler(optimizer), optimizer, 40)
    assert [first for first, _ in lrs] == s.values()
    assert [second for _, second in lrs] == [0.02 * s.factor(t) for t in range(40)]


def test_a_group_may_have_a_schedule_of_its_own():
    s, own = lrlab.wsd(lr=0.1, total_steps=40), lrlab.linear(lr=0.3, total_steps=40)
    optimizer = optimizer_of(body=0.1, head=0.3)
    lrs = stepped(s.scheduler(optimizer, groups={"head": own}), optimizer, 40)
    assert [second for _, second in lrs] == own.values()
    with pytest.raises(ValueError, match="allowed: 'body', 'head'"):
        s.scheduler(optimizer_of(body=0.1, head=0.3), groups={"tail": own})


def test_a_schedule_by_epochs_is_stepped_by_epochs_or_by_updates():
    s = lrlab.step(**RUN)
    by_epochs, by_updates = optimizer_of(0.1), optimizer_of(0.1)
    assert [lr for [lr] in stepped(s.scheduler(by_epochs), by_epochs, 7)] == s.values()[::13]
    scheduler = s.scheduler(by_updates, interval="step")
    assert [lr for [lr] in stepped(scheduler, by_updates, len(s))] == s.values()


def test_torchs_scheduler_is_saved_and_goes_on():
    s = lrlab.wsd(lr=0.1, total_steps=40)
    optimizer = optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    stepped(scheduler, optimizer, 17)
    saved = scheduler.state_dict()

    fresh = optimizer_of(0.1)
    again = s.scheduler(fresh)
    again.load_state_dict(saved)
    assert again.get_last_lr() == [s(17)] == [fresh.param_groups[0]["lr"]]
    assert [lr for [lr] in stepped(again, fresh, 23)] == s.values()[17:]
    with pytest.raises(ValueError, match="the state of another schedule"):
        s.replace(decay="50%").scheduler(optimizer_of(0.1)).load_state_dict(saved)


def test_what_a_schedule_drives_beside_the_lr_is_named():
    with pytest.warns(UserWarning, match="onecycle also drives momentum, which stays behind"):
        lrlab.onecycle(lr=0.1, total_steps=40).scheduler(optimizer_of(0.1))
    lrlab.onecycle(lr=0.1, total_steps=40, cycle_momentum=False).scheduler(optimizer_of(0.1))


def test_an_lr_that_is_a_tensor_is_changed_in_place():
    parameter = torch.zeros(2, requires_grad=True)
    lr = torch.tensor(0.1)
    optimizer = torch.optim.SGD([parameter], lr=lr)
    scheduler = lrlab.linear(lr=0.1, total_steps=4).scheduler(optimizer)
    state = scheduler.state_dict()
    optimizer.step()
    scheduler.step()
    scheduler.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(0.1)


# Previews and checks.


def test_a_preview_takes_names_values_functions_and_makers():
    curves = lrlab.preview(
        "step",
        lrlab.wsd(lr=0.2, epochs=100),
        lambda t: 0.9**t,
        lambda optimizer: CosineAnnealingLR(optimizer, 100),
        lr=0.1,
        epochs=100,
    )
    assert [curve.name for curve in curves] == ["step", "wsd", "<lambda>", "CosineAnnealingLR"]
    assert curves[3].values() == lrlab.schedule("cosine", lr=0.1, epochs=100).values()
    assert max(curves[1].values()) == 0.2
    assert "<table>" in curves._repr_html_()


def test_a_preview_says_which_curves_are_the_same():
    curves = lrlab.preview("cosine", lambda optimizer: CosineAnnealingLR(optimizer, 10), lr=0.1, epochs=10)
    assert curves.lint == ["the same LR at every update: cosine, CosineAnnealingLR"]


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (lambda optimizer: CosineAnnealingLR(optimizer, 60), {"epochs": 100}, "rises at the end"),
        (lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 200), {"epochs": 100}, "never fires"),
        (
            lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=50),
            {"total_steps": 100},
            "which fails after step",
        ),
        (
            lambda optimizer: LambdaLR(optimizer, lambda t: -1.0 - t),
            {"epochs": 5},
            "finite and not negative",
        ),
    ],
)
def test_a_check_finds_what_a_preview_of_lrlab_would(make, given, said):
    found = lrlab.check(make, **given)
    assert any(said in line for line in found), found
    assert not any("scheduler." in line for line in found)


def test_a_check_looks_at_every_parameter_group_that_has_a_curve_of_its_own():
    def grouped():
        return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in (0.1, 0.2)])

    def make(*functions):
        return lambda optimizer: LambdaLR(optimizer, list(functions))

    def rises(t):
        return abs(1 - t / 60)

    def falls(t):
        return 1 - t / 100

    assert lrlab.check(make(falls, falls), grouped, epochs=100) == []
    [said] = lrlab.check(make(falls, rises), grouped, epochs=100)
    assert said.startswith("group 1: schedule: the LR rises at the end, from 0 in epoch 60")
    [said] = lrlab.check(make(rises, rises), grouped, epochs=100)
    assert said.startswith("schedule: the LR rises at the end")
    # Where groups have curves of their own, the first one's is no more the schedule's than the others.
    [said] = lrlab.check(make(lambda _: 1.0, falls), grouped, epochs=100)
    assert said.startswith("group 0: schedule: LambdaLR never changes the LR")


@pytest.mark.parametrize("milestones", [[30, 60, 200], [100], [30, 90, 300]])
def test_a_check_finds_a_milestone_that_never_fires_as_a_schedule_does(milestones):
    made = lrlab.check(lambda one: MultiStepLR(one, milestones), lambda: optimizer_of(0.1), epochs=100)
    named = lrlab.schedule("multistep", milestones=milestones, lr=0.1, epochs=100).lint
    assert [*made] == named
    assert f"{milestones[-1]} never fires in its 100 epochs" in made[0]


def test_a_check_of_a_sound_scheduler_finds_nothing():
    found = lrlab.check(lambda optimizer: CosineAnnealingLR(optimizer, 100), lambda: optimizer_of(0.3), epochs=100)
    assert found == []
    assert repr(found) == "nothing to complain of"
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    [said] = lrlab.check(plateau, epochs=3)
    assert "follows a metric" in said
    with pytest.raises(ValueError, match="which is made already"):
        lrlab.check(CosineAnnealingLR(optimizer_of(0.1), 3), epochs=3)


@pytest.mark.parametrize("lengths", [{"epochs": 2.5}, {"total_steps": 25}], ids=str)
def test_a_schedule_may_end_within_an_epoch(lengths):
    s = lrlab.cosine(lr=0.1, steps_per_epoch=10, interval="epoch", **lengths)
    assert len(s) == len(s.values()) == len(s.to_frame()["lr"]) == 25
    assert s.values() == lrlab.cosine(lr=0.1, epochs=3, steps_per_epoch=10, interval="epoch").values()[:25]
    assert s.sha256 == lrlab.schedule(s.values()).sha256
    assert "0..24" in repr(lrlab.preview(s))


def test_a_share_of_an_epoch_needs_the_updates_of_one():
    with pytest.raises(ValueError, match=r"epochs: got 2\.5, without the updates of an epoch; .*steps_per_epoch=100"):
        lrlab.cosine(lr=0.1, epochs=2.5)
    with pytest.raises(ValueError, match=r"epochs: got 0\.01, which is less than half an update"):
        lrlab.cosine(lr=0.1, epochs=0.01, steps_per_epoch=10)
    with pytest.raises(ValueError, match=r"warmup: got 500im, a number of images, where the size of a batch is not"):
        lrlab.wsd(lr=0.1, total_steps=100, warmup="500im")


@pytest.mark.parametrize(
    ("lengths", "duration", "allowed"), [({"total_steps": 1000}, "2ep", "500st"), ({"epochs": 100}, "500st", "5ep")]
)
def test_a_duration_needs_a_length_that_says_something_of_its_unit(lengths, duration, allowed):
    refused = rf": got {duration}, .* allowed: {allowed}, .* do: give steps_per_epoch"
    for name, setting in (("wsd", "warmup"), ("step", "step_size"), ("cosine", "T_max"), ("cyclic", "step_size_up")):
        with pytest.raises(ValueError, match=setting + refused):
            lrlab.schedule(name, lr=0.1, **lengths, **{setting: duration})
        lrlab.schedule(name, lr=0.1, **lengths, **{setting: allowed})
    with pytest.raises(ValueError, match=r"milestones.*" + refused):
        lrlab.multistep(lr=0.1, milestones=[duration], **lengths)
    zero = "0" + duration[-2:]
    assert lrlab.wsd(lr=0.1, warmup=zero, **lengths).values() == lrlab.wsd(lr=0.1, warmup=0, **lengths).values()
    whole = {"epochs": 100, "steps_per_epoch": 10, "interval": "step"}
    assert lrlab.wsd(lr=0.1, warmup="2ep", **whole).values() == lrlab.wsd(lr=0.1, warmup="20st", **whole).values()


def groups_of(*lrs: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in lrs])


def test_an_optimizer_with_another_lr_than_the_schedule_is_told():
    s, cosine = lrlab.schedule([0.1, 0.05, 0.01]), lrlab.cosine(lr=0.1, total_steps=3)
    for one in (s, cosine):
        with pytest.warns(UserWarning, match=r"made with LR 0\.1, and the optimizer has 0\.3"):
            one.scheduler(optimizer_of(0.3))
    with pytest.warns(UserWarning, match=r"made with LR 0\.1, and the optimizer has 0\.3"):
        cosine.scheduler(groups_of(0.3, 0.3))
    own = {1: lrlab.constant(lr=0.5, total_steps=3)}
    with pytest.warns(UserWarning, match=r"the schedule of group 1 was made with LR 0\.5, and the optimizer has 0\.03"):
        cosine.scheduler(groups_of(0.1, 0.03), groups=own)


def test_no_other_lr_is_told_where_none_was_meant():
    cosine = lrlab.cosine(lr=0.1, total_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cosine.scheduler(optimizer_of(0.1))
        lrlab.cosine(total_steps=3).scheduler(optimizer_of(0.3))
        cosine.scheduler(groups_of(0.3, 0.03))  # in proportion
        cosine.scheduler(groups_of(0.1, 0.5), groups={1: lrlab.constant(lr=0.5, total_steps=3)})
        cosine.scheduler(groups_of(0.1, 0.03), groups={1: lrlab.constant(total_steps=3)})
        lrlab.preview(cosine.scheduler, lr=0.5, total_steps=3)  # no optimizer of anybody's
        lrlab.check(lambda optimizer: lrlab.cosine(lr=0.01, total_steps=3).scheduler(optimizer), total_steps=3)


@pytest.mark.parametrize(
    "take", [lrlab.watch, lambda _, made: lrlab.schedule(made), lambda _, made: lrlab.preview(made)]
)
def test_a_scheduler_that_is_made_already_is_no_schedule(take):
    optimizer = optimizer_of(0.1)
    with pytest.raises(ValueError, match=r"got a CosineAnnealingLR, which is made already; .*lambda optimizer: Cosine"):
        take(optimizer, CosineAnnealingLR(optimizer, 10))


def test_another_length_in_updates_keeps_the_updates_of_an_epoch():
    s = lrlab.wsd(lr=0.1, epochs=20, steps_per_epoch=50, warmup="2ep").replace(total_steps=500)
    assert len(s) == 500
    assert s.values().index(0.1) == 100


def test_an_interval_of_epochs_needs_the_updates_of_one():
    with pytest.raises(ValueError, match=r"interval: got epoch, beside total_steps alone.* do: give steps_per_epoch"):
        lrlab.step(lr=0.1, total_steps=1000, interval="epoch")


def test_a_plateau_that_is_made_already_is_no_schedule_either():
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer_of(0.1))
    with pytest.raises(ValueError, match=r"made already; .* do: lrlab.train\(\"scheduler=plateau\"\)"):
        lrlab.schedule(plateau, total_steps=10)
