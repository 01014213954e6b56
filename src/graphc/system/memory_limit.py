"""Limits a process to the free memory of the machine."""

from __future__ import annotations

import resource
from pathlib import Path

MEMORY, OWN_SIZE = Path("/proc/meminfo"), Path("/proc/self/statm")


def stay_in_free_memory(processes: int) -> None:
    """Limits this process to its share of the free memory, if ``processes`` processes share that memory equally.

    An allocation beyond the limit fails. Without a limit, the system would kill some process. No limit is set if the
    system does not report its free memory (proc(5)).
    """
    if not MEMORY.is_file():
        return
    told = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    free = 1024 * int(told["MemAvailable"].split()[0])
    own = resource.getpagesize() * int(OWN_SIZE.read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = own + free // processes
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
