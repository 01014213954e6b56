"""What decides at the end of a pipeline: checked against the models, and as the manifest has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphc.contract.signature import Signature, StreamOutput
from graphc.ir.model import read_model
from graphc.spec.nearest import nearest
from graphc.spec.pipeline_schema import TransducerSpec
from graphc.spec.spec_file import PipelineFile


def table_files(file: PipelineFile) -> list[Path]:
    """The files that a decoder reads."""
    spec = file.spec.pipeline
    return [file.folder / d.tokens for d in (spec.ctc, spec.transducer) if d is not None and d.tokens is not None]


def decoder_entry(file: PipelineFile, joined: Signature, tokens: list[str] | None) -> dict[str, Any] | None:
    """The decoder of a manifest; None of a chain.

    Errors:
        SpecError: a name that is no port, or nothing that says how long a frame lasts where seconds count.
    """
    spec = file.spec.pipeline
    outputs = {o.name: o for o in joined.outputs}
    if spec.trigger is not None:
        output_of(file, ("trigger", "score"), spec.trigger.score, outputs)
        if joined.frame_ms is None:
            raise no_time(file, "trigger")
        return spec.trigger.model_dump()
    if spec.denoise is not None:
        port = output_of(file, ("denoise", "samples"), spec.denoise.samples, outputs)
        if port.axis is None or port.rate != 1:
            keys = ("pipeline", "denoise", "samples")
            raise file.error(keys, f"'{port.name}' gives {port.rate} frames for each sample that goes in")
        return spec.denoise.model_dump()
    decoder = spec.ctc or spec.transducer
    if decoder is None:
        return None
    name = "ctc" if spec.ctc is not None else "transducer"
    key, output = ("scores", spec.ctc.scores) if spec.ctc is not None else ("encoder", encoder_of(spec.transducer))
    port = output_of(file, (name, key), output, outputs)
    if port.axis is None and not port.step:
        raise file.error(("pipeline", name, key), f"'{output}' has no frames: it gives a value for each call")
    if decoder.endpoint_s is not None and joined.frame_ms is None:
        raise no_time(file, f"{name}.endpoint_s")
    return {**decoder.model_dump(), "tokens": tokens}


def encoder_of(spec: TransducerSpec | None) -> str:
    assert spec is not None
    return spec.encoder


def output_of(
    file: PipelineFile, keys: tuple[str, ...], name: str, outputs: Mapping[str, StreamOutput]
) -> StreamOutput:
    """Errors:
    SpecError: the pipeline has no such output.
    """
    if name not in outputs:
        raise file.error(("pipeline", *keys), f"'{name}' is no output of the pipeline", nearest(name, list(outputs)))
    return outputs[name]


def no_time(file: PipelineFile, what: str) -> Exception:
    return file.error(
        ("pipeline",), f"{what} counts seconds, and nothing says how long a frame lasts", "set stream.frame_ms"
    )


def check_networks(file: PipelineFile) -> None:
    """Refuses ports that the exported predictor and joiner have not, before anything is compiled.

    Errors:
        SpecError: with the nearest right name.
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
                raise file.error(keys, f"'{name}' is no {what} of '{entry.stage}'", nearest(name, ports[direction]))
