"""What a pass is. Everything here is public, and the built-in passes use no other internals of graphc."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import onnx
from pydantic import BaseModel, ConfigDict

from graphc.ir.model import Model
from graphc.op_sets.onnx import OP_SET
from graphc.op_sets.op_set import OpSet
from graphc.spec.schema import ToleranceSpec
from graphc.spec.stream_schema import StreamSpec

if TYPE_CHECKING:
    from graphc.ir.ort_session import Session
    from graphc.offline.reference import Offline

Stage = Literal["any", "offline", "streaming"]


class PassConfig(BaseModel):
    """The options of a pass: its fields, checked strictly against the spec."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


C = TypeVar("C", bound=PassConfig)


@dataclass
class PassContext:
    """What a pass can use besides its model.

    Args:
        stream: the spec's stream section; None for a model that does not stream.
        offline: the offline model as reference; None for a model that does not stream.
        source: the unchanged model that the compilation began with.
        opset: the opset of ONNX's own domain.
        target: the runtime that the model is made for.
        leave_out: rewrites to leave out, because the runtime of a device does not support them.
        progress: is called with (done, total) during long work.
        folder: the spec's folder, which paths in options are relative to.
        reference: the offline model with the changes that options of the passes so far ask for; None without a stream.
    """

    stream: StreamSpec | None
    offline: Offline | None
    source: onnx.ModelProto
    opset: int
    progress: Callable[[int, int], None] = lambda done, total: None
    target: OpSet = OP_SET
    folder: Path = field(default_factory=Path)
    reference: Offline | None = None
    leave_out: frozenset[str] = frozenset()


@dataclass
class PassResult:
    """The result of a pass.

    Args:
        model: the model after the pass.
        notes: sentences for the report: what was done, what was not done and why.
        counts: how often each rewrite fired.
        warnings: sentences that the user has to see, for example that nothing was done.
        proto: the model as ONNX, if it was written and has not changed since.
        session: a session over ``proto``, if one was opened.
    """

    model: Model
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    proto: onnx.ModelProto | None = None
    warnings: list[str] = field(default_factory=list)
    session: Session | None = None


class Pass(ABC, Generic[C]):
    """A transformation of a model. The result is checked against the offline model.

    A subclass sets ``name`` (a verb in snake_case) and, if it has options, ``Config``. ``requires`` says which models
    ``run`` takes, ``gives`` which models it returns, and ``tolerance`` how close the outputs stay if the spec does not
    say (None: exact to rounding). The docstring, under the headings What it does, Why, Example and Limits, is the
    manual.
    """

    name: ClassVar[str]
    Config: ClassVar[type[PassConfig]] = PassConfig
    requires: ClassVar[Stage] = "any"
    gives: ClassVar[Stage] = "any"
    tolerance: ClassVar[ToleranceSpec | None] = None

    @abstractmethod
    def run(self, model: Model, config: C, context: PassContext) -> PassResult:
        """Transforms the model.

        Errors:
            PassError: the pass cannot do its work on this model.
        """

    def warm_up(self) -> None:
        """Starts anything slow before the first pass of a compilation runs, without waiting for it."""

    def source(self, config: C, model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
        """The model after this pass has replaced inputs. The stream section of a spec describes the new inputs.

        A pass that overrides this method must come before those that do not. ``run`` makes the same change.

        Args:
            folder: the spec's folder, which paths in options are relative to.

        Errors:
            PassError: the options do not fit the model.
        """
        return model

    def reference(self, config: C, offline: Offline) -> Offline | None:
        """The offline model with the changes that the options of this pass ask for; None if they ask for none.

        Errors:
            GraphcError: the options do not fit the model.
        """
        return None

    def reads(self, config: C) -> Sequence[str]:
        """Files and folders that the options name, relative to the spec's folder. The outputs depend on them."""
        return ()

    def closing(self, config: C) -> Sequence[str]:
        """Names of passes that run after the spec's passes, because the options of this pass need them."""
        return ()

    @classmethod
    def parts(cls) -> dict[str, str]:
        """The parts of the pass that its options can name, with what each does."""
        return {}

    @classmethod
    def manual(cls) -> str:
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def summary(cls) -> str:
        return cls.manual().partition("\n")[0]


REGISTERED: list[type[Pass[Any]]] = []
P = TypeVar("P", bound=type[Pass[Any]])


def register_pass(cls: P) -> P:
    """Makes a pass known to the registry that imports its module."""
    REGISTERED.append(cls)
    return cls
