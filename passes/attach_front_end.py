"""Adds feature extraction before a model, so that the model takes audio samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import onnx
from graphc_passes._front_ends.front_end import PREFIX, FrontEnd, makes_features
from graphc_passes._front_ends.kinds.kaldi_fbank import KaldiFbank
from graphc_passes._front_ends.kinds.kaldi_mfcc import KaldiMfcc
from graphc_passes._front_ends.kinds.librosa_mel import LibrosaMel
from graphc_passes._front_ends.kinds.nemo_mel import NemoMel
from graphc_passes._front_ends.kinds.openwakeword_mel import OpenwakewordMel
from graphc_passes._front_ends.kinds.torchaudio_mel import TorchaudioMel
from graphc_passes._front_ends.kinds.whisper_mel import WhisperMel
from graphc_passes._front_ends.put_in_front import counted, counting_inputs, dims_of, feature_input, laid_out, layout_of
from graphc_passes._front_ends.statistics import Cmvn, write_running
from graphc_passes._front_ends.write_nodes import NodeWriter, samples_port, write_features
from onnx import TensorProto
from pydantic import ConfigDict, Field, model_validator

from graphc.api import Model, Pass, PassConfig, PassContext, PassError, PassResult, register_pass

KINDS = ("kaldi_fbank", "kaldi_mfcc", "nemo_mel", "whisper_mel", "torchaudio_mel", "librosa_mel", "openwakeword_mel")


class FrontEndOptions(PassConfig):
    model_config = ConfigDict(allow_inf_nan=False)

    kaldi_fbank: KaldiFbank | None = Field(default=None, description="Kaldi's filter bank")
    kaldi_mfcc: KaldiMfcc | None = Field(default=None, description="Kaldi's cepstra")
    nemo_mel: NemoMel | None = Field(default=None, description="NeMo's mel spectrogram")
    whisper_mel: WhisperMel | None = Field(default=None, description="Whisper's")
    torchaudio_mel: TorchaudioMel | None = Field(default=None, description="torchaudio's MelSpectrogram, or its MFCC")
    librosa_mel: LibrosaMel | None = Field(default=None, description="librosa's melspectrogram, or its mfcc")
    openwakeword_mel: OpenwakewordMel | None = Field(default=None, description="openWakeWord's features")
    input: str | None = Field(default=None, description="the input that takes features; default: the one that fits")
    samples: str = Field(default="samples", min_length=1, description="the name of the input that replaces it")
    scale: float = Field(
        default=1.0,
        ge=1e-9,
        le=1e9,
        description="the factor that samples are multiplied by first; 32768 if training used 16-bit integers",
    )
    cmvn: Cmvn | None = Field(default=None, description="normalisation of the features")
    time_axis: int | None = Field(default=None, description="of that input")
    feature_axis: int | None = Field(default=None, description="of that input")
    counts: list[str] | None = Field(
        default=None,
        description="inputs that count frames of features; default: all of integers with no axis but the batch",
    )

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        return self

    def front_end(self, folder: Path) -> FrontEnd:
        """The front end that these options and their files describe.

        Errors:
            PassError: an option that is impossible in a stream, or a file that does not fit.
        """
        kind = next(getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None)
        front: FrontEnd = replace(kind.with_file(folder).front_end().trimmed(), scale=self.scale)
        if self.cmvn is not None and self.cmvn.window is None:
            front = front.normalised(*self.cmvn.statistics(front.features, folder))
        return front


@register_pass
class AttachFrontEnd(Pass[FrontEndOptions]):
    """Adds feature extraction before a model, so that its stream is audio samples.

    What it does:
        Writes the feature extraction of a library (Kaldi, NeMo, Whisper, torchaudio, librosa, openWakeWord) as a few
        nodes before the model. A strided Conv cuts frames, applies the window and computes the transform. A second Conv
        adds up the bands, and a logarithm follows. Options have the names that the library uses. The input ``samples``,
        [batch, time], replaces the input that took features. Inputs that count frames are computed in the model. The
        stream section of the spec then describes samples, in ``chunk`` and ``frame_ms`` too.

    Why:
        If features differ between training and device, a model fails silently. With this pass, the features are part of
        the model that is validated.

    Example:
        passes:
          - attach_front_end: {kaldi_fbank: {num_mel_bins: 80}, scale: 32768}
          - lift_state

    Limits:
        The pass must come first. Options that need the whole utterance are refused (per_feature, top_db,
        subtract_mean): give fixed statistics, or a running mean with ``cmvn: {window: 600}``. Dither is refused, except
        NeMo's, which is left out because NeMo adds it only in training.
    """

    name = "attach_front_end"
    Config = FrontEndOptions
    requires = "offline"

    def reads(self, config: FrontEndOptions) -> Sequence[str]:
        kinds = [getattr(config, kind) for kind in KINDS]
        files = [kind.config for kind in kinds if kind is not None and kind.config is not None]
        return [*files, *([config.cmvn.file] if config.cmvn is not None and config.cmvn.file is not None else [])]

    def source(self, config: FrontEndOptions, model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
        return attached(model, config, config.front_end(folder))

    def run(self, model: Model, config: FrontEndOptions, context: PassContext) -> PassResult:
        front = config.front_end(context.folder)
        made = attached(model.proto(), config, front)
        written = sum(makes_features(n.name) for n in made.graph.node)
        notes = [
            f"{front.name}: {front.features} features every {front.frame_ms:g} ms, {front.framing.size} samples each",
            *front.notes,
        ]
        return PassResult(model.with_proto(made), notes, {"nodes": written})


def free_shapes(graph: onnx.GraphProto) -> None:
    """Removes sizes that an exporter recorded for one length, because onnxruntime would rely on them."""
    del graph.value_info[:]
    for output in graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            dim.dim_param = dim.dim_param or f"{output.name}_{axis}"


def attached(model: onnx.ModelProto, config: FrontEndOptions, front: FrontEnd) -> onnx.ModelProto:
    """A copy of the model that takes samples instead of features.

    Errors:
        PassError: no input fits the features.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    free_shapes(graph)
    port = feature_input(made, config.input, front.features)
    layout = layout_of(port, front.features, config.time_axis, config.feature_axis)
    taken = {p.name for p in (*graph.input, *graph.output, *graph.initializer)} - {port.name}
    taken |= {name for node in graph.node for name in node.output}
    if config.samples in taken or any(makes_features(name) for name in taken):
        raise PassError(
            f"attach_front_end.samples: the model already has a tensor '{config.samples}', or a front end",
            hint="choose another name for the new input",
        )
    opset = next(o.version for o in made.opset_import if o.domain in ("", "ai.onnx"))
    writer = NodeWriter(PREFIX, opset)
    features = write_features(writer, front, config.samples)
    if config.cmvn is not None and config.cmvn.window is not None:
        features = write_running(writer, config.cmvn, features)
    dtype = port.type.tensor_type.elem_type
    value = laid_out(writer, features, layout)
    if dtype != TensorProto.FLOAT:
        value = writer.node("Cast", [value], "cast", to=dtype)
    writer.nodes[-1].output[0] = port.name
    counters = counting_inputs(made, port.name, config.counts)
    counted(writer, made, counters, port.name if value == features else features)
    batch = 1 if layout.batch is None else dims_of(port)[layout.batch] or "batch"
    nodes, ports = list(graph.node), list(graph.input)
    del graph.node[:]
    del graph.input[:]
    graph.node.extend([*writer.nodes, *nodes])
    graph.input.extend(
        samples_port(config.samples, batch) if p.name == port.name else p for p in ports if p.name not in counters
    )
    graph.initializer.extend(writer.weights)
    return made
