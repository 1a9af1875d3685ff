"""Curves that hardly anyone means are warned about in one line with key and cure; what is meant is not."""

import math
import re

import pytest
import torch
from support import summary

from lrlab.config import compose
from lrlab.config.prepare import plan_only
from lrlab.errors import UserError
from lrlab.lr.declared import declared
from lrlab.lr.greedy import GreedyLR
from lrlab.lr.hyperparameters import tell
from lrlab.lr.warmup_plateau import WarmupPlateau
from lrlab.schedules.lengths import Level, Moment, counts

WARNINGS = {
    # the floor is never reached
    "scheduler=cosine scheduler.T_max=200%": r"scheduler\.T_max: 40 epochs are longer than its 20 epochs, so the floor is never reached; scheduler\.T_max=100%",
    "scheduler=linear scheduler.total_iters=21": r"scheduler\.total_iters: 21 epochs .* never reached; scheduler\.total_iters=100%",
    "scheduler=onecycle scheduler.total_steps=700": r"scheduler\.total_steps: 700 steps .* its 420 steps, .* never reached",
    "scheduler=warmup_cosine scheduler.lr_lambda.total=150%": r"scheduler\.lr_lambda\.total: 630 steps .* never reached",
    "scheduler=cosine_restarts scheduler.T_0=30": r"scheduler\.T_0: 30 epochs .* never reached",
    "scheduler=cosine_cycles scheduler.lr_lambda.cycles=null scheduler.lr_lambda.period=110%": r"scheduler\.lr_lambda\.period: 462 steps are longer than its 420 steps, .*; scheduler\.lr_lambda\.period=100%",
    "scheduler=chained scheduler.schedulers.start.total_iters=21": r"scheduler\.schedulers\.start\.total_iters: 21 epochs are longer than its 20 epochs, so the floor",
    # the first update has LR 0
    "scheduler=warmup_cosine scheduler.lr_lambda.start=0": r"the LR of the first step is 0, .*; scheduler\.lr_lambda\.start=null",
    "scheduler=cyclic scheduler.base_lr=0": r"the LR of the first step is 0, which trains nothing; start the warm-up above 0",
    # a milestone never fires
    "scheduler=multistep scheduler.milestones=[10,30,40]": r"scheduler\.milestones: 30, 40 never fires in its 20 epochs; an earlier one, or a longer run",
    "scheduler=step scheduler.step_size=20": r"scheduler\.step_size: 20 never fires",
    "scheduler=warmup_multistep scheduler.lr_lambda.then.milestones=[30ep]": r"scheduler\.lr_lambda\.then\.milestones: 630 never",
    "scheduler=piecewise_constant scheduler.lr_lambda.milestones=[50%,100%] scheduler.lr_lambda.values=[1.0,0.5,0.1]": r"lr_lambda\.milestones: 420 never fires",
    # a patience that is longer than the run, or too long for the run to show what comes after it
    "scheduler=greedy scheduler.patience=20": r"scheduler\.patience: 20 never runs out in its 20 epochs; scheduler\.patience=18, or a longer run",
    "scheduler=plateau scheduler.patience=18": r"scheduler\.patience: 18 never runs out in its 20 epochs; scheduler\.patience=17, or",
    "scheduler=warmup_plateau trainer.epochs=4": r"scheduler\.patience: 2 never runs out in its 4 epochs; scheduler\.patience=1, or",
    "scheduler=plateau trainer.epochs=1": r"scheduler\.patience: 2 never runs out in its 1 epoch; a longer run$",
    "scheduler=warmup_multistep scheduler.lr_lambda.then.milestones=[45%,96%]": r"then\.milestones: 403 never fires in its 399 steps",
    "scheduler=piecewise_linear scheduler.lr_lambda.knots=[[0,1.0],[200%,0.0]]": r"knots: 840 steps .* last knot is never reached",
    "scheduler=sequence scheduler.lr_lambda.schedules.fall._target_=lrlab.schedules.step scheduler.lr_lambda.schedules.fall.step_size=60%": r"fall\.step_size: 252 never fires in its 210 steps",
    "optimizer.groups.head.delay=200%": r"optimizer\.groups\.head: its LR is 0 throughout; a shorter delay",
    "scheduler.eta_min=0.1": r"scheduler\.eta_min: 0\.1 is above the first LR, 0\.02, so the LR rises",
    # the LR rises at the end
    "scheduler=cosine scheduler.T_max=75%": r"the LR rises at the end, from 0 in epoch 15 to 0\.00\d+; scheduler\.T_max=100%",
    "scheduler=cosine_bounce scheduler.T_max=50%": r"the LR rises at the end, from 0 in epoch 10 to 0\.0195; scheduler\.T_max=100%",
    "scheduler=cosine_restarts scheduler.T_0=19": r"the LR rises at the end, from .* in epoch 18 to 0\.02; ",
    "scheduler=cosine_restarts scheduler.T_0=18": r"the run ends in mid-cycle, up from .* in epoch 17 to 0\.019\d; choose a period",
    # more than half the updates below 1 % of the peak
    "scheduler=exponential scheduler.gamma=0.5": r"13 of 20 epochs have less than 1 % of the highest LR, 0\.02; let it fall later",
    "scheduler=linear scheduler.end_factor=0.0 scheduler.total_iters=5": r"15 of 20 epochs have less than 1 %",
    "scheduler=lambda scheduler.lr_lambda.value=0.0": r"the LR is 0 throughout",
    # an LR that a schedule never changes
    "scheduler=cosine_restarts trainer.epochs=4": r"CosineAnnealingWarmRestarts never changes the LR in this run; ",
    "scheduler=step scheduler.gamma=1.0": r"StepLR never changes the LR in this run; ",
    "scheduler=exponential scheduler.gamma=1.0 trainer.epochs=30": r"ExponentialLR never changes the LR in this run; ",
    # a level that is far from the base LR
    "scheduler=lambda scheduler.lr_lambda.value=0.05": r"the LR never comes near optimizer\.lr=0\.02",
    # an LR that is stepped once, when the run is over
    "trainer.epochs=1": r"scheduler: CosineAnnealingLR is stepped by epochs, and this run has one, so its LR never changes; scheduler\.interval=step moves it with every update",
    "trainer.epochs=0.5 scheduler=onecycle scheduler.interval=epoch": r"OneCycleLR is stepped by epochs, and this run has one, .*; scheduler\.interval=step",
    "trainer.steps=5 scheduler=exponential": r"ExponentialLR is stepped by epochs, .*; scheduler=exponential_decay moves it with every update",
    "trainer.steps=200im scheduler=multiplicative": r"MultiplicativeLR is stepped by epochs, .*; scheduler=exponential_decay",
    "trainer.epochs=1 scheduler=constant +optimizer.schedule.weight_decay=cosine": r"optimizer\.schedule\.weight_decay: it is stepped by epochs, .*; scheduler\.interval=step moves it",
    "trainer.epochs=1 scheduler=constant optimizer.groups.head.schedule=linear": r"optimizer\.groups\.head\.schedule: LinearLR is stepped by epochs, .*; optimizer\.groups\.head\.schedule\.interval=step",
    "trainer.epochs=1 scheduler=multistep": r"milestones: 1, 1 never fires in its 1 epoch; scheduler\.interval=step with durations in percent, or a longer run",
    "scheduler=lambda scheduler.lr_lambda.value=230": r"the LR rises to 4\.6, 230 times optimizer\.lr=0\.02; ",
    # lengths that were meant for another unit
    "scheduler=cosine scheduler.interval=step scheduler.T_max=20": r"T_max: 21 half cosines, of 20 steps each; scheduler\.T_max=100%",
    "scheduler=linear scheduler.interval=step scheduler.total_iters=20 scheduler.end_factor=0.1": r"falls in the first 20 steps of 420 and then stays",
    # an optimizer that heeds no LR
    "optimizer._target_=torch.optim.Rprop": r"optimizer: Rprop takes the LR for its first update only",
    # a step size that is looked for while the LR rises
    "optimizer=prodigy scheduler=warmup_cosine": r"optimizer\.safeguard_warmup: prodigy may take too large a step size where its LR rises; optimizer\.safeguard_warmup=true",
    "optimizer._target_=prodigyopt.Prodigy scheduler=cosine_restarts": r"optimizer\.safeguard_warmup: Prodigy may",
    "optimizer=schedule_free": r"optimizer: schedule_free averages its weights in place of a falling LR, .*; scheduler=constant",
    # an optimizer that anneals by itself, averages its weights, or takes no LR above a bound
    "optimizer._target_=torch.optim.Adafactor optimizer.lr=0.2": r"optimizer: Adafactor takes at most 1 / sqrt\(t\) .* up to 1\.9\d times that; optimizer\.lr=0\.0\d+, or scheduler=constant",
}
MEANT = [
    "trainer.epochs=1 scheduler=constant",
    "trainer.epochs=1 scheduler.interval=step",
    "trainer.epochs=0.5 scheduler=exponential_decay",
    "trainer.epochs=1 scheduler=step scheduler.interval=step",
    "trainer.epochs=1 scheduler=constant scheduler.interval=step +optimizer.schedule.weight_decay=cosine",
    "trainer.epochs=1 scheduler=constant +optimizer.schedule.weight_decay=constant",
    "trainer.steps=1",
    "trainer.budget=10s",
    "trainer.epochs=5 scheduler=plateau",
    "trainer.epochs=4 scheduler=greedy",
    "scheduler=fractal_chebyshev scheduler.lr_lambda.period=1024",  # its steps have no order that ends
    "scheduler=greedy scheduler.cooldown=30 scheduler.warmup=30",
    "scheduler=sigmoid scheduler.lr_lambda.width=100%",
    "scheduler=fractal_chebyshev trainer.epochs=10",
    "scheduler=constant optimizer._target_=torch.optim.Adafactor",
    "optimizer=adafactor",
    "optimizer=lion",
    "optimizer=prodigy",
    "optimizer=prodigy scheduler=warmup_cosine optimizer.safeguard_warmup=true",
    "optimizer=schedule_free scheduler=warmup_constant",
    "optimizer=muon scheduler=onecycle",
    "scheduler=cosine scheduler.T_max=95%",
    "scheduler=linear scheduler.start_factor=0.1 scheduler.end_factor=1.0 scheduler.total_iters=5",
    "scheduler=multistep scheduler.milestones=[10,19]",
    "scheduler=cosine_cycles scheduler.lr_lambda.cycles=7",
    "scheduler=noisy_cosine scheduler.lr_lambda.amount=1.0",
    "scheduler=fractal_chebyshev",
    "scheduler=warmup_constant",
]
ERRORS = {
    # a share of the only epoch
    "trainer.epochs=1 scheduler=step": r"scheduler\.step_size: got 25%, which is 0\.25 epochs and rounds to zero; .*; do: a longer run, or scheduler\.interval=step where no metric is followed",
    "trainer.epochs=1 optimizer.groups.head.schedule=step": r"optimizer\.groups\.head\.schedule\.step_size: got 25%, .*; do: a longer run, or optimizer\.groups\.head\.schedule\.interval=step",
    # a level that is written as a duration, a length that is not whole
    "scheduler=step scheduler.gamma=50%": r"scheduler\.gamma: got '50%', a duration; allowed: a number; do: scheduler\.gamma=0\.5",
    "scheduler=lambda scheduler.lr_lambda.value=50%": r"scheduler\.lr_lambda\.value: got '50%', a duration",
    "scheduler=piecewise_linear scheduler.lr_lambda.knots=[[0,100%],[100%,10%]]": r"knots: got '100%', a duration; .*: 1 in place",
    "scheduler=piecewise_linear scheduler.lr_lambda.knots=[[0,1.0],[0.5,0.1]]": r"knots: got 0\.5; allowed: a whole number of steps",
    "scheduler=warmup_cosine scheduler.lr_lambda.steps=2.5": r"lr_lambda\.steps: got 2\.5; allowed: a whole number of steps",
    "scheduler=warmup_cosine scheduler.lr_lambda.steps=0.1": r"lr_lambda\.steps: got 0\.1; .*; do: scheduler\.lr_lambda\.steps=10%",
    "scheduler=cosine_cycles scheduler.lr_lambda.cycles=1000": r"scheduler.lr_lambda.cycles: got 1000; allowed: above 0, at most 420",
    "optimizer=adam optimizer.schedule.momentum={_target_:lrlab.schedules.constant,value:1.2}": r"a planned momentum of 1\.08 .*0 to 1",
    "scheduler=step scheduler.gamma=-1.0": r"scheduler: got a planned LR of -0\.02 in epoch 6; allowed: finite and not negative",
    "scheduler=exponential scheduler.gamma=1e300": r"scheduler: got a planned LR of 2e\+298 in epoch 2",
    "scheduler=lambda scheduler.lr_lambda.value=nan": r"scheduler\.lr_lambda\.value: got nan; allowed: a number",
    "scheduler=multistep scheduler.milestones=[2.5]": r"scheduler\.milestones: got 2\.5; allowed: a whole number of epochs",
    "scheduler=cosine scheduler.T_max=2.5": r"scheduler\.T_max: got 2\.5; allowed: a whole number of epochs, or 5ep, 500st, 50_000im, 25%; do: scheduler\.T_max=2",
    "scheduler=onecycle scheduler.total_steps=50%": r"OneCycleLR, which fails after step \d+ .*; allowed: a scheduler that lasts 420 steps",
    "scheduler=wsd scheduler.lr_lambda.decay=99%": r"scheduler.lr_lambda.decay: got 99%, which is 416, in a stretch of 399 \(from 21 to 420\); allowed: 1 to 399",
    "scheduler=hyperbolic scheduler.lr_lambda.upper_bound=50%": r"scheduler.lr_lambda.upper_bound: got 50%, which is 210; allowed: at least total, 420",
    "scheduler=sequence scheduler.lr_lambda.milestones=[100%]": r"scheduler.lr_lambda.milestones: got \[420\]; allowed: rising",
    "scheduler=product scheduler.lr_lambda.schedules.cycles.growth=0.5": r"scheduler.lr_lambda.schedules.cycles.growth: got 0\.5; allowed: a number from 1",
}


