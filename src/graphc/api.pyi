from graphc.contract.signature import Signature, StatePack, StatePart, StatePort, StateScale, port_changes
from graphc.errors import PassError
from graphc.ir.graph import (
    RANDOM_OPS,
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    attribute_or_input,
    captured,
    constant_of,
    consumers,
    drop_dead,
    is_sparse,
    label,
    names_in,
    nbytes,
    normalised,
    op_of,
    opset_of,
    place_of,
    producer,
    reads,
    replace_tensor,
    sorted_nodes,
    standard,
    subgraphs,
    unused_name,
    with_attrs,
)
from graphc.ir.model import Model
from graphc.ir.ort_session import Session
from graphc.ir.shapes import inferred_types, static_shapes
from graphc.ir.sizes import size_of
from graphc.ir.weights.external_weights import keep_weights
from graphc.ir.weights.weight_files import loaded, weights_as_inputs, with_weights_put_back
from graphc.measure.calibration import Seen, Streams, calibrate, outputs_on, random_sequences, recorded_sequences
from graphc.measure.second_moments import second_moments
from graphc.offline.recordings import recording_files
from graphc.offline.reference import Offline
from graphc.op_sets.op_set import OpSet
from graphc.op_sets.registry import all_op_sets, op_set_with
from graphc.passes.pass_api import Pass, PassConfig, PassContext, PassResult, register_pass
from graphc.passes.revert_unloadable import revert_unloadable
from graphc.rewriting.operands import is_float, is_last, scalar_of, value_of, weight_of
from graphc.rewriting.pattern import Match, Pattern
from graphc.rewriting.rewrite import STAGES, PatternRewrite, Rewrite, Stage, register_rewrite, rewrites_for
from graphc.rewriting.scene import Scene
from graphc.spec.input_roles import looks_like_batch
from graphc.spec.nearest import nearest
from graphc.spec.schema import ToleranceSpec
from graphc.stream.canonical.loops.inline_subgraph import inline_branch
from graphc.stream.clip_models.lifted_window import slide_by_lift
from graphc.stream.clip_models.sliding_clip import slide
from graphc.stream.lift import lift, lift_dynamic
from graphc.stream.lowering.frame_by_frame import frame_by_frame, is_elementwise
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.options import AttentionLimit, LiftOptions
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.modes.input_cache import cache_inputs
from graphc.stream.modes.limit_attention import limit_attention
from graphc.stream.modes.per_stream_clocks import per_stream_clocks
from graphc.stream.propagation.analysis import analyse
from graphc.system.files import write_all
from graphc.system.parallel import side_by_side
from graphc_runtime.contract.manifest import StateKind
from graphc_runtime.errors import GraphcError, ModelError, RunError, StreamError

__all__ = [
    "RANDOM_OPS",
    "STAGES",
    "AttentionLimit",
    "Constant",
    "Facts",
    "Graph",
    "GraphcError",
    "LiftOptions",
    "Lowering",
    "Match",
    "Model",
    "ModelError",
    "Node",
    "Offline",
    "OpSet",
    "Pass",
    "PassConfig",
    "PassContext",
    "PassError",
    "PassResult",
    "Pattern",
    "PatternRewrite",
    "Rewrite",
    "RunError",
    "Scene",
    "Seen",
    "Session",
    "Signature",
    "Stage",
    "StateKind",
    "StatePack",
    "StatePart",
    "StatePort",
    "StateScale",
    "StreamError",
    "Streams",
    "Tensor",
    "ToleranceSpec",
    "Variable",
    "all_op_sets",
    "analyse",
    "attribute_or_input",
    "cache_inputs",
    "calibrate",
    "captured",
    "constant_of",
    "consumers",
    "drop_dead",
    "frame_by_frame",
    "inferred_types",
    "inline_branch",
    "is_elementwise",
    "is_float",
    "is_last",
    "is_sparse",
    "keep_weights",
    "label",
    "lift",
    "lift_dynamic",
    "limit_attention",
    "loaded",
    "looks_like_batch",
    "names_in",
    "nbytes",
    "nearest",
    "normalised",
    "op_of",
    "op_set_with",
    "opset_of",
    "outputs_on",
    "per_stream_clocks",
    "place_of",
    "port_changes",
    "producer",
    "random_sequences",
    "reads",
    "recorded_sequences",
    "recording_files",
    "register_pass",
    "register_rewrite",
    "replace_tensor",
    "revert_unloadable",
    "rewrites_for",
    "scalar_of",
    "second_moments",
    "side_by_side",
    "size_of",
    "slide",
    "slide_by_lift",
    "sorted_nodes",
    "standard",
    "static_shapes",
    "stream_rule",
    "subgraphs",
    "unused_name",
    "value_of",
    "weight_of",
    "weights_as_inputs",
    "with_attrs",
    "with_weights_put_back",
    "write_all",
]
