"""Returns freed memory to the system. Where the C library is not glibc, nothing happens."""

from __future__ import annotations

import ctypes
import gc
from functools import cache

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
RETURNED_FROM = 2**20


@cache
def return_freed_memory() -> None:
    """From now on what is freed of a megabyte or more goes back to the system at once (mallopt(3)).

    glibc raises that limit as large blocks are freed, and would keep gigabytes of weights that nothing holds any more.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, RETURNED_FROM)


def trim_freed_memory() -> None:
    """Returns smaller blocks too (malloc_trim(3)), which glibc keeps, and what only circles of references hold."""
    gc.collect()
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
