"""The same laws on a GPU; skipped where there is none."""

import pytest
import torch
from stopped_runs import whole_and_stopped
from support import needs, summary, train

from lrlab.config.catalogue import options
from lrlab.optimizers import Muon
from lrlab.optimizers.muon import orthogonalized

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHORT = ("trainer.device=cuda", "trainer.epochs=3", "data.batch_size=256", "model.width=4", "scheduler=constant")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in options("optimizer")])
def test_a_stopped_run_ends_as_a_whole_one(name, precision, tmp_path, monkeypatch):
    settings = (*SHORT, f"optimizer={name}", f"trainer.precision={precision}")
    whole, _ = whole_and_stopped(tmp_path, monkeypatch, settings, step=9)
    assert summary(whole)["audit"]["equal"]


@pytest.mark.parametrize("name", ["lion", "muon"])
def test_a_run_goes_on_on_the_cpu(name, tmp_path):
    train(tmp_path, *SHORT, f"optimizer={name}")
    longer = ("trainer.device=cpu", "trainer.epochs=4", "extend=4", f"resume={tmp_path}")
    train(tmp_path, *SHORT, f"optimizer={name}", *longer)
    assert summary(tmp_path)["status"] == "finished"


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (32, 32)])
def test_matrices_are_orthogonalized_in_bfloat16_as_on_a_cpu_but_for_its_rounding(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = orthogonalized(matrix)
    found = orthogonalized(matrix.cuda(), dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert (found.float().cpu() - expected).norm() < 0.05 * expected.norm()


def test_a_gpu_takes_bfloat16_by_itself():
    one, other = (torch.ones(4, 6, device="cuda", requires_grad=True) for _ in range(2))
    optimizers = [Muon([one], lr=0.1), Muon([other], lr=0.1, ns_dtype="bfloat16")]
    gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).cuda()
    one.grad, other.grad = gradient.clone(), gradient.clone()
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(one, other)
