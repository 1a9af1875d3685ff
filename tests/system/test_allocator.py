"""Memory that is freed is used again, without asking the system for it anew."""

import subprocess
import sys

import pytest

from lrlab.system.allocator import keep_freed_memory

FAULTS = """
import resource, torch
from lrlab.system.allocator import keep_freed_memory
{call}
torch.set_num_threads(1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        kept = [torch.empty(2 << 20).zero_() for _ in range(6)]
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20
faults()
print(faults())
"""


def faults(call: str, **environment: str) -> float:
    """Pages that the system had to map for each round of 48 MB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not keep_freed_memory(), reason="no glibc here, or its allocator was chosen")
def test_what_is_freed_is_kept():
    # A block that finds no gap of its size may grow the heap once; 48 MB each round would be 12,288 pages.
    assert faults("assert keep_freed_memory()") < 600
    assert faults("", MALLOC_TRIM_THRESHOLD_="65536", MALLOC_MMAP_THRESHOLD_="65536") > 1000


def test_whoever_chose_an_allocator_keeps_it(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not keep_freed_memory()
