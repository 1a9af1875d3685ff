"""`lrlab.watch`: a right loop is left in peace, and every mistake that people make is named."""

import warnings
from collections.abc import Callable

import numpy
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR

import lrlab
from lrlab.api.explanations import Observed, explain
from lrlab.api.watching import unwrapped

UPDATES, PER_EPOCH = 200, 20
BY_STEP = ("wsd", "warmup_cosine", "onecycle", "inverse_sqrt", "sequence")
BY_EPOCH = ("cosine", "step", "linear", "exponential", "cosine_bounce")


def make(name: str, **changes) -> lrlab.Schedule:
    own = {"cycle_momentum": False} if name == "onecycle" else {}
    return lrlab.schedule(name, **{"lr": 0.1, "epochs": 10, "steps_per_epoch": PER_EPOCH, **own, **changes})


def optimizer_of(*lrs: float, kind: type[torch.optim.Optimizer] = torch.optim.SGD) -> torch.optim.Optimizer:
    return kind([{"params": [torch.zeros(3, requires_grad=True)], "lr": lr} for lr in lrs])  # type: ignore[call-arg]


def update(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def watched(
    schedule: lrlab.Schedule,
    optimizer: torch.optim.Optimizer,
    after: Callable[[int], None],
    *,
    updates: int = UPDATES,
    **given,
) -> tuple[lrlab.Watch, list[str]]:
    """A loop that calls `after(t)` once update t is made; the watch, and the warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", lrlab.ScheduleWarning)
        with lrlab.watch(optimizer, schedule, **given) as watch:
            for t in range(updates):
                update(optimizer)
                after(t)
    return watch, [str(one.message) for one in said if one.category is lrlab.ScheduleWarning]


def stepping(scheduler, schedule: lrlab.Schedule, times: int = 1) -> Callable[[int], None]:
    """Step when the schedule's interval ends."""

    def after(t: int) -> None:
        if schedule.interval == "step" or t % PER_EPOCH == PER_EPOCH - 1:
            for _ in range(times):
                scheduler.step()

    return after


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("name", [*BY_STEP, *BY_EPOCH, "constant"])
def test_a_right_loop_is_left_in_peace(name, kind):
    s, optimizer = make(name), optimizer_of(0.1, kind=kind)
    watch, said = watched(s, optimizer, stepping(s.scheduler(optimizer), s))
    assert (watch.equal, watch.updates, said) == (True, UPDATES, [])
    assert watch.verdict.startswith("as planned: 200 updates, from 0 to 199")
    assert watch.applied() == s.values()


@pytest.mark.parametrize("name", [*BY_STEP, *BY_EPOCH])
def test_a_resumed_loop_is_left_in_peace(name):
    s, optimizer = make(name), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    for t in range(100):
        update(optimizer)
        stepping(scheduler, s)(t)
    watch, said = watched(s, optimizer, stepping(scheduler, s), updates=100, start=100)
    assert (watch.equal, watch.step, said) == (True, 200, [])


def test_torchs_own_schedulers_are_the_planned_ones_though_their_last_bits_differ():
    optimizer = optimizer_of(0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    s = lrlab.schedule(lambda t, total: (1 + numpy.cos(numpy.pi * t / total)) / 2, lr=0.1, total_steps=UPDATES)
    watch, _ = watched(s, optimizer, lambda _: scheduler.step())
    assert watch.equal
    assert watch.applied() != s.values()


# What is named.


@pytest.mark.parametrize("name", BY_STEP)
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("twice", "twice as fast"),
        ("by epochs", "by epochs"),
        ("never", "never stepped"),
        ("before", "one ahead"),
        ("began anew", "from zero again"),
        ("once too often", "one ahead"),
    ],
)
def test_a_scheduler_by_updates_that_is_stepped_wrongly_is_named(name, fault, named):
    s, optimizer = make(name), optimizer_of(0.1)
    schedulers = [s.scheduler(optimizer)]
    if fault == "before":
        update(optimizer)
        schedulers[0].step()

    def after(t: int) -> None:
        if fault == "began anew" and t == 100:
            schedulers[0] = s.scheduler(optimizer)
            return
        times = {"twice": 2, "never": 0, "by epochs": t % PER_EPOCH == PER_EPOCH - 1}.get(fault, 1)
        times += fault == "once too often" and t == 50
        for _ in range(times):
            schedulers[0].step()

    watch, said = watched(s, optimizer, after)
    assert watch.equal is False
    assert named in [one.name for one in watch.explanations], watch.verdict
    assert said
    if name in ("wsd", "warmup_cosine", "onecycle"):  # their shape tells them apart
        assert watch.explanation == named, watch.verdict


