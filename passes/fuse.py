"""Rewrites a graph to fewer and faster nodes."""

from __future__ import annotations

import importlib
import pkgutil

import graphc_passes._rewrites as rewrites
from pydantic import Field

import graphc.api as api
from graphc.api import (
    STAGES,
    Model,
    OpSet,
    Pass,
    PassConfig,
    PassContext,
    PassError,
    PassResult,
    Rewrite,
    Scene,
    Stage,
    all_op_sets,
    nearest,
    register_pass,
    rewrites_for,
)

MAX_ROUNDS = 20
MAX_SWEEPS = 4

for found in pkgutil.walk_packages(rewrites.__path__, f"{rewrites.__name__}."):
    importlib.import_module(found.name)


class FuseOptions(PassConfig):
    only: list[str] = Field(default=[], description="names of rewrites to run; default: all that the target allows")
    leave_out: list[str] = Field(default=[], description="names of rewrites not to run")


@register_pass
class Fuse(Pass[FuseOptions]):
    """Rewrites the graph to fewer and faster nodes that give the same numbers.

    What it does:
        Runs rewrites in stages. Each stage repeats until none of its rewrites fires. ``tidy`` removes identities,
        merges chains of Reshapes and Transposes, and computes equal results once. ``names`` replaces the parts of an op
        such as LayerNormalization by the op. ``weights`` folds scales and shifts into weights and merges parallel
        products. ``layout`` removes Transposes and changes the layout of caches. ``ranks`` removes batch axes of size
        1. ``target`` uses ops that the spec's ``target`` runs faster. docs/fusion.md lists the rewrites. The report
        says how often each rewrite fired, and why near matches did not fit.

    Why:
        A chunk has only a few frames, so most of the time of a call is the overhead of the nodes.

    Example:
        passes:
          - fuse: {leave_out: [eliminate_transposes]}

    Limits:
        Outputs change only by rounding: weights are merged in float64 and stored in their own type. Rewrites apply to
        the outer graph, not to the bodies of Loop, Scan and If. ``layout`` may change the order of axes in a state
        port.
    """

    name = "fuse"
    Config = FuseOptions

    @classmethod
    def parts(cls) -> dict[str, str]:
        return {r.name: r.summary() + suffix(r) for r in rewrites_for(None)}

    def run(self, model: Model, config: FuseOptions, context: PassContext) -> PassResult:
        before, signature = model.proto(), model.signature
        chosen = [r for r in chosen_rewrites(config, context.target) if r.name not in context.leave_out]
        counts = {r.name: 0 for r in chosen}
        run = Run(Scene(model, context.target), chosen, counts)
        for _ in range(MAX_SWEEPS):
            if not sum(run.stage(stage) for stage in STAGES):
                break
        told = [f"{name}: fired {n} times" if n > 1 else f"{name}: fired once" for name, n in counts.items() if n]
        idle = [name for name, n in counts.items() if not n]
        told += [f"found nothing: {', '.join(idle)}"] if idle else []
        why = [note for notes in run.reasons.values() for note in dict.fromkeys(notes)]
        result = api.revert_unloadable(before, PassResult(model, told + why, {k: v for k, v in counts.items() if v}))
        if result.model is not model:
            result.model.signature = signature
        return result


class Run:
    """Applies a list of rewrites to a scene.

    ``reasons`` maps each rewrite to the notes of its last application: what it did not rewrite, and why.
    """

    def __init__(self, scene: Scene, rewrites: list[Rewrite], counts: dict[str, int]):
        self.scene, self.rewrites, self.counts = scene, rewrites, counts
        self.reasons: dict[str, list[str]] = {}

    def stage(self, stage: Stage) -> int:
        """Runs the rewrites of a stage until none fires. Returns how often they fired.

        After each rewrite that fires, the rewrites of ``tidy`` run too.
        """
        total = 0
        for _ in range(MAX_ROUNDS):
            fired = sum(self.fired(r) for r in self.rewrites if r.stage == stage)
            total += fired
            if not fired:
                break
        return total

    def fired(self, rewrite: Rewrite) -> int:
        self.scene.notes.clear()
        count = rewrite.apply(self.scene)
        self.reasons[rewrite.name] = list(self.scene.notes)
        self.counts[rewrite.name] += count
        api.keep_weights(self.scene.graph)
        if count:
            self.scene.tidy()
            self.scene.look()
            if rewrite.stage != "tidy":
                self.stage("tidy")
        return count


def suffix(rewrite: Rewrite) -> str:
    """A text that names the targets that a rewrite is for; empty if it is for all targets."""
    suited = [name for name, target in all_op_sets().items() if rewrite.suits(target)]
    return "" if len(suited) == len(all_op_sets()) else f" (target {', '.join(suited)})"


def chosen_rewrites(config: FuseOptions, target: OpSet) -> list[Rewrite]:
    """The rewrites that the options and the target allow.

    Errors:
        PassError: an option names a rewrite that does not exist for this target.
    """
    known = [r.name for r in rewrites_for(target)]
    for key, names in (("only", config.only), ("leave_out", config.leave_out)):
        for name in names:
            if name not in known:
                raise PassError(
                    f"fuse.{key}: there is no rewrite '{name}' for the target {target.name}", hint=nearest(name, known)
                )
    found = rewrites_for(target, config.only or None)
    return [r for r in found if r.name not in config.leave_out]
