"""Returns freed memory to the system. The functions do nothing if the C library is not glibc."""

from __future__ import annotations

import ctypes
import gc
from functools import cache

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
RETURNED_FROM = 2**20


@cache
def return_freed_memory() -> None:
    """Makes glibc return freed blocks of a megabyte or more to the system at once, from now on (mallopt(3)).

    Otherwise glibc raises this limit as large blocks are freed, and retains gigabytes of unused weights.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, RETURNED_FROM)


def trim_freed_memory() -> None:
    """Collects garbage cycles, and returns the smaller freed blocks that glibc retains (malloc_trim(3))."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
