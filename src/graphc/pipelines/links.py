"""Links outputs to the inputs of stages, and checks that what one call returns fits what the next takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.errors import SpecError
from graphc.spec.nearest import nearest
from graphc.spec.pipeline_schema import LinkSpec
from graphc.spec.spec_file import PipelineFile
from graphc_runtime.contract.manifest import InputEntry, Manifest, OutputEntry


@dataclass(frozen=True)
class Link:
    """Where an input of a stage comes from in each call.

    Args:
        stage: the stage that has the input.
        entry: the input.
        source: the stage and the output that fill the input; None if an input of the pipeline does.
        name: the source as the spec names it.
        shape: the shape of the source in one call.
    """

    stage: str
    entry: InputEntry
    source: tuple[str, OutputEntry] | None
    name: str
    shape: tuple[int, ...]
    spec: LinkSpec

    @property
    def taken(self) -> tuple[int, ...]:
        return call_shape(self.entry)

    def apply(self, value: NDArray[Any]) -> NDArray[Any]:
        """The value of the input in a call, made from the value of its source."""
        if self.spec.permutation is not None:
            value = np.transpose(value, self.spec.permutation)
        value = value.reshape(self.taken)
        if (self.spec.scale, self.spec.offset) != (1.0, 0.0):
            value = value * np.asarray(self.spec.scale, value.dtype) + np.asarray(self.spec.offset, value.dtype)
        return value


def call_shape(entry: InputEntry | OutputEntry) -> tuple[int, ...]:
    """The shape of a port in one call."""
    return tuple(int(size) for size in entry.shape if isinstance(size, int))


def links_of(file: PipelineFile, manifests: Mapping[str, Manifest]) -> list[Link]:
    """Where every input of every stage comes from, in the order of the stages.

    Errors:
        SpecError: a name is unknown, a stage is not an earlier one, or an output has a delay or another size than the
            input of the next stage.
    """
    found: list[Link] = []
    before: list[str] = []
    for stage, manifest in manifests.items():
        entry = file.spec.pipeline.stages[stage]
        check_stage(file, stage, manifest)
        names = [i.name for i in manifest.inputs]
        for name in entry.inputs:
            if name not in names:
                keys = ("pipeline", "stages", stage, "inputs", name)
                raise file.error(keys, f"the stage has no input '{name}'", nearest(name, names))
        for port in manifest.inputs:
            spec = entry.inputs.get(port.name, LinkSpec.model_validate({"from": port.name}))
            found.append(link_of(file, stage, port, spec, before, manifests))
        before.append(stage)
    return found


def check_stage(file: PipelineFile, stage: str, manifest: Manifest) -> None:
    """Refuses a stage whose calls cannot be joined to those of other stages.

    Errors:
        SpecError: calls of the stage have any size, each stream of a batch has its own clock, or the stage needs the
            count of valid frames.
    """
    keys = ("pipeline", "stages", stage)
    if manifest.chunk is None:
        raise file.error(keys, "its calls have any size", "give stream.chunk a number in its spec")
    if manifest.streams is not None:
        raise file.error(keys, "each stream of its batch has its own clock", "set clocks: shared in its spec")
    if manifest.valid_frames is not None and len(file.spec.pipeline.joined) > 1:
        raise file.error(
            keys,
            "it needs to know which frames of its last call are real, and the stages before it cannot tell",
            "pad only at the start, or set stream.window in its spec",
        )


def link_of(
    file: PipelineFile,
    stage: str,
    port: InputEntry,
    spec: LinkSpec,
    before: Sequence[str],
    manifests: Mapping[str, Manifest],
) -> Link:
    keys = ("pipeline", "stages", stage, "inputs", port.name)
    source, _, output = spec.source.partition(".")
    if not output or (source not in manifests and "." in port.name):
        if not before:
            return Link(stage, port, None, spec.source, call_shape(port), spec)
        raise file.error(
            keys,
            f"'{spec.source}' is an input of the pipeline, which only the first stage can take",
            f"name an output of an earlier stage, as in `{port.name}: {before[-1]}.OUTPUT`",
        )
    if source not in before:
        raise file.error(keys, f"'{source}' is not an earlier stage", nearest(source, list(before)))
    outputs = {o.name: o for o in manifests[source].outputs}
    if output not in outputs:
        raise file.error(keys, f"'{source}' has no output '{output}'", nearest(output, list(outputs)))
    given = outputs[output]
    if given.delay:
        raise file.error(
            keys,
            f"'{output}' of '{source}' is {given.delay} frames late, and the next stage would take its first frames "
            "for input",
            "join both models in one ONNX graph and compile that: a lift tracks delays",
        )
    link = Link(stage, port, (source, given), spec.source, call_shape(given), spec)
    check_shapes(link, file.error(keys, "", None))
    return link


def check_shapes(link: Link, error: SpecError) -> None:
    """Refuses a source that does not fill its input.

    Errors:
        SpecError: the number or type of values differs, or the order of axes is not valid.
    """
    assert link.source is not None
    given, taken = link.shape, link.taken
    reason = None
    hint = "set the chunks of both specs so that one call feeds one call, or give a permutation"
    if link.source[1].dtype != link.entry.dtype:
        reason = f"'{link.spec.source}' gives {link.source[1].dtype}, but the input takes {link.entry.dtype}"
        hint = "export both models with the same type there"
    elif math.prod(given) != math.prod(taken):
        reason = f"a call gives {list(given)}, but the next takes {list(taken)}"
    elif link.spec.permutation is not None and sorted(link.spec.permutation) != list(range(len(given))):
        reason = f"{link.spec.permutation} is not a permutation of {len(given)} axes"
    elif (link.spec.permutation is None) and wide(given) != wide(taken):
        reason = f"a call gives {list(given)}, but the next takes {list(taken)}, with its axes in another order"
    if reason is not None:
        raise SpecError(
            f"{error.reason}{reason}",
            where=error.where,
            hint=hint,
        )


def wide(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]
