"""The public names of graphc for authors of streaming rules (docs/writing-a-rule.md).

Example:
    >>> @stream_rule("com.example::Loudness")
    ... def loudness(node: Node, facts: Facts) -> Lowering:
    ...     return frame_by_frame(node, facts)

A rule is registered when its module is imported: from a package of the entry point group ``graphc.passes``, or from a
folder that a spec names in ``pass_paths``.
"""

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, label
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.frame_by_frame import copied, frame_by_frame, same_length
from graphc.stream.lowering.lowering import AttentionSpan, Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_time_axis
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.queries.questions import Counting, Kept, Periodic, RowsOf, Shifting, Steady
from graphc.stream.symbolic.registry import Operands, formula_of
from graphc.stream.time.conv_window import spatial_window
from graphc.stream.time.per_frame_operands import per_frame_operands
from graphc.stream.time.recurrence import Carry, aligned
from graphc.stream.time.window import Window, window_over
from graphc_runtime.contract.manifest import StateKind
from graphc_runtime.errors import StreamError

__all__ = [
    "AttentionSpan",
    "Builder",
    "Carry",
    "Counting",
    "Fact",
    "Facts",
    "Kept",
    "Length",
    "Lowering",
    "Node",
    "Operands",
    "Periodic",
    "RowsOf",
    "ScoreMatrix",
    "Shifting",
    "StateKind",
    "Steady",
    "Stream",
    "StreamError",
    "Tensor",
    "TimeConstant",
    "Untimed",
    "Window",
    "aligned",
    "copied",
    "formula_of",
    "frame_by_frame",
    "label",
    "per_frame_operands",
    "refuse_time_axis",
    "same_length",
    "spatial_window",
    "stream_rule",
    "window_over",
]
