"""What is known of a tensor when its model is looked at as a stream."""

from __future__ import annotations

from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant

Fact = TimeConstant | Untimed | Stream | ScoreMatrix | IndexMap
