"""Runs passes that need no stream on any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from pydantic import ValidationError as PydanticError

from graphc.errors import PassError
from graphc.ir.graph import opset_of
from graphc.ir.model import Model
from graphc.ir.verify import verify
from graphc.op_sets.registry import op_set_named
from graphc.passes.pass_api import PassContext
from graphc.passes.plan import has_source
from graphc.passes.registry import load_registry
from graphc.spec.nearest import nearest
from graphc_runtime.errors import ModelError


def transform(
    model: onnx.ModelProto, passes: Sequence[str | Mapping[str, Mapping[str, Any]]], target: str = "onnx"
) -> onnx.ModelProto:
    """Runs passes on a model and returns a new model. Names, order, types and shapes of its ports do not change.

    Args:
        passes: each is a name, or a name with options, as in a spec. A tolerance is ignored, since nothing streams.
        target: the name of the runtime that the model is made for, as in a spec.

    Errors:
        SpecError: an unknown target.
        PassError: an unknown pass or option, a pass that needs a stream, or one that fails.
        ModelError: the model cannot be represented.
    """
    if not isinstance(model, onnx.ModelProto):
        raise ModelError(f"expected a ModelProto, not {type(model).__name__}", hint="load the file with onnx.load")
    registry, runtime = load_registry(), op_set_named(target)
    current = Model.of(model)
    for name, options in entries_of(passes):
        if name not in registry:
            raise PassError(f"there is no pass '{name}'", hint=registry.hint(name))
        cls = registry[name]
        if cls.requires == "streaming" or cls.gives == "streaming":
            raise PassError(f"'{name}' needs a stream", hint="use a spec and graphc.compile")
        if has_source(cls):
            raise PassError(f"'{name}' replaces inputs of the model", hint="use a spec and graphc.compile")
        try:
            config = cls.Config.model_validate({k: v for k, v in options.items() if k != "tolerance"})
        except PydanticError as err:
            first = err.errors(include_url=False)[0]
            hint = nearest(str(first["loc"][-1]), list(cls.Config.model_fields)) if first["loc"] else None
            raise PassError(f"{name}.{'.'.join(map(str, first['loc']))}: {first['msg']}", hint=hint) from None
        current = cls().run(current, config, PassContext(None, None, model, opset_of(model), target=runtime)).model
        verify(current, name)
    return current.proto()


def entries_of(passes: Sequence[str | Mapping[str, Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The name and options of each pass.

    Errors:
        PassError: an entry is neither a name nor a single key with options.
    """
    found: list[tuple[str, Mapping[str, Any]]] = []
    if isinstance(passes, str) or not isinstance(passes, Sequence):
        raise PassError("passes must be a list of names", hint='as in ["fold_constants", "fuse"]')
    for entry in passes:
        if isinstance(entry, str):
            found.append((entry, {}))
        elif isinstance(entry, Mapping) and len(entry) == 1 and isinstance(next(iter(entry.values())), Mapping):
            found.append(next(iter(entry.items())))
        else:
            raise PassError(
                f"{entry!r} is not a pass", hint='a name, or one name with options: {"simplify": {"timeout_s": 60}}'
            )
    return found
