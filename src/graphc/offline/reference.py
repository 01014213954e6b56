"""The offline model as the reference: prepared once, fed with random utterances of any length it accepts."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.contract.length import Length
from graphc.errors import ModelError, SpecError
from graphc.ir.external_weights import LARGE_MODEL
from graphc.ir.graph import FIRST_IR_WITH_DEFAULTS, FLOATS, Graph, import_model
from graphc.ir.runtime import RunError, Session, size_of
from graphc.spec.input_roles import (
    TIME_ONLY,
    CountsRole,
    MaskRole,
    Port,
    Role,
    StateRole,
    StaticRole,
    StreamRole,
    graph_ports,
    infer_stream_axes,
    nearest,
)
from graphc.spec.schema import InputSpec, SpecFile, StreamSpec
from graphc.system.parallel import side_by_side

Array = NDArray[Any]
Feeds = dict[str, Array]

COMMON_LENGTHS = (32, 64, 100, 128, 200, 256, 400, 512, 1000, 1024, 2048, 4096, 8192, 16000, 16384, 32768, 65536)
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 100, 128, 160, 256, 320, 512, 640, 1024)
NEAR_LENGTHS = 5
NEAR_STEPS = (1, 2, 3, 5, 6, 7, 11, 13)
SCANNED_LENGTHS = range(1, 401)
SCANNED_NEAR = 64
MOST_FOR_A_TRY = 10**9


@dataclass
class Offline:
    """An offline model and the part each of its inputs plays.

    Args:
        model: the model as read; its batch bound, stale shapes dropped, so that it runs at every length it can.
        roles: what each input is to the stream.
        batch: streams in a call where the batch dim is symbolic.
        declared: the number of frames that the model declares as fixed, or None.
        refused: lengths at which it does not run, or gives an empty output.
        accepted: lengths at which it runs.
        empty: lengths at which it runs and gives an empty output.
        batch_axes: of the inputs that have an axis for the streams of a batch.
        tester: tells whether the model gives something at a length, where another session runs it anyway.
    """

    model: onnx.ModelProto
    roles: Mapping[str, Role]
    batch: int = 1
    declared: int | None = None
    refused: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    empty: set[int] = field(default_factory=set)
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    tester: Callable[[int], bool] | None = None

    def gives_something(self, frames: int) -> bool:
        """Whether no output is empty at a length.

        Errors:
            RunError: the model does not run there.
            ValueError: an input would have a fraction of a frame.
        """
        if self.tester is not None:
            return self.tester(frames)
        outputs = self.run(self.draw(frames, np.random.default_rng(0)))
        return all(np.size(v) for v in outputs.values())

    def __post_init__(self) -> None:
        self.ports = {p.name: p for p in graph_ports(self.model)[0]}
        self._session: Session | None = None

    @cached_property
    def limits(self) -> dict[str, int]:
        """For inputs of whole numbers that index a table, its rows."""
        whole = any(p.elem_type not in (*FLOATS, onnx.TensorProto.BFLOAT16) for p in self.ports.values())
        return token_limits(import_model(self.model)) if whole else {}

    @property
    def session(self) -> Session:
        if self._session is None:
            prepack = size_of(self.model) < LARGE_MODEL
            try:
                self._session = Session(self.model, prepack=prepack, exact=True, varied=True)
            except RunError as err:
                raise ModelError(f"onnxruntime cannot run the offline model: {err}", hint=err.hint) from err
        return self._session

    def release_session(self) -> None:
        """Frees the session of a large model until it is needed again."""
        if size_of(self.model) >= LARGE_MODEL:
            self._session = None

    def over(self, model: onnx.ModelProto) -> Offline:
        """The same roles over another form of the model, as passes before the lift left it."""
        prepared = onnx.ModelProto()
        prepared.CopyFrom(model)
        relax(prepared, self.roles, self.batch)
        return replace(
            self,
            model=prepared,
            refused=set(self.refused),
            accepted=set(self.accepted),
            empty=set(self.empty),
            tester=None,
        )

    def streams(self) -> dict[str, StreamRole]:
        return {name: role for name, role in self.roles.items() if isinstance(role, StreamRole)}

    def frames_of(self, name: str, frames: int) -> int:
        """Frames of a stream input for so many of the first.

        Errors:
            ValueError: a fraction of a frame.
        """
        role = self.roles[name]
        assert isinstance(role, StreamRole)
        count = frames * role.rate
        if count.denominator != 1:
            raise ValueError(f"{name} would have {count} frames")
        return int(count)

    def draw(self, frames: int, rng: np.random.Generator, scale: float = 1.0) -> Feeds:
        """Random values for every input at a length of so many frames of the first stream input."""
        return {name: self.draw_input(name, frames, rng, scale) for name in self.roles}

    def draw_input(self, name: str, frames: int, rng: np.random.Generator, scale: float) -> Array:
        role, port = self.roles[name], self.ports[name]
        shape = [self.batch if not isinstance(d, int) else d for d in port.dims]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(port.elem_type)
        if isinstance(role, CountsRole):
            return np.full(shape, self.frames_of(role.of, frames), dtype=dtype)
        if isinstance(role, MaskRole):
            return role.table(shape, frames, dtype)
        if isinstance(role, StateRole):
            return np.full(shape, role.init, dtype=dtype)
        if isinstance(role, StreamRole):
            shape[role.axis] = self.frames_of(name, frames)
        return random_values(rng, shape, dtype, role.low, role.high, self.limits.get(name), scale)

    def completed(self, feeds: Feeds, frames: int) -> Feeds:
        """The feeds of a stream with the counts and first states that a compiled model does not take."""
        rng = np.random.default_rng(0)
        return {n: feeds[n] if n in feeds else self.draw_input(n, frames, rng, 1.0) for n in self.roles}

    def shortened(self, feeds: Feeds, frames: int) -> Feeds:
        """The feeds of the first so many frames of a stream."""
        kept: Feeds = {}
        for name, role in self.roles.items():
            if isinstance(role, StreamRole):
                kept[name] = feeds[name].take(range(self.frames_of(name, frames)), axis=role.axis)
            elif not isinstance(role, TIME_ONLY):
                kept[name] = feeds[name]
        return self.completed(kept, frames)

    def run(self, feeds: Feeds) -> dict[str, Any]:
        """The offline outputs.

        Errors:
            RunError: the model does not run on these.
        """
        return self.session.run(feeds)

    def accepts(self, frames: int) -> bool:
        """Whether the model runs at a length and gives no empty output; tried once for each length."""
        if frames in self.accepted or frames in self.refused:
            return frames in self.accepted
        try:
            runs = self.gives_something(frames)
            if not runs:
                self.empty.add(frames)
        except (RunError, ValueError):
            runs = False
        (self.accepted if runs else self.refused).add(frames)
        return runs

    def try_all(self, lengths: Iterable[int]) -> None:
        """Tries several lengths side by side, of which ``accepts`` will be asked."""
        if self.tester is None:
            _ = self.session  # opened before several threads ask for it
        side_by_side(self.accepts, [n for n in dict.fromkeys(lengths) if n > 0])

    def some_lengths(self, at_least: int = 1) -> tuple[int, ...]:
        """Several lengths that the model accepts: the declared or a short one, some near it, and one far from it.

        What depends on the length is judged by its values at these, so they differ in their residues.

        Errors:
            ModelError: no length was found.
        """
        first = self.first_length(at_least)
        self.try_all(first + k for k in NEAR_STEPS[:NEAR_LENGTHS])
        step = next((s for s in (*STEPS, first) if self.accepts(first + s)), None)
        if step is None:
            return (first,)
        wanted = dict.fromkeys((*NEAR_STEPS, *(k * step for k in NEAR_STEPS)))
        near = list(islice((first + k for k in wanted if self.accepts(first + k)), NEAR_LENGTHS))
        others = (2 * first + step, 2 * first, 3 * first) if at_least == 1 else (first // 2 + 1, first // 3)
        far = list(islice((n for n in others if n > 0 and n not in near and self.accepts(n)), 1))
        return (first, *near, *far)

    def first_length(self, at_least: int) -> int:
        """The first length that the model accepts; with ``at_least``, one near it if there is any.

        Long ones come last, since what a model needs may grow with the square of the length; none is tried once
        failed ones took a gigabyte.
        """
        declared = [self.declared] if self.declared else []
        wanted = [
            *range(at_least, at_least + SCANNED_NEAR),
            *(n for n in COMMON_LENGTHS if at_least <= n <= 4 * at_least),
        ]
        short = [n for n in COMMON_LENGTHS if n <= SCANNED_LENGTHS[-1]]
        usual = [*short, *SCANNED_LENGTHS, *(n for n in COMMON_LENGTHS if n not in short)]
        candidates: list[int] = [*declared, *(wanted if at_least > 1 else []), *usual]
        before = held_memory()
        for frames in candidates:
            if self.accepts(frames):
                return frames
            if held_memory() - before > MOST_FOR_A_TRY:
                break
        try:
            self.run(self.draw(declared[0] if declared else 100, np.random.default_rng(0)))
            reason = "it gives empty outputs"
        except (RunError, ValueError) as err:
            reason = str(err)
        raise ModelError(f"the offline model runs at none of the lengths tried: {reason}")


def held_memory() -> int:
    """The bytes that this process holds now (proc(5), statm), among them what a session keeps of its largest run."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def random_values(
    rng: np.random.Generator,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    low: float | None,
    high: float | None,
    limit: int | None,
    scale: float,
) -> Array:
    """Normal floats, uniform integers below ``limit`` (2 where unknown), coin flips for bool; a given range holds."""
    if dtype.kind in "biu":
        most = 2 if dtype.kind == "b" else limit or 2
        bounds = (0, most) if low is None or high is None else (int(low), int(high) + 1)
        return np.asarray(rng.integers(*bounds, shape), dtype)
    if low is not None and high is not None:
        return np.asarray(rng.uniform(low, high, shape), dtype)
    return np.asarray(rng.standard_normal(shape) * scale, dtype)


