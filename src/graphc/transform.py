"""Passes that need no stream, on any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from pydantic import ValidationError as PydanticError

from graphc.errors import PassError
from graphc.graph import opset_of
from graphc.model import Model
from graphc.pass_api import PassContext
from graphc.registry import load_registry
from graphc.verify import verify


def transform(model: onnx.ModelProto, passes: Sequence[str | Mapping[str, Mapping[str, Any]]]) -> onnx.ModelProto:
    """Runs passes on a model and returns another; names, order, types and shapes of its ports stay as they are.

    Args:
        passes: names, or one name with its options, as in a spec.

    Errors:
        PassError: an unknown pass or option, a pass that needs a stream, or one that fails.
        ModelError: the model cannot be represented.
    """
    registry = load_registry()
    current = Model.of(model)
    for entry in passes:
        name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        if name not in registry:
            raise PassError(f"there is no pass '{name}'", hint=registry.hint(name))
        cls = registry[name]
        if cls.requires == "streaming" or cls.gives == "streaming":
            raise PassError(f"'{name}' needs a stream", hint="use a spec and graphc.compile")
        try:
            config = cls.Config.model_validate(dict(options))
        except PydanticError as err:
            first = err.errors(include_url=False)[0]
            raise PassError(f"{name}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        current = cls().run(current, config, PassContext(None, None, model, opset_of(model))).model
        verify(current, name)
    return current.proto()
