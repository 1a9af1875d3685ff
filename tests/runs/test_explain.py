"""What is told of an error that torch raised, also where torch said nothing or several lines."""

import pytest
import torch

from lrlab.runs.explain import explain

NOT_COMPILED = type("BackendCompilerFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "(BackendCompilerFailed)"),
        ("\n", "(BackendCompilerFailed)"),
        ("no C++ compiler.", "(no C++ compiler)"),
        ("\nno C++ compiler\nset TORCH_LOGS for more", "(no C++ compiler)"),
    ],
)
def test_the_first_line_of_what_the_compiler_said_is_told(said, told):
    told_of = explain(NOT_COMPILED(said))
    assert told_of is not None
    assert str(told_of).startswith("trainer.compile: got true, for what torch.compile cannot compile here (")
    assert told in str(told_of)
    assert "\n" not in str(told_of)


def test_no_memory_is_told_where_torch_gave_no_reason():
    told_of = explain(torch.OutOfMemoryError())
    assert told_of is not None
    assert told_of.complaint == "data.batch_size: got a batch for which the device has no memory (OutOfMemoryError)"


def test_what_is_not_known_is_left_to_its_traceback():
    assert explain(RuntimeError("")) is None
    assert explain(ValueError("of a model of the user's own")) is None
