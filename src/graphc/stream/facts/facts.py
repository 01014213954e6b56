"""The kinds of facts about a tensor."""

from __future__ import annotations

from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant

Fact = TimeConstant | Untimed | Stream | ScoreMatrix | IndexMap
