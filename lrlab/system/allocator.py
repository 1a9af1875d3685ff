"""What this process does with memory that it frees, which decides how fast a CPU trains."""

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = (1 << 30, 32 << 20)  # bytes; older versions of glibc take no more than the second


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is allocated next; whether it does.

    Every update allocates the same activations and gradients. By default glibc returns them to the system as often as
    not, by the luck of what else lies on the heap, and then each page is cleared and mapped anew: up to a third of the
    time of an update of a small CNN. Whoever has set MALLOC_* variables, or another allocator, has chosen otherwise.
    """
    chosen = any(name.startswith("MALLOC_") or name in ("LD_PRELOAD", "GLIBC_TUNABLES") for name in os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    kept = any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST)
    return bool(mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)) and kept


def give_back_freed_memory() -> None:
    """Have glibc return to the system what it keeps, so that what the process holds is what is in use."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
