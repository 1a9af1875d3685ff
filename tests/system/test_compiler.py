"""Optimizers that only plan are made without torch's compiler; all others find it as torch left it."""

import subprocess
import sys

import pytest
import torch
import torch._dynamo

from lrlab.system import compiler

PROBE = """
import sys
import torch
from lrlab.system import compiler

weights = [torch.zeros(2, requires_grad=True)]
with compiler.left_out():
    planned = torch.optim.AdamW(weights, lr=0.5)
    planned.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.25})
assert "torch._dynamo" not in sys.modules
assert [group["lr"] for group in planned.param_groups] == [0.5, 0.25]

torch.optim.SGD(weights, lr=0.1)  # outside of the block torch does as it always does
assert "torch._dynamo" in sys.modules
"""


@pytest.mark.slow
def test_an_optimizer_is_made_without_the_compiler_in_the_block_and_with_it_after_the_block():
    subprocess.run([sys.executable, "-c", PROBE], check=True)


def test_where_the_compiler_is_imported_nothing_is_touched():
    assert torch._dynamo
    before = {name: vars(method) for name, method in vars(torch.optim.Optimizer).items() if hasattr(method, "__dict__")}
    with compiler.left_out():
        inside = {name: vars(method) for name, method in vars(torch.optim.Optimizer).items() if name in before}
    assert inside == before
