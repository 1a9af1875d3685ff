"""Optimizers of other packages by `optimizer._target_`: trained, resumed bit for bit and extended, or refused."""

import importlib
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from support import StopAt, composed, history, points, same_weights, summary, weights

from lrlab.config.prepare import prepare
from lrlab.errors import UserError
from lrlab.runs import checkpoint

SMALL = (
    *("data=fake", "data.train_images=60", "data.val_images=20", "data.image_size=8", "data.batch_size=10"),
    *("model=cnn", "model.width=2", "trainer.epochs=3"),
)
TRAINED = (
    *("Lamb", "Adan", "AdaBelief", "DAdaptAdam", "DAdaptSGD", "ScheduleFreeAdamW", "ScheduleFreeSGD", "StableAdamW"),
    *("Tiger", "LARS", "Kron", "SOAP", "Prodigy", "Lion", "MADGRAD", "SPlus", "CAME", "Ranger", "AdEMAMix"),
)
REFUSED = {
    "SAM": r"optimizer\._target_: got .*SAM, which cannot be made of parameters and settings \(.*'base_optimizer'\)",
    "Lookahead": r"optimizer\._target_: got .*Lookahead, which cannot be made of parameters and settings",
    "PCGrad": r"optimizer\._target_: got .*PCGrad, which cannot be made of parameters and settings",
    "Ranger21": r"optimizer\._target_: got .*Ranger21, which cannot be made of .*'num_iterations'\)",
    "LBFGS": r"optimizer\._target_: got .*LBFGS, whose step\(\) wants a closure; .*; do: optimizer=sgd",
    "Muon": r"optimizer\._target_: got .*Muon, which does not divide a model itself .*; do: optimizer=muon, which",
    "AliG": r"optimizer\._target_: got .*AliG, whose parameter groups have no lr; .*; do: optimizer=sgd",
}
FAIL_IN_TRAINING = {
    "pytorch_optimizer.SophiaH": r"got SophiaH, whose step\(\) fails \(RuntimeError: element 0 of tensors does not req",
    "pytorch_optimizer.AdaHessian": r"got AdaHessian, whose step\(\) fails",
    "torch.optim.SparseAdam": r"got SparseAdam, whose step\(\) fails \(RuntimeError: SparseAdam does not support dense",
}
WRAPPED = {
    "lookahead": r"got wrapped\.lookahead, whose state_dict\(\) has no state and no param_groups; allowed: a state of",
    "sam": r"got wrapped\.sam, whose step\(\) wants a closure",
    "schedule_free": r"got wrapped\.schedule_free, whose state_dict\(\) has no state and no param_groups",
}
MAKERS = """
import pytorch_optimizer
import torch

def lookahead(params, lr=0.003):
    return pytorch_optimizer.Lookahead(torch.optim.AdamW(params, lr=lr), k=5)

def sam(params, lr=0.1):
    return pytorch_optimizer.SAM(params, torch.optim.SGD, lr=lr)

def schedule_free(params, lr=0.1):
    return pytorch_optimizer.ScheduleFreeWrapper(torch.optim.SGD(params, lr=lr))

def orthogonal(params, lr=0.003):
    return pytorch_optimizer.OrthoGrad(torch.optim.AdamW(params, lr=lr))
"""
OWN = '''
import torch

class Coarse(torch.optim.Optimizer):
    """Keeps an average in bfloat16, a count in integers, and something for all parameters together."""
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.state["all"] = torch.zeros(())
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(average=torch.zeros_like(p, dtype=torch.bfloat16), inner=[torch.zeros(2).double()])
                    state["seen"] = torch.zeros(1, dtype=torch.int32)
                state["seen"] += 1
                state["inner"][0] += 1 / 3
                state["average"].mul_(0.9).add_(p.grad.bfloat16(), alpha=0.1)
                p.add_(state["average"].float(), alpha=-group["lr"])

class NeedsGradients(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])
'''


