"""Joins stages into one streaming model: a call's output of one stage is the next stage's input in the same call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
from onnx import helper, numpy_helper

from graphc.contract.length import Length
from graphc.contract.signature import Signature, StatePack, StatePort, StreamInput, StreamOutput
from graphc.errors import PassError
from graphc.ir.functions.inline_functions import inline_local_functions
from graphc.ir.model import Model
from graphc.pipelines.links import Link
from graphc.spec.spec_file import PipelineFile

DEFAULT = ("", "ai.onnx")


def merged(
    file: PipelineFile, stages: Mapping[str, tuple[Model, onnx.ModelProto]], links: Sequence[Link]
) -> tuple[Model, onnx.ModelProto]:
    """Joins several streaming models into one.

    Tensors and states of a stage are named STAGE/NAME. Inputs and outputs have the names that the pipeline gives them.

    Errors:
        SpecError: no stage gives an output that the pipeline names.
        PassError: the stages cannot be brought to one opset.
    """
    protos = alike({name: with_prefix(proto, name) for name, (_, proto) in stages.items()})
    made = onnx.ModelProto()
    made.ir_version = max(p.ir_version for p in protos.values())
    opsets: dict[str, int] = {}
    for proto in protos.values():
        for entry in proto.opset_import:
            opsets[entry.domain] = max(opsets.get(entry.domain, 0), entry.version)
    made.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in opsets.items())
    graph = made.graph
    graph.name = "pipeline"
    ports = {p.name: p for proto in protos.values() for p in [*proto.graph.input, *proto.graph.output]}
    linked = {f"{link.stage}/{link.entry.name}": link for link in links}
    for proto in protos.values():
        for port in proto.graph.input:
            link = linked.get(port.name)
            if link is None:
                graph.input.append(port)
                continue
            if link.source is None:
                graph.input.append(
                    helper.make_tensor_value_info(link.name, port.type.tensor_type.elem_type, link.taken)
                )
            write_link(graph, link, port.name)
        graph.node.extend(proto.graph.node)
        graph.initializer.extend(proto.graph.initializer)
        graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    outputs = outputs_of(file, stages)
    for name, (stage, output) in outputs.items():
        graph.node.append(helper.make_node("Identity", [f"{stage}/{output}"], [name], name))
        port = onnx.ValueInfoProto()
        port.CopyFrom(ports[f"{stage}/{output}"])
        port.name = name
        graph.output.append(port)
    signature = merged_signature({n: m for n, (m, _) in stages.items()}, links, outputs)
    graph.output.extend(ports[s.output] for s in signature.states)
    return Model.of(made, signature), made


def with_prefix(proto: onnx.ModelProto, stage: str) -> onnx.ModelProto:
    """A model with its stage as a prefix of every name, and with functions inlined."""
    inlined = inline_local_functions(proto) if proto.functions else proto
    return onnx.compose.add_prefix(inlined, f"{stage}/")


def alike(protos: Mapping[str, onnx.ModelProto]) -> dict[str, onnx.ModelProto]:
    """The models, converted to the latest opset among them.

    Errors:
        PassError: onnx cannot convert one of the models.
    """
    versions = {n: next(o.version for o in p.opset_import if o.domain in DEFAULT) for n, p in protos.items()}
    latest = max(versions.values())
    found = {}
    for name, proto in protos.items():
        try:
            found[name] = proto if versions[name] == latest else onnx.version_converter.convert_version(proto, latest)
        except Exception as err:
            raise PassError(
                f"the stage '{name}' is at opset {versions[name]}, another at {latest}, and onnx cannot convert it: "
                f"{' '.join(str(err).split())[:200]}",
                hint="export the models at one opset",
            ) from err
    return found


def write_link(graph: onnx.GraphProto, link: Link, target: str) -> None:
    """Writes the nodes that compute an input from an output of an earlier stage, or from an input of the pipeline."""
    value = link.name if link.source is None else f"{link.source[0]}/{link.source[1].name}"
    steps: list[tuple[str, str, dict[str, list[int]]]] = []
    shape = link.shape
    if link.spec.permutation is not None:
        steps.append(("Transpose", "", {"perm": list(link.spec.permutation)}))
        shape = tuple(shape[a] for a in link.spec.permutation)
    if shape != link.taken:
        graph.initializer.append(numpy_helper.from_array(np.array(link.taken, np.int64), f"{target}/shape"))
        steps.append(("Reshape", f"{target}/shape", {}))
    dtype = helper.tensor_dtype_to_np_dtype(helper.np_dtype_to_tensor_dtype(np.dtype(link.entry.dtype)))
    for op, number, neutral in (("Mul", link.spec.scale, 1.0), ("Add", link.spec.offset, 0.0)):
        if number != neutral:
            name = f"{target}/{op.lower()}"
            graph.initializer.append(numpy_helper.from_array(np.array(number, dtype), name))
            steps.append((op, name, {}))
    for place, (op, operand, attributes) in enumerate(steps or [("Identity", "", {})]):
        result = target if place >= len(steps) - 1 else f"{target}/{place}"
        inputs = [value, operand] if operand else [value]
        graph.node.append(helper.make_node(op, inputs, [result], f"{target}/link{place}", **attributes))
        value = result


def outputs_of(file: PipelineFile, stages: Mapping[str, tuple[Model, onnx.ModelProto]]) -> dict[str, tuple[str, str]]:
    """For each output of the pipeline, the stage and the stage's output that give it.

    Errors:
        SpecError: a stage or output is unknown.
    """
    given = {}
    for name, (model, _) in stages.items():
        assert model.signature is not None
        given[name] = [o.name for o in model.signature.outputs]
    last = list(stages)[-1]
    asked = file.spec.pipeline.outputs or {name: f"{last}.{name}" for name in given[last]}
    found = {}
    for name, source in asked.items():
        stage, _, output = source.partition(".")
        if output not in given.get(stage, []):
            known = ", ".join(f"{s}.{o}" for s, outputs in given.items() for o in outputs)
            raise file.error(
                ("pipeline", "outputs", name), f"no stage has the output '{source}'; the outputs are {known}"
            )
        found[name] = (stage, output)
    return found


def merged_signature(
    models: Mapping[str, Model], links: Sequence[Link], outputs: Mapping[str, tuple[str, str]]
) -> Signature:
    """The signature of the joined model. Its frames are those of the first stage's stream."""
    signatures = {name: model.signature for name, model in models.items() if model.signature is not None}
    lengths = frames_of_stages(signatures, links)
    first = next(iter(signatures.values()))
    assert first.chunk is not None
    inputs = {i.name: i for i in first.inputs}
    entries = tuple(
        StreamInput(link.name, inputs[link.entry.name].axis, inputs[link.entry.name].rate)
        for link in links
        if link.source is None
    )
    states: list[StatePort] = []
    longest: list[int] = []
    shapes: dict[str, tuple[int, ...]] = {link.name: link.taken for link in links if link.source is None}
    for stage, signature in signatures.items():
        assert signature.chunk is not None
        states += [prefixed(s, stage) for s in signature.states]
        shapes |= {f"{stage}/{name}": shape for name, shape in signature.shapes.items()}
        if signature.max_frames is not None:
            longest.append(signature.max_frames * first.chunk // signature.chunk)
    (alone, only) = next(iter(signatures.items())) if len(signatures) == 1 else ("", None)
    found = []
    for name, (stage, output) in outputs.items():
        signature = signatures[stage]
        assert signature.chunk is not None
        port = next(o for o in signature.outputs if o.name == output)
        calls = Fraction(signature.chunk, first.chunk)
        length = behind(lengths[stage], port.length)
        found.append(StreamOutput(name, port.axis, port.rate * calls, port.delay, length, port.step))
        if output in signature.shapes:
            shapes[name] = signature.shapes[output]
    return Signature(
        chunk=first.chunk,
        chunk_multiple=first.chunk,
        inputs=entries,
        outputs=tuple(found),
        states=tuple(states),
        valid_frames=f"{alone}/{only.valid_frames}" if only is not None and only.valid_frames else None,
        min_frames=1 if only is None else only.min_frames,
        max_frames=min(longest, default=None),
        continues=all(s.continues for s in signatures.values()),
        frame_ms=first.frame_ms,
        shapes=shapes,
    )


def frames_of_stages(signatures: Mapping[str, Signature], links: Sequence[Link]) -> dict[str, Length]:
    """The number of frames of each stage's stream, as a function of the pipeline's frames."""
    found: dict[str, Length] = {}
    for stage, signature in signatures.items():
        link = next(k for k in links if k.stage == stage and k.entry.is_stream)
        if link.source is None:
            found[stage] = Length()
            continue
        source, port = link.source
        given = next(o for o in signatures[source].outputs if o.name == port.name)
        calls = Length().then(1, 0, signatures[source].chunk or 1).then(signature.chunk or 1, 0, 1)
        found[stage] = behind(found[source], calls if given.axis is None else given.length)
    return found


def behind(first: Length, second: Length) -> Length:
    """Composes two length formulas: applies ``second`` to the result of ``first``."""
    for step in second.steps:
        first = first.then(*step)
    return first


def prefixed(state: StatePort, stage: str) -> StatePort:
    """A state of a stage, with its names in the joined model."""
    pack = state.pack and StatePack(
        state.pack.axis,
        tuple(
            replace(p, input=f"{stage}/{p.input}", output=f"{stage}/{p.output}", node=f"{stage}/{p.node}")
            for p in state.pack.parts
        ),
    )
    return replace(
        state,
        input=f"{stage}/{state.input}",
        output=f"{stage}/{state.output}",
        node=f"{stage}/{state.node}",
        pack=pack,
    )