def plan(typed):
    for package in ("prodigyopt", "schedulefree"):
        if package.removesuffix("opt") in typed.replace("_", ""):
            pytest.importorskip(package, reason=f"{package} is not installed")
    return plan_only(compose.compose(typed.split()))


@pytest.mark.parametrize("typed", WARNINGS)
def test_what_hardly_anyone_means_is_one_line_with_key_and_cure(typed):
    found = plan(typed)[1]
    assert len(found) == 1, found
    assert re.search(WARNINGS[typed], found[0]), found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize("typed", MEANT)
def test_what_may_be_meant_is_left_alone(typed):
    assert plan(typed)[1] == []


@pytest.mark.parametrize("typed", ERRORS)
def test_what_cannot_be_trained_is_an_error(typed):
    with pytest.raises(UserError, match=ERRORS[typed]):
        plan(typed)


class Declares(torch.optim.lr_scheduler.LRScheduler):
    """The README's scheduler of a third party."""

    def __init__(self, optimizer, wait: Moment, drop: Level = 0.5):
        self.wait, self.drop = wait, drop
        super().__init__(optimizer)

    def get_lr(self):
        return [lr * (self.drop if self.last_epoch >= self.wait else 1.0) for lr in self.base_lrs]


@pytest.mark.slow
def test_a_third_party_that_declares_its_parameters_is_warned_and_refused_as_ours_are():
    typed = f"scheduler._target_={__name__}.Declares scheduler.wait="
    assert plan(f"{typed}25%")[1] == []
    assert plan(f"{typed}21")[1] == ["scheduler.wait: 21 never fires in its 20 epochs; an earlier one, or a longer run"]
    for settings, message in (
        (f"{typed}0.1", r"scheduler\.wait: got 0\.1; allowed: a whole number of epochs, .*=10%"),
        (f"{typed}1 scheduler.drop=50%", r"scheduler\.drop: got '50%', a duration; allowed: a number; do: .*=0\.5"),
    ):
        with pytest.raises(UserError, match=message):
            plan(settings)


