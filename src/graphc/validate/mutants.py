"""Compiled models with one fault each, which the validation must detect.

Real streaming converters have had faults like these: a cache that is a frame short, a mask that is shifted, inverted
or missing, a table of positions that restarts, a tail that is not masked, a state that is never carried, two states
that are swapped, a first value that is not the model's, a delay or a length that is off by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from graphc.ir.shapes import inferred_types
from graphc.validate.surgery import Parts, Surgery, with_graph
from graphc.validate.validation_streams import CONTEXTS
from graphc_runtime.contract.manifest import LengthStep, StateEntry

Array = NDArray[Any]
COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
CACHES = (*CONTEXTS, "overlap_add")


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Args:
        fault: the kind of fault.
        place: the state, node or output with the fault.
        parts: a function that makes the model with the fault.
    """

    fault: str
    place: str
    parts: Callable[[], Parts]

    @property
    def name(self) -> str:
        return f"{self.fault}: {self.place}"


def mutants_of(parts: Parts) -> list[Mutant]:
    """Every fault that can be injected into a compiled model, one at a time."""
    return [
        *states_not_carried(parts),
        *states_swapped(parts),
        *first_values_changed(parts),
        *caches_disturbed(parts),
        *clocks_disturbed(parts),
        *tails_unmasked(parts),
        *masks_disturbed(parts),
        *manifests_off_by_one(parts),
    ]


def states_not_carried(parts: Parts) -> Iterator[Mutant]:
    """For each state, a model in which every call begins with the state's first value."""
    for state in parts.manifest.states:
        first = parts.first[state.input]

        def change(surgery: Surgery, state: StateEntry = state, first: Array = first) -> None:
            surgery.behind_input(state.input, lambda s, name: s.constant(first))

        yield Mutant("never carried", state.input, with_graph(parts, change))


def states_swapped(parts: Parts) -> Iterator[Mutant]:
    """Swaps each state with the next one of the same shape and type."""
    alike: dict[tuple[Any, ...], list[StateEntry]] = {}
    for state in parts.manifest.states:
        alike.setdefault((tuple(state.shape), state.dtype), []).append(state)
    for group in alike.values():
        for one, other in itertools.pairwise(group):

            def make(one: StateEntry = one, other: StateEntry = other) -> Parts:
                swapped = {one.input: other.output, other.input: one.output}
                states = [replace(s, output=swapped.get(s.input, s.output)) for s in parts.manifest.states]
                return replace(parts, manifest=replace(parts.manifest, states=states))

            yield Mutant("swapped", f"{one.input} and {other.input}", make)


def first_values_changed(parts: Parts) -> Iterator[Mutant]:
    """Replaces first values: those that are all zeros by ones, all others by zeros."""
    for state in parts.manifest.states:
        first = parts.first[state.input]
        if not first.size:
            continue
        zeros = not np.any(first != 0)
        other = np.ones_like(first) if zeros else np.zeros_like(first)

        def make(state: StateEntry = state, other: Array = other) -> Parts:
            return replace(parts, first={**parts.first, state.input: other})

        yield Mutant("begins with ones" if zeros else "begins with zeros", state.input, make)


def caches_disturbed(parts: Parts) -> Iterator[Mutant]:
    """Caches without their oldest frame, and caches that lag by a frame."""
    for state in parts.manifest.states:
        axis = axis_of_cache(parts.proto, state)
        if axis is None:
            continue
        frames = state.shape[axis]
        first = parts.first[state.input]

        def short(s: Surgery, name: str, axis: int = axis, first: Array = first) -> str:
            younger = sliced(s, name, axis, 1, np.iinfo(np.int64).max)
            return s.node("Concat", [s.constant(first.take([0], axis=axis)), younger], axis=axis)

        def late(s: Surgery, name: str, axis: int = axis, first: Array = first) -> str:
            older = sliced(s, name, axis, 0, -1)
            return s.node("Concat", [s.constant(first.take([0], axis=axis)), older], axis=axis)

        faults = {"a frame short": short, **({"a frame late": late} if frames > 1 else {})}
        for fault, instead in faults.items():

            def change(surgery: Surgery, state: StateEntry = state, instead: Any = instead) -> None:
                surgery.behind_input(state.input, instead)

            yield Mutant(fault, state.input, with_graph(parts, change))


def sliced(surgery: Surgery, name: str, axis: int, start: int, end: int) -> str:
    ends = [surgery.constant(np.array([v], np.int64)) for v in (start, end, axis)]
    return surgery.node("Slice", [name, *ends])


def axis_of_cache(proto: onnx.ModelProto, state: StateEntry) -> int | None:
    """The axis along which a cache is concatenated with new frames. None if there is none."""
    if state.kind not in CACHES or not all(state.shape):
        return None
    names = {state.input}
    for node in proto.graph.node:
        if not names & set(node.input):
            continue
        if node.op_type in ("Identity", "Cast", "DequantizeLinear", "Split"):
            names |= set(node.output)
        elif node.op_type == "Concat":
            axis = int(helper.get_attribute_value(next(a for a in node.attribute if a.name == "axis")))
            return axis % len(state.shape)
    return None


