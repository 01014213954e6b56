"""Types that all trackers share."""

from __future__ import annotations

from dataclasses import dataclass

from graphc_runtime.errors import GraphcError


class TrackerError(GraphcError):
    """A tracker that is not installed, or that does not take the run."""


@dataclass(frozen=True)
class Published:
    """Where a run is.

    Args:
        run: its number in the tracker.
        version: of the registered model, where one was asked for.
        where: the tracker's address or folder.
    """

    run: str
    version: str | None
    where: str
