"""The roles of a model's inputs: as the user gave them, as the model shows them, or as a marked guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.discover.carried_states import CarriedStates
from graphc.discover.state_pairs import StatePair
from graphc.discover.trial_run import TrialRun
from graphc.spec.input_roles import Dim, Port
from graphc.spec.stream_schema import InputSpec, StateSpec, StreamSpec

MOST_REASONS = 2
USUAL_CHUNK = 16
Progress = Callable[[str], None]


def shape_text(dims: Sequence[Dim]) -> str:
    """A declared shape as text: [1, ?, 80]."""
    return "[" + ", ".join("?" if d is None else str(d) for d in dims) + "]"


TOLD = "as told"


@dataclass(frozen=True)
class Told:
    """What the user says about a model.

    Args:
        inputs: roles by name.
        states: pairs of ports that are states.
        chunk, window: frames of a call, and of a window.
        sizes: sizes of open axes, by input and axis.
    """

    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    states: Sequence[StateSpec] = ()
    chunk: int | None = None
    window: int | None = None
    sizes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def sized(self, name: str) -> InputSpec:
        """The input's role (static if none is given) with the given sizes."""
        spec = self.inputs.get(name, InputSpec(static=True))
        return spec.model_copy(update={"sizes": {**self.sizes.get(name, {}), **spec.sizes}})


@dataclass(frozen=True)
class InputReading:
    """The reading of one input that is not a state.

    Args:
        spec: the entry of the input in a spec.
        reasons: the evidence for this reading.
        guess: whether other readings are possible.
        others: the other possible readings, as a spec writes them.
    """

    port: Port
    spec: InputSpec
    reasons: tuple[str, ...] = ()
    guess: bool = False
    others: tuple[str, ...] = ()

    @property
    def is_stream(self) -> bool:
        return self.spec.axis is not None or bool(self.spec.step)

    @property
    def as_told(self) -> bool:
        return self.reasons[:1] == (TOLD,)


@dataclass(frozen=True)
class Reading:
    """A model's inputs and their roles in a stream.

    Args:
        pairs: the pairs of ports that are states.
        carried: the results of feeding the states back; None if there are none, or the model could not be run.
        chunk: frames of a call of a model with states: the declared number, a usual number, or as the user gave it.
        chunk_guess: why the chunk is a guess, if it is one.
        trial: a run of the model; if None, ``no_trial`` says why.
    """

    inputs: tuple[InputReading, ...]
    pairs: tuple[StatePair, ...] = ()
    carried: CarriedStates | None = None
    chunk: int | None = None
    chunk_guess: str | None = None
    window: int | None = None
    trial: TrialRun | None = None
    no_trial: str | None = None

    @property
    def guessed(self) -> bool:
        return any(i.guess for i in self.inputs) or any(not p.sure for p in self.pairs) or self.chunk_guess is not None

    @property
    def steps(self) -> bool:
        """Whether the model takes one frame per call and has no time axis."""
        return any(i.spec.step for i in self.inputs)

    def stream_spec(self, chunk: int | None = None) -> StreamSpec:
        """The stream section of a spec."""
        states = [StateSpec(input=p.input, output=p.output) for p in self.pairs]
        inputs = {i.port.name: i.spec for i in self.inputs}
        return StreamSpec(chunk=self.chunk or chunk or 1, inputs=inputs, states=states, window=self.window)
