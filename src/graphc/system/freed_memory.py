"""Returns freed memory to the system."""

from __future__ import annotations

import ctypes
from functools import cache

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
RETURNED_FROM = 2**20


@cache
def return_freed_memory() -> None:
    """From now on what is freed of a megabyte or more goes back to the system at once (mallopt(3)).

    glibc raises that limit as large blocks are freed, and would keep gigabytes of weights that nothing holds any more.
    Where the C library has no mallopt, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, RETURNED_FROM)
