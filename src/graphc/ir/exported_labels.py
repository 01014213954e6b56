"""Names the nodes that rewrites wrote by the nodes of the model file that they replace."""

from __future__ import annotations

import re

import onnx

from graphc.ir.graph import proto_label
from graphc.ir.subgraphs import nodes_of
from graphc_runtime.errors import StreamError

LABEL = re.compile(r"(?P<name>[^\s'\"]+) \((?P<op>(?:[\w.]+\.)?[A-Z]\w*)\)")


class ExportedLabels:
    """The labels of a model's own nodes, by their names and those of their outputs.

    The name of a node that a rewrite writes begins with the name of the node that it replaces, or of its output
    (``Writer``).
    """

    def __init__(self, model: onnx.ModelProto):
        self.by_name: dict[str, str] = {}
        self.own: set[str] = set()
        for node in nodes_of(model.graph.node):
            label = proto_label(node)
            self.own.add(label)
            for name in (node.name, *node.output):
                if name:
                    self.by_name.setdefault(name, label)

    def told(self, text: str) -> str:
        """A text in which a node that is not in the model is called by one that is, as in "/Loop (Loop, as Slice)"."""
        return LABEL.sub(self.origin, text)

    def origin(self, match: re.Match[str]) -> str:
        """The label for one match; the same label if the model has that node, or no node that its name begins with."""
        if match[0] in self.own or match["name"] in self.by_name:
            return match[0]
        name = match["name"]
        while "/" in name[1:]:
            name = name[: name.rindex("/")]
            if name in self.by_name:
                label = self.by_name[name]
                return f"{label[:-1]}, as {match['op']})"
        return match[0]


def by_own_nodes(error: StreamError, model: onnx.ModelProto) -> StreamError:
    """The refusal in the words of the model file: it names no node that a rewrite wrote."""
    labels = ExportedLabels(model)
    error.reason, error.node = labels.told(error.reason), error.node and labels.told(error.node)
    return error
