"""Labels each node that a rewrite wrote with the node of the model file that it replaces."""

from __future__ import annotations

import re

import onnx

from graphc.ir.graph import proto_label
from graphc.ir.subgraphs import nodes_of
from graphc_runtime.errors import StreamError

LABEL = re.compile(r"(?P<name>[^\s'\"]+) \((?P<op>(?:[\w.]+\.)?[A-Z]\w*)\)")


class ExportedLabels:
    """The labels of the nodes in a model file, keyed by the names of the nodes and of their outputs.

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
        """The text with labels of nodes in the model instead of rewritten nodes, as in "/Loop (Loop, as Slice)"."""
        return LABEL.sub(self.origin, text)

    def origin(self, match: re.Match[str]) -> str:
        """The replacement for a label. The same label if the model has that node, or none whose name begins it."""
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
    """Changes a refusal so that it names nodes of the model file instead of nodes that a rewrite wrote."""
    labels = ExportedLabels(model)
    error.reason, error.node = labels.told(error.reason), error.node and labels.told(error.node)
    return error
