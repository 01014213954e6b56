"""What a rewrite is, and the registry of rewrites that ``fuse`` runs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from graphc.errors import PassError
from graphc.ir.graph import Constant, Tensor
from graphc.op_sets.op_set import OpSet
from graphc.rewriting.pattern import Call, Match, Pattern
from graphc.rewriting.scene import Scene

Stage = Literal["tidy", "names", "weights", "layout", "ranks", "target"]
STAGES: tuple[Stage, ...] = ("tidy", "names", "weights", "layout", "ranks", "target")


class Rewrite(ABC):
    """A change of a graph to fewer or faster nodes that give the same numbers.

    Args:
        name: the name of the rewrite in a spec, in snake_case.
        stage: when the rewrite runs. Every stage runs until no rewrite fires. Those of ``tidy`` run in every stage.
        needs: the ops outside ONNX's own that the rewrite writes, as ``domain::Op``.

    The docstring says what the rewrite does.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    needs: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def apply(self, scene: Scene) -> int:
        """Applies the rewrite where it fits, and returns how often. Notes near misses and why in ``scene.notes``."""

    @classmethod
    def suits(cls, target: OpSet) -> bool:
        """Whether a runtime has the ops that the rewrite writes, and runs faster with them."""
        return target.has(*cls.needs)

    @classmethod
    def summary(cls) -> str:
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())


class PatternRewrite(Rewrite):
    """A rewrite that is declared as patterns and their replacement."""

    patterns: ClassVar[Sequence[Callable[..., Call]]]

    @abstractmethod
    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        """The tensor that replaces the root of the match, or a text on why the match does not fit after all."""

    def apply(self, scene: Scene) -> int:
        count = 0
        for function in self.patterns:
            for found in Pattern(function).matches(scene):
                made = self.replacement(scene, found) if keeps_rank(scene, found) else "a constant would raise the rank"
                if isinstance(made, str):
                    note = f"{self.name}: {found.base} stays: {made}"
                    if note not in scene.notes:
                        scene.notes.append(note)
                    continue
                scene.replace(found.root, made)
                count += 1
        return count


def keeps_rank(scene: Scene, found: Match) -> bool:
    """Whether the constants of a match do not raise the rank of its other tensors."""
    rank = scene.rank(found.root)
    ranks = [scene.rank(t) for t in found.tensors.values() if not isinstance(t, Constant)]
    return rank is None or not ranks or any(r is None or r == rank for r in ranks)


REWRITES: dict[str, type[Rewrite]] = {}
R = TypeVar("R", bound=type[Rewrite])


def register_rewrite(cls: R) -> R:
    """Makes a rewrite known to ``fuse``.

    Errors:
        PassError: two rewrites have the same name; names both modules.
    """
    other = REWRITES.get(cls.name)
    if other is not None and other.__qualname__ + other.__module__ != cls.__qualname__ + cls.__module__:
        raise PassError(f"two rewrites are named '{cls.name}': of {other.__module__} and of {cls.__module__}")
    REWRITES[cls.name] = cls
    return cls


def rewrites_for(target: OpSet | None, names: Sequence[str] | None = None) -> list[Any]:
    """Instances of the rewrites for a target (None: any), in order of stage and name. ``names`` limits them."""
    chosen = [
        c for c in REWRITES.values() if (target is None or c.suits(target)) and (names is None or c.name in names)
    ]
    return [c() for c in sorted(chosen, key=lambda c: (STAGES.index(c.stage), c.name))]
