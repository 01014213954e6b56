"""Pipelines that end in text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from conftest import ROOT

import graphc

PIPELINES = ROOT / "examples" / "pipelines"
MODELS = ROOT / "examples" / "models"


def compile_examples(folder: Path) -> Path:
    """The example pipelines, compiled; without endpoints they decode a stream as one utterance."""
    for path in PIPELINES.iterdir():
        text = path.read_text().replace("../models", str(MODELS)).replace("../../out", "out")
        (folder / path.name).write_text(text)
    for name in ("ctc", "transducer"):
        text = (folder / f"{name}.yaml").read_text()
        (folder / f"{name}_whole.yaml").write_text(
            "\n".join(
                line for line in text.replace(f"out/{name}", f"out/{name}_whole").splitlines() if "endpoint" not in line
            )
        )
        graphc.compile(folder / f"{name}_whole.yaml")
        graphc.compile(folder / f"{name}.yaml")
    return folder


def compile_joiner_with_predictor(folder: Path) -> Path:
    """As NeMo exports it: one network takes a frame and the last token, and carries its states past tokens alone."""
    nodes = """
        e = Cast <to=1> (targets) f = Reshape (e, one) n = Add (states, f) g = Add (n, row)
        s = Mul (encoder_outputs, g) outputs = Sub (s, base) output_states = Identity (n)
    """
    header = '<ir_version: 8, opset_import: ["" : 17]>'
    ports = "float[1,5,1] encoder_outputs, int32[1,1] targets, int32[1] target_length, float[1,1,1] states"
    joint = onnx.parser.parse_model(
        f"{header} g ({ports}) => (float[1,5,1] outputs, float[1,1,1] output_states) {{{nodes}}}"
    )
    weights = {
        "one": np.array([1, 1, 1]),
        "row": np.arange(5, dtype=np.float32).reshape(1, 5, 1),
        "base": np.float32(0.25),
    }
    joint.graph.initializer.extend(onnx.numpy_helper.from_array(v, n) for n, v in weights.items())
    onnx.save(joint, folder / "joint.onnx")
    encoder = onnx.parser.parse_model(f"{header} g (float[1,5,T] x) => (float[1,5,T] y) {{ y = Relu (x) }}")
    onnx.save(encoder, folder / "encoder.onnx")
    (folder / "encoder.yaml").write_text(
        "{version: 1, model: encoder.onnx, output: e.onnx, passes: [lift_state], stream: {chunk: 2, frame_ms: 10}}"
    )
    (folder / "joint.yaml").write_text(
        "{version: 1, model: joint.onnx, output: j.onnx, passes: [fold_constants], stream: {chunk: 1, inputs: "
        "{encoder_outputs: {axis: 2}, targets: {static: true, range: [0, 4]}, target_length: {static: true, range: [1, 1]}}, "
        "states: [{input: states, output: output_states}]}}"
    )
    (folder / "pipe.yaml").write_text(
        "{version: 1, output: out/pipe, pipeline: {stages: {encoder: encoder.yaml, joint: joint.yaml}, transducer: "
        "{encoder: y, joiner: {stage: joint, encoder: encoder_outputs, token: targets, output: outputs}, most_symbols: 3}}}"
    )
    graphc.compile(folder / "pipe.yaml")
    return folder
