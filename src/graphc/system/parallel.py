"""Runs work that waits for onnxruntime on all cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Runs ``work`` on the items in parallel threads, and returns the results in order of the items.

    ``work`` may only read shared data. onnxruntime releases Python's lock, and each session computes on one thread, so
    the results are the same as in a loop.

    Errors:
        the first error that an item raised. Work that has not begun by then is skipped.
    """
    told = list(items)
    workers = min(len(told), len(os.sched_getaffinity(0)))
    if workers < 2:
        return [work(item) for item in told]
    pool = ThreadPoolExecutor(workers)
    try:
        contexts = [copy_context() for _ in told]
        return list(pool.map(lambda context, item: context.run(work, item), contexts, told))
    finally:
        pool.shutdown(cancel_futures=True)
