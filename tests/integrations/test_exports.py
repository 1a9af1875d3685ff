"""Schedules there and back: equal to the last bit where the other library computes with Python's numbers."""

import pytest
import torch

import lrlab
from lrlab.api.schedule_makers import NAMES

RUN = {"lr": 0.1, "epochs": 7, "steps_per_epoch": 13}


def optimizer_of(*lrs: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs], lr=lrs[0])


def stepped(optimizer: torch.optim.Optimizer, step, count: int) -> list[list[float]]:
    lrs = []
    for t in range(count):
        lrs.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        step(t + 1)
    return lrs


@pytest.mark.parametrize("name", NAMES)
def test_transformers_gets_the_same_factors(name):
    pytest.importorskip("transformers")
    s, optimizer = lrlab.schedule(name, **RUN), optimizer_of(0.1, 0.02)
    scheduler = lrlab.to_transformers(s)(optimizer)
    lrs = stepped(optimizer, lambda _: scheduler.step(), len(s))
    assert lrs == [[base * s.factor(t) for base in (0.1, 0.02)] for t in range(len(s))]


TRANSFORMERS = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"lr_end": 1e-3, "power": 2.0},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 20},
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_schedule_of_transformers_is_the_same_to_the_last_bit(name):
    transformers = pytest.importorskip("transformers")
    more = TRANSFORMERS[name]
    optimizer = optimizer_of(0.3)
    scheduler = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=10, num_training_steps=100, scheduler_specific_kwargs=dict(more) or None
    )
    by_name = lrlab.from_transformers(name, lr=0.3, num_warmup_steps=10, num_training_steps=100, **more)
    made = lrlab.from_transformers(scheduler, num_training_steps=100)
    lrs = [lr for [lr] in stepped(optimizer, lambda _: scheduler.step(), 100)]
    assert by_name.values() == made.values() == lrs
    assert by_name.name == name
    assert made.name.startswith("get_")


def test_what_transformers_cannot_say_is_named():
    transformers = pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="no function of the update alone"):
        lrlab.from_transformers("reduce_lr_on_plateau", num_training_steps=10)
    with pytest.raises(ValueError, match="scheduler: got 'foo'"):
        lrlab.from_transformers("foo", num_training_steps=10)
    constant = transformers.get_constant_schedule(optimizer_of(0.1))
    with pytest.raises(ValueError, match="num_training_steps=1000"):
        lrlab.from_transformers(constant)


@pytest.mark.parametrize("name", NAMES)
def test_timm_gets_the_same_factors(name):
    pytest.importorskip("timm")
    s, optimizer = lrlab.schedule(name, **RUN), optimizer_of(0.1, 0.02)
    scheduler = lrlab.to_timm(s)(optimizer)
    by_epochs = s.interval == "epoch"
    step = scheduler.step if by_epochs else scheduler.step_update
    count, each = (7, 13) if by_epochs else (len(s), 1)
    assert stepped(optimizer, step, count) == [
        [base * s.factor(t * each) for base in (0.1, 0.02)] for t in range(count)
    ]


TIMM = {
    "cosine": {"warmup_epochs": 2, "warmup_lr": 1e-4, "min_lr": 1e-5},
    "tanh": {},
    "step": {"decay_epochs": 2, "decay_rate": 0.5},
    "multistep": {"decay_milestones": [2, 4], "decay_rate": 0.5},
    "poly": {"decay_rate": 2.0},
}


