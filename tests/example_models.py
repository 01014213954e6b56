"""The models of examples/: those with a spec, and those with attention."""

from __future__ import annotations

from conftest import ROOT

from graphc.spec.stream_schema import InputSpec, MaskSpec

MODELS = ROOT / "examples" / "models"
SPECS = {p.stem: p for p in sorted((ROOT / "specs").glob("*.yaml"))}
LENGTHS = {"features": InputSpec(axis=1), "lengths": InputSpec(counts="features")}
INPUTS = {
    "attention_given": {
        "features": InputSpec(axis=1),
        "mask": InputSpec(mask=MaskSpec(left=6, right=2)),
        "heard": InputSpec(axis=1),
    },
    "attention_padding": LENGTHS,
    "conformer_masked": LENGTHS,
    "codec": {"wave": InputSpec(axis=2)},
    "cross_attention": {"features": InputSpec(axis=1), "context": InputSpec(static=True)},
}
DESIGNS = ("attention_*", "conformer*", "squeezeformer.*", "zipformer.*", "codec.*", "cross_attention.*")
ATTENTION = {p.stem: p for pattern in DESIGNS for p in sorted(MODELS.glob(f"{pattern}.onnx"))}