@pytest.mark.parametrize("name", ["cosine", "linear", "exponential"])
@pytest.mark.parametrize(
    ("fault", "named"), [("twice", "twice as fast"), ("by updates", "by updates"), ("never", "never stepped")]
)
def test_a_scheduler_by_epochs_that_is_stepped_wrongly_is_named(name, fault, named):
    s, optimizer = make(name), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)

    def after(t: int) -> None:
        ends = t % PER_EPOCH == PER_EPOCH - 1
        for _ in range({"twice": 2 * ends, "by updates": 1, "never": 0}[fault]):
            scheduler.step()

    watch, _ = watched(s, optimizer, after)
    assert named in [one.name for one in watch.explanations], watch.verdict


@pytest.mark.parametrize("times", [2, 4, 0.5, 0.25, PER_EPOCH, 1 / PER_EPOCH])
@pytest.mark.parametrize("name", ["wsd", "warmup_cosine", "onecycle"])
def test_a_number_of_updates_that_is_off_by_a_factor_is_named(name, times):
    s, optimizer = make(name), optimizer_of(0.1)
    other = s.replace(total_steps=int(UPDATES * times), interval="step")
    scheduler = other.scheduler(optimizer)
    watch, _ = watched(s, optimizer, lambda _: scheduler.step())
    assert watch.explanation == "another total", watch.verdict


@pytest.mark.parametrize("name", [*BY_STEP, *BY_EPOCH])
def test_a_resumed_loop_that_lost_its_scheduler_is_named(name):
    s, optimizer = make(name), optimizer_of(0.1)
    watch, _ = watched(s, optimizer, stepping(s.scheduler(optimizer), s), start=100, updates=100)
    assert "from zero again" in [one.name for one in watch.explanations], watch.verdict


def test_a_lost_recursion_goes_on_from_the_lr_that_it_finds():
    s = make("exponential", interval="step", gamma=0.99)
    optimizer = optimizer_of(s(100))  # as its saved state has it
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.1
    watch, _ = watched(s, optimizer, lambda _: scheduler.step(), start=100, updates=100)
    assert watch.equal  # an exponential has no memory: nothing was lost
    s = make("step")
    optimizer = optimizer_of(s(100))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    watch, _ = watched(s, optimizer, stepping(scheduler, s), start=100, updates=100)
    assert "from zero again" in [one.name for one in watch.explanations], watch.verdict


def test_a_start_that_was_not_said_is_a_question():
    s, optimizer = make("warmup_cosine"), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    for _ in range(100):
        update(optimizer)
        scheduler.step()
    watch, said = watched(s, optimizer, stepping(scheduler, s), updates=100)
    assert watch.explanation == "elsewhere"
    assert "did the loop begin there? then say start=100" in said[-1]


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd", "warmup_cosine", "exponential"])
def test_another_base_lr_is_told_from_what_the_scheduler_noted(name):
    s, optimizer = make(name, interval="step"), optimizer_of(0.5)
    with pytest.warns(UserWarning, match=r"the optimizer has 0\.5"):
        scheduler = s.scheduler(optimizer)
    watch, said = watched(s, optimizer, lambda _: scheduler.step(), updates=20)
    assert "one LR cannot tell why; it may be 5 times the planned LR" in said[0]
    assert (
        "5 times the planned LR at every update; give the optimizer and its scheduler the lr of the schedule" in said[1]
    )
    assert len(said) == 2
    assert watch.explanation == "another base LR"


