"""The options of ``quantize``."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from graphc.api import PassConfig, StateKind

Mode = Literal["dynamic", "static", "weight_only"]
StateType = Literal["int8", "int16", "float16"]

DYNAMIC_OPS = ("MatMul", "Gemm", "LSTM", "Attention", "Gather", "EmbedLayerNormalization", "Conv")
STATIC_OPS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
WEIGHT_OPS = ("MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "Gather")
KNOWN = {"dynamic": DYNAMIC_OPS, "static": STATIC_OPS, "weight_only": WEIGHT_OPS}
USUAL = {
    "dynamic": ["MatMul", "Gemm", "LSTM", "Attention"],
    "static": ["MatMul", "Gemm"],
    "weight_only": ["MatMul", "Gemm", "LSTM", "GRU", "RNN", "Gather"],
}


def known_states(states: object) -> object:
    """Returns the option ``states`` unchanged. Refuses kinds and types of states that do not exist."""
    kinds, types = get_args(StateKind), get_args(StateType)
    for kind in states if isinstance(states, dict) else ():
        if kind not in kinds:
            raise ValueError(f"unknown kind of state '{kind}'; known: {', '.join(kinds)}")
    for named in states.values() if isinstance(states, dict) else (states,):
        if named not in (*types, None):
            raise ValueError(f"a state cannot be '{named}'; known: {', '.join(types)}, for all caches or for each kind")
    return states


class CalibrationOptions(PassConfig):
    """The streams on which ranges are observed."""

    paths: list[str] = Field(
        default=[],
        description=".wav, .flac, .npy and .npz files, or folders of them, relative to the spec; none: random streams",
    )
    sequences: int = Field(default=32, gt=0, le=100_000, description="random streams, where paths names none")
    frames: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        default=[1, 400], description="the range of their lengths, in input frames"
    )
    seed: int = Field(default=0, ge=0)
    method: Literal["minmax", "percentile", "entropy", "mse"] = Field(
        default="percentile", description="how a range is chosen from the values of a tensor"
    )
    percentile: float = Field(default=99.99, gt=50, le=100, description="per cent of the values that the range keeps")
    states: Literal["carried", "first"] = Field(
        default="carried", description="first: every call starts from the states' first values, as if it were alone"
    )
    workers: int = Field(default=2, gt=0, le=64, description="sequences that run at once")

    @model_validator(mode="after")
    def frames_in_order(self) -> CalibrationOptions:
        if not 0 < self.frames[0] <= self.frames[1]:
            raise ValueError("frames: give two numbers of at least 1, the smaller first")
        return self


class BudgetOptions(PassConfig):
    """Mixed precision: a search by measurement decides which nodes stay in float."""

    snr_db: float = Field(gt=0, le=200, description="the signal-to-noise ratio to keep, on the calibration streams")
    prefer: Literal["size", "latency"] = Field(default="size", description="what to minimize")
    sequences: int = Field(default=4, gt=0, le=1000, description="how many of the calibration streams to measure it on")
    table: str | None = Field(
        default=None, description="a file for the measurements, relative to the spec; a stopped search resumes from it"
    )


class QuantizeOptions(PassConfig):
    mode: Mode = Field(
        default="dynamic",
        description="dynamic: activations are quantized in each call; static: with ranges seen in calibration; "
        "weight_only: weights are stored in fewer bits",
    )
    ops: list[str] | None = Field(
        default=None, description="op types to quantize; default: those that get faster, or smaller with weight_only"
    )
    exclude_ops: list[str] = Field(default=[], description="op types to leave in float")
    exclude_nodes: list[str] = Field(default=[], description="names of nodes to leave in float")
    per_channel: bool = Field(default=True, description="one scale for each output channel of a weight")
    weights: Literal["int8", "uint8", "int4"] = Field(default="int8", description="the type of quantized weights")
    block: int | None = Field(
        default=None,
        ge=16,
        le=256,
        description="weight_only: weights of a channel that share a scale (16, 32, 64, 128 or 256)",
    )
    products: Literal["int8", "float"] = Field(
        default="int8",
        description="of blocks in onnxruntime: int8 quantizes each frame of the activations for the product too, which "
        "is several times faster; float does not",
    )
    rounding: Literal["nearest", "calibrated"] = Field(
        default="nearest",
        description="of blocks; calibrated: errors cancel on the calibration streams, as far as the inputs of a "
        "product go together (GPTQ): give it recordings",
    )
    reduce_range: bool = Field(
        default=True, description="7 of the 8 bits of a weight: with all of them, CPUs without VNNI overflow silently"
    )
    activations: Literal["uint8", "int8", "int16"] = Field(
        default="uint8", description="static: the type of quantized activations"
    )
    form: Literal["qdq", "operator"] = Field(
        default="qdq", description="static: QuantizeLinear and DequantizeLinear around float ops, or integer ops"
    )
    states: Annotated[StateType | dict[StateKind, StateType] | None, BeforeValidator(known_states)] = Field(
        default=None,
        description="the type of caches, or one for each kind of state; carries stay float unless their kind is named",
    )
    calibration: CalibrationOptions = Field(default=CalibrationOptions(), description="static, and states in integers")

    budget: BudgetOptions | None = Field(
        default=None, description="leave the most sensitive nodes in float, to keep a signal-to-noise ratio"
    )

    @property
    def chosen_ops(self) -> list[str]:
        wanted = USUAL[self.mode] if self.ops is None else self.ops
        return [op for op in wanted if op not in self.exclude_ops]

    @model_validator(mode="after")
    def fitting(self) -> QuantizeOptions:
        unknown = [op for op in self.ops or [] if op not in KNOWN[self.mode]]
        if unknown:
            raise ValueError(
                f"ops: {self.mode} has no form of {', '.join(unknown)}; known: {', '.join(KNOWN[self.mode])}"
            )
        if self.weights == "int4" and (self.mode != "weight_only" or self.block is None):
            raise ValueError("weights: int4 goes with mode: weight_only and a block, as in block: 32")
        if self.block is not None and self.mode != "weight_only":
            raise ValueError("block goes with mode: weight_only")
        if self.block is not None and set(self.ops or []) - {"MatMul", "Gemm"}:
            raise ValueError("blocks are for MatMul and Gemm: leave the others out of ops, or leave out block")
        if self.form == "operator" and self.activations == "int16":
            raise ValueError("onnxruntime has no operators for activations: int16; set form: qdq")
        for name in ("products", "rounding"):
            if name in self.model_fields_set and self.block is None:
                raise ValueError(f"{name} needs a block")
        if self.block is not None and self.block & (self.block - 1):
            raise ValueError("block must be a power of two")
        return self
