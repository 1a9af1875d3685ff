"""The loop: torch's order of steps, the LR that was used, exact continuation from any yield, and a stop at NaN."""

import copy
from functools import partial

import pytest
import torch
from small_training import CPU, EPOCHS, HALVED_EACH_EPOCH, STEPS, batches, epochs, make_state, run, updates
from torch import Tensor, nn
from torch.optim import lr_scheduler

from lrlab.data.batches import Batches, Batching
from lrlab.data.map_datasets import Images
from lrlab.errors import UserError
from lrlab.system import randomness
from lrlab.training.divergence import Diverged, Guard, require_finite_weights
from lrlab.training.loop import Update, advance, fit
from lrlab.training.state import TrainState
from lrlab.training.task import Classification
from lrlab.training.validation import Evaluating


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_lr_recorded_is_the_lr_used_and_an_epoch_interval_steps_once_an_epoch():
    events = run(make_state())
    assert [update.applied["lr"] for update in updates(events)] == [
        0.1 * 0.5**epoch for epoch in range(EPOCHS) for _ in range(STEPS)
    ]
    assert [epoch.lr for epoch in epochs(events)] == [0.1 * 0.5**epoch for epoch in range(EPOCHS)]
    assert [update.step for update in updates(events)] == list(range(EPOCHS * STEPS))


def test_a_step_interval_steps_after_every_update():
    events = run(make_state(partial(lr_scheduler.StepLR, step_size=3, gamma=0.5)), interval="step")
    assert [update.applied["lr"] for update in updates(events)] == [
        0.1 * 0.5 ** (step // 3) for step in range(EPOCHS * STEPS)
    ]


def test_an_update_moves_the_weights_by_the_recorded_lr():
    state = make_state(partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: (t + 1) / 7))
    state.optimizer.param_groups[0]["momentum"] = 0
    for event in fit(state, batches(), batches(False), epochs=1):
        if isinstance(event, Update):
            break
    moved = make_state()
    images, labels = next(batches().epoch(0))
    torch.nn.functional.cross_entropy(moved.model(images), labels).backward()
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.add_(parameter.grad, alpha=-event.applied["lr"])
    assert equal(state.model, moved.model)


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    first = make_state()
    run(first)
    torch.rand(10)
    second = make_state()
    run(second)
    assert equal(first.model, second.model)


SCHEDULERS = {
    "exponential": (partial(lr_scheduler.ExponentialLR, gamma=0.7), "epoch"),
    "plateau": (partial(lr_scheduler.ReduceLROnPlateau, patience=0, threshold=0.5), "epoch"),
    "onecycle": (partial(lr_scheduler.OneCycleLR, max_lr=0.2, total_steps=EPOCHS * STEPS), "step"),
    "lambda": (partial(lr_scheduler.LambdaLR, lr_lambda=partial(lambda t: 1 / (t + 1))), "step"),
}


@pytest.mark.parametrize(("scheduler", "interval"), SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 8, 9, 17, 33])
def test_training_goes_on_from_any_yield_as_if_it_had_never_stopped(scheduler, interval, stop, tmp_path):
    whole = make_state(scheduler)
    expected = run(whole, interval=interval)
    first = make_state(scheduler)
    loop = fit(first, batches(), batches(False, 20), epochs=EPOCHS, interval=interval)
    events = [next(loop) for _ in range(stop)]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    loop.close()

    second = make_state(scheduler)
    randomness.seed_everything(99)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    events += run(second, interval=interval)
    assert equal(second.model, whole.model)
    assert [(u.step, u.applied, u.loss.item()) for u in updates(events)] == [
        (u.step, u.applied, u.loss.item()) for u in updates(expected)
    ]
    assert [(e.epoch, e.step, e.lr, e.train, e.val) for e in epochs(events)] == [
        (e.epoch, e.step, e.lr, e.train, e.val) for e in epochs(expected)
    ]


def test_a_loaded_scheduler_and_optimizer_agree_on_the_lr():
    state = make_state()
    run(state, epochs=2)
    contents = copy.deepcopy(state.state_dict())
    contents["optimizer"]["param_groups"][0]["lr"] = 0.5
    with pytest.raises(
        UserError, match=r"optimizer has LR \[0\.5\] and whose scheduler \[0\.025\]; allowed: equal ones"
    ):
        make_state().load_state_dict(contents)


def test_the_training_loss_of_an_epoch_is_the_mean_over_its_samples():
    events = list(fit(make_state(), batches(count=35), batches(False), epochs=1))
    losses = torch.stack([update.loss for update in updates(events)]).double()
    sizes = torch.tensor([8, 8, 8, 8, 3])
    mean = epochs(events)[0].train["loss"]
    assert mean == pytest.approx((losses * sizes).sum().item() / 35, rel=1e-12)
    assert mean != pytest.approx(losses.mean().item(), rel=1e-3)


def test_validation_happens_as_often_as_asked_and_after_the_last_epoch():
    events = run(make_state(), eval_every=3)
    assert [epoch.val is not None for epoch in epochs(events)] == [False, False, True, True]
    assert sum(isinstance(event, Evaluating) for event in events) == 2 * len(batches(False, 20))


