"""Builds the streaming model from an analysis: the graph of one call, and its signature."""

from __future__ import annotations

import math
from dataclasses import replace

from graphc.contract.signature import Signature, StatePort, StreamOutput
from graphc.ir.graph import Constant, Graph, Tensor, drop_dead, name_of, names_in, reads, sorted_nodes
from graphc.ir.model import Model, frame_of
from graphc.offline.reference import Offline
from graphc.stream.canonical.old_opsets import without_new_ops
from graphc.stream.changed_ports import changed_outputs, dropped_inputs
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder, finished
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.options import DEFAULT, ONE_SIZE_HINT, LiftOptions
from graphc.stream.modes.dynamic_chunk import SAMPLES, generalised
from graphc.stream.modes.quantized_weights import kept_integers
from graphc.stream.propagation.analysis import Analysis, analyse
from graphc.stream.streaming_ports import (
    given_states,
    input_tensors,
    is_state,
    kept_inputs,
    name_outputs,
    output_tensors,
    stream_input,
)
from graphc_runtime.errors import StreamError

MOST_LENGTHS = 100_000


def lift(analysis: Analysis, frame_ms: float | None = None) -> Model:
    """The streaming model, in which every state is an explicit pair of ports.

    Errors:
        StreamError: no output of the model can be streamed.
    """
    model, _ = lifted(analysis, frame_ms)
    without_new_ops(model.graph, analysis.evaluation.graph)
    return model


def lift_dynamic(
    offline: Offline,
    settings: LiftOptions = DEFAULT,
    frame_ms: float | None = None,
    evaluation: Evaluation | None = None,
) -> Model:
    """The streaming model whose calls take any multiple of the smallest chunk.

    Errors:
        StreamError: ``lift`` refuses the model, or no single graph fits every chunk size.
    """
    smallest = analyse(offline, None, evaluation, settings)
    grid = smallest.chunk_multiple
    alike = replace(settings, grid=grid)
    lifts = [lifted(analyse(offline, grid * n, smallest.evaluation, alike), frame_ms) for n in SAMPLES]
    model, multiples = lifts[0]
    signature = model.signature
    assert signature is not None
    assert multiples is not None
    if any(other.signature is None or other.signature.ports != signature.ports for other, _ in lifts):
        raise StreamError("the model's delays or states differ between chunk sizes", hint=ONE_SIZE_HINT)
    model.graph = generalised([m.graph for m, _ in lifts], multiples)
    for ports, entries in ((model.graph.inputs, signature.inputs), (model.graph.outputs, signature.outputs)):
        entry_of = {e.name: e for e in entries}
        for port in ports:
            entry = entry_of.get(port.name)
            if entry is not None and entry.axis is not None:
                port.shape = [f"chunk*{entry.rate}" if a == entry.axis else s for a, s in enumerate(port.shape)]
    model.signature = replace(signature, chunk=None)
    without_new_ops(model.graph, smallest.evaluation.graph)
    return model


def lifted(analysis: Analysis, frame_ms: float | None) -> tuple[Model, Tensor | None]:
    """The streaming model, and the number of smallest chunks in a call as a tensor (None if all calls are one size)."""
    graph = analysis.evaluation.graph
    settings = analysis.settings
    builder = Builder(analysis.chunk, names_in(graph), settings.grid, settings.ports)
    tensors = input_tensors(analysis)
    builder.tensors = tensors
    multiples = count_multiples(builder, analysis) if builder.grid is not None else None
    weights: dict[str, Constant] = {}
    for placed in analysis.steps:
        builder.node = name_of(placed.node)
        inputs = [chunk_input(t, analysis, builder, weights) for t in placed.inputs]
        results = placed.step.emit(builder, inputs)
        for offline_tensor, result in zip(placed.outputs, results, strict=False):
            if offline_tensor.name and result is not None:
                tensors[offline_tensor.name] = result
    outputs, ports = output_tensors(analysis, builder, tensors)
    if ends_with_last_chunk(ports, analysis.settings.grid or analysis.chunk):
        builder.count_by_clock()
    streaming = Graph(
        nodes=[],
        inputs=[tensors[n] for n in kept_inputs(analysis)],
        outputs=outputs,
        name=graph.name,
        doc_string=graph.doc_string,
        opset=graph.opset,
        import_domains=graph.import_domains,
        producer_name=graph.producer_name,
        producer_version=graph.producer_version,
        ir_version=graph.ir_version,
    )
    finished(builder, streaming)
    streaming.nodes = sorted_nodes(streaming)
    states = list(builder.states) + given_states(analysis)
    states, unused = live(streaming, states)
    renamed, dropped = changed_outputs(
        analysis.offline, analysis.facts, analysis.evaluation.known, tensors, streaming, states, [p.name for p in ports]
    )
    drop_ports(streaming, unused)
    drop_dead(streaming, [multiples] if multiples is not None else [])
    name_outputs(streaming, ports)
    valid = next((t.name for t in streaming.inputs if t is builder.valid_frames), None)
    signature = Signature(
        chunk=analysis.chunk,
        chunk_multiple=analysis.chunk_multiple,
        inputs=tuple(stream_input(analysis, name) for name in kept_inputs(analysis) if not is_state(analysis, name)),
        outputs=tuple(ports),
        states=tuple(states),
        valid_frames=valid,
        max_frames=analysis.promise.max_frames,
        min_frames=analysis.promise.min_frames,
        continues=analysis.promise.continues,
        tried=tuple(analysis.promise.tried),
        frame_ms=frame_ms,
        renamed=renamed,
        dropped={**dropped_inputs(analysis.offline), **dropped},
    )
    return Model(streaming, frame_of(analysis.offline.model), signature), multiples