@pytest.mark.parametrize(("times", "named"), [(0, "never stepped"), (2, "twice as fast")])
def test_two_mistakes_at_once_are_both_said(times, named):
    s, optimizer = make("warmup_cosine", interval="step"), optimizer_of(0.5)
    with pytest.warns(UserWarning, match=r"the optimizer has 0\.5"):
        scheduler = s.scheduler(optimizer)

    def after(_: int) -> None:
        for _ in range(times):
            scheduler.step()

    watch, _ = watched(s, optimizer, after)
    assert watch.explanation == named, watch.verdict
    assert "at 5 times the planned base LR" in watch.verdict
    assert "call scheduler.step()" in watch.verdict
    assert watch.verdict.endswith("and give the optimizer and its scheduler the lr of the schedule")


@pytest.mark.parametrize("lr", [0.1 * 3, 0.3])
def test_a_base_lr_that_differs_in_its_last_bits_is_the_same(lr):
    s, optimizer = make("warmup_cosine", lr=0.3, interval="step"), optimizer_of(lr)
    s.scheduler(optimizer)
    watch, _ = watched(s, optimizer, lambda _: None)
    assert watch.explanation == "never stepped"
    assert "base LR" not in watch.verdict


def test_a_tiny_base_lr_does_not_hide_another_mistake():
    s, optimizer = make("cosine", interval="step"), optimizer_of(1e-6)
    with pytest.warns(UserWarning, match="the optimizer has 1e-06"):
        s.scheduler(optimizer)
    watch, _ = watched(s, optimizer, lambda _: None)
    assert watch.explanation == "never stepped", watch.verdict
    optimizer = optimizer_of(1e-6)
    with pytest.warns(UserWarning, match="the optimizer has 1e-06"):
        scheduler = s.scheduler(optimizer)
    watch, _ = watched(s, optimizer, lambda _: scheduler.step())
    assert watch.explanation == "another base LR", watch.verdict


@pytest.mark.parametrize(("times", "named"), [(1, "another base LR"), (2, "twice as fast"), (0, "never stepped")])
def test_the_peak_of_one_cycle_is_told_though_torch_notes_where_it_begins(times, named):
    s, optimizer = make("onecycle", interval="step"), optimizer_of(0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=UPDATES, cycle_momentum=False)

    def after(t: int) -> None:
        for _ in range(times if t < UPDATES / 2 else 0):
            scheduler.step()

    watch, _ = watched(s, optimizer, after, updates=UPDATES // 2)
    assert watch.explanation == named, watch.verdict
    assert "5 times the planned" in watch.verdict


def test_a_flat_stretch_cannot_tell():
    s, optimizer = make("wsd"), optimizer_of(0.1)
    watch, _ = watched(s, optimizer, lambda _: None, updates=50, start=60)
    assert watch.equal
    assert "flat stretch, which cannot tell" in watch.verdict
    watch, _ = watched(s, optimizer, lambda _: None, updates=50)  # is it resumed there, or never stepped?
    assert {one.name for one in watch.explanations} == {"never stepped", "elsewhere"}
    assert watch.explanation is None


def test_another_base_lr_is_named():
    s, optimizer = make("wsd"), optimizer_of(0.05)
    with pytest.warns(UserWarning, match="the optimizer has 0.05"):
        scheduler = s.scheduler(optimizer)
    watch, _ = watched(s, optimizer, stepping(scheduler, s))
    assert watch.explanation == "another base LR"
    relative = lrlab.wsd(epochs=10, steps_per_epoch=PER_EPOCH)
    optimizer = optimizer_of(0.05)
    watch, _ = watched(relative, optimizer, stepping(relative.scheduler(optimizer), relative))
    assert watch.equal


def test_a_group_that_was_forgotten_is_named():
    s, optimizer = make("wsd"), optimizer_of(0.1, 0.02)
    scheduler = s.scheduler(optimizer)

    def after(_: int) -> None:
        scheduler.step()
        optimizer.param_groups[1]["lr"] = 0.02

    watch, said = watched(s, optimizer, after)
    assert watch.first_difference is not None
    assert watch.first_difference["group"] == "1"
    assert "of group 1" in said[0]


def test_the_schedule_of_another_group_is_named():
    s, own = make("wsd"), make("polynomial", lr=0.1)
    optimizer = optimizer_of(0.1, 0.1)
    watch, _ = watched(s, optimizer, stepping(s.scheduler(optimizer), s), groups={1: own})
    assert watch.explanation == "the plan of group 0", watch.verdict


def test_groups_added_later_have_a_plan_of_their_own():
    s, optimizer = make("linear", interval="step"), optimizer_of(0.1)

    def after(t: int) -> None:
        optimizer.param_groups[0]["lr"] = s(t + 1)
        if t == 50:
            optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)], "lr": 0.3})

    watch, _ = watched(s, optimizer, after)
    assert watch.first_difference is not None
    assert watch.first_difference["group"] == "1"  # the loop does not know it
    assert watch.first_difference["update"] == 51