def test_validation_changes_nothing_but_what_it_measures():
    often = make_state()
    run(often, eval_every=1)
    seldom = make_state()
    run(seldom, eval_every=4)
    assert equal(often.model, seldom.model)


@pytest.mark.parametrize(
    ("monitor", "value"), [("val_loss", 3.0), ("val_accuracy", 0.25), ("train_loss", 1.0), ("train_accuracy", 0.75)]
)
def test_a_plateau_is_told_the_metric_that_it_monitors(monitor, value):
    scheduler = make_state(lr_scheduler.ReduceLROnPlateau).scheduler
    advance(scheduler, monitor, {"loss": 1.0, "accuracy": 0.75}, {"loss": 3.0, "accuracy": 0.25})
    assert scheduler.best == value


def test_a_plateau_waits_for_an_epoch_that_was_validated():
    scheduler = make_state(lr_scheduler.ReduceLROnPlateau).scheduler
    advance(scheduler, "val_loss", {"loss": 1.0, "accuracy": 0.75}, None)
    assert scheduler.last_epoch == 0


def test_clipping_bounds_the_step():
    free, clipped = make_state(lr=1.0), make_state(lr=1.0)  # the bound holds whatever dropout draws
    before = [parameter.detach().clone() for parameter in clipped.model.parameters()]
    for state, bound in ((free, None), (clipped, 0.01)):
        next(fit(state, batches(), batches(False), epochs=1, clip_grad_norm=bound))
    moved = [a - b for a, b in zip(clipped.model.parameters(), before, strict=True)]
    assert torch.cat([part.flatten() for part in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)
    assert not equal(free.model, clipped.model)


def test_smoothing_enters_the_training_loss_only():
    plain, smooth = make_state(lr=1e-9), make_state(lr=1e-9)
    [one] = epochs(run(plain, epochs=1, task=Classification()))
    [other] = epochs(run(smooth, epochs=1, task=Classification(label_smoothing=0.2)))
    assert one.train["loss"] != other.train["loss"]
    assert one.val["loss"] == pytest.approx(other.val["loss"], rel=1e-4)


def run_until_it_diverges(state: TrainState, spoil_after: int, spoil) -> tuple[list, Diverged]:
    """Call `spoil(model)` after update `spoil_after`."""
    seen: list = []
    try:
        for event in fit(state, batches(), batches(False), epochs=EPOCHS, eval_every=2):
            seen.append(event)
            if isinstance(event, Update) and event.step == spoil_after:
                spoil(state.model)
    except Diverged as error:
        return seen, error
    raise AssertionError("trained on with NaN")


def nan_weight(model: nn.Module) -> None:
    nn.init.constant_(model[1].weight, float("nan"))


def nan_statistics(model: nn.Module) -> None:
    model[2].running_mean.fill_(float("nan"))


def test_a_loss_that_is_not_finite_stops_before_the_optimizer_uses_it():
    state = make_state()
    seen, error = run_until_it_diverges(state, 6, nan_weight)
    assert str(error).startswith(
        "train/loss: got nan at update 7, LR 0.05, first in 1.weight; allowed: finite numbers; do: lower optimizer.lr"
    )
    assert updates(seen)[-1].step == 6
    assert state.step == 7
    assert all(torch.isfinite(parameter).all() for parameter in state.model[5].parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("clip_grad_norm", [None, 1.0])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_gradient_that_is_not_finite_stops_before_the_optimizer_uses_it(value, clip_grad_norm, accumulate):
    state, seen = make_state(), []

    def spoil(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[0] = value if state.step == 7 else gradient[0]
        return gradient

    state.model[5].bias.register_hook(spoil)
    loop = fit(state, batches(), batches(False), epochs=EPOCHS, clip_grad_norm=clip_grad_norm, accumulate=accumulate)
    while state.step < 7:
        seen.append(next(loop))
    weights = [parameter.clone() for parameter in state.model.parameters()]
    with pytest.raises(Diverged) as raised:
        next(loop)
    assert str(raised.value).startswith(
        "gradients: got a value that is not finite at update 7, LR 0.05, first in 5.bias; allowed: finite numbers; do: "
    )
    assert updates(seen)[-1].step == 6
    assert all(torch.equal(a, b) for a, b in zip(weights, state.model.parameters(), strict=True))


def test_gradients_whose_sum_alone_is_too_large_are_no_error():
    state = make_state(lr=1e-38)
    state.optimizer.param_groups[0]["momentum"] = 0.0
    state.model[5].bias.register_hook(lambda gradient: torch.full_like(gradient, 3e38))
    assert len(updates(run(state))) == EPOCHS * STEPS


def test_weights_that_are_not_finite_are_found_before_the_epoch_can_be_saved():
    seen, error = run_until_it_diverges(make_state(), STEPS - 1, nan_weight)
    assert str(error).startswith("weights: got a value that is not finite at update 5, LR 0.1, first in 1.weight;")
    assert epochs(seen) == []


def test_statistics_that_are_not_finite_are_found_where_no_loss_shows_them():
    state = make_state()
    nan_statistics(state.model)
    state.applied = {"lr": 0.1}
    with pytest.raises(Diverged, match=r"weights: got a value that is not finite at update 0, LR 0\.1, first in 2\.r"):
        require_finite_weights(state)


def test_where_reading_takes_waiting_an_update_is_looked_at_later_and_named_all_the_same():
    state, guard = make_state(), Guard(torch.device("cuda"))
    state.applied = {"lr": 0.1}
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for step in range(49):
        state.step, state.model[1].weight.grad[0, 0] = step, float("nan") if step == 30 else 1.0
        guard.check(state, torch.tensor(1.0), last=False)
    nan_weight(state.model)  # what comes of it
    with pytest.raises(Diverged, match=r"gradients: got a value that is not finite at update 30, LR 0\.1"):
        guard.check(state, torch.tensor(1.0), last=True)


def test_a_validation_loss_that_is_not_finite_stops_too():
    def spoil(model: nn.Module) -> None:
        model.register_forward_hook(lambda model, _, logits: logits if model.training else logits * float("nan"))

    seen, error = run_until_it_diverges(make_state(), 2 * STEPS - 1, spoil)
    assert str(error).startswith("val/loss: got nan at update 10")
    assert len(epochs(seen)) == 1


@pytest.mark.parametrize("accumulate", [2, 4, 8, 100])
def test_parts_of_a_batch_make_the_same_updates(accumulate):
    def start() -> TrainState:
        state = make_state(partial(lr_scheduler.ExponentialLR, gamma=0.9))
        state.model[2], state.model[4] = nn.Identity(), nn.Identity()  # they see each part on its own
        return state

    whole, parts = start(), start()
    settings = {"interval": "step", "clip_grad_norm": 1.0, "task": Classification(label_smoothing=0.1)}
    expected, events = run(whole, **settings), run(parts, **settings, accumulate=accumulate)
    assert [(u.step, u.applied) for u in updates(events)] == [(u.step, u.applied) for u in updates(expected)]
    losses = [update.loss.item() for update in updates(events)]
    assert losses == pytest.approx([update.loss.item() for update in updates(expected)], rel=1e-5)
    assert [one.train["accuracy"] for one in epochs(events)] == [one.train["accuracy"] for one in epochs(expected)]


def test_a_compiled_model_is_not_compiled_again_for_another_lr():
    state = make_state(partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: 1 / (t + 1)))
    plain = make_state(partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: 1 / (t + 1)))
    expected = run(plain, epochs=22, interval="step")
    randomness.seed_everything(0)
    state = make_state(partial(lr_scheduler.LambdaLR, lr_lambda=lambda t: 1 / (t + 1)))
    torch.compiler.reset()
    state.wrapped = torch.compile(state.model, backend="eager")
    events = run(state, epochs=2, interval="step")  # training and validation, a whole batch and a smaller one
    torch.compiler.set_stance("fail_on_recompile")
    try:
        events += run(state, epochs=22, interval="step")
    finally:
        torch.compiler.set_stance("default")
    lrs = [update.applied["lr"] for update in updates(events)]
    assert len(set(lrs)) == 22 * STEPS > 100
    assert lrs == [update.applied["lr"] for update in updates(expected)]
    assert equal(state.model, plain.model)


def test_a_checkpoint_from_another_device_keeps_this_devices_way_to_compute():
    def start(fused: bool | None) -> TrainState:
        randomness.seed_everything(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
        return TrainState(model, optimizer, HALVED_EACH_EPOCH(optimizer), CPU)

    for theirs, own in ((None, True), (True, None)):
        first, second = start(theirs), start(own)
        run(first, epochs=1)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        assert second.optimizer.param_groups[0]["fused"] is own
        events = run(second, epochs=2)
        assert len(updates(events)) == STEPS


ODD = [(50, 3, 33, 10), (30, 3, 15, 10), (10, 1, 25, 2)]


@pytest.mark.parametrize(("batch_size", "channels", "size", "classes"), ODD)
def test_where_batches_come_from_decides_no_bit_of_the_weights(batch_size, channels, size, classes):
    """Images of an odd number of values: kernels add up in another order where a batch's address is an odd one."""
    count, generator = 6 * batch_size, torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    dataset = Images(count, images.shape[1:], classes, lambda: (images, torch.arange(count) % classes))

    def source(train: bool, place: str = "memory") -> Batches:
        batching = Batching(batch_size=batch_size, cache=place)
        return Batches(dataset, batching, num_classes=classes, seed=0, device=CPU, train=train)

    def state() -> TrainState:
        randomness.seed_everything(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        return TrainState(model, optimizer, HALVED_EACH_EPOCH(optimizer), CPU)

    whole, loaded, stopped, resumed = (state() for _ in range(4))
    list(fit(whole, source(True), source(False), epochs=2))
    list(fit(loaded, source(True, "none"), source(False, "none"), epochs=2))
    assert equal(whole.model, loaded.model)
    for event in fit(stopped, source(True), source(False), epochs=2):
        if event.step == 2:
            break
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    list(fit(resumed, source(True), source(False), epochs=2))
    assert equal(whole.model, resumed.model)
