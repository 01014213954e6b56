"""Products with weights in blocks: MatMulNBits in onnxruntime, or DequantizeLinear and MatMul in any runtime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from graphc_passes._quantize.blocks.rounding import Blocks, factor_of, rounded, rounded_for
from graphc_passes._quantize.contrib import NBITS, other_target
from graphc_passes._quantize.onnxruntime_tools import opset_at_least
from graphc_passes._quantize.options import QuantizeOptions
from ml_dtypes import int4
from numpy.typing import NDArray

from graphc.api import (
    Constant,
    Graph,
    Model,
    Node,
    OpSet,
    PassError,
    Tensor,
    Variable,
    keep_weights,
    names_in,
    side_by_side,
    unused_name,
    weight_of,
)

Array = NDArray[Any]
Key = tuple[int, str, str]
MomentsOf = Callable[[Model, Sequence[str]], dict[str, Array]]
FIRST_BLOCKED = 21
FLOAT_PRODUCTS, INTEGER_PRODUCTS = 0, 4
MOST_MOMENTS = 600_000_000


def check_blocks(model: Model, config: QuantizeOptions, target: OpSet) -> None:
    """Refuses weights in blocks that neither the target nor the model's opset supports.

    Errors:
        PassError: names what has to change.
    """
    if target.has(NBITS):
        return
    if config.weights != "int4":
        raise PassError(
            f"quantize: ONNX has no {config.weights} weights in blocks",
            hint=f"{other_target(NBITS)}set weights: int4, or leave block out for one scale per channel",
        )
    hint = f"{other_target(NBITS)}leave block out or export the model at a later opset"
    opset_at_least(model.frame, FIRST_BLOCKED, "block", hint)


def products_of(model: Model, excluded: list[str]) -> list[Node]:
    """The MatMuls with a constant float32 matrix, in the order of the graph, without the excluded nodes."""
    return [n for n in model.graph.nodes if n.op == "MatMul" and n.name not in excluded and matrix_of(n) is not None]


def matrix_of(node: Node) -> Array | None:
    weight = weight_of(node.inputs[1])
    fits = weight is not None and weight.dtype == np.float32 and weight.ndim == 2
    return weight if fits and weight is not None and np.isfinite(weight).all() else None


class BlockedWeights:
    """The weights of a model's products in blocks. Each weight is rounded once, even for many variants of the model.

    Args:
        products: the names of the products whose weights fit.
    """

    def __init__(self, config: QuantizeOptions, target: OpSet, products: Set[str]):
        self.config, self.own, self.products = config, target.has(NBITS), products
        self.bits = 4 if config.weights == "int4" else 8
        self.made: dict[Key, dict[str, Any]] = {}

    @property
    def has_more_bits(self) -> bool:
        """Whether some weights can have 8 bits while the others have 4."""
        return self.own and self.config.block is not None and self.bits == 4

    def calibrate(self, model: Model, moments: MomentsOf) -> None:
        """Rounds every weight for the second moments of its product's input, and stores it in the model.

        The moments are measured while the earlier products of the model are in blocks already.

        Args:
            moments: a function that measures the second moments of named tensors of a model.
        """
        for together in rounds_of([n for n in model.graph.nodes if n.name in self.products]):
            sources = list(dict.fromkeys(n.inputs[0].name for n in together))
            found = moments(model, sources)
            for source in sources:
                factor = factor_of(found.pop(source))
                side_by_side(partial(self.make, bits=self.bits, factor=factor), with_input(source, together))
            self.put_in(model, together)

    def make(self, node: Node, bits: int, factor: Array | None) -> None:
        matrix = matrix_of(node)
        assert matrix is not None
        block, symmetric = self.config.block or 0, not self.own
        blocks = (
            rounded(matrix, block, bits, symmetric)
            if factor is None
            else rounded_for(matrix, block, bits, symmetric, factor)
        )
        self.made[self.key(node, bits)] = packed(blocks) if self.own else signed(blocks, len(matrix))

    def key(self, node: Node, bits: int) -> Key:
        calibrated = self.config.rounding == "calibrated" and bits == self.bits
        return bits, node.inputs[1].name, node.inputs[0].name if calibrated else ""

    def put_in(self, model: Model, nodes: list[Node], raised: Collection[str] = ()) -> None:
        """Stores the weights of the products among ``nodes`` in blocks. Changes the model in place.

        Args:
            raised: names of the products whose weights get 8 bits, even if the options say 4.
        """
        graph, taken = model.graph, names_in(model.graph)
        held: dict[Key, list[Constant]] = {}
        floats: dict[Key, Variable] = {}
        chosen = [(n, 8 if n.name in raised else self.bits) for n in nodes if n.name in self.products]
        missing = {self.key(n, bits): (n, bits) for n, bits in chosen if self.key(n, bits) not in self.made}
        side_by_side(lambda told: self.make(*told, None), missing.values())
        for node, bits in chosen:
            key = self.key(node, bits)
            if key not in held:
                name = node.inputs[1].name
                parts = self.made[key].items()
                held[key] = [Constant(unused_name(f"{name}/{kind}", taken), value) for kind, value in parts]
            if self.own:
                as_n_bits(node, held[key], self.config, bits)
                continue
            if key not in floats:
                floats[key] = dequantized(graph, held[key], node.inputs[1], self.config.block or 0, taken)
            node.inputs[1] = floats[key]
        keep_weights(graph)
        for key, constants in held.items():
            self.made[key] = {kind: c._values for kind, c in zip(self.made[key], constants, strict=True)}


def with_input(name: str, nodes: list[Node]) -> list[Node]:
    """The products that read the tensor ``name``, one product for each weight."""
    return list({n.inputs[1].name: n for n in nodes if n.inputs[0].name == name}.values())


def rounds_of(nodes: list[Node]) -> Iterator[list[Node]]:
    """Yields the products in order, in groups. The second moments of a group's inputs fit in memory together."""
    held: dict[str, int] = {}
    now: list[Node] = []
    for node in nodes:
        size = 4 * int(node.inputs[1].shape[0]) ** 2
        source = node.inputs[0].name
        if source not in held and now and sum(held.values()) + size > MOST_MOMENTS:
            yield now
            held, now = {}, []
        held[source] = size
        now.append(node)
    if now:
        yield now