# What counts as an update.


def test_a_step_without_gradients_is_no_update():
    s, optimizer = make("wsd"), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    with lrlab.watch(optimizer, s) as watch:
        for t in range(100):
            if t % 2:
                update(optimizer)
                scheduler.step()
            else:
                optimizer.zero_grad()
                optimizer.step()
    assert (watch.equal, watch.updates) == (True, 50)


class ScalerOfHalf(torch.amp.GradScaler):
    """One on the CPU, which scales and skips as on a GPU."""

    def __init__(self):
        super().__init__("cpu", init_scale=4.0, growth_interval=1000)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("counts_skipped", [False, True])
def test_updates_that_mixed_precision_skips_are_none(fused, counts_skipped):
    s = make("warmup_cosine")
    parameter = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1, fused=fused)
    scheduler, scaler = s.scheduler(optimizer), ScalerOfHalf()
    skipped = {3, 4, 70}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", lrlab.ScheduleWarning)
        with lrlab.watch(optimizer, s) as watch:
            for t in range(100):
                optimizer.zero_grad()
                scaler.scale((parameter * (float("inf") if t in skipped else 1.0)).sum()).backward()
                before = scaler.get_scale()
                scaler.step(optimizer)
                scaler.update()
                if counts_skipped or scaler.get_scale() >= before:
                    scheduler.step()
    assert (watch.updates, watch.skipped, watch.equal) == (97, 3, True), watch.verdict
    told = [str(one.message) for one in said if one.category is lrlab.ScheduleWarning]
    if counts_skipped:
        assert len(told) == 1
        assert "counts updates that mixed precision skipped" in told[0]
    else:
        assert told == []


def test_a_watch_leaves_nothing_behind():
    optimizer, step = optimizer_of(0.1), torch.amp.GradScaler.step
    with lrlab.watch(optimizer, make("wsd")), lrlab.watch(optimizer, make("wsd")):
        assert torch.amp.GradScaler.step is not step
    assert torch.amp.GradScaler.step is step
    assert not optimizer._optimizer_step_post_hooks


def test_watches_that_end_in_any_order_leave_nothing_that_acts():
    optimizer, step = optimizer_of(0.1), torch.amp.GradScaler.step
    first, second = lrlab.watch(optimizer, make("wsd")).begin(), lrlab.watch(optimizer, make("wsd")).begin()
    first.end()
    second.end()
    assert torch.amp.GradScaler.step is step
    assert not optimizer._optimizer_step_post_hooks


def test_an_lr_that_is_a_tensor_is_read():
    s = make("wsd")
    optimizer = torch.optim.SGD([torch.zeros(3, requires_grad=True)], lr=torch.tensor(0.1, dtype=torch.float64))
    watch, _ = watched(s, optimizer, stepping(s.scheduler(optimizer), s))
    assert watch.equal


