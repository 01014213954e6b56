"""Types that all trackers share."""

from __future__ import annotations

from dataclasses import dataclass

from graphc_runtime.errors import GraphcError


class TrackerError(GraphcError):
    """A tracker is not installed, or does not accept the run."""


@dataclass(frozen=True)
class Published:
    """Where a run was logged.

    Args:
        run: the id of the run in the tracker.
        version: the version of the registered model; None if none was registered.
        where: the tracker's address or folder.
    """

    run: str
    version: str | None
    where: str