def as_n_bits(node: Node, weights: list[Constant], config: QuantizeOptions, bits: int) -> None:
    """Turns a product into MatMulNBits (onnxruntime's ContribOperators.md). Changes the node in place."""
    rows, columns = (int(size) for size in node.inputs[1].shape)
    node.inputs = [node.inputs[0], *weights]
    node.op, node.domain = "MatMulNBits", "com.microsoft"
    node.attrs = {"K": rows, "N": columns, "bits": bits, "block_size": config.block}
    level = INTEGER_PRODUCTS if config.products == "int8" else FLOAT_PRODUCTS
    if level:
        node.attrs["accuracy_level"] = level


def packed(blocks: Blocks) -> dict[str, Any]:
    """The constant inputs of MatMulNBits, by kind.

    These are weights [N, blocks, bytes of a block], scales [N * blocks] and zero points, flat. A byte contains two
    values of 4 bits.
    """
    q = np.ascontiguousarray(blocks.q.transpose(2, 0, 1))
    zero = np.ascontiguousarray(blocks.zero.T)
    if blocks.bits == 4:
        q = q[..., ::2] | q[..., 1::2] << 4
        zero = np.pad(zero, ((0, 0), (0, zero.shape[1] % 2)))
        zero = zero[:, ::2] | zero[:, 1::2] << 4
    return {f"int{blocks.bits}": q, "scale": blocks.scale.T.ravel(), "zero": zero.ravel()}


def signed(blocks: Blocks, rows: int) -> dict[str, Any]:
    """The constant inputs of DequantizeLinear: weights [K, N] from -8 to 7, as ONNX's int4, and scales [blocks, N]."""
    values = (blocks.q.astype(np.int8) - 8).reshape(-1, blocks.q.shape[2])[:rows]
    return {"int4": gs.ir.tensor.LazyValues(onnx.numpy_helper.from_array(values.astype(int4))), "scale": blocks.scale}


def dequantized(graph: Graph, parts: list[Constant], weight: Tensor, block: int, taken: set[str]) -> Variable:
    """Adds a DequantizeLinear with blocks along the rows of a weight. Returns its output, the float weight."""
    output = Variable(unused_name(f"{weight.name}/float", taken), np.float32, list(weight.shape))
    graph.nodes.append(Node("DequantizeLinear", output.name, {"axis": 0, "block_size": block}, parts, [output]))
    return output
