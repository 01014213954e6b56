"""Fewer nodes for the same numbers."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import graphc_passes._rewrites as rewrites
import onnx
from graphc_passes._rewrites._scene import Scene

from graphc.api import (
    Model,
    Pass,
    PassConfig,
    PassContext,
    PassResult,
    drop_dead,
    guarded,
    inferred_types,
    register_pass,
)

MAX_ROUNDS = 20


class FuseOptions(PassConfig):
    """No options."""


@register_pass
class Fuse(Pass[FuseOptions]):
    """Merges nodes into fewer that give the same numbers.

    What it does:
        BatchNormalization into the Conv or ConvTranspose in front; MatMul and Add of rank 2 into Gemm; zero Pad into
        Conv; identities, cancelling transposes and chains of reshapes out. It repeats until nothing changes.

    Why:
        A chunk is a few frames: much of its time is the overhead of nodes.

    Example:
        passes:
          - fuse

    Limits:
        Exact to rounding: weights are merged in float64 and stored in their own type. Rewrites look at the outer
        graph, not into the bodies of Loop, Scan and If.
    """

    name = "fuse"
    Config = FuseOptions

    def run(self, model: Model, config: FuseOptions, context: PassContext) -> PassResult:
        before = model.proto()
        counts: dict[str, int] = {}
        notes: list[str] = []
        for _ in range(MAX_ROUNDS):
            fired = 0
            for name, rewrite in found_rewrites().items():
                scene = scene_of(model)
                count = rewrite(scene)
                fired += count
                counts[name] = counts.get(name, 0) + count
                notes += [n for n in scene.notes if n not in notes]
            drop_dead(model.graph)
            if not fired:
                break
        told = [
            f"{name.replace('_', ' ')}: {'fired ' + str(n) + ' times' if n else 'found nothing'}"
            for name, n in counts.items()
        ]
        return guarded(before, PassResult(model, told + notes, {k: v for k, v in counts.items() if v}))


def found_rewrites() -> dict[str, Callable[[Scene], int]]:
    """The ``rewrite`` function of every module of the rewrites' folder, by the module's name."""
    names = sorted(m.name for m in pkgutil.iter_modules(rewrites.__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{rewrites.__name__}.{name}").rewrite for name in names}


def scene_of(model: Model) -> Scene:
    types = inferred_types(model.proto())
    dtypes = {}
    for name, (elem_type, _) in types.items():
        try:
            dtypes[name] = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
        except KeyError:
            continue
    return Scene(model.graph, {n: s for n, (_, s) in types.items() if s is not None}, dtypes)
