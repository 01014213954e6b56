"""Classical models of ONNX's ML domain (scikit-learn, LightGBM): each row of features gives a row of results."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.frame_by_frame import copied, with_clamped_indices
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule

ML = "ai.onnx.ml::"
OF_ROWS = (
    *("Scaler", "Normalizer", "Imputer", "ArrayFeatureExtractor", "LinearClassifier", "LinearRegressor"),
    *("SVMClassifier", "SVMRegressor", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
)
OF_ELEMENTS = ("Binarizer", "LabelEncoder")


@stream_rule(*(f"{ML}{op}" for op in OF_ROWS))
def rows(node: Node, facts: Facts) -> Lowering:
    """The input is [frames, features]. Outputs have frames on axis 0.

    An ArrayFeatureExtractor may also look up one entry of a table for each frame; these are on its last axis.
    """
    place, x = facts.streams()[0]
    alone = all(size == 1 for axis, size in enumerate(x.shape) if axis != x.axis)
    if node.op == "ArrayFeatureExtractor" and place == 1 and alone:
        entries = facts.input_shapes[0][0][-1]
        lookup = with_clamped_indices(copied(node, facts), 0, entries - 1, x.dtype)
        return Lowering((facts.out(x, len(facts.output_shapes[0][0]) - 1),), lookup, local=True)
    if facts.only_stream().rank != 2 or x.axis != 0:
        facts.refuse(
            "takes rows of features, but its input is not [frames, features]", "put time on axis 0, without a batch"
        )
    return Lowering(outputs_of(node, facts, x), copied(node, facts), local=True)


@stream_rule(*(f"{ML}{op}" for op in OF_ELEMENTS))
def elements(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if facts.dtypes[0].kind not in "fiub":
        facts.refuse("gives text for each entry", "use integer labels")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


def outputs_of(node: Node, facts: Facts, x: Stream) -> tuple[Stream | None, ...]:
    if any(dtype.kind not in "fiub" for dtype in facts.dtypes):
        facts.refuse("gives text for each frame", "train it with integer labels")
    return tuple(facts.out(x, 0, index) if tensor.name else None for index, tensor in enumerate(node.outputs))
