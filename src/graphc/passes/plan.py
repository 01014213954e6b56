"""Makes a plan from a spec and the registry: every pass with checked options, in a valid order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from graphc.errors import PassError
from graphc.ir.model import read_model
from graphc.op_sets.onnx import OP_SET
from graphc.op_sets.op_set import OpSet
from graphc.op_sets.registry import op_set_named
from graphc.passes.pass_api import Pass, PassConfig
from graphc.passes.registry import Registry
from graphc.spec.options import read_options
from graphc.spec.schema import PassSpec, ToleranceSpec, merged_tolerance
from graphc.spec.spec_file import SpecFile
from graphc.system.files import files_in


@dataclass(frozen=True)
class PlannedPass:
    """One pass of a plan, ready to run. ``lossy`` is whether the pass may change the numbers beyond rounding."""

    instance: Pass[Any]
    config: PassConfig
    tolerance: ToleranceSpec
    lossy: bool = False

    @property
    def name(self) -> str:
        return self.instance.name

    @property
    def changes_inputs(self) -> bool:
        return has_source(type(self.instance))


@dataclass(frozen=True)
class Plan:
    passes: tuple[PlannedPass, ...]
    target: OpSet = OP_SET

    def reads(self, folder: Path) -> list[Path]:
        """The files that the options of passes name, including all files in folders."""
        texts = [text for planned in self.passes for text in planned.instance.reads(planned.config)]
        return [path for text in texts for path in files_in(folder / text)]

    def source(self, model: onnx.ModelProto, spec_file: SpecFile) -> onnx.ModelProto:
        """The model that the stream section describes: the exported model after passes have replaced its inputs.

        Errors:
            PassError: the options of a pass do not fit the model.
        """
        for index, planned in enumerate(self.passes):
            if planned.changes_inputs:
                model = changed(spec_file, index, planned.instance, planned.config, model)
        return model

    def behind_source(self) -> Plan:
        """The plan without the passes that replace inputs of the model."""
        return replace(self, passes=tuple(p for p in self.passes if not p.changes_inputs))


def has_source(cls: type[Pass[Any]]) -> bool:
    """Whether a pass replaces inputs of a model."""
    return cls.source is not Pass.source


def source_of(spec_file: SpecFile, registry: Registry) -> onnx.ModelProto:
    """The model that the stream section of a spec describes, read from its file.

    Errors:
        SpecError: an option of a pass that replaces inputs of the model is wrong.
        GraphcError: the model cannot be used, or the options do not fit it.
    """
    model = read_model(spec_file.model_path)
    for index, entry in enumerate(spec_file.spec.passes):
        if entry.name in registry and has_source(cls := registry[entry.name]):
            model = changed(spec_file, index, cls(), config_of(spec_file, index, cls, entry.options), model)
    return model


def changed(
    spec_file: SpecFile, index: int, instance: Pass[Any], config: PassConfig, model: onnx.ModelProto
) -> onnx.ModelProto:
    """The model with the inputs that a pass replaced.

    Errors:
        PassError: the options do not fit the model; names the pass's place in the spec.
    """
    try:
        return instance.source(config, model, spec_file.folder)
    except PassError as err:
        err.where = err.where or spec_file.source.place(("passes", index))[0]
        raise


def make_plan(spec_file: SpecFile, registry: Registry) -> Plan:
    """Checks pass names, options and order. No model is opened.

    A pass without its own tolerance gets that of the last pass before it that may change the numbers.

    Errors:
        SpecError: an unknown pass or option, a wrong value, or an order that cannot work.
    """
    spec = spec_file.spec
    streaming = spec.stream is not None and (bool(spec.stream.states) or spec.stream.takes_steps)
    planned: list[PlannedPass] = []
    for index, entry in enumerate(spec.passes):
        keys = ("passes", index)
        if entry.name not in registry:
            raise spec_file.error(keys, f"there is no pass '{entry.name}'", registry.hint(entry.name))
        cls = registry[entry.name]
        if cls.gives == "streaming" and spec.stream is None:
            raise spec_file.error(
                keys, f"'{entry.name}' needs a stream section", "add one, as in `stream: {chunk: 16}`"
            )
        if cls.gives == "streaming" and spec.stream is not None and spec.stream.takes_steps:
            raise spec_file.error(
                keys, f"'{entry.name}' needs a time axis, but the model takes one frame a call", "leave it out"
            )
        if cls.requires == "streaming" and not streaming:
            raise spec_file.error(keys, f"'{entry.name}' works on a streaming model", "put it after lift_state")
        if any(p.name == entry.name for p in planned) and cls.gives == "streaming":
            raise spec_file.error(keys, f"'{entry.name}' is listed twice", "leave one out")
        if cls.requires == "offline" and any(p.instance.gives == "streaming" for p in planned):
            raise spec_file.error(keys, f"'{entry.name}' works on an offline model", "put it before lift_state")
        if has_source(cls) and any(not p.changes_inputs for p in planned):
            raise spec_file.error(
                keys, f"'{entry.name}' replaces inputs of the model", "put it before all other passes"
            )
        streaming = streaming or cls.gives == "streaming"
        lossiest = next((p.tolerance for p in reversed(planned) if p.lossy), None)
        tolerance = merged_tolerance(entry.tolerance, cls.tolerance, lossiest, spec.validation.tolerance)
        config = config_of(spec_file, index, cls, entry.options)
        planned.append(PlannedPass(cls(), config, tolerance, is_lossy(entry, cls)))
    if spec.stream is not None and not streaming:
        raise spec_file.error(
            ("stream",),
            "nothing makes this model stream",
            "add lift_state to passes, or list the model's state ports under stream.states",
        )
    lifts = any(p.instance.gives == "streaming" for p in planned)
    if spec.stream is not None and not lifts and planned and planned[0].changes_inputs:
        raise spec_file.error(
            ("passes",), f"'{planned[0].name}' replaces inputs of a model before it streams", "add lift_state after it"
        )
    wanted = dict.fromkeys(name for p in planned for name in p.instance.closing(p.config))
    for name in wanted:
        if not any(p.name == name for p in planned):
            last = registry[name]
            lossiest = next((p.tolerance for p in reversed(planned) if p.lossy), None)
            tolerance = merged_tolerance(last.tolerance, lossiest, spec.validation.tolerance)
            planned.append(PlannedPass(last(), last.Config(), tolerance))
    return Plan(tuple(planned), op_set_named(spec.target))


def is_lossy(entry: PassSpec, cls: type[Pass[Any]] | None) -> bool:
    """Whether a pass may change the numbers beyond rounding. For an unknown pass, only the spec's entry decides."""
    asked = entry.tolerance is not None and entry.tolerance.snr_db is not None
    return asked if cls is None else cls.gives != "streaming" and (cls.tolerance is not None or asked)


def config_of(spec_file: SpecFile, index: int, cls: type[Pass[Any]], options: dict[str, Any]) -> PassConfig:
    return read_options(spec_file, ("passes", index, cls.name), cls.Config, options)
