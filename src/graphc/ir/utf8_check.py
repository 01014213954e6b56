"""Checks early that all texts of a model file are UTF-8: protobuf only complains when it reads them."""

from __future__ import annotations

from typing import Any

import onnx

from graphc_runtime.errors import ModelError

TENSOR = onnx.TensorProto.DESCRIPTOR
TEXTS_OF_TENSOR = [TENSOR.fields_by_name[name] for name in ("name", "doc_string", "external_data", "metadata_props")]


def check_texts(proto: onnx.ModelProto, where: str) -> None:
    """Refuses a model with a name or text that is not UTF-8.

    Errors:
        ModelError: names the type of the protobuf message with the text.
    """
    waiting: list[Any] = [proto]
    while waiting:
        message = waiting.pop()
        try:
            fields = fields_of(message)
        except UnicodeDecodeError:
            raise unreadable(message, where) from None
        for field, held in fields:
            several = held if hasattr(held, "extend") else (held,)
            if field.message_type is not None:
                waiting += several
            elif field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in several):
                raise unreadable(message, where)


def fields_of(message: Any) -> list[tuple[Any, Any]]:
    """The fields that a message has, and their contents. For a tensor only its texts, not its values."""
    if message.DESCRIPTOR is not TENSOR:
        return list(message.ListFields())
    return [(field, getattr(message, field.name)) for field in TEXTS_OF_TENSOR]


def unreadable(message: Any, where: str) -> ModelError:
    return ModelError(
        f"a text in one of its {type(message).__name__}s is not UTF-8",
        where=where,
        hint="export the model again with names in UTF-8",
    )
