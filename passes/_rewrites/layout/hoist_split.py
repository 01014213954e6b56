"""Moves a Split after the ops that are applied to all of its parts in the same way."""

from __future__ import annotations

from collections import Counter

from graphc.api import Node, Rewrite, Scene, Tensor, register_rewrite


def front_of(scene: Scene, part: Tensor, reader: Node) -> tuple[int, ...]:
    """The leading axes of size 1 that ``reader`` adds to a part of a Split. Empty if it does anything else."""
    before, after = scene.fixed(part), scene.fixed(reader.outputs[0]) if reader.outputs else None
    if reader.op not in ("Reshape", "Unsqueeze") or before is None or after is None or reader.inputs[0] is not part:
        return ()
    front = after[: len(after) - len(before)]
    return tuple(front) if front and after[len(front) :] == before and all(d == 1 for d in front) else ()


@register_rewrite
class HoistSplit(Rewrite):
    """If all parts of a Split are reshaped and transposed in the same way (into heads), the input of the Split is
    reshaped and transposed instead, and split afterwards.
    """

    name = "hoist_split"
    stage = "ranks"

    def apply(self, scene: Scene) -> int:
        return sum(self.widened(scene, s) or self.moved(scene, s) for s in scene.nodes("Split"))

    def widened(self, scene: Scene, split: Node) -> bool:
        """If at least two parts get the same leading axes of size 1, adds these axes before the Split instead.

        Returns whether the Split was changed.
        """
        source, parts = split.inputs[0], [t for t in split.outputs if t.name]
        whole = scene.fixed(source)
        if whole is None or len(parts) != len(split.outputs):
            return False
        fronts = Counter(f for t in parts for r in t.outputs if (f := front_of(scene, t, r)))
        if not fronts:
            return False
        front, times = fronts.most_common(1)[0]
        if times < 2:
            return False
        base = split.name or parts[0].name
        wide = scene.reshaped(source, [*front, *whole], base)
        axis = int(split.attrs.get("axis", 0))
        attrs = {**split.attrs, "axis": axis if axis < 0 else axis + len(front)}
        shapes = [[*front, *(scene.fixed(t) or [])] for t in parts]
        made = scene.add("Split", [wide, *split.inputs[1:]], attrs, base=base, shapes=shapes, dtype=scene.dtype(source))
        for old, new in zip(parts, made, strict=True):
            for reader in list(old.outputs):
                if front_of(scene, old, reader) == front:
                    scene.replace(reader.outputs[0], new)
            if old.outputs or not scene.is_inner(old):
                scene.replace(old, scene.reshaped(new, scene.fixed(old) or [], old.name))
        return True

    def moved(self, scene: Scene, split: Node) -> bool:
        source, parts = split.inputs[0], [t for t in split.outputs if t.name]
        whole = scene.fixed(source)
        if whole is None or len(parts) < 2 or len(parts) != len(split.outputs):
            return False
        if int(split.attrs.get("axis", 0)) not in (-1, len(whole) - 1):
            return False
        shapes = [scene.reader(t, "Reshape") for t in parts]
        reshapes = [n for n in shapes if n is not None]
        if len(reshapes) < len(parts):
            return False
        targets = {tuple(scene.fixed(n.outputs[0]) or ()) for n in reshapes}
        width = (scene.fixed(parts[0]) or [0])[-1]
        if len(targets) != 1 or any((scene.fixed(t) or [0])[-1] != width for t in parts):
            return False
        (target,) = targets
        if len(target) < 2 or target[-1] * target[-2] != width:
            return False
        perms = Counter(
            tuple(t.attrs.get("perm", ()))
            for n in reshapes
            for t in n.outputs[0].outputs
            if t.op == "Transpose" and scene.maker(t.outputs[0]) is t
        )
        base = split.name or parts[0].name
        heads = [*target[:-2], target[-2] * len(parts), target[-1]]
        perm = list(perms.most_common(1)[0][0]) if perms else list(range(len(target)))
        if sum(perms.values()) < len(parts) or len(perm) != len(target):
            return False
        moved = scene.transposed(scene.reshaped(source, heads, base), perm, base)
        made = scene.split(moved, [target[-2]] * len(parts), perm.index(len(target) - 2), base)
        back = [perm.index(a) for a in range(len(perm))]
        for reshape, part in zip(reshapes, made, strict=True):
            alike = [
                t for t in reshape.outputs[0].outputs if t.op == "Transpose" and list(t.attrs.get("perm", ())) == perm
            ]
            for transpose in alike:
                scene.replace(transpose.outputs[0], part)
                scene.drop(transpose)
            if reshape.outputs[0].outputs or not scene.is_inner(reshape.outputs[0]):
                scene.replace(reshape.outputs[0], scene.transposed(part, back, reshape.outputs[0].name))
        return True
