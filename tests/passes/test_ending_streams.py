"""The warning about a model that clients will not stream for long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from graphc_passes.lift_state import short_streams


@pytest.mark.parametrize(
    ("most", "frame_ms", "tried", "continues", "told"),
    [
        (None, None, (), True, []),
        (5000, 10.0, (), True, []),
        (
            500,
            10.0,
            (),
            False,
            ["streams can last only 500 frames, which is 5.0 s; `graphc inspect` says what ends them"],
        ),
        (6000, 10.0, (), False, []),
        (6000, None, (), False, []),
        (
            10,
            None,
            (),
            False,
            ["streams can last only 10 frames, which is 2.5 calls; `graphc inspect` says what ends them"],
        ),
        (
            555,
            None,
            ("p",),
            False,
            ["streams can last only 555 frames, which is 138.8 calls; the longest that was tried"],
        ),
    ],
)
def test_short_streams_are_warned_of(
    most: int | None, frame_ms: float | None, tried: tuple[str, ...], continues: bool, told: list[str]
) -> None:
    signature = SimpleNamespace(max_frames=most, smallest=4, frame_ms=frame_ms, tried=tried, continues=continues)
    assert short_streams(cast(Any, signature)) == told
