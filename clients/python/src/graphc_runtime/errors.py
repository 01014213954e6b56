"""All errors of a client, each with its exit status."""

from __future__ import annotations


class GraphcError(Exception):
    """An error that a user can act on.

    Args:
        reason: what is wrong and why.
        node: the ONNX node concerned, as ``name (OpType)``.
        hint: what to do about it.
        where: a file, with line and column if known.
    """

    exit_code = 2

    def __init__(self, reason: str, *, node: str | None = None, hint: str | None = None, where: str | None = None):
        super().__init__(reason)
        self.reason = reason
        self.node = node
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        place = "".join(f"{part}: " for part in (self.where, self.node and f"node {self.node}") if part)
        return f"{place}{self.reason}" + (f"; {self.hint}" if self.hint else "")


class ModelError(GraphcError):
    """A model file that cannot be read, is not valid ONNX, or does not run in its runtime."""


class InstallError(GraphcError):
    """A package that is needed and not installed."""


class InputError(GraphcError):
    """Arrays that do not fit a compiled model's ports."""


class StreamError(GraphcError):
    """A model that cannot be streamed as asked."""

    exit_code = 3


class TargetError(StreamError):
    """A target that does not exist here, or whose runtime cannot load the model."""


class RunError(Exception):
    """A runtime failed to load or run a model.

    The text is the first line of the runtime's error. ``hint`` says what to do about it, if that is known.
    """

    @property
    def hint(self) -> str | None:
        custom = "load the library of its custom ops: --op-library FILE, or graphc.load_op_library"
        return custom if "is not a registered function/op" in str(self) else None

    @property
    def out_of_memory(self) -> bool:
        """Whether the runtime ran out of memory."""
        said = f"{self} {self.__cause__}"
        return any(words in said for words in ("Failed to allocate memory", "bad_alloc", "bad allocation"))


def first_line(err: Exception) -> str:
    """The text of an exception, in one line of at most 400 characters."""
    text = " ".join(str(err).split())
    return text if len(text) <= 400 else text[:397] + "..."
