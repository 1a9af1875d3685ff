"""Averages of the weights: each is the mean that its name says, and what is trained does not know of it."""

import copy
from collections.abc import Callable

import pytest
import torch
from small_training import CPU, EPOCHS, STEPS, batches, epochs, make_state, run, updates
from torch import Tensor, nn
from torch.optim import lr_scheduler

from lrlab.errors import UserError
from lrlab.system import randomness
from lrlab.training.averages import Average, AverageSettings, apart, in_front, is_in_front
from lrlab.training.divergence import Diverged
from lrlab.training.loop import Update, fit
from lrlab.training.state import TrainState
from lrlab.training.task import CLASSIFICATION
from lrlab.training.validation import Evaluating, evaluate

EMA = AverageSettings("ema", 0, 1, window=8)
SWA = AverageSettings("swa", 2 * STEPS, STEPS)
LAWA = AverageSettings("lawa", 0, 3, last=3)
ALL = pytest.mark.parametrize("settings", [EMA, SWA, LAWA], ids=lambda one: one.name)


def averaging(settings: AverageSettings, **made) -> TrainState:
    state = make_state(**made)
    state.average = Average(state.model, settings)
    return state


def vector(model: nn.Module) -> Tensor:
    """All parameters (N,) in float64, which the mean by hand is computed in."""
    return torch.cat([weights.detach().double().flatten() for weights in model.parameters()])


def path_of(state: TrainState, **settings) -> list[Tensor]:
    """The weights after each update, while `state` is trained."""
    path = []
    for event in fit(state, batches(), batches(False, 20), **{"epochs": EPOCHS, **settings}):
        if isinstance(event, Update):
            path.append(vector(state.model))
    return path


def by_hand(settings: AverageSettings, path: list[Tensor]) -> Tensor:
    """The average of weights after updates 1, 2, ..., from the sums in the docstring of the module."""
    taken = [one for step, one in enumerate(path, start=1) if step > settings.start and step % settings.every == 0]
    if settings.last is not None:
        return torch.stack(taken[-settings.last :]).mean(0)
    decay = 1 - settings.every / settings.window if settings.window else 1.0
    counts = torch.tensor([decay ** (len(taken) - index) for index in range(1, len(taken) + 1)], dtype=torch.float64)
    return (torch.stack(taken) * (counts / counts.sum())[:, None]).sum(0)


@pytest.mark.parametrize(
    "settings",
    [
        *(EMA, SWA, LAWA),
        AverageSettings("ema", 7, 2, window=6),
        AverageSettings("swa", 0, 1),
        AverageSettings("swa", 11, 4),
        AverageSettings("lawa", 6, 5, last=50),
    ],
    ids=str,
)
def test_an_average_is_the_mean_that_its_name_says(settings):
    state = averaging(settings)
    path = path_of(state)
    assert len(path) == EPOCHS * STEPS
    assert torch.allclose(vector(state.average.settled()), by_hand(settings, path), rtol=1e-5, atol=1e-7)
    steps = torch.arange(1.0, len(path) + 1, dtype=torch.float64)
    assert state.average.mean_step == pytest.approx(by_hand(settings, [*steps[:, None]]).item())


def test_swa_at_the_ends_of_epochs_is_the_mean_of_the_epochs_weights():
    state = averaging(AverageSettings("swa", STEPS, STEPS))
    ends = path_of(state)[2 * STEPS - 1 :: STEPS]
    assert len(ends) == EPOCHS - 1
    assert torch.allclose(vector(state.average.model), torch.stack(ends).mean(0), rtol=1e-5, atol=1e-7)