def clocks_disturbed(parts: Parts) -> Iterator[Mutant]:
    """Clocks that run late or early, and nodes that read a clock as if every call were the first."""
    for state in parts.manifest.states:
        first = parts.first[state.input]
        if state.kind != "clock" or first.dtype.kind not in "iu":
            continue
        for amount in (1, -1):

            def change(surgery: Surgery, state: StateEntry = state, amount: int = amount) -> None:
                one = np.full(1, amount, parts.first[state.input].dtype)
                surgery.behind_input(state.input, lambda s, name: s.node("Add", [name, s.constant(one)]))

            yield Mutant(f"clock {amount:+d}", state.input, with_graph(parts, change))
        for reader in readers_of(parts.proto, state.input):

            def restart(surgery: Surgery, state: StateEntry = state, reader: onnx.NodeProto = reader) -> None:
                begun = parts.first[state.input]
                surgery.behind_input(state.input, lambda s, name: s.constant(begun), only=reader)

            yield Mutant("restarts in every call", place_of(reader), with_graph(parts, restart))


def readers_of(proto: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    return [n for n in proto.graph.node if name in n.input]


def place_of(node: onnx.NodeProto) -> str:
    return f"{node.output[0]} ({node.op_type})"


def tails_unmasked(parts: Parts) -> Iterator[Mutant]:
    """Models that treat every chunk as full."""
    name, chunk = parts.manifest.valid_frames, parts.manifest.chunk
    if name is None or chunk is None:
        return
    whole = np.full(parts.manifest.streams or 1, chunk, np.int64)
    for reader in readers_of(parts.proto, name):

        def change(surgery: Surgery, reader: onnx.NodeProto = reader) -> None:
            surgery.behind_input(name, lambda s, _: s.constant(whole), only=reader)

        yield Mutant("tail not masked", place_of(reader), with_graph(parts, change))


def masks_disturbed(parts: Parts) -> Iterator[Mutant]:
    """Masks computed from clocks or counts: inverted, always true, never true, or shifted by one either way."""
    types = inferred_types(parts.proto)
    counted = counted_tensors(parts)
    for node in parts.proto.graph.node:
        output = node.output[0]
        elem, _ = types.get(output, (None, None))
        if output not in counted or elem != onnx.TensorProto.BOOL:
            continue

        def inverted(s: Surgery, name: str) -> str:
            return s.node("Not", [name])

        def always(s: Surgery, name: str) -> str:
            return s.node("Or", [name, s.constant(np.array(True))])

        def never(s: Surgery, name: str) -> str:
            return s.node("And", [name, s.constant(np.array(False))])

        for fault, instead in (("inverted", inverted), ("always true", always), ("never true", never)):

            def change(surgery: Surgery, output: str = output, instead: Any = instead) -> None:
                surgery.behind_node(output, instead)

            yield Mutant(f"mask {fault}", place_of(node), with_graph(parts, change))
        operand, _ = types.get(node.input[0], (None, None)) if node.op_type in COMPARISONS else (None, None)
        if operand not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
            continue
        dtype = helper.tensor_dtype_to_np_dtype(operand)
        for amount in (1, -1):

            def shift(surgery: Surgery, output: str = output, amount: int = amount, dtype: Any = dtype) -> None:
                one = np.array(amount, dtype)
                surgery.before_input_of(output, 0, lambda s, name: s.node("Add", [name, s.constant(one)]))

            yield Mutant(f"mask shifted by {amount:+d}", place_of(node), with_graph(parts, shift))


def counted_tensors(parts: Parts) -> set[str]:
    """The tensors of the outer graph that depend on clocks and counts of valid frames, and on no data."""
    found = {s.input for s in parts.manifest.states if s.kind == "clock"}
    found |= {parts.manifest.valid_frames} - {None}  # type: ignore[arg-type]
    weights = {i.name for i in parts.proto.graph.initializer}
    plain = set(weights)
    for node in parts.proto.graph.node:
        inputs = {name for name in node.input if name}
        if inputs <= plain and inputs:
            plain |= set(node.output)
        elif inputs and inputs <= plain | found:
            found |= set(node.output)
    return found


def manifests_off_by_one(parts: Parts) -> Iterator[Mutant]:
    """Delays and lengths in the manifest that are off by one."""
    for index, output in enumerate(parts.manifest.outputs):
        if output.axis is None:
            continue
        changes: dict[str, dict[str, Any]] = {"delay +1": {"delay": output.delay + 1}}
        if output.delay:
            changes["delay -1"] = {"delay": output.delay - 1}
        for amount in (1, -1):
            step = LengthStep(mul=1, add=amount, div=1)
            changes[f"length {amount:+d}"] = {"length": [*(output.length or []), step]}
        for fault, update in changes.items():

            def make(index: int = index, update: dict[str, Any] = update) -> Parts:
                outputs = list(parts.manifest.outputs)
                outputs[index] = replace(outputs[index], **update)
                return replace(parts, manifest=replace(parts.manifest, outputs=outputs))

            yield Mutant(fault, output.name, make)