# For a loop that goes on another day, and for the eye.


def test_a_watch_is_saved_and_goes_on():
    s, optimizer = make("warmup_cosine"), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    first, _ = watched(s, optimizer, stepping(scheduler, s), updates=60)
    again = lrlab.watch(optimizer, s)
    again.load_state_dict(first.state_dict())
    with again:
        for _ in range(40):
            update(optimizer)
            scheduler.step()
    assert (again.equal, again.step) == (True, 100)
    with pytest.raises(ValueError, match="one that has seen none"):
        again.load_state_dict(first.state_dict())


def test_a_watch_shows_what_it_saw():
    s, optimizer = make("wsd"), optimizer_of(0.1)
    watch, _ = watched(s, optimizer, lambda _: None)
    columns = watch.to_frame()
    assert [*columns] == ["step", "planned", "applied"]
    assert list(columns["planned"]) == pytest.approx(s.values())
    assert "<svg" in watch._repr_html_()
    assert lrlab.watch(optimizer, s).equal is None
    assert lrlab.watch(optimizer, s).verdict.startswith("no update was seen: the watch was not begun")
    with lrlab.watch(optimizer, s) as nothing:
        pass
    assert nothing.verdict == "no update was seen"


def test_a_long_run_is_explained_by_some_of_its_points():
    s = lrlab.warmup_cosine(lr=0.1, total_steps=50_000)
    planned = numpy.array(s.values())
    twice = Observed(planned, planned[numpy.clip(2 * numpy.arange(50_000), 0, 49_999)], 0, 1e-7)
    assert [one.name for one in explain(twice)] == ["twice as fast"]


@pytest.mark.parametrize("start", [-1, 0.5, True, "3"])
def test_a_start_is_a_count(start):
    with pytest.raises(ValueError, match="start: got"):
        lrlab.watch(optimizer_of(0.1), make("wsd"), start=start)


