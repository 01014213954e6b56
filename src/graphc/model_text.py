"""The texts of a model file: protobuf hands over bytes that are no UTF-8 only when somebody reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from graphc.errors import ModelError


def check_texts(proto: onnx.ModelProto, where: str) -> None:
    """Refuses a model of which some name or text is not UTF-8.

    Errors:
        ModelError: says what kind of thing has such a text.
    """
    for message in messages_of(proto):
        if not has_texts(message):
            raise ModelError(
                f"a text in one of its {type(message).__name__}s is not UTF-8",
                where=where,
                hint="export the model again with names that are",
            )


def messages_of(message: Any) -> Iterator[Any]:
    """A message and all messages in it; of a tensor not its values."""
    waiting = [message]
    while waiting:
        message = waiting.pop()
        yield message
        for field in message.DESCRIPTOR.fields:
            if field.message_type is None:
                continue
            held = getattr(message, field.name)
            if is_many(held):
                waiting += held
            elif message.HasField(field.name):
                waiting.append(held)


def is_many(value: Any) -> bool:
    return hasattr(value, "extend")


def has_texts(message: Any) -> bool:
    """Whether all texts that a message itself holds are texts; protobuf gives bytes or fails where they are none."""
    try:
        held = [getattr(message, f.name) for f in message.DESCRIPTOR.fields if f.type == f.TYPE_STRING]
        texts = [text for value in held for text in (value if is_many(value) else (value,))]
    except UnicodeDecodeError:
        return False
    return all(isinstance(text, str) for text in texts)