def token_limits(graph: Graph) -> dict[str, int]:
    """For integer inputs that index a table, the rows of the smallest such table."""
    limits: dict[str, int] = {}
    for port in graph.inputs:
        names = {port.name}
        for node in graph.nodes:
            reads = [t.name for t in node.inputs]
            if node.op in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Transpose") and reads[:1]:
                if reads[0] in names:
                    names.update(t.name for t in node.outputs)
            elif node.op in ("Gather", "GatherElements") and len(reads) > 1 and reads[1] in names:
                table = node.inputs[0]
                if table.shape is not None and not table.inputs:
                    rows = table.shape[int(node.attrs.get("axis", 0))]
                    if isinstance(rows, int):
                        limits[port.name] = min(rows, limits.get(port.name, rows))
            elif node.op == "OneHot" and reads[0] in names and getattr(node.inputs[1], "values", None) is not None:
                limits[port.name] = int(np.ravel(node.inputs[1].values)[0])
    return limits


def offline_of(model: onnx.ModelProto, stream: StreamSpec, spec: SpecFile | None = None) -> Offline:
    """The offline model under a spec's stream section.

    Errors:
        SpecError: a name that is no input, an axis out of range, roles that cannot be inferred, or a batch that no
            input has an axis for.
    """
    ports, outputs = graph_ports(model)
    roles = roles_of(stream, ports, outputs, spec)
    batch_axes = batch_axes_of(ports, roles, stream.batch)
    if stream.batch > 1 and not batch_axes and stream.clocks == "shared":
        reason = f"no input has a symbolic dim, or one of {stream.batch}, for a batch of streams"
        hint = "export the model with a symbolic batch dim"
        keys = ("stream", "batch")
        raise spec.error(keys, reason, hint) if spec else SpecError(f"{'.'.join(keys)}: {reason}", hint=hint)
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    declared = relax(prepared, roles, stream.batch)
    return Offline(prepared, roles, stream.batch, declared, batch_axes=batch_axes)