def test_a_warning_is_printed_at_the_start_of_the_run_and_kept(command, tmp_path):
    done = command("scheduler=multistep", "scheduler.milestones=[1,9]", "trainer.epochs=2")
    assert done.code == 0
    assert "warning: scheduler.milestones: 9 never fires in its 2 epochs; an earlier one, or a longer run" in done.out
    [folder] = (tmp_path / "outputs" / "runs").iterdir()
    assert len(summary(folder)["warnings"]) == 1


@pytest.mark.parametrize("patience", range(4))
@pytest.mark.parametrize("kind", [torch.optim.lr_scheduler.ReduceLROnPlateau, GreedyLR, WarmupPlateau])
def test_a_run_must_be_as_much_longer_than_a_patience_as_its_declaration_says(kind, patience):
    optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=0.5)
    settings = {"warmup": 0} if kind is WarmupPlateau else {}
    scheduler = kind(optimizer, patience=patience, **settings)
    lrs = []
    for _ in range(patience + 4):
        lrs.append(optimizer.param_groups[0]["lr"])
        tell(scheduler, 1.0 if kind is not GreedyLR else math.nan)
    [(count, mark)] = counts(patience, declared(kind)["patience"])
    first = next(epoch for epoch, lr in enumerate(lrs) if lr != lrs[0])
    assert first == count + mark.more


def test_a_run_of_one_epoch_is_told_of_at_its_start_and_in_the_preview(command, enter):
    from lrlab.commands import preview

    typed = ["trainer.epochs=1", "scheduler=linear"]
    line = "LinearLR is stepped by epochs, and this run has one, so its LR never changes; scheduler.interval=step moves"
    assert f"warning: scheduler: {line}" in command(*typed).out
    assert f"scheduler: {line}" in enter(preview.main, *typed).out.replace("\n", " ")
