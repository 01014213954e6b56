"""Rewrites linear interpolation between frames to weighted sums of shifted frames.

If an ONNX Resize upsamples by k, output i is read at the input position (i + 1/2) / k - 1/2 in the half-pixel modes,
and at i / k in the asymmetric mode. If it downsamples by k, 1 / k replaces k in these formulas. An output between two
frames is their weighted mean: the weight of each frame is the distance to the other one. Positions before the first
frame or after the last frame give that frame.

onnxruntime computes positions in float32. If the factor is a power of two, they are exact while the longer of input and
output has at most 2^23 frames. Otherwise their relative error is up to 2^-23, and the rewrite is claimed to equal the
offline model for at most ``ROUGH`` input frames.
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
    """Linear interpolation along one axis by an integer factor, up or down.

    Args:
        alone: whether an output of a single frame is input frame 0, whatever the formula of positions gives.
        sizes: the sizes of the axes after the interpolated one; the same at every length.
        others: the factor of each axis, with 1 for the interpolated axis.
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
        """The number of parts into which each input frame is divided.

        The rewrite counts the parts of the input in float32, which is exact up to 2^24. So the proof ends at the length
        at which onnxruntime's positions are no longer accurate enough.
        """
        exact = 2 if self.down else 2 * self.factor
        return exact if is_power_of_two(self.factor) else MANTISSA // ROUGH

    def places(self) -> list[Fraction]:
        """The positions of the outputs that belong to one input frame, in frames relative to that frame.

        If downsampling, the position of the one output that belongs to ``factor`` frames, relative to the first of
        them.
        """
        shift = Fraction(1, 2) if self.half_pixels else Fraction(0)
        if self.down:
            return [shift * self.factor - shift]
        return [(i + shift) / self.factor - shift for i in range(self.factor)]


def interpolate_by_sums(graph: Graph, shapes: Shapes, dtypes: Mapping[str, np.dtype[np.generic]]) -> list[str] | None:
    """Rewrites the first Resize that interpolates linearly by an integer factor along time.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    Resize.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        dtypes: the dtypes of the data tensors.
    """
    for node in [n for n in graph.nodes if n.op == "Resize" and standard(n) and graph.opset >= FIRST_OPSET]:
        found = resampling(node, shapes) if dtypes.get(node.inputs[0].name) == np.float32 else None
        if found is not None:
            return rewritten(graph, node, found)
    return None


def resampling(node: Node, shapes: Shapes) -> Resampling | None:
    """The resampling of a Resize that interpolates linearly along time by an integer factor; None for any other Resize.

    The factors of the other axes must be the same at every length.
    """
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
    """The integer factor by which all sizes grow, or by which all shrink with rounding down; None if there is none.

    onnxruntime multiplies sizes by the factor in float32. The result is also None if that would round a size
    differently.

    Args:
        sizes: the size of the axis before and after the Resize, at each evaluated length.
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
    """Downsamples: turns each ``factor`` frames into one output frame.

    The output is the frame at the position that ``places`` returns, or the mean of the two frames beside that position.
    """
    (place,) = down.places()
    whole = w.one("Mul", w.one("Div", w.size(source, down.axis), down.factor), down.factor)
    kept = w.one("Slice", source, [0], whole, [down.axis])
    nearest = sorted({floor(place), ceil(place)})
    frames = [w.one("Slice", kept, [frame], [END], [down.axis], [down.factor]) for frame in nearest]
    if len(frames) == 1:
        return frames[0]
    return w.one("Add", *[w.one("Mul", frame, np.float32(0.5)) for frame in frames])


def summed(w: Writer, source: Tensor, up: Resampling) -> Tensor:
    """Upsamples: turns each frame into ``factor`` output frames.

    Outputs with a negative position lie between the previous frame and this one, the others between this one and the
    next.
    """
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
    """Interpolates between each frame of one tensor and the same frame of another, at each of ``places``.

    Position 0 is the frame of the first tensor and position 1 that of the second. The outputs lie on a new axis after
    time.
    """
    weights = np.array([float(place) for place in places], np.float32).reshape(-1, *[1] * (up.rank - up.axis - 1))
    wide = [w.one("Unsqueeze", tensor, [up.axis + 1]) for tensor in (one, other)]
    return w.one("Add", w.one("Mul", wide[0], 1 - weights), w.one("Mul", wide[1], weights))
