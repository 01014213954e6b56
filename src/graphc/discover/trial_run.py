"""Finds sizes at which a model runs: values for its symbolic dims, and the shapes of the outputs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx

from graphc.discover.port_names import FEATURES, LENGTHS, RATES, SOUNDS, STATES, TIMES, dim_says, is_batch, says
from graphc.ir.import_export import import_model
from graphc.ir.ort_session import Session
from graphc.offline.feeds import Array, Feeds
from graphc.offline.random_values import random_values, token_limits
from graphc.offline.relax import without_stale_shapes
from graphc.spec.input_roles import INTEGERS, Port, graph_ports
from graphc_runtime.errors import ModelError, RunError

FRAMES = (64, 100, 16, 200, 400, 8, 32, 1000, 512, 576, 1600, 1)
SAMPLES = (16000, 4000, 512, 576, 1600, 1536, 480, 256, 160, 64, 48000, 61440, 1)
ITEMS = (3, 8, 64, 16, 1)
CHANNELS = (1, 2, 64, 80)
FEW_SIZES = (64, 16, 400, 16000, 1)
HOPS = (
    *(2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30, 32, 40, 48, 50, 60, 64, 75, 80, 96, 100, 120, 128, 150, 160),
    *(180, 192, 200, 220, 240, 250, 256, 275, 300, 320, 350, 384, 400, 441, 480, 512, 600, 640, 800, 960, 1024, 1920),
)
MOST_RUNS = 300
SHORT = 130
MOST_FRAMES = 4096
FRAMES_OF_TWO_RATES = 12
LARGEST_INPUT = 1_000_000
LONGEST_SEARCH_CPU_S = 5.0
USUAL_RATE = 16000
LARGEST_WEIGHT_DIM = 4096


@dataclass(frozen=True)
class Sizes:
    """A size for each symbolic dim, and the value for inputs that may hold a number of frames."""

    dims: Mapping[str, int]
    count: int


@dataclass
class TrialRun:
    """A model and sizes at which it runs.

    Args:
        sizes: the sizes of the model's symbolic dims, by ``dim_key``.
        shapes: the shapes of the outputs at these sizes.
    """

    model: onnx.ModelProto
    ports: Sequence[Port]
    session: Session
    limits: Mapping[str, int]
    sizes: Sizes
    shapes: Mapping[str, tuple[int, ...]]

    def shape(self, port: Port, sizes: Sizes | None = None) -> tuple[int, ...]:
        dims = (sizes or self.sizes).dims
        return tuple(d if isinstance(d, int) else dims[dim_key(port, a)] for a, d in enumerate(port.dims))

    def draw(self, seed: int = 0, sizes: Sizes | None = None) -> Feeds:
        rng = np.random.default_rng(seed)
        return {p.name: drawn(p, sizes or self.sizes, rng, self.limits) for p in self.ports}

    def rate_between(self, one: str, other: str) -> Fraction | None:
        """The size of the dim ``other`` divided by that of ``one``. None unless the model only runs at this ratio."""
        sizes = self.sizes.dims
        if one == other or one not in sizes or other not in sizes or sizes[one] == sizes[other]:
            return None
        alone = replace(self.sizes, dims={**sizes, one: 2 * sizes[one]})
        both = replace(self.sizes, dims={**alone.dims, other: 2 * sizes[other]})
        fits = self.runs_at(alone) is None and self.runs_at(both) is not None
        return Fraction(sizes[other], sizes[one]) if fits else None

    def runs_at(self, sizes: Sizes) -> dict[str, Array] | None:
        """The outputs at other sizes. None if the model does not run, or an output is empty."""
        try:
            outputs = self.session.run(self.draw(0, sizes))
        except RunError:
            return None
        return outputs if all(np.size(v) for v in outputs.values()) else None


def dim_key(port: Port, axis: int) -> str:
    """The key of a dim: its name, which several dims may share, or else its port and axis."""
    dim = port.dims[axis]
    return dim if isinstance(dim, str) else f"{port.name}:{axis}"


def likely_sizes(port: Port, axis: int) -> tuple[int, ...]:
    """Sizes to try for a symbolic dim: 1 for a batch, about a second of sound, some frames, or a few for other axes."""
    dim = port.dims[axis]
    others = {a: d for a, d in enumerate(port.dims) if a != axis}
    if is_batch(port.dims, axis):
        return (1,)
    if says(port.name, STATES):
        return (1, *ITEMS)
    if dim_says(dim, FEATURES) and not dim_says(dim, TIMES):
        return CHANNELS
    if dim_says(dim, TIMES) or axis > 0 or len(port.dims) == 1:
        alone = all(
            d == 1 or is_batch(port.dims, a) or dim_says(d, FEATURES) or (d is None and a == 0)
            for a, d in others.items()
        )
        sound = alone or (says(port.name, SOUNDS) and len(port.dims) < 3)
        return SAMPLES if sound and port.elem_type not in INTEGERS else FRAMES
    return ITEMS if any(isinstance(d, int) and d > 1 for d in others.values()) or len(others) > 1 else (1, *ITEMS)


def trial_run(model: onnx.ModelProto) -> TrialRun:
    """The model and the first sizes at which it runs.

    Errors:
        ModelError: the model runs at none of the sizes tried; quotes onnxruntime.
    """
    ports, _ = graph_ports(model)
    model = without_stale_shapes(model)
    try:
        session = Session(model, exact=True, varied=True)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the model: {err}", hint=err.hint) from err
    limits = token_limits(import_model(model)) if any(p.elem_type in INTEGERS for p in ports) else {}
    reason, started = "no size was tried", time.process_time()
    free = time_dims(ports)
    alike = list(itertools.islice((s for s in sizes_of(model, ports) if is_small(ports, s)), MOST_RUNS))
    broadcast = [s for s in alike if len(free) > 1 and any(s.dims[key] == 1 for key in free)]
    long = [
        s
        for s in alike
        if s not in broadcast and not has_sound(ports) and max(s.dims.values(), default=0) > MOST_FRAMES
    ]
    usual = [s for s in alike if s not in broadcast and s not in long]
    for sizes in [*usual, *sizes_of_two_rates(ports), *short_sizes(ports), *long, *broadcast]:
        if time.process_time() - started > LONGEST_SEARCH_CPU_S:
            break
        rng = np.random.default_rng(0)
        try:
            outputs = session.run({p.name: drawn(p, sizes, rng, limits) for p in ports})
        except (RunError, ValueError) as err:
            reason = str(err)
            continue
        if all(np.size(v) for v in outputs.values()):
            shapes = {name: tuple(np.shape(v)) for name, v in outputs.items()}
            return TrialRun(model, ports, session, limits, sizes, shapes)
        reason = "its outputs are empty"
    raise ModelError(
        f"the model runs at none of the sizes tried: {reason}",
        hint="give the sizes of axes that are not time, as in --size features:2=80",
    )


def is_small(ports: Sequence[Port], sizes: Sizes) -> bool:
    """Whether no input with a symbolic dim is too large for a trial."""
    return all(
        math.prod(d if isinstance(d, int) else sizes.dims[dim_key(p, a)] for a, d in enumerate(p.dims)) <= LARGEST_INPUT
        for p in ports
        if not all(isinstance(d, int) for d in p.dims)
    )


def sizes_of(model: onnx.ModelProto, ports: Sequence[Port]) -> Iterator[Sizes]:
    """Sizes to try, likely ones first: a batch of 1 with all other dims equal, then different ones from the weights."""
    likely: dict[str, tuple[int, ...]] = {}
    for port in ports:
        for axis, dim in enumerate(port.dims):
            if not isinstance(dim, int):
                key, found = dim_key(port, axis), likely_sizes(port, axis)
                likely[key] = found if len(found) == 1 else likely.get(key, found)
    counts = any(p.elem_type in INTEGERS and len(p.dims) <= 1 for p in ports)
    free = [key for key, sizes in likely.items() if len(sizes) > 1]
    if not free:
        lengths = [d for p in ports if len(p.dims) > 1 for d in p.dims if isinstance(d, int) and d > 1]
        for count in dict.fromkeys([*lengths, *FEW_SIZES]) if counts else (1,):
            yield Sizes(dict.fromkeys(likely, 1), count)
        return
    weights = weight_sizes(model)
    open_pairs = [p for p in ports if len(p.dims) == 2 and all(not isinstance(d, int) and d for d in p.dims)]
    if any(not any(is_batch(p.dims, axis) for axis in (0, 1)) for p in open_pairs):
        for last in (*weights, 1):
            yield Sizes({**{k: s[0] for k, s in likely.items()}, free[0]: FRAMES[0], free[-1]: last}, FRAMES[0])
    for items in (0, 1):
        for turn in range(max(map(len, likely.values()))):
            dims = {k: s[min(turn if s in (FRAMES, SAMPLES) else items, len(s) - 1)] for k, s in likely.items()}
            yield Sizes(dims, max(dims.values()))
    batches = dict.fromkeys(likely, 1)
    for size in (*FEW_SIZES, *FRAMES, *SAMPLES, *(weights if len(free) == 1 else ())):
        yield Sizes({**batches, **dict.fromkeys(free, size)}, size)
    for last in weights:
        for size in FEW_SIZES:
            yield Sizes({**batches, **dict.fromkeys(free, size), free[-1]: last}, size)
    for mix in itertools.product((*FEW_SIZES, *weights[:8]), repeat=min(len(free), 3)):
        yield Sizes({**batches, **dict.fromkeys(free, mix[0]), **dict(zip(free, mix, strict=False))}, mix[0])


def open_axes(ports: Sequence[Port]) -> list[tuple[Port, int]]:
    """The axes whose sizes the model leaves open."""
    return [(p, a) for p in ports for a, d in enumerate(p.dims) if not isinstance(d, int)]


def time_dims(ports: Sequence[Port]) -> list[str]:
    """The keys of open dims that are probably time."""
    found = {dim_key(p, a): likely_sizes(p, a) for p, a in open_axes(ports)}
    return [key for key, sizes in found.items() if sizes in (FRAMES, SAMPLES)]


def has_sound(ports: Sequence[Port]) -> bool:
    """Whether an open dim of an input probably counts samples."""
    return any(likely_sizes(p, a) == SAMPLES for p, a in open_axes(ports))


def short_sizes(ports: Sequence[Port]) -> Iterator[Sizes]:
    """Every short length, for a model that an export fixed at one of them."""
    free = time_dims(ports)
    batches = {dim_key(p, a): 1 for p, a in open_axes(ports)}
    for length in range(1, SHORT) if free else ():
        yield Sizes({**batches, **dict.fromkeys(free, length)}, length)


def sizes_of_two_rates(ports: Sequence[Port]) -> Iterator[Sizes]:
    """Sizes to try if one input has several frames for each frame of another, like sound beside its features."""
    free = time_dims(ports)
    batches = {dim_key(p, a): 1 for p, a in open_axes(ports)}
    few = {**batches, **dict.fromkeys(free, FRAMES_OF_TWO_RATES)}
    for hop in HOPS if len(free) > 1 else ():
        for fast in free:
            yield Sizes({**few, fast: hop * FRAMES_OF_TWO_RATES}, FRAMES_OF_TWO_RATES)


def weight_sizes(model: onnx.ModelProto) -> list[int]:
    """The sizes of weights in the order of the nodes. The features of an input probably have one of these."""
    dims = {i.name: i.dims for i in model.graph.initializer}
    found = [
        int(d)
        for node in model.graph.node
        for name in node.input
        for d in dims.get(name, ())
        if 1 < d <= LARGEST_WEIGHT_DIM
    ]
    return list(dict.fromkeys(found))


def drawn(port: Port, sizes: Sizes, rng: np.random.Generator, limits: Mapping[str, int]) -> Array:
    """Random values for an input. An integer named as a count gets the number of frames, a sample rate a usual rate."""
    shape = [d if isinstance(d, int) else sizes.dims[dim_key(port, a)] for a, d in enumerate(port.dims)]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(port.elem_type)
    if port.elem_type in INTEGERS and len(shape) <= 1 and port.name not in limits:
        if says(port.name, RATES):
            return np.full(shape, USUAL_RATE, dtype)
        if says(port.name, LENGTHS):
            return np.full(shape, sizes.count, dtype)
    return random_values(rng, shape, dtype, None, None, limits.get(port.name), 1.0)
