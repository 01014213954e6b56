# onnx-graphsurgeon ships no types; these are of what graphc uses.
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

class Tensor:
    name: str
    inputs: list[Node]
    outputs: list[Node]
    dtype: Any
    shape: Any
    type: str
    values: Any
    _values: Any
    def to_constant(self, values: Any) -> Constant: ...
    def to_variable(self, dtype: Any = ..., shape: Any = ...) -> Variable: ...

class Variable(Tensor):
    exact_type: Any
    def __init__(self, name: str, dtype: Any = ..., shape: Any = ..., type: str = ...) -> None: ...
    @staticmethod
    def empty() -> Variable: ...

class Constant(Tensor):
    def __init__(self, name: str, values: Any, data_location: int | None = ...) -> None: ...

class Node:
    class AttributeRef: ...
    op: str
    name: str
    attrs: dict[str, Any]
    domain: str | None
    @property
    def inputs(self) -> list[Tensor]: ...
    @inputs.setter
    def inputs(self, value: Sequence[Tensor]) -> None: ...
    @property
    def outputs(self) -> list[Tensor]: ...
    @outputs.setter
    def outputs(self, value: Sequence[Tensor]) -> None: ...
    def __init__(
        self,
        op: str,
        name: str | None = ...,
        attrs: Mapping[str, Any] | None = ...,
        inputs: Sequence[Tensor] = ...,
        outputs: Sequence[Tensor] = ...,
        domain: str | None = ...,
    ) -> None: ...

class Graph:
    nodes: list[Node]
    inputs: list[Tensor]
    outputs: list[Tensor]
    name: str
    doc_string: str
    opset: int
    import_domains: Any
    producer_name: str
    producer_version: str
    ir_version: int | None
    functions: list[Any]
    def __init__(
        self,
        nodes: Sequence[Node] = ...,
        inputs: Sequence[Tensor] = ...,
        outputs: Sequence[Tensor] = ...,
        name: str | None = ...,
        doc_string: str | None = ...,
        opset: int | None = ...,
        import_domains: Any = ...,
        producer_name: str | None = ...,
        producer_version: str | None = ...,
        ir_version: int | None = ...,
    ) -> None: ...
    def tensors(self) -> dict[str, Tensor]: ...
    def copy(self, tensor_map: Mapping[str, Tensor] | None = ...) -> Graph: ...

logger: Any
ir: Any

def import_onnx(onnx_model: onnx.ModelProto) -> Graph: ...
def export_onnx(graph: Graph, do_type_check: bool = ...) -> onnx.ModelProto: ...
