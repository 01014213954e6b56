"""The formulas of a graph's tensors, made on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from graphc.ir.graph import Constant, Graph, Node, Tensor, is_sparse, label, op_of, reads, standard, subgraphs
from graphc.offline.reference import Offline
from graphc.spec.input_roles import CountsRole, MaskRole
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.symbolic.domain.lengths import expression_of
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    bounded,
    box,
    constant,
    frames,
    index,
    lengths,
    scaled,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Array, Formula, Number, Piece, Read
from graphc.stream.symbolic.registry import Operands, make_of
from graphc.stream.symbolic.sources import MOVES, attributes, mask_formula, sizes_of, within

DATA = "data"


@dataclass
class Shared:
    """What all walks over a model share: equal nodes with the same operands have one formula.

    Args:
        made: the formulas of nodes, by op, attributes and operands.
        tables: the formulas of constants, masks and data, by key.
        held: keeps the operands of ``made`` alive, since the keys identify operands by ``id``.
        answers: the answers to questions about formulas, by key.
    """

    made: dict[tuple[object, ...], Sequence[Formula] | NoFormulaError] = field(default_factory=dict)
    tables: dict[tuple[object, ...], Formula | NoFormulaError] = field(default_factory=dict)
    held: list[object] = field(default_factory=list)
    answers: dict[tuple[object, ...], Any] = field(default_factory=dict)


class Formulas:
    """Makes and keeps the formulas of tensors for one walk.

    Args:
        facts: the facts of the tensors of data so far; they give the sizes of these tensors.
        dtypes: the dtypes of the tensors of data.
        carried: the names of all tensors of data.
        value_of: returns the value of a tensor that depends on constants only.
        accepted: the lengths at which the model is known to run; formulas need not hold at other lengths.
    """

    def __init__(
        self,
        graph: Graph,
        offline: Offline,
        facts: Mapping[str, Fact],
        dtypes: Mapping[str, np.dtype[Any]],
        carried: frozenset[str],
        shared: Shared,
        value_of: Callable[[str], Array],
    ):
        self.value_of = value_of
        self.offline, self.facts, self.dtypes, self.carried, self.shared = offline, facts, dtypes, carried, shared
        self.opset = graph.opset
        self.made_by = {t.name: n for n in graph.nodes for t in n.outputs if t.name}
        self.tensors: dict[str, Formula | NoFormulaError] = {}
        self.accepted: Region = lengths(0)

    def of(self, tensor: Tensor) -> Formula:
        """The formula of a tensor.

        Errors:
            NoFormulaError: no formula is known; the text names the node without a formula.
        """
        if isinstance(tensor, Constant):
            return self.of_constant(tensor)
        return self.named(tensor.name)

    def named(self, name: str) -> Formula:
        self.follow(name)
        found = self.tensors[name]
        if isinstance(found, NoFormulaError):
            raise found
        return found

    def in_front(self, name: str) -> list[Formula]:
        """The formulas nearest to a tensor without a formula, on each path back from that tensor."""
        found, waiting, seen = list[Formula](), [name], set[str]()
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            self.follow(current)
            formula = self.tensors[current]
            if isinstance(formula, Formula):
                found.append(formula)
            else:
                waiting += self.operands_of(current)
        return found

    def follow(self, name: str) -> None:
        """Makes the formulas of all tensors that a tensor is made from, and then the tensor's own formula."""
        waiting = [name]
        while waiting:
            current = waiting[-1]
            if current in self.tensors:
                waiting.pop()
                continue
            missing = [n for n in self.operands_of(current) if n not in self.tensors]
            if missing:
                waiting += missing
                continue
            try:
                self.tensors[current] = bounded(lambda current=current: self.make(current))  # type: ignore[misc]
            except NoFormulaError as err:
                self.tensors[current] = err
            waiting.pop()

    def operands_of(self, name: str) -> list[str]:
        node = self.made_by.get(name)
        if node is None or self.is_opaque(name):
            return []
        return [t.name for t in node.inputs if t.name and not isinstance(t, Constant)]

    def is_opaque(self, name: str) -> bool:
        """Whether a tensor is data, so that only the positions of its entries are known, not how they are computed."""
        if name not in self.carried:
            return False
        fact = self.facts.get(name)
        return not isinstance(fact, IndexMap) if fact is not None else name not in self.made_by

    def make(self, name: str) -> Formula:
        if self.is_opaque(name):
            return self.of_data(name)
        node = self.made_by.get(name)
        if node is None:
            return self.of_input(name)
        fact = self.facts.get(name)
        if isinstance(fact, IndexMap) and fact.source.made == name:
            return self.of_source(name, fact)
        return self.result(node, name)

    def made(self, node: Node, name: str) -> Formula:
        """The formula of a node's output, made from its operands' formulas even if the output is data.

        Errors:
            NoFormulaError: no formula is known.
        """
        for tensor in node.inputs:
            if tensor.name and not isinstance(tensor, Constant):
                self.follow(tensor.name)
        found: Formula = bounded(lambda: self.result(node, name))
        return found

    def result(self, node: Node, name: str) -> Formula:
        results = self.of_node(node)
        place = next(i for i, t in enumerate(node.outputs) if t.name == name)
        if place >= len(results):
            raise NoFormulaError(f"{label(node)}: no formula is known for its output '{name}'")
        return results[place]

    def of_node(self, node: Node) -> Sequence[Formula]:
        """The formulas of a node's outputs; equal nodes share them."""
        make = make_of(op_of(node)) if standard(node) and not any(subgraphs(node)) else None
        if make is None and self.is_fixed(node):
            return [self.of_value(t.name) for t in node.outputs if t.name]
        if make is None:
            raise NoFormulaError(f"{label(node)}: no formula is known for {op_of(node)}")
        inputs: list[Formula | None] = []
        for tensor in node.inputs:
            try:
                inputs.append(self.of(tensor) if tensor.name else None)
            except NoFormulaError:
                if node.op != "CastLike" or tensor is node.inputs[0]:
                    raise
                inputs.append(Formula((), self.dtypes[tensor.name], ()))
        if node.op in ("Shape", "Size") and inputs[0] is not None:
            key: tuple[object, ...] = (node.op, attributes(node), *(id(s) for s in inputs[0].sizes))
        else:
            key = (node.op, attributes(node), len(node.outputs), *(id(i) for i in inputs))
            key = (*key, str(self.accepted)) if node.op == "Div" else key
        if key not in self.shared.made:
            self.shared.held.append(inputs)
            try:
                self.shared.made[key] = [
                    within(f, inputs, node.op in MOVES) for f in make(Operands(node, inputs, self.opset, self.accepted))
                ]
            except NoFormulaError as err:
                reason = str(err)
                self.shared.made[key] = NoFormulaError(reason if " (" in reason else f"{label(node)}: {reason}")
        found = self.shared.made[key]
        if isinstance(found, NoFormulaError):
            raise found
        return found

    def is_fixed(self, node: Node) -> bool:
        """Whether a node depends on constants only."""
        waiting, seen = [node], set[int]()
        while waiting:
            current = waiting.pop()
            if id(current) in seen:
                continue
            seen.add(id(current))
            for tensor in reads(current):
                if isinstance(tensor, Constant):
                    continue
                maker = self.made_by.get(tensor.name)
                if maker is None or tensor.name in self.carried:
                    return False
                waiting.append(maker)
        return True

    def of_value(self, name: str) -> Formula:
        """The formula of a tensor that depends on constants only, made from the tensor's value."""
        return self.of_array(self.value_of(name))

    def of_constant(self, tensor: Constant) -> Formula:
        if is_sparse(tensor):
            raise NoFormulaError(f"'{tensor.name}' is sparse, and no formula is known for that")
        return self.of_array(np.asarray(tensor.values))

    def of_array(self, value: Array) -> Formula:
        digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).digest()
        return self.of_table((value.shape, str(value.dtype), digest), lambda: stored(value))

    def of_table(self, key: tuple[object, ...], make: Callable[[], Formula]) -> Formula:
        """The formula for a key, which ``make`` makes once."""
        if key not in self.shared.tables:
            try:
                self.shared.tables[key] = make()
            except NoFormulaError as err:
                self.shared.tables[key] = err
        found = self.shared.tables[key]
        if isinstance(found, NoFormulaError):
            raise found
        return found

    def of_input(self, name: str) -> Formula:
        """The formula of an input that counts frames, or that is a mask."""
        role, port = self.offline.roles.get(name), self.offline.ports.get(name)
        if port is None:
            raise NoFormulaError(f"'{name}' is neither an input of the model nor an output of a node")
        shape = [self.offline.batch if not isinstance(d, int) else d for d in port.dims]
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))
        if isinstance(role, CountsRole):
            rate = self.offline.frames_of(role.of, 1) if role.of else 1
            sizes = tuple(constant(s, 0) for s in shape)
            rank = len(shape)
            return Formula(sizes, dtype, (Piece(box(sizes), Number(scaled(frames(rank), rate))),))
        if isinstance(role, MaskRole):
            return self.of_table(("mask", role, tuple(shape), str(dtype)), lambda: mask_formula(role, shape, dtype))
        raise NoFormulaError(f"no formula is known for the input '{name}'")

    def of_data(self, name: str) -> Formula:
        """The formula of a tensor of data: its sizes are those of its fact, and only positions identify its entries."""
        fact = self.facts.get(name)
        dtype = self.dtypes.get(name, np.dtype(np.float32))
        if fact is None:
            raise NoFormulaError(f"the size of '{name}' is not known")
        return self.read_of(sizes_of(fact), dtype)

    def of_source(self, name: str, fact: IndexMap) -> Formula:
        """The formula of a product of a stream and a table of places.

        The product's wide axis is as long as the table's axis of columns.
        """
        source = fact.source
        sizes = [constant(s, 0) for s in source.shapes[0]]
        sizes[source.axis] = expression_of(source.time.length)
        if source.places is not None and source.wide is not None:
            node = self.made_by[name]
            table = self.of(node.inputs[source.places[0]])
            sizes[source.wide] = table.sizes[source.places[1]]
            read = self.read_of(tuple(sizes), fact.dtype)
            key = ("within", id(read), *map(str, (table.outside, table.rounded | table.cast, table.past)))
            return self.of_table(key, lambda: within(read, [table]))
        return self.read_of(tuple(sizes), fact.dtype)

    def read_of(self, sizes: tuple[Expr, ...], dtype: np.dtype[Any]) -> Formula:
        key = (DATA, str(dtype), *(str(s) for s in sizes))
        places = tuple(index(a, len(sizes)) for a in range(len(sizes)))
        return self.of_table(key, lambda: Formula(sizes, dtype, (Piece(box(sizes), Read(DATA, places)),)))
