"""A streaming rule for an op that graphc does not know."""

from __future__ import annotations

from graphc.api import frame_by_frame, stream_rule

stream_rule("com.microsoft::BiasSplitGelu", "com.example::Loudness")(frame_by_frame)