def batch_axes_of(ports: Sequence[Port], roles: Mapping[str, Role], batch: int) -> dict[str, int]:
    """The axis of each input that holds the streams of a batch: symbolic and not time, else one of the batch's size."""
    free: dict[str, int] = {}
    sized: dict[str, int] = {}
    for port in ports:
        role = roles[port.name]
        if not isinstance(role, StreamRole | StaticRole):
            continue
        others = [a for a in range(len(port.dims)) if not (isinstance(role, StreamRole) and a == role.axis)]
        symbolic = [a for a in others if not isinstance(port.dims[a], int)]
        if symbolic:
            free[port.name] = symbolic[0]
        elif any(port.dims[a] == batch for a in others):
            sized[port.name] = next(a for a in others if port.dims[a] == batch)
    streams = {name for name, role in roles.items() if isinstance(role, StreamRole)}
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
                    ("stream", "states", index, key), f"'{name}' is no {key} of the model", nearest(name, known)
                )
        if state.input in roles:
            raise complain(("stream", "states", index, "input"), f"'{state.input}' is named twice")
        roles[state.input] = StateRole(state.output, state.init)
    free = [p for p in ports if p.name not in roles]
    if not free:
        raise complain(("stream", "states"), "every input is a state, so none carries stream time")
    if stream.inputs is None:
        axes = infer_stream_axes(free)
        given = {name: InputSpec(axis=axis) for name, axis in axes.items()}
    else:
        given = stream.inputs
    for name, entry in given.items():
        keys = ("stream", "inputs", name)
        if name not in names:
            raise complain(keys, f"'{name}' is no input of the model", nearest(name, names))
        if name in roles:
            raise complain(keys, f"'{name}' already is a state")
        roles[name] = role_of(entry, next(p for p in ports if p.name == name), given, complain, keys)
    if not any(isinstance(r, StreamRole) for r in roles.values()):
        raise complain(("stream", "inputs"), "no input carries stream time", "give one of them an axis")
    first = next(r for r in roles.values() if isinstance(r, StreamRole))
    if first.rate != 1:
        raise complain(("stream", "inputs"), "the first stream input has rate 1; rates count its frames")
    for port in free:
        roles.setdefault(port.name, StaticRole())
    return {name: roles[name] for name in names}


