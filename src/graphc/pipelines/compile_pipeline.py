"""Compiles the spec of a pipeline into a folder: every stage is compiled, stages are joined, the decoder is added."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graphc.build.compiler import Compilation, Options, Prepared, compiled, prepare
from graphc.build.fingerprint import own_digest
from graphc.build.report import finite
from graphc.errors import ValidationError
from graphc.ir.model import Model
from graphc.ir.weights.weight_files import scratch_of_its_own
from graphc.manifest.make_manifest import to_json
from graphc.manifest.model_files import model_files
from graphc.pipelines.decoders import check_networks, decoder_entry, table_files, tokens_of
from graphc.pipelines.links import Link, links_of
from graphc.pipelines.merge import merged
from graphc.spec.pipeline_schema import PrimeSpec
from graphc.spec.spec_file import PipelineFile, SpecFile
from graphc.system.files import digest, read, write_all
from graphc.validate.run_streams import session_of
from graphc_runtime.contract.first_values import file_digest
from graphc_runtime.contract.manifest import Manifest, parse_manifest
from graphc_runtime.errors import GraphcError
from graphc_runtime.pipeline.manifest import FORMAT, PIPELINE_MANIFEST
from graphc_runtime.session import StreamSession

REPORT = "pipeline.report.json"
REPORT_FORMAT = "graphc.pipeline.report/1"
CALLS = 40
NEAR = 1e-4


@scratch_of_its_own()
def compile_pipeline(file: PipelineFile, options: Options | None = None) -> dict[str, Any]:
    """Compiles the stages of a pipeline and joins them. Writes all files of its folder, or none.

    Returns:
        The record that pipeline.report.json holds.

    Errors:
        GraphcError: a stage or the joined model could not be compiled.
    """
    options = options or Options()
    folder = file.output_folder
    if name_of(file) in (*file.spec.pipeline.stages, "pipeline"):
        raise file.error(
            ("output",),
            f"the joined model is named after the folder, and '{name_of(file)}' is taken",
            "choose another name for the folder",
        )
    prepared = {}
    for name in file.spec.pipeline.stages:
        stage_file = file.stage_file(name)
        with placed(stage_file):
            prepared[name] = prepare(stage_file, options)
    fingerprint = fingerprint_of(file, prepared)
    if not options.force and (earlier := up_to_date(folder, fingerprint)) is not None:
        return {**earlier, "up_to_date": True}
    tokens = tokens_of(file)
    check_networks(file, tokens)
    made: dict[str, Compilation] = {}
    for name, stage in prepared.items():
        options.progress(name, len(made), len(prepared) + 1)
        with placed(stage.spec_file):
            made[name] = compiled(stage, options)
    options.progress("join", len(prepared), len(prepared) + 1)
    streaming = {name: made[name] for name in file.spec.pipeline.joined}
    links = links_of(file, {name: manifest_in(file, name, m) for name, m in streaming.items()})
    model, proto = merged(file, {n: (m.model, m.proto) for n, m in streaming.items()}, links)
    largest = check_joined(file, streaming, links, session_of(model, proto))
    if file.spec.pipeline.prime is not None:
        prime(file, model, session_of(model, proto), file.spec.pipeline.prime)
    files = {path: content for m in made.values() for path, content in m.files.items()}
    written = model_files(folder / f"{name_of(file)}.onnx", model, proto, {}, {})
    joined = parse_manifest(read(written[folder / f"{name_of(file)}.manifest.json"]), "the joined model")
    files |= written
    decoder = decoder_entry(file, joined, tokens)
    files[folder / PIPELINE_MANIFEST] = to_json(pipeline_manifest(file, made, links, decoder)).encode()
    record = finite(
        {
            "format": REPORT_FORMAT,
            "fingerprint": fingerprint,
            "joined_max_abs": largest,
            "stages": {n: m.data for n, m in made.items()},
            "outputs": {p.name: digest(content) for p, content in files.items()},
        }
    )
    files[folder / REPORT] = to_json(record).encode()
    write_all(files)
    return dict(record)


def manifest_text(name: str, made: Compilation) -> bytes | None:
    """The manifest of a stage. None if the stage does not stream."""
    return next((read(content) for path, content in made.files.items() if path.name == f"{name}.manifest.json"), None)


def manifest_in(file: PipelineFile, name: str, made: Compilation) -> Manifest:
    """The parsed manifest of a stage.

    Errors:
        SpecError: the stage does not stream.
    """
    text = manifest_text(name, made)
    if text is None:
        keys = ("pipeline", "stages", name)
        raise file.error(keys, "it does not stream", "give its spec a stream section, and lift_state among its passes")
    return parse_manifest(text, name)


@contextmanager
def placed(stage: SpecFile) -> Iterator[None]:
    """Adds the stage's spec to an error that names no file."""
    try:
        yield
    except GraphcError as err:
        err.where = err.where or str(stage.source.path)
        raise


