"""The memory of this machine and of its devices: what is free, and the most that is held while something is done."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from lrlab.system import allocator

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def free_bytes(device: torch.device) -> int:
    """What `device` could still give; of the CPU what Linux says, in this container too, elsewhere half of all."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # there is no such file, or it says "max"
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        free = min(free, max(limit - used, 0))
    return free


def most_held_bytes(work: Callable[[], object], device: torch.device) -> int | None:
    """The most that this process holds of the memory of `device` at any time of `work`, with all else that it holds.

    None where the system does not say, which is everywhere but on Linux and on CUDA.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_reserved(device)
    if device.type != "cpu":
        return None
    allocator.give_back_freed_memory()
    try:
        _FORGET.write_text("5")  # the most so far; proc_pid_clear_refs(5)
        work()
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
