"""16-bit training: the LR and the updates are those of float32, and what fp16 cannot hold is tried again."""

from functools import partial

import pytest
import torch
from small_training import CPU, EPOCHS, STEPS, batches, epochs, make_state, run, updates
from torch.optim import lr_scheduler

from lrlab.training.divergence import Diverged
from lrlab.training.loop import fit
from lrlab.training.precision import Precision

EACH_UPDATE = partial(lr_scheduler.ExponentialLR, gamma=0.9)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_sixteen_bits_follow_the_same_lr_and_learn_as_much(name):
    whole, half = make_state(EACH_UPDATE), make_state(EACH_UPDATE)
    half.precision = Precision(name)
    for state in (whole, half):
        state.model[4].p = 0.0  # dropout draws other numbers for other formats
    expected, events = run(whole, interval="step"), run(half, interval="step")
    assert [update.applied for update in updates(events)] == [update.applied for update in updates(expected)]
    assert all(parameter.dtype == torch.float32 for parameter in half.model.parameters())
    assert epochs(events)[-1].train["loss"] == pytest.approx(epochs(expected)[-1].train["loss"], rel=0.05)
    assert epochs(events)[-1].train["loss"] != epochs(expected)[-1].train["loss"]


def too_large() -> dict:
    """The state of a loss scale at which every gradient overflows."""
    return {**Precision("fp16").state_dict(), "scale": 2.0**40}


def test_a_step_that_fp16_cannot_hold_is_no_update_and_its_batch_is_tried_again():
    state = make_state(EACH_UPDATE)
    state.precision = Precision("fp16")
    state.precision.load_state_dict(too_large())
    made = []
    state.optimizer.register_step_post_hook(lambda *_: made.append(state.step))
    events = run(state, interval="step")
    assert state.precision.scale < 2.0**30
    assert [update.step for update in updates(events)] == list(range(EPOCHS * STEPS)) == made
    assert [update.applied["lr"] for update in updates(events)] == pytest.approx(
        [0.1 * 0.9**step for step in range(EPOCHS * STEPS)], rel=1e-12
    )
    assert [epoch.train["accuracy"] * 40 % 1 for epoch in epochs(events)] == [0] * EPOCHS  # no batch is counted twice


@pytest.mark.parametrize("stop", [1, 7, 13])
def test_the_loss_scale_goes_on_from_a_checkpoint(stop, tmp_path):
    def start():
        state = make_state(EACH_UPDATE)
        state.precision = Precision("fp16")
        state.precision.load_state_dict(too_large())
        return state

    whole = start()
    expected = run(whole, interval="step")
    first = start()
    loop = fit(first, batches(), batches(False, 20), epochs=EPOCHS, interval="step")
    events = [next(loop) for _ in range(stop)]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = start()
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    events += run(second, interval="step")
    assert second.precision.state_dict() == whole.precision.state_dict()
    assert [(u.step, u.loss.item()) for u in updates(events)] == [(u.step, u.loss.item()) for u in updates(expected)]


def test_gradients_that_are_never_finite_end_the_run_before_they_reach_a_weight():
    state = make_state()
    state.precision = Precision("fp16")
    before = [parameter.clone() for parameter in state.model.parameters()]
    for parameter in state.model.parameters():
        parameter.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match=r"gradients: got values beyond fp16's range at update 0, LR 0\.1"):
        run(state)
    assert all(torch.equal(a, b) for a, b in zip(before, state.model.parameters(), strict=True))


def test_clipping_is_of_gradients_at_their_own_scale():
    for name in ("fp32", "fp16"):
        state, norms = make_state(), []

        def note(optimizer, *_, norms=norms):
            norms.append(torch.stack([weight.grad.norm() for weight in optimizer.param_groups[0]["params"]]).norm())

        state.precision = Precision(name, CPU.type)
        state.optimizer.register_step_pre_hook(note)
        run(state, epochs=1, clip_grad_norm=1e-3)
        assert [norm.item() for norm in norms] == pytest.approx([1e-3] * STEPS, rel=1e-2)
