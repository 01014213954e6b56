"""Moves zero padding into the convolution after it."""

from __future__ import annotations

import numpy as np

from graphc.api import Node, Rewrite, Scene, normalised, register_rewrite, value_of


@register_rewrite
class PadIntoConv(Rewrite):
    """A Pad with zeros on spatial axes becomes the Conv's own padding."""

    name = "pad_into_conv"
    stage = "weights"

    def apply(self, scene: Scene) -> int:
        count = 0
        for conv in scene.nodes("Conv"):
            pad = scene.sole(conv.inputs[0], "Pad")
            if pad is None or str(conv.attrs.get("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
                continue
            rank = scene.rank(pad.inputs[0]) or scene.rank(conv.inputs[1])
            amounts = amounts_of(pad, rank)
            if rank is None or amounts is None or any(a < 0 for a in amounts):
                continue
            spatial = rank - 2
            if any(amounts[axis] or amounts[axis + rank] for axis in (0, 1)):
                continue
            own = [0] * 2 * spatial
            if str(conv.attrs.get("auto_pad", "NOTSET")) == "NOTSET":
                own = [int(p) for p in conv.attrs.get("pads", own)]
            added = amounts[2:rank] + amounts[rank + 2 :]
            conv.attrs["pads"] = [a + b for a, b in zip(own, added, strict=True)]
            conv.attrs.pop("auto_pad", None)
            conv.inputs = [pad.inputs[0], *conv.inputs[1:]]
            scene.drop(pad)
            count += 1
        return count


def amounts_of(pad: Node, rank: int | None) -> list[int] | None:
    """The padding of all axes in ONNX's order (all starts, then all ends), if a Pad adds zeros.

    None if it pads with anything else, or if the amounts are not known.
    """
    if str(pad.attrs.get("mode", "constant")) != "constant" or rank is None:
        return None
    fill = (
        value_of(pad.inputs[2])
        if len(pad.inputs) > 2 and pad.inputs[2].name
        else np.asarray(pad.attrs.get("value", 0.0))
    )
    if fill is None or fill.size == 0 or np.any(fill != 0):
        return None
    if "pads" in pad.attrs:
        return [int(p) for p in pad.attrs["pads"]]
    amounts = value_of(pad.inputs[1]) if len(pad.inputs) > 1 else None
    if amounts is None:
        return None
    given = [int(a) for a in amounts]
    if len(pad.inputs) < 4 or not pad.inputs[3].name:
        return given if len(given) == 2 * rank else None
    axes = value_of(pad.inputs[3])
    if axes is None:
        return None
    full = [0] * 2 * rank
    for index, axis in enumerate(normalised(int(a), rank) for a in axes):
        full[axis], full[axis + rank] = given[index], given[index + len(axes)]
    return full
