"""Inlines the local functions of a model."""

from __future__ import annotations

import onnx
import onnx.inliner

from graphc.ir.subgraphs import graphs_in, graphs_of


def inline_local_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without local functions.

    onnx's inliner drops the default values of attributes that a call leaves out, so the calls get them first.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    defaults = {(f.domain, f.name, f.overload): f.attribute_proto for f in made.functions if f.attribute_proto}
    inner = [g.node for f in made.functions for n in f.node for g in graphs_of(n)]
    for nodes in (*(g.node for g in graphs_in(made.graph)), *(f.node for f in made.functions), *inner):
        for node in nodes:
            given = {a.name for a in node.attribute}
            missing = defaults.get((node.domain, node.op_type, node.overload), ())
            node.attribute.extend(a for a in missing if a.name not in given)
    return onnx.inliner.inline_local_functions(made)
