"""Checks the decoder at the end of a pipeline against the models, and writes the decoder's part of the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphc.errors import SpecError
from graphc.ir.model import read_model
from graphc.pipelines.token_tables import read_tokens
from graphc.spec.nearest import nearest
from graphc.spec.pipeline_schema import CtcSpec, TransducerSpec, TriggerSpec
from graphc.spec.spec_file import PipelineFile
from graphc_runtime.contract.manifest import Manifest, OutputEntry


def table_files(file: PipelineFile) -> list[Path]:
    """The files that a decoder reads."""
    spec = file.spec.pipeline
    return [file.folder / d.tokens for d in (spec.ctc, spec.transducer) if d is not None and d.tokens is not None]


def tokens_of(file: PipelineFile) -> list[str] | None:
    """The table of tokens. None if the decoder has none.

    Errors:
        SpecError: the file is not a table of tokens.
    """
    return next((read_tokens(path) for path in table_files(file)), None)


def decoder_entry(file: PipelineFile, joined: Manifest, tokens: list[str] | None) -> dict[str, Any] | None:
    """The decoder's part of the manifest. None for a chain, which has no decoder.

    Args:
        joined: the manifest of the joined model.

    Errors:
        SpecError: a name is not a port, a number has no score, or an option in seconds needs the duration of a frame,
            which is not known.
    """
    spec = file.spec.pipeline
    outputs = {o.name: o for o in joined.outputs}
    if spec.trigger is not None:
        check_trigger(file, spec.trigger, output_of(file, ("trigger", "score"), spec.trigger.score, outputs), joined)
        return spec.trigger.model_dump()
    if spec.denoise is not None:
        port = output_of(file, ("denoise", "samples"), spec.denoise.samples, outputs)
        if port.axis is None or port.pace != 1:
            keys = ("pipeline", "denoise", "samples")
            raise file.error(keys, f"'{port.name}' gives {port.pace} frames for each sample that goes in")
        return spec.denoise.model_dump()
    if spec.ctc is not None:
        port = output_of(file, ("ctc", "scores"), spec.ctc.scores, outputs)
        check_text(file, "ctc", spec.ctc, port, joined)
        check_tokens(file, "ctc", spec.ctc, math.prod(frame_of(port)), tokens)
        return {**spec.ctc.model_dump(), "tokens": tokens}
    if spec.transducer is not None:
        port = output_of(file, ("transducer", "encoder"), spec.transducer.encoder, outputs)
        check_text(file, "transducer", spec.transducer, port, joined)
        return {**spec.transducer.model_dump(), "tokens": tokens}
    return None


def frame_of(port: OutputEntry) -> list[int]:
    """The sizes of one frame of an output."""
    return [int(size) for axis, size in enumerate(port.shape) if axis != port.axis and isinstance(size, int)]


def output_of(file: PipelineFile, keys: tuple[str, ...], name: str, outputs: Mapping[str, OutputEntry]) -> OutputEntry:
    """The output of the pipeline with this name.

    Errors:
        SpecError: the pipeline has no such output.
    """
    if name not in outputs:
        raise file.error(("pipeline", *keys), f"the pipeline has no output '{name}'", nearest(name, list(outputs)))
    return outputs[name]


def check_trigger(file: PipelineFile, spec: TriggerSpec, port: OutputEntry, joined: Manifest) -> None:
    """Refuses several frames of scores per call, an index outside the scores, and an unknown duration of a frame."""
    if joined.frame_ms is None:
        raise no_time(file, "trigger")
    if port.axis is not None and port.frames != 1:
        raise file.error(
            ("pipeline", "trigger", "score"),
            f"a call gives {port.frames} frames of '{port.name}', but a trigger looks at one score a call",
            "set the chunks so that a call gives one frame",
        )
    count = math.prod(frame_of(port))
    if spec.place >= count:
        raise file.error(
            ("pipeline", "trigger", "place"),
            f"{spec.place} is not an index of the {count} scores of a call (0 to {count - 1})",
        )


def check_text(
    file: PipelineFile, kind: str, spec: CtcSpec | TransducerSpec, port: OutputEntry, joined: Manifest
) -> None:
    """Refuses an output without frames, and an endpoint in seconds if the duration of a frame is unknown."""
    if not port.is_stream:
        key = "scores" if kind == "ctc" else "encoder"
        raise file.error(
            ("pipeline", kind, key), f"'{port.name}' has no frames: it gives one value per call", "name another"
        )
    if spec.endpoint_s is not None and joined.frame_ms is None:
        raise no_time(file, f"{kind}.endpoint_s")


def check_tokens(
    file: PipelineFile, kind: str, spec: CtcSpec | TransducerSpec, count: int, tokens: list[str] | None
) -> None:
    """Refuses a blank or start token without a score, and a table that lacks more tokens than the blank."""
    start = spec.start if isinstance(spec, TransducerSpec) else None
    for key, token in (("blank", spec.blank), ("start", start)):
        if token is not None and token >= count:
            raise file.error(
                ("pipeline", kind, key),
                f"{token} is not one of the {count} tokens (0 to {count - 1})",
                "correct the number",
            )
    if tokens is not None and len(tokens) < count - 1:
        raise file.error(
            ("pipeline", kind, "tokens"),
            f"the table has {len(tokens)} tokens, but the model scores {count}",
            "use this model's table; only the blank may be missing",
        )


def no_time(file: PipelineFile, what: str) -> SpecError:
    return file.error(
        ("pipeline",), f"{what} is in seconds, and the duration of a frame is not known", "set stream.frame_ms"
    )


def check_networks(file: PipelineFile, tokens: list[str] | None) -> None:
    """Before anything is compiled, refuses names of ports that the exported predictor and joiner lack.

    Errors:
        SpecError: a name is not a port (hints at the nearest port), or the joiner does not score all tokens.
        ModelError: a model cannot be read.
    """
    spec = file.spec.pipeline.transducer
    if spec is None:
        return
    sides = [("joiner", spec.joiner, ("encoder", "predictor", "token"))]
    if spec.predictor is not None:
        sides.append(("predictor", spec.predictor, ("token",)))  # type: ignore[arg-type]
    for side, entry, inputs in sides:
        graph = read_model(file.stage_file(entry.stage).model_path).graph
        ports = {"in": [p.name for p in graph.input], "out": [p.name for p in graph.output]}
        for key, direction in [*((key, "in") for key in inputs), ("output", "out")]:
            name = getattr(entry, key)
            if name is not None and name not in ports[direction]:
                keys = ("pipeline", "transducer", side, key)
                what = "input" if direction == "in" else "output"
                raise file.error(keys, f"'{entry.stage}' has no {what} '{name}'", nearest(name, ports[direction]))
        dims = next(p.type.tensor_type.shape.dim for p in graph.output if p.name == entry.output)
        if side == "joiner" and dims and dims[-1].HasField("dim_value"):
            check_tokens(file, "transducer", spec, dims[-1].dim_value, tokens)
