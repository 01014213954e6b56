"""Runs the part of an evaluated graph that depends only on time.

No data tensor is computed: nodes that read the shape of a data tensor get the recorded shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from graphc.ir.graph import Graph, Node, Tensor, reads
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.facts.time_constant import Array
from graphc_runtime.errors import ModelError, RunError

SHAPE_OPS = ("Shape", "Size")


def values_read(node: Node) -> list[Tensor]:
    """The inputs of which a node reads the values, not only the shapes or types."""
    if node.op in SHAPE_OPS:
        return []
    return list(node.inputs[:1]) if node.op == "CastLike" else reads(node)


def time_only_nodes(evaluation: Evaluation, names: Sequence[str]) -> list[Node]:
    """The time-only nodes that compute the named tensors, in graph order."""
    made_by = {t.name: n for n in evaluation.graph.nodes for t in n.outputs if t.name}
    carried = evaluation.carried
    found: set[int] = set()
    waiting = [n for n in names if n not in carried]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and id(node) not in found:
            found.add(id(node))
            waiting += [t.name for t in reads(node) if t.name not in carried]
    return [n for n in evaluation.graph.nodes if id(n) in found]


class TimeOnly:
    """Computes time-only tensors of an evaluation at the evaluated lengths, without any data.

    Args:
        names: the names of the wanted tensors. Only dense tensors with a native numpy dtype can be computed.
        optimize: whether onnxruntime optimizes the graph, which pays off for more than a few runs.

    Errors:
        ModelError: onnxruntime cannot load the nodes that compute the tensors.
    """

    def __init__(self, evaluation: Evaluation, names: Sequence[str], optimize: bool = False):
        carried = evaluation.carried
        nodes = time_only_nodes(evaluation, names)
        made = {t.name for n in nodes for t in n.outputs}
        sizes = {n.outputs[0].name: n for n in nodes if n.op in SHAPE_OPS and n.inputs[0].name in carried}
        rest = [n for n in nodes if n.outputs[0].name not in sizes]
        wanted = [n for n in dict.fromkeys(names) if n in made]
        given = [t.name for t in evaluation.graph.inputs if t.name not in carried and t.name in names]
        self.given = {name: tuple(feed[name] for feed in evaluation.feeds) for name in given}
        self.sizes = sizes
        self.types: dict[str, np.dtype[np.generic]] = {name: values[0].dtype for name, values in self.given.items()}
        self.feeds: list[dict[str, Array]] = []
        if not wanted:
            return
        try:
            self.session = Session(part_of(evaluation, rest, sizes, wanted), optimize=optimize)
        except RunError as err:
            raise ModelError(f"onnxruntime cannot run the offline model: {err}", hint=err.hint) from err
        types = self.session.output_types()
        self.types |= {n: dtype for n, (dtype, _) in types.items() if dtype is not None and dtype.kind != "V"}
        self.feeds = [
            self.feed_of(feed, {name: evaluation.shapes[name][index] for name in self.shapes_read})
            for index, feed in enumerate(evaluation.feeds)
        ]

    @property
    def shapes_read(self) -> set[str]:
        """The names of the data tensors whose shapes are read."""
        return {n.inputs[0].name for n in self.sizes.values()}

    def feed_of(self, given: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """The inputs of the session at one length: inputs of the graph, and recorded shapes of data tensors."""
        fed = {fed_name(name): size_read(n, shapes[n.inputs[0].name]) for name, n in self.sizes.items()}
        return fed | {k: v for k, v in given.items() if k in self.session.input_names}

    def values(self, names: Sequence[str]) -> dict[str, tuple[Array, ...]]:
        """The values of some of the wanted tensors, by name; one for each evaluated length."""
        made = [name for name in names if name not in self.given]
        try:
            runs = [self.session.run(feed, made) for feed in self.feeds] if made else []
        except RunError as err:
            raise ModelError(f"onnxruntime cannot run the offline model: {err}") from err
        computed = {name: tuple(np.asarray(run[name]) for run in runs) for name in made}
        return computed | {name: self.given[name] for name in names if name in self.given}


def part_of(
    evaluation: Evaluation, nodes: list[Node], sizes: dict[str, Node], wanted: Sequence[str]
) -> onnx.ModelProto:
    graph = evaluation.graph
    carried = evaluation.carried
    read = {t.name for n in nodes for t in reads(n)}
    given = [t for t in graph.inputs if t.name in read and t.name not in carried]
    part = Graph(nodes, given, [], "time", "", graph.opset, graph.import_domains)
    model = export_model(part, evaluation.source)
    for node in model.graph.node:
        if node.op_type == "CastLike" and node.input[1] in carried:
            alike = onnx.numpy_helper.from_array(
                np.zeros(0, evaluation.dtypes[node.input[1]]), f"{node.input[1]}//type"
            )
            node.input[1] = alike.name
            if all(i.name != alike.name for i in model.graph.initializer):
                model.graph.initializer.append(alike)
    for name, node in sizes.items():
        shape = [] if node.op == "Size" else [None]
        model.graph.input.append(onnx.helper.make_tensor_value_info(fed_name(name), onnx.TensorProto.INT64, shape))
        model.graph.node.insert(0, onnx.helper.make_node("Identity", [fed_name(name)], [name]))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    return model


def fed_name(name: str) -> str:
    return f"{name}//size"


def size_read(node: Node, shape: tuple[int, ...]) -> Array:
    """The output of a Shape or Size node whose input has the given shape."""
    if node.op == "Size":
        return np.asarray(np.prod(shape, dtype=np.int64))
    start, end = int(node.attrs.get("start", 0)), node.attrs.get("end")
    return np.asarray(shape[start : None if end is None else int(end)], np.int64)
