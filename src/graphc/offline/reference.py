"""The offline model as the reference. It runs on random utterances of any length that it accepts."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from graphc.ir.import_export import FLOATS, import_model
from graphc.ir.ort_session import Session
from graphc.ir.sizes import weight_bytes
from graphc.ir.weights.external_weights import LARGE_MODEL
from graphc.ir.weights.made_weights import with_made_weights
from graphc.offline.feeds import Array, Feeds
from graphc.offline.random_values import random_values, token_limits
from graphc.offline.relax import relax
from graphc.spec.input_roles import TIME_ONLY, CountsRole, MaskRole, Role, StateRole, StepRole, StreamRole, graph_ports
from graphc.system.parallel import side_by_side
from graphc_runtime.errors import ModelError, RunError

COMMON_LENGTHS = (32, 64, 100, 128, 200, 256, 400, 512, 1000, 1024, 2048, 4096, 8192, 16000, 16384, 32768, 65536)
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 100, 128, 160, 256, 320, 512, 640, 1024)
NEAR_LENGTHS = 5
NEAR_STEPS = (1, 2, 3, 5, 6, 7, 11, 13)
SCANNED_LENGTHS = range(1, 401)
SCANNED_NEAR = 64
MOST_FOR_A_TRY = 10**9


@dataclass
class Offline:
    """An offline model and the role of each of its inputs.

    Args:
        model: the model with a fixed batch and without stale shapes, so that it runs at every length it can.
        roles: the role of each input.
        batch: the number of streams in a call, if the batch dim is symbolic.
        declared: the fixed number of frames that the model declares, or None.
        refused: lengths at which the model does not run, or an output is empty.
        accepted: lengths at which the model runs and no output is empty.
        empty: lengths at which the model runs and an output is empty.
        too_large: lengths at which the model ran out of memory.
        batch_axes: the batch axis of each input that has one.
        made_weights: the values computed so far of weights that nodes make from other weights.
        tester: ``gives_something`` of another session that runs the model anyway; None for this object's session.
    """

    model: onnx.ModelProto
    roles: Mapping[str, Role]
    batch: int = 1
    declared: int | None = None
    refused: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    empty: set[int] = field(default_factory=set)
    too_large: set[int] = field(default_factory=set)
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    made_weights: dict[bytes, Array] = field(default_factory=dict)
    tester: Callable[[int], bool] | None = None

    def gives_something(self, frames: int) -> bool:
        """Whether no output is empty at a length.

        Errors:
            RunError: the model does not run at this length.
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
        """For each integer input that indexes a table, the number of rows of the table."""
        whole = any(p.elem_type not in (*FLOATS, onnx.TensorProto.BFLOAT16) for p in self.ports.values())
        return token_limits(import_model(self.model)) if whole else {}

    @cached_property
    def is_large(self) -> bool:
        return weight_bytes(self.model) >= LARGE_MODEL

    @property
    def session(self) -> Session:
        if self._session is None:
            try:
                model = with_made_weights(self.model, self.made_weights) if self.is_large else self.model
                self._session = Session(model, exact=True, varied=True)
            except RunError as err:
                raise ModelError(f"onnxruntime cannot run the offline model: {err}", hint=err.hint) from err
        return self._session

    def release_session(self) -> None:
        """Frees the session of a large model until it is needed again."""
        if self.is_large:
            self._session = None

    def over(self, model: onnx.ModelProto) -> Offline:
        """The same roles with another form of the model, such as the one that earlier passes made."""
        prepared = onnx.ModelProto()
        prepared.CopyFrom(model)
        sized = {p.name: p.type.tensor_type.shape for p in self.model.graph.input}
        for port in prepared.graph.input:
            if port.name in sized:
                port.type.tensor_type.shape.CopyFrom(sized[port.name])
        relax(prepared, self.roles, self.batch)
        return replace(
            self,
            model=prepared,
            refused=set(self.refused),
            accepted=set(self.accepted),
            empty=set(self.empty),
            too_large=set(self.too_large),
            tester=None,
        )

    def streams(self) -> dict[str, StreamRole | StepRole]:
        return {name: role for name, role in self.roles.items() if isinstance(role, StreamRole | StepRole)}

    def frames_of(self, name: str, frames: int) -> int:
        """Frames of a stream input for a number of frames of the first stream input.

        Errors:
            ValueError: it would be a fraction of a frame.
        """
        count = frames * self.streams()[name].rate
        if count.denominator != 1:
            raise ValueError(f"'{name}' would have {count} frames")
        return int(count)

    def draw(self, frames: int, rng: np.random.Generator, scale: float = 1.0) -> Feeds:
        """Random values for all inputs, for ``frames`` frames of the first stream input; one frame for a step model."""
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
        """The feeds of a stream, with the inputs added that a compiled model lacks, such as counts and first states."""
        rng = np.random.default_rng(0)
        return {n: feeds[n] if n in feeds else self.draw_input(n, frames, rng, 1.0) for n in self.roles}

    def shortened(self, feeds: Feeds, frames: int) -> Feeds:
        """The feeds of the first ``frames`` frames of a stream."""
        kept: Feeds = {}
        for name, role in self.roles.items():
            if isinstance(role, StreamRole | StepRole):
                kept[name] = feeds[name].take(range(self.frames_of(name, frames)), axis=role.axis)
            elif not isinstance(role, TIME_ONLY):
                kept[name] = feeds[name]
        return self.completed(kept, frames)

    def run(self, feeds: Feeds) -> dict[str, Any]:
        """The offline outputs.

        Errors:
            RunError: the model does not run on these inputs.
        """
        return self.session.run(feeds)

    def accepts(self, frames: int) -> bool:
        """Whether the model runs at a length and no output is empty. Each length is tried once."""
        if frames in self.accepted or frames in self.refused:
            return frames in self.accepted
        try:
            runs = self.gives_something(frames)
            if not runs:
                self.empty.add(frames)
        except RunError as err:
            if err.out_of_memory:
                self.too_large.add(frames)
            runs = False
        except ValueError:
            runs = False
        return self.note(frames, runs)

    def note(self, frames: int, runs: bool) -> bool:
        (self.accepted if runs else self.refused).add(frames)
        return runs

    def tried(self, frames: int, feeds: Feeds) -> dict[str, Any] | None:
        """The offline outputs of a stream of ``frames`` frames. None if the model does not accept that length.

        The model runs once. With ``accepts`` and ``run``, it would run twice.
        """
        if frames in self.refused:
            return None
        try:
            outputs = self.run(feeds)
        except RunError as err:
            if err.out_of_memory:
                self.too_large.add(frames)
            self.note(frames, False)
            return None
        if any(np.size(v) == 0 for v in outputs.values()):
            self.empty.add(frames)
            self.note(frames, False)
            return None
        self.note(frames, True)
        return outputs

    def try_all(self, lengths: Iterable[int]) -> None:
        """Tries several lengths in parallel, so that later calls of ``accepts`` return at once."""
        if self.tester is None:
            _ = self.session  # opened before several threads ask for it
        side_by_side(self.accepts, [n for n in dict.fromkeys(lengths) if n > 0])

    def some_lengths(self, at_least: int = 1) -> tuple[int, ...]:
        """Several lengths that the model accepts: the declared one or a short one, some near it, and one far from it.

        Values that depend on the length are judged at these lengths, so the lengths have different remainders.

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
        """The first length that the model accepts; with ``at_least``, one near that if possible.

        Long lengths come last, since the memory of a model may grow with the square of the length. The search ends when
        failed tries have taken a gigabyte.
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
            reason = "its outputs are empty"
        except (RunError, ValueError) as err:
            reason = str(err)
        raise ModelError(f"the offline model runs at none of the lengths tried: {reason}")


def held_memory() -> int:
    """The bytes that this process holds now (proc(5), statm), including what a session keeps from its largest run."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
