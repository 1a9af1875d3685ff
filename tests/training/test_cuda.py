"""The same laws on a GPU; skipped where there is none."""

import pytest
import torch
from stopped_runs import whole_and_stopped
from support import TINY, points, same_weights, summary, train, weights

from lrlab.data.batches import Batches, Batching
from lrlab.data.datasets import fake
from lrlab.system import randomness

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHORT = ("trainer.device=cuda", "trainer.epochs=3", "data.batch_size=256", "model.dropout=0.2")


def test_a_gpu_follows_the_lr_of_the_cpu_and_learns_as_much(tmp_path):
    settings = ("scheduler=onecycle", "trainer.epochs=5")
    cpu = train(tmp_path / "cpu", *settings, "trainer.device=cpu")
    gpu = train(tmp_path / "gpu", *settings, "trainer.device=cuda")
    assert points(tmp_path / "gpu")["lr"] == points(tmp_path / "cpu")["lr"]
    assert gpu["val_accuracy"] == pytest.approx(cpu["val_accuracy"], abs=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_repeats_itself_and_goes_on_bit_for_bit(precision, tmp_path, monkeypatch):
    settings = (*SHORT, f"trainer.precision={precision}")
    whole, _ = whole_and_stopped(tmp_path, monkeypatch, settings, step=9)
    train(tmp_path / "again", *settings)
    assert same_weights(weights(tmp_path / "again"), weights(whole))


@pytest.mark.parametrize("typed", ["trainer.average=ema", "trainer.average=lawa trainer.average_every=2"])
def test_an_average_of_weights_goes_on_bit_for_bit_and_the_weights_know_nothing_of_it(typed, tmp_path, monkeypatch):
    unaveraged = (*SHORT, "trainer.precision=fp16")
    settings = (*unaveraged, *typed.split())
    whole, stopped = whole_and_stopped(tmp_path, monkeypatch, settings, step=9)
    train(tmp_path / "plain", *unaveraged)
    assert same_weights(weights(tmp_path / "plain"), weights(whole))
    states = [torch.load(one / "checkpoints" / "last.pt", weights_only=True)["state"] for one in (whole, stopped)]
    assert same_weights(*[state["average"]["model"] for state in states])
    assert {kept.device.type for one in states[0]["average"]["latest"] for kept in one["weights"]} <= {"cpu"}


def test_samples_that_seed_torch_leave_what_is_dropped_out_alone(tmp_path, monkeypatch):
    """FakeData seeds torch for each sample, and so every device."""
    settings = (*TINY, "trainer.device=cuda", "data.batch_size=8", "model.dropout=0.2", "trainer.epochs=3")
    whole_and_stopped(tmp_path, monkeypatch, settings, step=12)


@pytest.mark.parametrize("number", [0, 7])
def test_the_generators_of_every_device_are_as_they_were(number):
    torch.manual_seed(1)
    torch.zeros(1, device="cuda")
    expected = torch.cuda.get_rng_state_all()
    with randomness.undisturbed():
        torch.manual_seed(number)
        torch.rand(5, device="cuda")
    assert all(torch.equal(one, other) for one, other in zip(torch.cuda.get_rng_state_all(), expected, strict=True))


@pytest.mark.parametrize("mode", ["true", "reduce-overhead"])
def test_a_compiled_model_learns_as_much(mode, tmp_path):
    settings = (*SHORT, "model.dropout=0")
    plain = train(tmp_path / "plain", *settings)
    compiled = train(tmp_path / "compiled", *settings, f"trainer.compile={mode}")
    assert points(tmp_path / "compiled")["lr"] == points(tmp_path / "plain")["lr"]
    assert compiled["val_loss"] == pytest.approx(plain["val_loss"], rel=0.05)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_optimizers_are_fused_on_a_gpu_and_go_on_on_the_cpu(optimizer, tmp_path):
    train(tmp_path, *SHORT, f"optimizer={optimizer}")
    contents = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    assert all(group["fused"] for group in contents["state"]["optimizer"]["param_groups"])
    train(
        tmp_path,
        *SHORT,
        f"optimizer={optimizer}",
        "trainer.device=cpu",
        "trainer.epochs=4",
        "extend=4",
        f"resume={tmp_path}",
    )
    assert summary(tmp_path)["status"] == "finished"


def test_every_cache_gives_the_same_batches(tmp_path):
    found = {}
    for cache in ("device", "memory", "disk", "none"):
        batching = Batching(batch_size=50, cache=cache, cache_dir=str(tmp_path), shift=2, flip=True, cutout=3)
        splits = fake(train_images=120, val_images=10, image_size=16)
        batches = Batches(splits.train, batching, num_classes=10, seed=0, device=torch.device("cuda"), train=True)
        found[cache] = [(images.cpu(), labels.cpu()) for images, labels in batches.epoch(1)]
        batches.close()
    for batches in found.values():
        for (images, labels), (expected, same) in zip(batches, found["device"], strict=True):
            assert torch.equal(images, expected)
            assert torch.equal(labels, same)
