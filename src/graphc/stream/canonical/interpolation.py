"""Writes linear interpolation between frames as sums of shifted frames.

Resize in ONNX: upsampling by k takes output i at the place (i + 1/2) / k - 1/2 of the input with half pixels, and at
i / k with the asymmetric mode; downsampling by k has 1 / k in place of k. A place between two frames weighs both by its
distance from the other. Places beyond the first or last frame take that frame.

onnxruntime computes places in float32. They are exact up to 2^24 halves of an output if the factor is a power of two;
else they are off by up to 2^-23 of themselves, and the comparison with the offline model ends at ``ROUGH`` frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from onnx import TensorProto

from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, name_of, standard
from graphc.ir.node_writer import Writer
from graphc.stream.facts.index_map import Shapes
from graphc.stream.symbolic.domain.exactness import is_power_of_two

FIRST_OPSET = 13
SCALES, SIZES = 2, 3
END = int(np.iinfo(np.int64).max)
MANTISSA = 2**24
ROUGH = 2**9
HALF_PIXELS = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")


@dataclass(frozen=True)
class Resampling:
    """Interpolation along one axis by a whole factor, up or down.

    Args:
        alone: whether a single output frame is input frame 0, whatever position the formula gives.
        sizes: the sizes of the axes after the interpolated one; the same at every length.
        others: a factor for each axis, with 1 for the interpolated one.
    """

    axis: int
    factor: int
    down: bool
    half_pixels: bool
    alone: bool
    sizes: tuple[int, ...]
    others: tuple[float, ...]

    @property
    def rank(self) -> int:
        return len(self.others)

    @property
    def parts(self) -> int:
        """A frame in parts, of which float32 holds as many as there are frames with places that are close enough."""
        exact = 2 if self.down else 2 * self.factor
        return exact if is_power_of_two(self.factor) else MANTISSA // ROUGH

    def places(self) -> list[Fraction]:
        """Where the outputs for one frame lie, in frames from it; downwards, the one for ``factor`` frames."""
        shift = Fraction(1, 2) if self.half_pixels else Fraction(0)
        if self.down:
            return [shift * self.factor - shift]
        return [(i + shift) / self.factor - shift for i in range(self.factor)]


def interpolate_by_sums(graph: Graph, shapes: Shapes, dtypes: Mapping[str, np.dtype[np.generic]]) -> list[str] | None:
    """Rewrites the first Resize that interpolates linearly by a whole factor along time.

    Returns the names of the tensors on which it relies (``Evaluation.patterns``), or None if there is no such Resize.

    Args:
        shapes: of the tensors of data, at each length evaluated.
        dtypes: of the same tensors.
    """
    for node in [n for n in graph.nodes if n.op == "Resize" and standard(n) and graph.opset >= FIRST_OPSET]:
        found = resampling(node, shapes) if dtypes.get(node.inputs[0].name) == np.float32 else None
        if found is not None:
            return rewritten(graph, node, found)
    return None


def resampling(node: Node, shapes: Shapes) -> Resampling | None:
    """What a Resize does, if it interpolates linearly by factors that are the same everywhere, and whole for time."""
    before, after = shapes.get(node.inputs[0].name), shapes.get(node.outputs[0].name)
    mode = str(node.attrs.get("coordinate_transformation_mode", "half_pixel"))
    if node.attrs.get("mode") != "linear" or mode not in (*HALF_PIXELS, "asymmetric") or not before or not after:
        return None
    growing = [axis for axis, sizes in enumerate(zip(*before, strict=True)) if len(set(sizes)) > 1]
    if len(growing) != 1 or any(0 in shape for shape in (*before, *after)) or node.attrs.get("antialias"):
        return None
    axis = growing[0]
    ratios = [{Fraction(new[a], old[a]) for old, new in zip(before, after, strict=True)} for a in range(len(before[0]))]
    factor = factor_of([(old[axis], new[axis]) for old, new in zip(before, after, strict=True)])
    others = [float(min(r)) for a, r in enumerate(ratios) if a != axis and len(r) == 1]
    down = min(ratios[axis]) < 1
    if factor is None or len(others) < len(ratios) - 1 or (down and mode == "half_pixel_symmetric"):
        return None
    others.insert(axis, 1.0)
    alone = down and mode == "pytorch_half_pixel"
    if alone and any(new[axis] == 1 for new in after):
        return None
    return Resampling(axis, factor, down, mode != "asymmetric", alone, before[0][axis + 1 :], tuple(others))


def factor_of(sizes: Sequence[tuple[int, int]]) -> int | None:
    """The whole factor by which all sizes grow, or by which all shrink, rounded down; None if there is none.

    onnxruntime multiplies by the factor in float32, which must round sizes in the same way.
    """
    ratios = {Fraction(new, old) for old, new in sizes}
    if len(ratios) == 1 and min(ratios) >= 1:
        (ratio,) = ratios
        return int(ratio) if ratio > 1 and ratio.denominator == 1 else None
    for factor in sorted({old // new for old, new in sizes} - {0, 1}):
        if all(old // factor == new for old, new in sizes):
            lengths = np.arange(ROUGH)
            rounded = np.floor(lengths * np.float32(1 / factor)) == lengths // factor
            return factor if is_power_of_two(factor) or bool(rounded.all()) else None
    return None


def rewritten(graph: Graph, node: Node, up: Resampling) -> list[str]:
    w = Writer(name_of(node))
    source = node.inputs[0]
    parts = w.one("Cast", w.one("Mul", w.size(source, up.axis), up.parts), to=TensorProto.FLOAT)
    relies = [w.one("Equal", parts, parts).name]
    if len(node.inputs) > SIZES and node.inputs[SIZES].name:
        axes = [int(a) % up.rank for a in node.attrs.get("axes", range(up.rank))]
        place, sizes = axes.index(up.axis), node.inputs[SIZES]
        before, after = w.size(source, up.axis), w.one("Gather", sizes, [place], axis=0)
        less, more = (after, before) if up.down else (before, after)
        others = w.one("Gather", sizes, [i for i in range(len(axes)) if i != place], axis=0)
        relies += [w.one("Equal", w.one("Mul", less, up.factor), more).name, others.name]
    elif not isinstance(node.inputs[SCALES], Constant):
        relies += [node.inputs[SCALES].name]
    if up.alone:
        relies += [w.one("Less", np.array([1]), w.one("Div", w.size(source, up.axis), up.factor)).name]
    frames = averaged(w, source, up) if up.down else summed(w, source, up)
    if any(factor != 1 for factor in up.others):
        attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}
        frames = w.one("Resize", frames, Variable.empty(), np.array(up.others, np.float32), **attrs)
    w.replace(graph, node, frames)
    return relies


def averaged(w: Writer, source: Tensor, down: Resampling) -> Tensor:
    """The frame in the middle of each ``factor`` frames, or half of the two that are next to it."""
    (place,) = down.places()
    whole = w.one("Mul", w.one("Div", w.size(source, down.axis), down.factor), down.factor)
    kept = w.one("Slice", source, [0], whole, [down.axis])
    nearest = sorted({floor(place), ceil(place)})
    frames = [w.one("Slice", kept, [frame], [END], [down.axis], [down.factor]) for frame in nearest]
    if len(frames) == 1:
        return frames[0]
    return w.one("Add", *[w.one("Mul", frame, np.float32(0.5)) for frame in frames])


def summed(w: Writer, source: Tensor, up: Resampling) -> Tensor:
    """Each frame as ``factor`` frames: those before its place between the frame before and it, the others behind."""
    before = [place + 1 for place in up.places() if place < 0]
    behind = [place for place in up.places() if place >= 0]
    later = w.one("Slice", w.one("Pad", source, pads(up, 0, 1), mode="edge"), [1], [END], [up.axis])
    groups = [between(w, source, later, behind, up)]
    if before:
        earlier = w.one("Slice", w.one("Pad", source, pads(up, 1, 0), mode="edge"), [0], [-1], [up.axis])
        groups.insert(0, between(w, earlier, source, before, up))
    frames = w.one("Concat", *groups, axis=up.axis + 1) if before else groups[0]
    return w.one("Reshape", frames, [*[0] * up.axis, -1, *up.sizes])


def pads(up: Resampling, front: int, behind: int) -> list[int]:
    amounts = [0] * 2 * up.rank
    amounts[up.axis], amounts[up.axis + up.rank] = front, behind
    return amounts


def between(w: Writer, one: Tensor, other: Tensor, places: list[Fraction], up: Resampling) -> Tensor:
    """Frames at some places between each frame of one tensor and that of another, on a new axis behind time."""
    weights = np.array([float(place) for place in places], np.float32).reshape(-1, *[1] * (up.rank - up.axis - 1))
    wide = [w.one("Unsqueeze", tensor, [up.axis + 1]) for tensor in (one, other)]
    return w.one("Add", w.one("Mul", wide[0], 1 - weights), w.one("Mul", wide[1], weights))
