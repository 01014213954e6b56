"""Inlines the local functions of a model."""

from __future__ import annotations

import onnx
import onnx.inliner

from graphc.ir.subgraphs import nodes_of


def inline_local_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without local functions.

    onnx's inliner drops the default values of attributes that a call omits, so they are added to the calls first.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    while any(inherits_default(made, f) for f in made.functions):
        pass
    defaults = {(f.domain, f.name, f.overload): f.attribute_proto for f in made.functions if f.attribute_proto}
    for node in nodes_of([*made.graph.node, *(n for f in made.functions for n in f.node)]):
        given = {a.name for a in node.attribute}
        missing = defaults.get((node.domain, node.op_type, node.overload), ())
        node.attribute.extend(a for a in missing if a.name not in given)
    return onnx.inliner.inline_local_functions(made)


def inherits_default(model: onnx.ModelProto, function: onnx.FunctionProto) -> bool:
    """Gives a function one default value of a function that it calls. False if no default value is missing.

    This applies to attributes that the function passes on. A call that omits such an attribute then means what it means
    in onnxruntime.
    """
    defaults = {(f.domain, f.name, f.overload): f.attribute_proto for f in model.functions}
    for node in nodes_of(function.node):
        for passed in (a for a in node.attribute if a.ref_attr_name in function.attribute):
            for default in defaults.get((node.domain, node.op_type, node.overload), ()):
                if default.name == passed.name:
                    function.attribute.remove(passed.ref_attr_name)
                    function.attribute_proto.add().CopyFrom(default)
                    function.attribute_proto[-1].name = passed.ref_attr_name
                    return True
    return False
