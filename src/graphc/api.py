"""What pass authors import: the public names of graphc, in one place."""

from graphc.errors import GraphcError, ModelError, PassError, StreamError
from graphc.graph import (
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
    with_attrs,
)
from graphc.guard import guarded
from graphc.kept import loaded
from graphc.model import Model
from graphc.offline import Offline
from graphc.pass_api import Pass, PassConfig, PassContext, PassResult, register_pass
from graphc.runtime import RunError, Session, size_of
from graphc.shapes import inferred_types, static_shapes
from graphc.spec import ToleranceSpec
from graphc.stream.analysis import analyse
from graphc.stream.banded import banded
from graphc.stream.cached_inputs import cache_inputs
from graphc.stream.inline import inline_branch
from graphc.stream.lift import lift, lift_dynamic
from graphc.stream.own_clocks import own_clocks
from graphc.stream.rule import Facts, StreamStep, frame_by_frame, stream_rule
from graphc.stream.settings import Limit, Settings
from graphc.stream.window import slide

__all__ = [
    "Constant",
    "Facts",
    "Graph",
    "GraphcError",
    "Limit",
    "Model",
    "ModelError",
    "Node",
    "Offline",
    "Pass",
    "PassConfig",
    "PassContext",
    "PassError",
    "PassResult",
    "RunError",
    "Session",
    "Settings",
    "StreamError",
    "StreamStep",
    "Tensor",
    "ToleranceSpec",
    "Variable",
    "analyse",
    "attribute_or_input",
    "banded",
    "cache_inputs",
    "captured",
    "constant_of",
    "consumers",
    "drop_dead",
    "frame_by_frame",
    "guarded",
    "inferred_types",
    "inline_branch",
    "is_sparse",
    "label",
    "lift",
    "lift_dynamic",
    "loaded",
    "names_in",
    "nbytes",
    "normalised",
    "op_of",
    "opset_of",
    "own_clocks",
    "place_of",
    "producer",
    "reads",
    "register_pass",
    "replace_tensor",
    "size_of",
    "slide",
    "sorted_nodes",
    "standard",
    "static_shapes",
    "stream_rule",
    "subgraphs",
    "with_attrs",
]