@pytest.fixture
def made_here(tmp_path, monkeypatch):
    """Modules of the user's in the current folder."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "wrapped.py").write_text(MAKERS)
    (tmp_path / "own.py").write_text(OWN)
    for name in ("wrapped", "own"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def require_laws(command, monkeypatch, target: str) -> None:
    """Train it whole, and in two parts, and extend it."""
    constant = ["scheduler=constant"] if "chedule" in target else ["scheduler=cosine"]
    typed = [*SMALL, *constant, f"optimizer._target_={target}", "optimizer.lr=0.01"]
    done = command(*typed, "hydra.run.dir=whole")
    assert done.code == 0, done.err
    assert summary(Path("whole"))["audit"]["equal"]
    with monkeypatch.context() as patch:
        StopAt(patch, signal.SIGTERM, 8)
        assert command(*typed, "hydra.run.dir=parts").code == 143
    again = command("resume=parts", f"optimizer._target_={target}")
    assert again.code == 0, again.err
    assert same_weights(weights(Path("parts")), weights(Path("whole")))
    assert history(Path("parts")) == history(Path("whole"))
    assert points(Path("parts")) == points(Path("whole"))
    longer = command("resume=whole", "extend=4", f"optimizer._target_={target}")
    assert longer.code == 0, longer.err
    assert summary(Path("whole"))["audit"]["equal"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_what_trains_is_planned_resumed_bit_for_bit_and_extended(command, monkeypatch, name):
    pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    require_laws(command, monkeypatch, f"pytorch_optimizer.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line_before_anything_is_written(name):
    pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    with pytest.raises(UserError, match=REFUSED[name]) as refused:
        prepare(composed(*SMALL, f"optimizer._target_=pytorch_optimizer.{name}"))
    assert "\n" not in str(refused.value)
    assert not Path("outputs").exists()


@pytest.mark.parametrize("target", FAIL_IN_TRAINING)
def test_a_step_that_fails_is_one_line(command, target):
    pytest.importorskip(target.partition(".")[0], reason="pytorch-optimizer is not installed")
    failed = command(*SMALL, f"optimizer._target_={target}", "hydra.run.dir=run")
    assert failed.code == 1
    assert re.match(rf"lrlab: error: optimizer: {FAIL_IN_TRAINING[target]}", failed.err)
    assert failed.err.count("\n") == 1
    assert "do: optimizer=adamw, or settings that it can be stepped with; LRLAB_DEBUG=1 shows where" in failed.err
    assert summary(Path("run"))["status"] == "failed"


def test_a_range_test_says_the_same(enter):
    from lrlab.commands import find_lr

    failed = enter(find_lr.main, *SMALL, "optimizer._target_=torch.optim.SparseAdam", "find_lr.seeds=1")
    assert failed.code == 1
    assert re.match(r"lrlab: error: optimizer: got SparseAdam, whose step\(\) fails", failed.err)


def test_what_finds_its_step_size_has_no_range_test(enter):
    pytest.importorskip("prodigyopt", reason="prodigyopt is not installed")
    import prodigyopt

    import lrlab
    from lrlab.commands import find_lr

    refused = enter(find_lr.main, *SMALL, "optimizer=prodigy", "find_lr.seeds=1")
    said = "optimizer: got Prodigy, which finds its step size by itself, and multiplies it by the LR; allowed: one "
    assert refused.err.startswith(f"lrlab: error: {said}")
    assert refused.err.endswith("do: optimizer.lr=1 in training, without a range test\n")
    net = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=said):
        lrlab.find_lr(net, prodigyopt.Prodigy(net.parameters()), [(torch.ones(2, 2), torch.zeros(2).long())])


@pytest.mark.parametrize("name", ["prodigy", "schedule_free", "adam"])
def test_the_start_names_what_makes_the_optimizer_once(name, command):
    pytest.importorskip({"prodigy": "prodigyopt"}.get(name, "schedulefree"))
    shown = command(*SMALL, f"optimizer={name}", "trainer.epochs=1").out
    [line] = [line for line in shown.splitlines() if line.startswith("optimizer ")]
    assert line.startswith("optimizer  adam: Adam, lr " if name == "adam" else f"optimizer  {name}: lr ")


def test_prodigy_takes_one_lr_and_says_so():
    pytest.importorskip("prodigyopt", reason="prodigyopt is not installed")
    said = r"optimizer\.groups: got groups with LRs of their own, for Prodigy, which finds one for all"
    with pytest.raises(UserError, match=said):
        prepare(composed(*SMALL, "optimizer=prodigy", "optimizer.groups.head.lr_scale=2"))
    prepare(composed(*SMALL, "optimizer=prodigy", "optimizer.groups.head.delay=1ep"))


@pytest.mark.usefixtures("made_here")
@pytest.mark.parametrize("name", WRAPPED)
def test_a_function_that_wraps_one_in_another_is_refused_where_it_could_not_be_resumed(name):
    pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    with pytest.raises(UserError, match=WRAPPED[name]):
        prepare(composed(*SMALL, f"optimizer._target_=wrapped.{name}"))


@pytest.mark.usefixtures("made_here")
def test_a_function_that_wraps_one_in_another_is_used_where_it_can(command, monkeypatch):
    pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    require_laws(command, monkeypatch, "wrapped.orthogonal")


@pytest.mark.slow
@pytest.mark.usefixtures("made_here")
def test_what_is_kept_in_another_number_format_comes_back_in_it(command, monkeypatch):
    require_laws(command, monkeypatch, "own.Coarse")
    state = checkpoint.load(Path("parts") / checkpoint.LAST)["state"]["optimizer"]["state"]
    formats = {name: one.dtype for name, one in state[0].items() if isinstance(one, torch.Tensor)}
    assert formats == {"average": torch.bfloat16, "seen": torch.int32}
    assert state[0]["inner"][0].dtype == torch.float64


@pytest.mark.usefixtures("made_here")
def test_an_optimizer_that_fails_without_gradients_wants_no_closure(command, monkeypatch):
    require_laws(command, monkeypatch, "own.NeedsGradients")
