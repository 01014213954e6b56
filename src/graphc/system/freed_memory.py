"""Returns freed memory to the system. It does nothing if the C library is not glibc."""

from __future__ import annotations

import ctypes
import gc
from functools import cache

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
RETURNED_FROM = 2**20


@cache
def return_freed_memory() -> None:
    """From now on, freed blocks of a megabyte or more go back to the system at once (mallopt(3)).

    Otherwise glibc raises this limit as large blocks are freed, and keeps gigabytes of weights that are no longer used.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, RETURNED_FROM)


def trim_freed_memory() -> None:
    """Collects cycles of garbage, and returns the smaller freed blocks that glibc keeps (malloc_trim(3))."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