def test_an_average_of_weights_that_stand_still_is_those_weights():
    state = averaging(EMA, lr=0.0)
    state.optimizer.param_groups[0]["lr"] = 0.0
    before = vector(state.model)
    run(state)
    assert torch.allclose(vector(state.average.model), before, rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", range(1, 30))
def test_as_many_weights_are_counted_as_are_taken(steps):
    for settings in (EMA, SWA, LAWA, AverageSettings("swa", 11, 4)):
        assert settings.count(steps) == sum(settings.takes(step) for step in range(1, steps + 1))


@ALL
def test_what_is_trained_is_the_same_bit_for_bit_with_and_without_an_average(settings):
    plain = make_state()
    expected = run(plain)
    beside = averaging(settings)
    events = run(beside)
    assert all(map(torch.equal, plain.model.state_dict().values(), beside.model.state_dict().values()))
    assert [(u.step, u.applied, u.loss.item()) for u in updates(events)] == [
        (u.step, u.applied, u.loss.item()) for u in updates(expected)
    ]
    assert [(e.train, e.val) for e in epochs(events)] == [(e.train, e.val) for e in epochs(expected)]
    assert torch.equal(plain.state_dict()["random"]["torch"], beside.state_dict()["random"]["torch"])
    assert "average" not in plain.state_dict()


@ALL
def test_the_average_goes_on_from_any_yield_as_if_it_had_never_stopped(settings, tmp_path):
    whole = averaging(settings)
    expected = run(whole, eval_every=2)
    for stop in range(0, len(expected), 2):
        first = averaging(settings)
        loop = fit(first, batches(), batches(False, 20), epochs=EPOCHS, eval_every=2)
        events = [next(loop) for _ in range(stop)]
        torch.save(first.state_dict(), tmp_path / "state.pt")
        loop.close()

        second = averaging(settings)
        randomness.seed_everything(99)
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        events += run(second, eval_every=2)
        assert all(map(torch.equal, whole.model.state_dict().values(), second.model.state_dict().values()))
        ours, theirs = second.average.state_dict(), whole.average.state_dict()
        assert all(map(torch.equal, ours["model"].values(), theirs["model"].values()))
        assert (ours["gathered"], ours["mean_step"]) == (theirs["gathered"], theirs["mean_step"])
        assert [one["step"] for one in ours["latest"]] == [one["step"] for one in theirs["latest"]]
        assert [(e.measured, e.average) for e in epochs(events)] == [(e.measured, e.average) for e in epochs(expected)]


@ALL
def test_an_average_is_measured_where_the_weights_are_once_there_is_one(settings):
    events = run(averaging(settings), eval_every=2)
    begun = [settings.count(one.step) > 0 and one.val is not None for one in epochs(events)]
    assert [one.average is not None for one in epochs(events)] == begun
    assert all(one.is_averaged for one in epochs(events))
    named = [{name for name in one.measured if name.startswith("average_")} for one in epochs(events)]
    assert named == [{"average_val_loss", "average_val_accuracy"} if there else set() for there in begun]


def test_the_average_is_evaluated_in_evaluation_mode_with_statistics_of_its_own():
    state = averaging(AverageSettings("swa", 0, STEPS))
    last = epochs(run(state))[-1]
    averaged = state.average.model
    assert not averaged.training
    assert not any(weights.requires_grad for weights in averaged.parameters())
    norm = averaged[2]
    assert not torch.equal(norm.running_mean, state.model[2].running_mean)

    # By hand: the statistics are means over the batches of what the averaged layer before gives.
    by_batch = [averaged[1](averaged[0](images)) for images, _ in batches().epoch(EPOCHS - 1)]
    assert torch.allclose(norm.running_mean, torch.stack([one.mean(0) for one in by_batch]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([one.var(0) for one in by_batch]).mean(0), atol=1e-5)

    # And the measurement is that of the model, called as anybody would.
    images, labels = zip(*batches(False, 20).epoch(0), strict=True)
    with torch.no_grad():
        outputs = averaged(torch.cat(images))
    assert last.average["loss"] == pytest.approx(nn.functional.cross_entropy(outputs, torch.cat(labels)).item())


def test_what_is_no_fraction_is_not_averaged_but_the_same():
    state = averaging(SWA)
    run(state)
    for name, value in state.model.state_dict().items():
        if not value.is_floating_point():
            assert value.dtype == state.average.model.state_dict()[name].dtype
    counting = nn.Linear(2, 2)
    counting.register_parameter("seen", nn.Parameter(torch.tensor([3]), requires_grad=False))
    counting.register_buffer("table", torch.arange(4))
    average = Average(counting, AverageSettings("swa", 0, 1))
    counting.seen += 4
    counting.table += 1
    average.take(1)
    settled = average.settled()
    assert settled.seen.item() == 7
    assert settled.table.tolist() == [1, 2, 3, 4]


def test_an_update_that_fp16_skips_is_not_averaged(monkeypatch):
    state = averaging(AverageSettings("swa", 0, 1))
    skipped, taken = [], []
    step, take = state.precision.step, Average.take

    def sometimes(*arguments):
        if len(skipped) < 3 and state.step == 2:
            skipped.append(state.step)
            return False
        return step(*arguments)

    monkeypatch.setattr(state.precision, "step", sometimes)
    monkeypatch.setattr(Average, "take", lambda average, at: (taken.append(at), take(average, at)))
    path = path_of(state, epochs=1)
    assert skipped == [2, 2, 2]
    assert taken == [1, 2, 3, 4, 5]
    assert torch.allclose(vector(state.average.model), torch.stack(path).mean(0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_batch_in_parts_is_one_update_of_the_average(accumulate):
    state = averaging(AverageSettings("swa", 0, 1))
    path = path_of(state, accumulate=accumulate, epochs=2)
    assert state.average.gathered == len(path) == 2 * STEPS
    assert torch.allclose(vector(state.average.model), torch.stack(path).mean(0), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_compiled_model_is_averaged_as_any_other():
    plain = averaging(EMA)
    expected = run(plain, epochs=2)
    compiled = averaging(EMA)
    torch.compiler.reset()
    compiled.wrapped = torch.compile(compiled.model, backend="eager")
    events = run(compiled, epochs=2)
    assert torch.equal(vector(plain.average.model), vector(compiled.average.model))
    assert [one.average for one in epochs(events)] == [one.average for one in epochs(expected)]


def test_a_state_with_the_average_in_front_is_taken_apart_again():
    state = averaging(EMA)
    run(state, epochs=1)
    saved = copy.deepcopy(state.state_dict())
    front = in_front(saved)
    assert front["model"] is saved["average"]["model"]
    assert is_in_front(front)
    assert not is_in_front(saved)
    assert not is_in_front(make_state().state_dict())
    back = apart(front)
    assert back.keys() == saved.keys()
    assert back["model"] is saved["model"]
    assert back["average"] == saved["average"]
    assert apart(saved) is saved
    other = averaging(EMA)
    other.load_state_dict(front)
    assert torch.equal(vector(other.model), vector(state.model))
    assert torch.equal(vector(other.average.model), vector(state.average.model))


def test_kept_weights_of_another_model_are_refused():
    state = averaging(LAWA)
    run(state)
    saved = copy.deepcopy(state.average.state_dict())
    saved["latest"][0]["weights"] = saved["latest"][0]["weights"][1:]
    with pytest.raises(ValueError, match="the weights that were kept for the average are of other shapes"):
        averaging(LAWA).average.load_state_dict(saved)


def test_a_model_that_cannot_be_copied_cannot_be_averaged():
    class Odd(nn.Module):
        def __deepcopy__(self, _memory):
            raise RuntimeError("only one of me.\nreally")

    with pytest.raises(UserError) as raised:
        Average(Odd(), EMA)
    assert str(raised.value) == (
        "trainer.average: got an average for a model that cannot be copied (only one of me); "
        "allowed: null for such a model; do: trainer.average=null"
    )


def test_an_average_whose_loss_is_not_finite_is_named():
    state = averaging(EMA)
    run(state, epochs=1)
    broken = state.average.settled()
    nn.init.constant_(broken[1].weight, float("nan"))
    with pytest.raises(Diverged, match=r"^average/val_loss: got nan at update 5, LR 0\.1"):
        list(evaluate(state, CLASSIFICATION, batches(False, 20), broken))


def test_batches_of_both_passes_are_told():
    events = run(averaging(EMA), epochs=2)
    assert sum(isinstance(event, Evaluating) for event in events) == 2 * 2 * len(batches(False, 20))


def test_weights_are_averaged_where_they_are_and_where_a_scheduler_follows_a_metric():
    follow: Callable = lr_scheduler.ReduceLROnPlateau
    plain = epochs(run(make_state(follow)))
    beside = averaging(EMA, scheduler=follow)
    assert [e.lr for e in plain] == [e.lr for e in epochs(run(beside))]
    assert beside.average.model[1].weight.device == CPU
