"""What is free of the memory, and the most that is held while something is done."""

import torch

from lrlab.system import memory, process

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


def test_the_most_that_is_held_counts_what_is_freed_again():
    def work() -> None:
        torch.ones(64 * MEGABYTE, dtype=torch.uint8)

    before = process.memory_bytes()
    most = memory.most_held_bytes(work, CPU)
    assert 60 * MEGABYTE < most - before < 100 * MEGABYTE
    assert memory.most_held_bytes(lambda: None, CPU) < most - 50 * MEGABYTE  # what was held before is forgotten


def test_what_is_free_is_what_more_could_be_held():
    free = memory.free_bytes(CPU)
    assert free > 0
    held = torch.ones(256 * MEGABYTE, dtype=torch.uint8)
    assert memory.free_bytes(CPU) < free + 128 * MEGABYTE  # other processes take and give too
    del held
