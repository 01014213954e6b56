"""A small network that a decoder calls. The decoder stores the network's states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.contract.first_values import first_values_in
from graphc_runtime.errors import ModelError, RunError
from graphc_runtime.ort_model import open_file
from graphc_runtime.pipeline.manifest import StageEntry

Array = NDArray[Any]
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
WHOLE = (np.int64, np.int32)


class Network:
    """A stage of a pipeline that a decoder calls.

    Args:
        stage: the model's file name and, if the model has states, its manifest.
        folder: the folder of the pipeline.
        threads: the number of threads that onnxruntime may use.

    Attributes:
        first: the first value of every state, by the name of its input.

    Errors:
        ModelError: the model cannot be opened, or an input has a type that this client cannot fill.
    """

    def __init__(self, stage: StageEntry, folder: Path, threads: int = 1):
        self.model = open_file(folder / stage.model, threads)
        self.name = stage.name
        self.carried = {} if stage.manifest is None else {s.input: s.output for s in stage.manifest.states}
        self.first: dict[str, Array] = {} if stage.manifest is None else first_values_in(stage.manifest, folder)
        ports = {p.name: p for p in self.model.ort.get_inputs()}
        unknown = next((name for name, p in ports.items() if p.type not in TYPES), None)
        if unknown is not None:
            raise ModelError(
                f"the input '{unknown}' of '{stage.name}' is a {ports[unknown].type}, which this client cannot fill"
            )
        self.types = {name: TYPES[p.type] for name, p in ports.items()}
        self.shapes = {
            name: [d if isinstance(d, int) and d > 0 else 1 for d in self.model.shapes[name]] for name in ports
        }

    def check(self, inputs: list[str], output: str) -> None:
        """Refuses names that are not ports of the model, and inputs of the model that nothing fills.

        Errors:
            ModelError: names these ports.
        """
        lost = [n for n in [*inputs, *self.carried] if n not in self.types]
        lost += [n for n in [output, *self.carried.values()] if n not in self.model.output_names]
        if lost:
            raise ModelError(f"the stage '{self.name}' has no port {', '.join(lost)}")
        free = [n for n in self.types if n not in inputs and n not in self.carried]
        unfilled = [n for n in free if self.types[n] not in WHOLE or len(self.shapes[n]) > 1]
        if unfilled:
            raise ModelError(f"nothing fills the input {', '.join(unfilled)} of '{self.name}'")
        self.counting = free

    def entries(self, name: str) -> int:
        """The number of entries of an input."""
        return int(np.prod(self.shapes[name], initial=1))

    def filled(self, name: str, value: Any) -> Array:
        """Converts a value to the shape and type of the input ``name``.

        Errors:
            ModelError: the value has another number of entries than the input.
        """
        flat = np.asarray(value, self.types[name]).ravel()
        if flat.size != self.entries(name):
            raise ModelError(f"'{name}' of '{self.name}' takes {self.entries(name)} numbers, not {flat.size}")
        return flat.reshape(self.shapes[name])

    def run(
        self, feeds: Mapping[str, Array], states: Mapping[str, Array], output: str
    ) -> tuple[Array, dict[str, Array]]:
        """Runs one call. Returns one output and the states for the next call. Inputs that count frames get 1."""
        counts = {name: np.full(self.shapes[name], 1, self.types[name]) for name in self.counting}
        try:
            found = self.model.run({**feeds, **states, **counts}, [output, *self.carried.values()])
        except RunError as err:
            raise ModelError(f"the stage '{self.name}' does not run: {err}") from err
        return found[output], {name: found[after] for name, after in self.carried.items()}