def name_of(file: PipelineFile) -> str:
    """The name of the joined model, which is that of the folder."""
    return file.output_folder.resolve().name


def fingerprint_of(file: PipelineFile, prepared: Mapping[str, Prepared]) -> dict[str, Any]:
    """Hashes of everything that the folder depends on."""
    return {
        "pipeline": digest(file.spec.model_dump_json(by_alias=True).encode()),
        "stages": {name: stage.fingerprint for name, stage in prepared.items()},
        "tokens": [file_digest(path) for path in table_files(file) if path.is_file()],
        "compiler": own_digest(),
    }


def up_to_date(folder: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The earlier record, if it has the same fingerprint and all files still have their hashes; else None."""
    try:
        record: dict[str, Any] = json.loads((folder / REPORT).read_bytes())
        if record["fingerprint"] != json.loads(json.dumps(fingerprint)):
            return None
        fresh = all(Path(n).name == n and file_digest(folder / n) == sha for n, sha in record["outputs"].items())
        return record if fresh else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_joined(
    file: PipelineFile, made: Mapping[str, Compilation], links: Sequence[Link], joined: StreamSession
) -> float:
    """Runs some calls of the joined model and of its stages. Returns the largest difference.

    Errors:
        ValidationError: the difference is more than rounding.
    """
    stages = {name: session_of(m.model, m.proto) for name, m in made.items()}
    rng = np.random.default_rng(0)
    largest = 0.0
    for _ in range(CALLS):
        feeds = {
            link.name: rng.standard_normal(link.taken).astype(link.entry.dtype) for link in links if link.source is None
        }
        given: dict[tuple[str, str], Any] = {}
        for name, session in stages.items():
            own = {
                link.entry.name: link.apply(
                    feeds[link.name] if link.source is None else given[link.source[0], link.source[1].name]
                )
                for link in links
                if link.stage == name
            }
            given |= {(name, output): value for output, value in session.push(own).items()}
        for output, value in joined.push(feeds).items():
            stage, _, source = file.spec.pipeline.outputs.get(output, f"{list(stages)[-1]}.{output}").partition(".")
            want = given[stage, source]
            difference = float(np.max(np.abs(value - want), initial=0.0))
            if not difference <= NEAR * max(1.0, float(np.max(np.abs(want), initial=0.0))):
                raise ValidationError(
                    f"the joined model differs in '{output}' by {difference:g} from its stages run one by one",
                    hint="this is a defect of graphc: please report the pipeline",
                )
            largest = max(largest, difference)
    return largest


def prime(file: PipelineFile, model: Model, session: StreamSession, spec: PrimeSpec) -> None:
    """Runs noise through the model, and makes the resulting states its first values. A clock keeps its first value.

    Errors:
        SpecError: the duration of a frame is not known.
    """
    signature = model.signature
    assert signature is not None
    if signature.frame_ms is None:
        keys = ("pipeline", "prime")
        raise file.error(keys, "the duration of a frame is not known", "set stream.frame_ms in the first stage's spec")
    for samples in noise_calls(session, spec, signature.frame_ms):
        session.push(samples)
    states = session.snapshot().states
    kept = (replace(s, init=np.asarray(states[s.input])) if s.kind != "clock" else s for s in signature.states)
    model.signature = replace(signature, states=tuple(kept))


def noise_calls(session: StreamSession, spec: PrimeSpec, frame_ms: float) -> Iterator[dict[str, Any]]:
    """Calls of uniform noise. They are the same in every compilation: numpy's default generator with seed 0."""
    rng = np.random.default_rng(0)
    for _ in range(math.ceil(spec.seconds * 1000 / (session.chunk * frame_ms))):
        yield {
            name: rng.uniform(-spec.level, spec.level, [int(s or 1) for s in entry.shape]).astype(session.dtypes[name])
            for name, entry in session.streams.items()
        }


def pipeline_manifest(
    file: PipelineFile, made: Mapping[str, Compilation], links: Sequence[Link], decoder: dict[str, Any] | None
) -> dict[str, Any]:
    """What a client needs to know about the pipeline: the joined model, the stages and their links, and the decoder."""
    spec = file.spec.pipeline
    return {
        "format": FORMAT,
        "kind": spec.kind,
        "model": f"{name_of(file)}.onnx",
        "stages": [
            {
                "name": name,
                "model": f"{name}.onnx",
                "manifest": json.loads(manifest_text(name, m) or "null"),
                "inputs": {link.entry.name: link.spec.model_dump() for link in links if link.stage == name},
            }
            for name, m in made.items()
        ],
        "outputs": spec.outputs,
        "decoder": decoder,
    }
