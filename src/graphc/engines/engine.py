"""Runs pieces of work side by side: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol

from graphc.errors import SpecError

SOON = "10s"
Work = Callable[[Any], Any]


class Engine(Protocol):
    """Runs pieces of work side by side.

    Args:
        slots: the number of pieces that run at once.
    """

    slots: int

    def submit(self, work: Work, given: Any, key: str) -> Any:
        """Starts a piece of work and returns its future. The key is unique."""

    def first(self, waiting: list[Any]) -> list[tuple[Any, Any]]:
        """Waits until at least one future is done. Returns each done future with its result."""


class Processes:
    """Each piece of work starts a process, and a thread waits for it."""

    def __init__(self, pool: ThreadPoolExecutor, slots: int):
        self.pool, self.slots = pool, slots

    def submit(self, work: Work, given: Any, key: str) -> Future[Any]:
        return self.pool.submit(work, given)

    def first(self, waiting: list[Future[Any]]) -> list[tuple[Future[Any], Any]]:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        return [(future, future.result()) for future in waiting if future in done]


class Cluster:
    """Each piece of work starts a process next to a worker of a Dask cluster. All machines see the same folders."""

    def __init__(self, client: Any, slots: int):
        self.client, self.slots = client, slots

    def submit(self, work: Work, given: Any, key: str) -> Any:
        return self.client.submit(work, given, key=f"graphc-{key}", pure=False)

    def first(self, waiting: list[Any]) -> list[tuple[Any, Any]]:
        from distributed import wait as wait_for

        done = wait_for(waiting, return_when="FIRST_COMPLETED").done
        return [(future, future.result()) for future in waiting if future in done]


@contextmanager
def processes(jobs: int) -> Iterator[Engine]:
    pool = ThreadPoolExecutor(jobs)
    try:
        yield Processes(pool, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str) -> Iterator[Engine]:
    """A Dask cluster at an address, such as ``tcp://10.0.0.1:8786``.

    Errors:
        SpecError: Dask is not installed, nothing answers there, or there are no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        hint = "pip install 'graphc[dask]'"
        raise SpecError("--dask needs Dask, which is not installed", hint=hint) from None
    try:
        client = Client(address, timeout=SOON)
    except (OSError, ValueError, TimeoutError) as err:
        hint = "start one with `dask scheduler` and `dask worker`"
        why = " ".join(str(err).split())[:200]
        raise SpecError(f"no Dask scheduler answers: {why}", where=address, hint=hint) from err
    try:
        workers = sum(client.nthreads().values())
        if not workers:
            raise SpecError("the Dask cluster has no workers", where=address, hint="start some with `dask worker`")
        yield Cluster(client, workers)
    finally:
        client.close()
