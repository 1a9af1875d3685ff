"""What is free of the memory, and the most that is held while something is done."""

import pytest
import torch

from lrlab.system import memory

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


def test_the_most_that_is_held_counts_what_is_freed_again():
    def work() -> None:
        torch.ones(64 * MEGABYTE, dtype=torch.uint8)

    before = memory.most_held_bytes(lambda: None, CPU)
    most = memory.most_held_bytes(work, CPU)
    if before is None or most is None:
        pytest.skip("this system does not say what a process holds at its most")
    assert 60 * MEGABYTE < most - before < 100 * MEGABYTE
    after = memory.most_held_bytes(lambda: None, CPU)
    assert after < most - 50 * MEGABYTE  # what was held before is forgotten


def test_a_device_of_which_nobody_says_it_is_not_guessed():
    assert memory.most_held_bytes(lambda: None, torch.device("meta")) is None


def test_what_is_free_is_what_more_could_be_held():
    free = memory.free_bytes(CPU)
    assert free > 0
    held = torch.ones(256 * MEGABYTE, dtype=torch.uint8)
    assert memory.free_bytes(CPU) < free + 128 * MEGABYTE  # other processes take and give too
    del held