def ends_with_last_chunk(ports: list[StreamOutput], chunk: int) -> bool:
    """Whether the call that gets the last frames of a stream also returns the last frames of every output."""
    streams = [p for p in ports if p.axis is not None]
    period = math.lcm(chunk, *(div for p in streams for _, _, div in p.length.steps))
    lengths = range(1, 2 * period + chunk + 1)
    if len(lengths) > MOST_LENGTHS:
        return False
    return all(p.delay == 0 and p.length(n) <= -(-n // chunk) * chunk * p.rate for p in streams for n in lengths)


def count_multiples(builder: Builder, analysis: Analysis) -> Tensor:
    """The tensor with the number of smallest chunks in a call, computed from the shape of the first stream input."""
    name = next(n for n in kept_inputs(analysis) if isinstance(analysis.facts[n], Stream))
    fact = analysis.facts[name]
    assert isinstance(fact, Stream)
    assert builder.grid is not None
    builder.node = "calls"
    frames = builder.slice(builder.one("Shape", builder.tensors[name]), 0, fact.axis, fact.axis + 1, hint="frames")
    smallest = frames_in_chunk(builder.grid, fact)
    found = builder.one("Div", frames, builder.constant([smallest]), hint="multiples")
    builder.memo["multiples"] = found
    return found


def chunk_input(tensor: Tensor, analysis: Analysis, builder: Builder, weights: dict[str, Constant]) -> Tensor | None:
    """The tensor that one call reads in place of an offline tensor.

    None if the offline tensor is an omitted input, or if its value changes with the length of the stream.
    """
    if not tensor.name:
        return None
    if tensor.name in builder.tensors:
        return builder.tensors[tensor.name]
    if isinstance(tensor, Constant):
        if tensor.name not in weights:
            weights[tensor.name] = Constant(tensor.name, tensor._values)
        return weights[tensor.name]
    known = analysis.evaluation.known.get(tensor.name)
    if known is None or known.steady is None:
        return None
    kept = kept_integers(tensor, known.steady, analysis.evaluation, builder)
    if kept is not None:
        builder.tensors[tensor.name] = kept
        return kept
    return builder.constant(known.steady, tensor.name + "/value")


def live(graph: Graph, states: list[StatePort]) -> tuple[list[StatePort], list[StatePort]]:
    """The states that an output depends on, directly or through another state, with all given states; and the rest."""
    outputs = {t.name: t for t in graph.outputs}
    made_by = {t.name: n for n in graph.nodes for t in n.outputs}
    pairs = {s.input: s for s in states}
    state_outputs = {s.output for s in states if s.kind != "given"}
    waiting = [name for name in outputs if name not in state_outputs]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        if name in pairs:
            waiting.append(pairs[name].output)
        if name in made_by:
            waiting += [t.name for t in reads(made_by[name])]
    kept = [s for s in states if s.input in reached or s.kind == "given"]
    names = {s.input for s in kept}
    return kept, [s for s in states if s.input not in names]


def drop_ports(graph: Graph, unused: list[StatePort]) -> None:
    names = {s.input for s in unused} | {s.output for s in unused}
    graph.outputs = [t for t in graph.outputs if t.name not in names]
    read = {t.name for n in graph.nodes for t in n.inputs}
    graph.inputs = [t for t in graph.inputs if t.name not in names and (t.name in read or t.name != "valid_frames")]
