"""Prepares an offline model as the reference: the roles of inputs, the batch, and the free axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import onnx

from graphc.contract.length import Length
from graphc.errors import SpecError
from graphc.offline.reference import Offline
from graphc.offline.relax import relax
from graphc.spec.input_roles import (
    CountsRole,
    MaskRole,
    Port,
    Role,
    StateRole,
    StaticRole,
    StepRole,
    StreamRole,
    check_ports,
    graph_ports,
    infer_stream_axes,
)
from graphc.spec.nearest import nearest
from graphc.spec.spec_file import SpecFile
from graphc.spec.stream_schema import InputSpec, StreamSpec


def offline_of(model: onnx.ModelProto, stream: StreamSpec, spec: SpecFile | None = None) -> Offline:
    """The offline model, prepared as a spec's stream section says.

    Errors:
        SpecError: a name is not an input, an axis is out of range, roles cannot be inferred, or no input has an axis
            for the batch.
        ModelError: a port is not a tensor of numbers.
    """
    check_ports(model)
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    for name, entry in (stream.inputs or {}).items():
        fix_sizes(prepared, name, entry, spec)
    ports, outputs = graph_ports(prepared)
    roles = roles_of(stream, ports, outputs, spec)
    batch_axes = batch_axes_of(ports, roles, stream.batch)
    if stream.batch > 1 and not batch_axes and stream.clocks == "shared":
        reason = f"no input has a batch axis, neither a symbolic one nor one of size {stream.batch}"
        hint = "export the model with a symbolic batch dim"
        keys = ("stream", "batch")
        raise spec.error(keys, reason, hint) if spec else SpecError(f"{'.'.join(keys)}: {reason}", hint=hint)
    declared = relax(prepared, roles, stream.batch)
    return Offline(prepared, roles, stream.batch, declared, batch_axes=batch_axes)


def fix_sizes(model: onnx.ModelProto, name: str, entry: InputSpec, spec: SpecFile | None) -> None:
    """Sets the open axes of an input to the sizes in the spec.

    Errors:
        SpecError: the input lacks the axis, the axis is time, or the model declares another size for it.
    """
    port = next((p for p in model.graph.input if p.name == name), None)
    for axis, size in entry.sizes.items() if port is not None else ():
        assert port is not None
        dims = port.type.tensor_type.shape.dim
        reason = None
        if axis >= len(dims) or axis == entry.axis:
            reason = (
                f"the input has only {len(dims)} axes"
                if axis >= len(dims)
                else "this axis is time, whose size is not fixed"
            )
        elif dims[axis].HasField("dim_value") and dims[axis].dim_value != size:
            reason = f"the model fixes the size of axis {axis} at {dims[axis].dim_value}"
        if reason is not None:
            keys: tuple[str | int, ...] = ("stream", "inputs", name, "sizes", axis)
            raise spec.error(keys, reason) if spec else SpecError(f"{'.'.join(map(str, keys))}: {reason}")
        dims[axis].dim_value = size


def batch_axes_of(ports: Sequence[Port], roles: Mapping[str, Role], batch: int) -> dict[str, int]:
    """The axis of each input that holds the batch: a symbolic axis that is not time, else one of the batch's size."""
    free: dict[str, int] = {}
    sized: dict[str, int] = {}
    for port in ports:
        role = roles[port.name]
        if not isinstance(role, StreamRole | StepRole | StaticRole):
            continue
        others = [a for a in range(len(port.dims)) if not (isinstance(role, StreamRole) and a == role.axis)]
        symbolic = [a for a in others if not isinstance(port.dims[a], int)]
        if symbolic:
            free[port.name] = symbolic[0]
        elif any(port.dims[a] == batch for a in others):
            sized[port.name] = next(a for a in others if port.dims[a] == batch)
    streams = {name for name, role in roles.items() if isinstance(role, StreamRole | StepRole)}
    return free if streams & set(free) else sized


def roles_of(stream: StreamSpec, ports: list[Port], outputs: list[Port], spec: SpecFile | None) -> dict[str, Role]:
    def complain(keys: tuple[str | int, ...], reason: str, hint: str | None = None) -> SpecError:
        return spec.error(keys, reason, hint) if spec else SpecError(f"{'.'.join(map(str, keys))}: {reason}", hint=hint)

    names = [p.name for p in ports]
    roles: dict[str, Role] = {}
    for index, state in enumerate(stream.states):
        for key, name, known in (("input", state.input, names), ("output", state.output, [p.name for p in outputs])):
            if name not in known:
                raise complain(
                    ("stream", "states", index, key), f"the model has no {key} '{name}'", nearest(name, known)
                )
        if state.input in roles:
            raise complain(("stream", "states", index, "input"), f"'{state.input}' is named twice")
        roles[state.input] = StateRole(state.output, state.init)
    free = [p for p in ports if p.name not in roles]
    if not free:
        raise complain(("stream", "states"), "every input is listed as a state, so none is a stream")
    if stream.inputs is None:
        axes = infer_stream_axes(free)
        given = {name: InputSpec(axis=axis) for name, axis in axes.items()}
    else:
        given = stream.inputs
    for name, entry in given.items():
        keys = ("stream", "inputs", name)
        if name not in names:
            raise complain(keys, f"the model has no input '{name}'", nearest(name, names))
        if name in roles:
            raise complain(keys, f"'{name}' is already a state")
        roles[name] = role_of(entry, next(p for p in ports if p.name == name), given, complain, keys)
    first = next((r for r in roles.values() if isinstance(r, StreamRole | StepRole)), None)
    if first is None:
        raise complain(
            ("stream", "inputs"), "none of these inputs is a stream", "give one of them an axis, or step: true"
        )
    if first.rate != 1:
        name = next(n for n, r in roles.items() if r is first)
        reason = f"'{name}' is the first stream input, whose rate is always 1, not {first.rate}"
        hint = "leave its rate out; each other rate counts frames for one frame of it"
        raise complain(("stream", "inputs"), reason, hint)
    for port in free:
        roles.setdefault(port.name, StaticRole())
    return {name: roles[name] for name in names}


def role_of(entry: InputSpec, port: Port, given: Mapping[str, InputSpec], complain: Any, keys: tuple[str, ...]) -> Role:
    low, high = entry.range or (None, None)
    if entry.axis is not None:
        rank = len(port.dims)
        if not -rank <= entry.axis < rank:
            raise complain((*keys, "axis"), f"the input {list(port.dims)} has no axis {entry.axis}")
        return StreamRole(entry.axis % rank, Fraction(entry.rate), low, high)
    if entry.step:
        return StepRole(low, high)
    if entry.counts is not None:
        if entry.counts not in given or given[entry.counts].axis is None:
            streams = [name for name, other in given.items() if other.axis is not None]
            raise complain((*keys, "counts"), f"'{entry.counts}' is not a stream input", nearest(entry.counts, streams))
        return CountsRole(entry.counts)
    if entry.mask is not None:
        if len(port.dims) < 2:
            raise complain(
                (*keys, "mask"), f"a mask needs axes for queries and keys, and this input has {len(port.dims)} axes"
            )
        mask = entry.mask
        length = Length(tuple((step.mul, step.add, step.div) for step in mask.length))
        return MaskRole(mask.left, mask.right, mask.block, length, mask.seen, mask.unseen)
    return StaticRole(low, high)