def role_of(entry: InputSpec, port: Port, given: Mapping[str, InputSpec], complain: Any, keys: tuple[str, ...]) -> Role:
    low, high = entry.range or (None, None)
    if entry.axis is not None:
        rank = len(port.dims)
        if not -rank <= entry.axis < rank:
            raise complain((*keys, "axis"), f"axis {entry.axis} of an input with {rank} dims {list(port.dims)}")
        return StreamRole(entry.axis % rank, Fraction(entry.rate), low, high)
    if entry.counts is not None:
        if entry.counts not in given or given[entry.counts].axis is None:
            streams = [name for name, other in given.items() if other.axis is not None]
            raise complain((*keys, "counts"), f"'{entry.counts}' is no stream input", nearest(entry.counts, streams))
        return CountsRole(entry.counts)
    if entry.mask is not None:
        if len(port.dims) < 2:
            raise complain((*keys, "mask"), f"a mask over queries and keys of an input with {len(port.dims)} dims")
        mask = entry.mask
        length = Length(tuple((step.mul, step.add, step.div) for step in mask.length))
        return MaskRole(mask.left, mask.right, mask.block, length, mask.seen, mask.unseen)
    return StaticRole(low, high)


def relax(model: onnx.ModelProto, roles: Mapping[str, Role], batch: int) -> int | None:
    """Frees the stream axes, binds every other symbolic input dim to ``batch``, drops shapes that may be stale.

    Returns the declared number of frames of the first stream input where all stream inputs are fixed, else None.
    """
    del model.graph.value_info[:]
    defaults = {i.name for i in model.graph.initializer}
    for port in [p for p in model.graph.input if p.name in defaults]:
        model.graph.input.remove(port)
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_DEFAULTS)
    for port in model.graph.output:
        if port.type.HasField("tensor_type"):
            port.type.tensor_type.ClearField("shape")
    declared: list[Fraction | None] = []
    for port in model.graph.input:
        role = roles.get(port.name)
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if isinstance(role, StreamRole) and axis == role.axis:
                declared.append(dim.dim_value / role.rate if dim.HasField("dim_value") else None)
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_frames"
            elif isinstance(role, MaskRole) and axis >= len(port.type.tensor_type.shape.dim) - 2:
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_frames"
            elif role is not None and not dim.HasField("dim_value"):
                dim.dim_value = batch
    if not declared or any(d is None or d.denominator != 1 for d in declared):
        return None
    return int(declared[0] or 0)
