"""Replaces attention with a cache by onnxruntime's MultiHeadAttention."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graphc.api import Node, Rewrite, Scene, Tensor, Variable, label, register_rewrite, scalar_of, weight_of

HEADS_FIRST = [0, 2, 1, 3]
LAST_SWAPPED = [0, 1, 3, 2]
LOWEST = -1e8
LOWEST_FLOAT = float(np.finfo(np.float32).min)


@dataclass
class Scores:
    """Attention scores: the product of queries and keys, followed by sums and masks.

    Args:
        layers: the sums and masks in the order in which they are applied: (None, addend) or (mask, value where masked).
    """

    query: Tensor
    keys: Tensor
    layers: list[tuple[Tensor | None, Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class CachedWindow:
    """Keys or values: those of earlier calls, those of this call, and both concatenated."""

    past: Tensor
    fresh: Tensor
    whole: Tensor


@register_rewrite
class MultiHeadAttention(Rewrite):
    """softmax(queries @ keys + bias) @ values, with cached keys and values and an optional bias, becomes one node. It
    takes the cached keys and values, and returns them with those of the call appended.
    """

    name = "multi_head_attention"
    stage = "layout"
    needs = ("com.microsoft::MultiHeadAttention",)

    def apply(self, scene: Scene) -> int:
        count = 0
        for softmax in scene.nodes("Softmax"):
            refusal = self.merged(scene, softmax) if softmax.outputs else "gone"
            if refusal is None:
                count += 1
                scene.tidy()
            elif refusal != "gone":
                scene.notes.append(f"{self.name}: {label(softmax)} stays: {refusal}")
        return count

    def merged(self, scene: Scene, softmax: Node) -> str | None:
        """Rewrites the attention around a Softmax. Returns None, or the reason why the rewrite does not fit."""
        shape = scene.fixed(softmax.outputs[0])
        if shape is None or len(shape) != 4 or int(softmax.attrs.get("axis", -1)) not in (-1, 3):
            return "its scores are not [batch, heads, queries, keys]"
        if str(scene.dtype(softmax.outputs[0])) != "float32":
            return "its scores are not float32"
        product = scene.reader(softmax.outputs[0], "MatMul")
        turned = None if product is None else scene.reader(product.outputs[0], "Transpose")
        joined = None if turned is None else scene.reader(turned.outputs[0], "Reshape")
        if product is None or turned is None or joined is None or list(turned.attrs.get("perm", [])) != HEADS_FIRST:
            return "its heads are not joined after it"
        scores = scores_of(scene, softmax.inputs[0])
        if scores is None:
            return "its scores are not a product with sums and masks on top"
        key_turn = scene.sole(scores.keys, "Transpose")
        if key_turn is None or list(key_turn.attrs.get("perm", [])) != LAST_SWAPPED:
            return "its keys are cached in another layout"
        keys, values = window_of(scene, key_turn.inputs[0]), window_of(scene, product.inputs[1])
        if keys is None or values is None:
            return "its keys and values have no past"
        query, shift = shifted(scene, scores.query)
        threes = [whole_of(scene, t) for t in (query, keys.fresh, values.fresh)]
        if any(t is None for t in threes):
            return "its heads are not split before it"
        sizes = [scene.fixed(t) for t in threes if t is not None]
        if len({tuple(s or ()) for s in sizes}) != 1:
            return "its queries, keys and values differ in size"
        base = product.name or product.outputs[0].name
        hidden = keys_hidden(scene, scores, shape)
        bias = bias_of(scene, scores, shape, base)
        (size,) = {tuple(s or ()) for s in sizes}
        missing = Variable.empty()
        own: Tensor = missing
        if shift is not None:
            own = scene.constant(f"{base}/query_bias", np.concatenate([shift, np.zeros(2 * size[-1], np.float32)]))
        window = scene.fixed(keys.whole)
        made = scene.add(
            "MultiHeadAttention",
            [*(t for t in threes if t is not None), own, hidden or missing, bias or missing, keys.past, values.past],
            {"num_heads": shape[1], "scale": 1.0, "mask_filter_value": LOWEST_FLOAT},
            base=base,
            shapes=[list(size), window, window],
            dtype=scene.dtype(softmax.outputs[0]),
            domain="com.microsoft",
        )
        out = scene.fixed(joined.outputs[0])
        assert out is not None
        result: Tensor = made[0] if out == list(size) else scene.reshaped(made[0], out, base)
        scene.replace(joined.outputs[0], result)
        scene.replace(keys.whole, made[1])
        scene.replace(values.whole, made[2])
        return None


def scores_of(scene: Scene, tensor: Tensor) -> Scores | None:
    """Splits scores into the product of queries and keys and what is applied to it. None for any other tensor."""
    where = scene.sole(tensor, "Where")
    if where is not None:
        low = scalar_of(where.inputs[1])
        inner = scores_of(scene, where.inputs[2]) if low is not None and low <= LOWEST else None
        if inner is not None:
            inner.layers.append((where.inputs[0], where.inputs[1]))
        return inner
    add = scene.sole(tensor, "Add")
    if add is not None:
        for index in (0, 1):
            inner = scores_of(scene, add.inputs[index])
            if inner is not None and scene.fixed(add.inputs[index]) == scene.fixed(tensor):
                inner.layers.append((None, add.inputs[1 - index]))
                return inner
        return None
    product = scene.sole(tensor, "MatMul")
    if product is None or scene.sole(product.inputs[1], "Transpose") is None:
        return None
    return Scores(product.inputs[0], product.inputs[1])


def window_of(scene: Scene, tensor: Tensor) -> CachedWindow | None:
    """The past frames and the new frames, if a Concat along axis 2 (frames) makes the tensor from both; else None."""
    join = scene.maker(tensor, "Concat")
    if join is None or len(join.inputs) != 2 or int(join.attrs["axis"]) != 2 or not scene.is_inner(tensor):
        return None
    return CachedWindow(join.inputs[0], join.inputs[1], tensor)


def shifted(scene: Scene, query: Tensor) -> tuple[Tensor, np.ndarray | None]:
    """Splits queries into the tensor before a constant was added, and that constant, flattened.

    The constant is the same for all frames of a head. If there is no such constant, returns the queries and None.
    """
    shape = scene.fixed(query)
    add = scene.sole(query, "Add")
    if add is None or shape is None:
        return query, None
    for index in (0, 1):
        value = weight_of(add.inputs[index])
        if value is None or value.size != shape[1] * shape[3] or value.shape[-1] != shape[3]:
            continue
        full = value.reshape((1,) * (4 - value.ndim) + value.shape)
        if full.shape == (1, shape[1], 1, shape[3]):
            return add.inputs[1 - index], full.ravel()
    return query, None


def whole_of(scene: Scene, heads: Tensor) -> Tensor | None:
    """The tensor [batch, frames, width] that was split into heads; None if there is none.

    If frames are masked after the split, the mask is applied before the split instead.
    """
    shape = scene.fixed(heads)
    where = scene.sole(heads, "Where")
    if where is not None and scalar_of(where.inputs[1]) is not None:
        mask, source = scene.fixed(where.inputs[0]), whole_of(scene, where.inputs[2])
        if source is None or mask is None or shape is None or mask not in ([shape[2], 1], [1, 1, shape[2], 1]):
            return None
        flat = where.inputs[0] if len(mask) == 2 else scene.reshaped(where.inputs[0], [shape[2], 1], heads.name)
        return scene.one(
            "Where",
            flat,
            where.inputs[1],
            source,
            base=heads.name,
            shape=scene.shape(source),
            dtype=scene.dtype(source),
        )
    turn = scene.maker(heads, "Transpose")
    split = None if turn is None else scene.maker(turn.inputs[0], "Reshape")
    if turn is None or split is None or shape is None or list(turn.attrs.get("perm", [])) != HEADS_FIRST:
        return None
    wanted = [shape[0], shape[2], shape[1] * shape[3]]
    source = split.inputs[0]
    if scene.fixed(source) == wanted:
        return source
    return scene.reshaped(source, wanted, heads.name) if scene.fixed(source) is not None else None


def keys_hidden(scene: Scene, scores: Scores, shape: list[int]) -> Tensor | None:
    """The keys that are masked for all queries, as onnxruntime expects: int32 [1, keys], with 0 for masked keys.

    The masks are removed from ``scores.layers``. None if no mask has this form.
    """
    if shape[0] != 1:
        return None
    alike = [m for m, _ in scores.layers if m is not None and is_for_keys(scene, m, shape[3])]
    if not alike:
        return None
    scores.layers = [(m, v) for m, v in scores.layers if m is None or all(m is not a for a in alike)]
    base, sizes = "attention/hidden", [1, shape[3]]
    whole = [scene.reshaped(m, sizes, base) for m in alike]
    hidden = whole[0]
    for other in whole[1:]:
        hidden = scene.one("Or", hidden, other, base=base, shape=sizes)
    seen = scene.one("Not", hidden, base=base, shape=sizes)
    return scene.one("Cast", seen, base=base, shape=sizes, dtype=np.dtype(np.int32), to=6)


def is_for_keys(scene: Scene, mask: Tensor, keys: int) -> bool:
    size = scene.fixed(mask)
    return size is not None and size[-1:] == [keys] and all(d == 1 for d in size[:-1])


def bias_of(scene: Scene, scores: Scores, shape: list[int], base: str) -> Tensor | None:
    """The bias that is added to the product, [1 or batch, 1 or heads, queries, keys]; None if there is none.

    A masked entry of the bias is so low that the product does not matter there.
    """
    bias: Tensor | None = None
    zero = np.zeros((1, 1, *shape[2:]), np.float32)
    for mask, value in scores.layers:
        if mask is None:
            bias = value if bias is None else scene.one("Add", bias, value, base=base, shape=None)
            continue
        inner = bias if bias is not None else scene.constant("attention/no_bias", zero)
        bias = scene.one("Where", mask, value, inner, base=base, shape=None, dtype=np.dtype(np.float32))
    if bias is None:
        return None
    known = scene.fixed(bias)
    if known is None or len(known) != 4 or known[2:] != shape[2:]:
        zeros = scene.constant("attention/no_bias", zero)
        bias = scene.one("Add", bias, zeros, base=base, shape=None)
    return bias