@pytest.mark.parametrize("noise", [{}, {"noise": [0.4, 0.9], "noise_std": 1.0}], ids=["plain", "noise"])
@pytest.mark.parametrize("by_updates", [False, True])
@pytest.mark.parametrize("name", TIMM)
def test_a_schedule_of_timm_is_the_same_to_the_last_bit(name, by_updates, noise):
    scheduler_of = pytest.importorskip("timm.scheduler")
    arguments = {**TIMM[name], **noise, "step_on_epochs": not by_updates}
    optimizer = optimizer_of(0.3)
    scheduler, _ = scheduler_of.create_scheduler_v2(
        optimizer, sched=name, num_epochs=7, updates_per_epoch=13, **arguments
    )
    s = lrlab.from_timm(name, lr=0.3, epochs=7, steps_per_epoch=13, **arguments)
    made = lrlab.from_timm(scheduler, epochs=7, steps_per_epoch=13)
    step = scheduler.step_update if by_updates else scheduler.step
    lrs = [lr for [lr] in stepped(optimizer, step, 91 if by_updates else 7)]
    each = 1 if by_updates else 13
    assert [s(t * each) for t in range(len(lrs))] == [made(t * each) for t in range(len(lrs))] == lrs
    assert s.name == name


def test_what_timm_cannot_say_is_named():
    pytest.importorskip("timm")
    with pytest.raises(ValueError, match="no function of the update alone"):
        lrlab.from_timm("plateau", epochs=10)


@pytest.mark.parametrize("name", NAMES)
def test_optax_gets_the_same_lrs_also_under_jit(name):
    jax = pytest.importorskip("jax")
    pytest.importorskip("optax")
    s = lrlab.schedule(name, **RUN)
    lr = lrlab.to_optax(s)
    assert [float(lr(t)) for t in range(len(s))] == pytest.approx(s.values(), rel=1e-6, abs=1e-12)
    assert float(jax.jit(lr)(37)) == pytest.approx(s(37), rel=1e-6)
    assert float(lr(10_000)) == pytest.approx(s.values()[-1], rel=1e-6, abs=1e-12)


def test_optax_in_64_bits_gets_more_of_them():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        s = lrlab.warmup_cosine(**RUN)
        lr = lrlab.to_optax(s)
        assert [float(lr(t)) for t in range(len(s))] == pytest.approx(s.values(), rel=1e-12)


def test_an_optimizer_of_optax_trains_with_it():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    s = lrlab.linear(lr=0.1, total_steps=10)
    optimizer = optax.sgd(lrlab.to_optax(s))
    weight = jax.numpy.array(1.0)
    state = optimizer.init(weight)
    for _ in range(3):
        updates, state = optimizer.update(jax.numpy.array(1.0), state)
        weight = optax.apply_updates(weight, updates)
    assert float(weight) == pytest.approx(1 - sum(s(t) for t in range(3)), rel=1e-6)


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.parametrize("name", NAMES)
def test_keras_gets_the_same_lrs_and_saves_them(name, keras):
    s = lrlab.schedule(name, **RUN)
    lr = lrlab.to_keras(s)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(lr))
    for schedule in (lr, again):
        found = [float(schedule(keras.ops.convert_to_tensor(t))) for t in range(0, len(s), 5)]
        assert found == pytest.approx(s.values()[::5], rel=1e-6, abs=1e-12)


def test_the_warm_up_of_radam_is_there():
    """One of the two curves of other libraries that lrlab did not have; noise of timm's is the other, see above."""
    warmup = pytest.importorskip("pytorch_warmup")
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.1, betas=(0.9, 0.99))
    s = lrlab.untuned_warmup_cosine(lr=0.1, total_steps=300, beta2=0.99, shape="radam", then=lrlab.schedules.constant)
    scheduler = warmup.RAdamWarmup(optimizer)
    lrs = []
    for _ in range(300):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.param_groups[0]["lr"] = 0.1
        scheduler.dampen()
    assert s.values() == pytest.approx(lrs, rel=1e-12)


def test_a_schedule_of_timm_begins_at_its_beginning_however_often_it_was_stepped():
    scheduler_of = pytest.importorskip("timm.scheduler")
    for more in ({}, {"warmup_epochs": 2, "warmup_lr": 1e-4}):
        optimizer = optimizer_of(0.1)
        scheduler, _ = scheduler_of.create_scheduler_v2(optimizer, sched="cosine", num_epochs=10, **more)
        before = lrlab.from_timm(scheduler, epochs=10).values()
        scheduler.step(5)
        assert lrlab.from_timm(scheduler, epochs=10).values() == before
