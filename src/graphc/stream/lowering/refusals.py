"""The refusals that several families of ops share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.lowering.node_facts import Facts

WINDOW_HINT = "a stream never sees all of it; set stream.window to stream over the last N frames"
DECISION = (
    "decides which computation the model runs, and depends on the length of the whole stream",
    "export the model with only the branch that your streams take",
)
PATTERN = (
    "repeating, resizing or scattering frames relies on its value, which depends on the length of the whole stream",
    "export the model so that frames are repeated, resized or scattered alike at every length",
)
NOT_OF_THE_STREAM = "compute it from the stream's frames, or name it in stream.inputs as a stream"


def refuse_moving(facts: Facts, fact: Untimed) -> None:
    """Refuses a value that changes from call to call, while the offline model has one value for the whole stream."""
    if fact.origin is UntimedOrigin.GIVEN:
        facts.refuse(
            "reads a state of stream.states at every frame, but only a recurrence may start from it",
            "if all states of the model are already ports, leave out lift_state",
        )
    if fact.origin is UntimedOrigin.FINAL:
        refuse_final_state(facts)


def refuse_final_state(facts: Facts) -> NoReturn:
    """Refuses the use of a final state, which no stream reaches."""
    facts.refuse(
        "reads a recurrence's state after the last frame, which a stream never reaches",
        "use the recurrence's output at every frame, or set stream.window to stream over the last N frames",
    )


def refuse_foreign_frames(facts: Facts, index: int) -> NoReturn:
    """Refuses an operand that has a value for each frame but does not come from the stream."""
    facts.refuse(f"its input {index} has a value for each frame but does not come from the stream", NOT_OF_THE_STREAM)


def refuse_other_length(facts: Facts, index: int) -> NoReturn:
    """Refuses an operand with more or fewer frames than the stream."""
    facts.refuse(
        f"its input {index} has another length than the stream that it is combined with",
        "cut or pad both to one length",
    )


def refuse_whole_length(facts: Facts, index: int) -> NoReturn:
    """Refuses an operand that changes with the length of the whole stream."""
    facts.refuse_length(
        f"its input {index} depends on the length of the whole stream",
        "a value that depends on the end cannot be streamed; set stream.window to stream over the last N frames",
    )


def refuse_time_axis(facts: Facts, x: Stream, axes: Sequence[int], what: str) -> None:
    """Refuses an op that works along ``axes``, if one of these is the time axis of ``x``."""
    if x.axis in axes:
        facts.refuse(f"{what} over all time (axis {x.axis})", WINDOW_HINT)
