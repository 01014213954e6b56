"""The ports of a streaming model: its inputs, outputs and given states."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from graphc.contract.signature import StatePort, StreamInput, StreamOutput
from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable
from graphc.spec.input_roles import TIME_ONLY, StateRole, StreamRole
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.propagation.analysis import Analysis
from graphc_runtime.errors import StreamError


def input_tensors(analysis: Analysis) -> dict[str, Tensor]:
    """The input tensors of one call, by name, each with a fixed shape."""
    tensors: dict[str, Tensor] = {}
    for name in kept_inputs(analysis):
        fact = analysis.facts[name]
        assert isinstance(fact, Stream | Untimed)
        shape = list(fact.shape)
        if isinstance(fact, Stream):
            shape[fact.axis] = int(analysis.chunk * fact.rate)
        tensors[name] = Variable(name, fact.dtype, shape)
    return tensors


def kept_inputs(analysis: Analysis) -> list[str]:
    return [name for name, role in analysis.offline.roles.items() if not isinstance(role, TIME_ONLY)]


def is_state(analysis: Analysis, name: str) -> bool:
    return isinstance(analysis.offline.roles[name], StateRole)


def stream_input(analysis: Analysis, name: str) -> StreamInput:
    role = analysis.offline.roles[name]
    return StreamInput(name, role.axis, role.rate) if isinstance(role, StreamRole) else StreamInput(name)


def output_tensors(
    analysis: Analysis, builder: Builder, tensors: dict[str, Tensor]
) -> tuple[list[Tensor], list[StreamOutput]]:
    """The outputs of one call, and their ports.

    Outputs that count frames, that are final states or that return an input unchanged are left out.

    Errors:
        StreamError: no output is left.
    """
    results: list[Tensor] = []
    ports: list[StreamOutput] = []
    given = {role.output for role in analysis.offline.roles.values() if isinstance(role, StateRole)}
    for port in analysis.evaluation.graph.outputs:
        fact = analysis.facts.get(port.name)
        builder.node = port.name
        if port.name in analysis.offline.roles:
            continue
        if isinstance(fact, Stream):
            delay = max(fact.delay, 0)
            tensor = builder.delayed(tensors[port.name], fact, delay)
            shape = [builder.frames(fact) if a == fact.axis else s for a, s in enumerate(fact.shape)]
            ports.append(StreamOutput(port.name, fact.axis, Fraction(fact.rate), delay, fact.length))
            results.append(renamed(builder, tensor, port.name, fact.dtype, shape))
        elif isinstance(fact, Untimed):
            if port.name in given or fact.origin is not UntimedOrigin.FINAL:
                if port.name not in given:
                    ports.append(StreamOutput(port.name))
                results.append(renamed(builder, tensors[port.name], port.name, fact.dtype, list(fact.shape)))
        else:
            known = analysis.evaluation.known.get(port.name) or constant_output(port)
            if known is not None and known.steady is not None and not counts_frames(known, analysis):
                value = np.asarray(known.steady)
                ports.append(StreamOutput(port.name))
                results.append(renamed(builder, builder.constant(value), port.name, value.dtype, list(value.shape)))
    if not ports:
        raise StreamError(
            "no output of the model has a value for each frame of the stream",
            hint="export an output with a value for each frame, or set stream.window to compute over the last N frames",
        )
    return results, ports


def constant_output(port: Tensor) -> TimeConstant | None:
    return TimeConstant((port.values,)) if isinstance(port, Constant) else None


def counts_frames(known: TimeConstant, analysis: Analysis) -> bool:
    """Whether an output is treated as a frame count: one integer, in a model that was evaluated at one length only."""
    value = known.values[0]
    return len(analysis.evaluation.lengths) == 1 and value.dtype.kind in "iu" and value.size == 1


def renamed(builder: Builder, tensor: Tensor, name: str, dtype: np.dtype[np.generic], shape: list[int]) -> Variable:
    """A copy of a tensor, by an Identity node, that becomes the output ``name``."""
    output = Variable(f"{name}/output", dtype, shape)
    builder.nodes.append(Node("Identity", f"{name}/output", inputs=[tensor], outputs=[output]))
    return output


def name_outputs(graph: Graph, ports: list[StreamOutput]) -> None:
    """Gives the outputs their names in the offline model, and renames inner tensors that have these names already."""
    wanted = {t.name: t.name.removesuffix("/output") for t in graph.outputs if t.name.endswith("/output")}
    taken = set(wanted.values())
    seen: set[int] = set()
    for node in graph.nodes:
        for tensor in [*node.inputs, *node.outputs]:
            if id(tensor) not in seen and tensor.name in taken and tensor not in graph.inputs:
                tensor.name = f"{tensor.name}/inner"
            seen.add(id(tensor))
    for tensor in graph.outputs:
        tensor.name = wanted.get(tensor.name, tensor.name)


def given_states(analysis: Analysis) -> list[StatePort]:
    """The states that are already ports in the offline model."""
    found: list[StatePort] = []
    for name, role in analysis.offline.roles.items():
        if isinstance(role, StateRole):
            fact = analysis.facts[name]
            assert isinstance(fact, Untimed)
            found.append(StatePort(name, role.output, np.full(fact.shape, role.init, fact.dtype), "given", name))
    return found