def test_what_is_watched_is_an_optimizer():
    with pytest.raises(ValueError, match="optimizer: got a Linear"):
        lrlab.watch(torch.nn.Linear(2, 2), make("wsd"))
    with pytest.raises(ValueError, match="groups: got 'head'"):
        lrlab.watch(optimizer_of(0.1), make("wsd"), groups={"head": make("wsd")})

    class Wrapper:
        optimizer = optimizer_of(0.1)

    assert unwrapped(Wrapper()) is Wrapper.optimizer


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("fused", [False, True])
def test_on_a_gpu_lrs_and_skips_come_from_the_device(fused):
    s = make("warmup_cosine")
    parameter = torch.zeros(3, device="cuda", requires_grad=True)
    lr = torch.tensor(0.1, device="cuda", dtype=torch.float32) if fused else 0.1
    optimizer = torch.optim.AdamW([parameter], lr=lr, fused=fused)
    scheduler, scaler = s.scheduler(optimizer), torch.amp.GradScaler("cuda")
    with lrlab.watch(optimizer, s) as watch:
        for _ in range(UPDATES):
            optimizer.zero_grad()
            scaler.scale(parameter.sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
    assert (watch.equal, watch.updates) == (True, UPDATES), watch.verdict


# What was found wrong, each with the right value.


def by_hand(s: lrlab.Schedule, optimizer: torch.optim.Optimizer, **given) -> lrlab.Watch:
    """A loop that sets the LR itself, as many do."""
    with lrlab.watch(optimizer, s, **given) as watch:
        for t in range(len(s)):
            for group in optimizer.param_groups:
                group["lr"] = s(t)
            update(optimizer)
    return watch


@pytest.mark.parametrize("groups", [1, 2])
def test_a_loop_that_sets_the_lr_itself_is_left_in_peace(groups):
    assert by_hand(make("warmup_cosine"), optimizer_of(*[0.1] * groups)).equal


def test_a_base_lr_that_is_wrong_in_every_group_is_named():
    s, optimizer = make("wsd"), optimizer_of(0.01, 0.01)
    with pytest.warns(UserWarning, match="the optimizer has 0.01"):
        scheduler = s.scheduler(optimizer)
    watch, _ = watched(s, optimizer, stepping(scheduler, s))
    assert watch.explanation == "another base LR"


@pytest.mark.parametrize("times", [9, 20, 24, 48])
def test_any_number_of_steps_an_update_is_named(times):
    s, optimizer = make("warmup_cosine", epochs=40), optimizer_of(0.1)
    watch, _ = watched(s, optimizer, stepping(s.scheduler(optimizer), s, times), updates=100)
    assert f"{times} times as fast" in [one.name for one in watch.explanations]


def test_a_longer_warm_up_is_no_other_base_lr():
    s, optimizer = make("warmup_cosine", epochs=24), optimizer_of(0.1)
    scheduler = s.replace(epochs=24 * 9).scheduler(optimizer)
    _, said = watched(s, optimizer, lambda _: scheduler.step(), updates=len(s))
    assert not any("times the planned LR" in line for line in said)


@pytest.mark.parametrize("name", ["cosine", "step", "linear", "exponential"])
def test_a_scheduler_by_epochs_that_began_anew_after_a_restart_is_named(name):
    s, optimizer = make(name), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    for group in optimizer.param_groups:
        group["lr"] = s(100)  # as the optimizer's saved state has it
    watch, _ = watched(s, optimizer, stepping(scheduler, s), updates=100, start=100)
    assert "from zero again" in [one.name for one in watch.explanations], watch.verdict


def test_where_the_loop_ended_in_the_plan_is_said():
    s = make("wsd")
    for updates, said in ((60, "and its end was not reached"), (230, "30 updates lie past the end of the plan of 200")):
        optimizer = optimizer_of(0.1)
        watch, warned = watched(s, optimizer, stepping(s.scheduler(optimizer), s), updates=updates)
        assert watch.equal
        assert said in watch.verdict
        assert len(warned) == (updates > 200)


@pytest.mark.parametrize("batches", [2, 4, 8, 5])
def test_a_plan_that_may_count_batches_is_told_and_warned_of_by_nobody(batches):
    s, optimizer = make("wsd"), optimizer_of(0.1)
    watch, said = watched(s, optimizer, stepping(s.scheduler(optimizer), s), updates=UPDATES // batches)
    assert watch.equal
    assert said == []  # a loop that ends early looks the same
    assert f"if {batches} batches make an update, plan by updates: total_steps={UPDATES // batches}" in watch.verdict


def test_what_lies_past_the_end_counts_for_the_whole_loop():
    s, optimizer = lrlab.wsd(lr=0.1, total_steps=100), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    first, _ = watched(s, optimizer, lambda _: scheduler.step(), updates=100)
    again = lrlab.watch(optimizer, s)
    again.load_state_dict(first.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with again:
            for _ in range(20):
                update(optimizer)
                scheduler.step()
    assert again.equal


@pytest.mark.parametrize("batches", [2, 3, 4, 8, 9, 11, 20, 24])
def test_a_scheduler_that_is_stepped_after_every_micro_batch_is_named(batches):
    s, optimizer = make("warmup_cosine"), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with lrlab.watch(optimizer, s) as watch:
            for _ in range(UPDATES // batches):
                for _ in range(batches - 1):
                    scheduler.step()
                update(optimizer)
                scheduler.step()
    assert watch.explanation == f"{batches} micro-batches", watch.verdict


def test_a_plan_that_counts_epochs_in_a_loop_of_updates_asks_for_the_length_of_an_epoch():
    s, optimizer = lrlab.cosine(lr=0.1, epochs=10), optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)

    def once_an_epoch(t: int) -> None:
        if t % PER_EPOCH == PER_EPOCH - 1:
            scheduler.step()

    watch, _ = watched(s, optimizer, once_an_epoch)
    assert not watch.equal
    assert f"steps_per_epoch={PER_EPOCH}" in watch.verdict
    # Stepped after every update it is over after ten of them, and that is not as planned either.
    optimizer = optimizer_of(0.1)
    scheduler = s.scheduler(optimizer)
    watch, said = watched(s, optimizer, lambda _: scheduler.step())
    assert watch.equal is False
    assert watch.verdict.startswith("not as planned: ")
    assert "190 updates lie past the end of the plan of 10" in said[-1]


def test_a_schedule_of_a_group_has_the_length_of_the_others():
    optimizer = optimizer_of(0.1, 0.1)
    for own in (lrlab.linear(epochs=4), lrlab.linear(lr=0.5, total_steps=10)):
        with pytest.raises(ValueError, match=r"groups: got \d+ updates for 1, beside 40; .*; do: total_steps=40"):
            lrlab.wsd(lr=0.1, total_steps=40).scheduler(optimizer, groups={1: own})


def test_a_watch_that_goes_on_from_one_that_found_something_counts_its_own():
    s, optimizer = make("warmup_cosine"), optimizer_of(0.1)
    first, _ = watched(s, optimizer, lambda _: None, updates=50)
    again = lrlab.watch(optimizer, s)
    again.load_state_dict(first.state_dict())
    with again:
        pass
    assert again.equal is False
    assert "49 updates before update 50 had another LR than planned" in again.verdict
    with pytest.raises(ValueError, match="one without step"):
        lrlab.watch(optimizer, s).load_state_dict({})


def test_a_group_that_is_taken_out_is_none_any_more():
    s, optimizer = make("wsd"), optimizer_of(0.1, 0.1)
    scheduler = s.scheduler(optimizer)
    with lrlab.watch(optimizer, s) as watch:
        update(optimizer)
        scheduler.step()
        del optimizer.param_groups[1]
        update(optimizer)
    assert len(watch.to_frame()["applied/1"]) == 2


@pytest.mark.parametrize("given", ["cosine", None, [0.1], torch.optim.lr_scheduler.StepLR])
def test_what_is_planned_is_a_schedule(given):
    with pytest.raises(ValueError, match="allowed: a Schedule"):
        lrlab.watch(optimizer_of(0.1), given)


def test_a_scheduler_of_torchs_is_a_schedule():
    optimizer = optimizer_of(0.1)
    s = lrlab.schedule(
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3), lr=0.1, total_steps=10, interval="step"
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    watch, said = watched(s, optimizer, lambda _: scheduler.step(), updates=10)
    assert (watch.equal, said) == (True, [])


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("cosine", lambda optimizer: CosineAnnealingLR(optimizer, 20)),
        ("linear", lambda optimizer: LinearLR(optimizer, 1.0, 0.01, 20)),
        ("exponential", lambda optimizer: ExponentialLR(optimizer, 0.95)),
    ],
)
def test_steps_by_the_wrong_clock_are_named_to_the_end_where_torch_goes_on_past_the_plan(name, maker):
    """torch's schedulers go on after their last planned step: a cosine climbs, an exponential falls further."""
    planned, optimizer = make(name, epochs=20, steps_per_epoch=50), optimizer_of(0.1)
    scheduler = maker(optimizer)
    watch, said = watched(planned, optimizer, lambda _: scheduler.step(), updates=1000)
    assert "stepped after every update instead of after every epoch" in said[0]
    assert watch.explanation == "by updates"


@pytest.mark.parametrize(("name", "interval"), [("cosine", "epoch"), ("linear", "epoch"), ("wsd", "step")])
def test_what_to_do_about_a_forgotten_scheduler_fits_its_interval(name, interval):
    s, optimizer = make(name), optimizer_of(0.1)
    assert s.interval == interval
    watch, _ = watched(s, optimizer, lambda _: None)
    never = [one for one in watch.explanations if one.name == "never stepped"]
    for one in never:
        assert one.do == f"call scheduler.step() after every {'optimizer.step()' if interval == 'step' else 'epoch'}"
    assert never or name == "wsd"
