"""Options that describe a model's ports when there is no spec."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
from pydantic import ValidationError as PydanticError

from graphc.discover.inspection import SECONDS
from graphc.discover.reading import Told
from graphc.errors import SpecError
from graphc.spec.messages import first_error, plain_words
from graphc.spec.stream_schema import InputSpec, StateSpec

Command = Callable[..., None]
OPTIONS = (
    click.option(
        "--input",
        "streams",
        multiple=True,
        metavar="NAME=AXIS",
        help="A stream input and its time axis. Repeatable, as are the options below that name a port.",
    ),
    click.option("--step", "steps", multiple=True, metavar="NAME", help="An input that takes one frame a call."),
    click.option(
        "--counts", multiple=True, metavar="NAME=INPUT", help="An input that holds the number of frames of another."
    ),
    click.option("--static", "statics", multiple=True, metavar="NAME", help="An input with one value per stream."),
    click.option(
        "--state", "states", multiple=True, metavar="IN=OUT", help="An input and the output that gives its next value."
    ),
    click.option(
        "--size", "sizes", multiple=True, metavar="NAME:AXIS=N", help="The size of an axis that the model leaves open."
    ),
    click.option("--chunk", type=click.IntRange(1), help="Frames of a call; default: the smallest that fits."),
    click.option("--window", type=click.IntRange(1), help="Stream over the last N frames instead of lifting exactly."),
    click.option(
        "--seconds",
        type=click.FloatRange(1, 100_000),
        default=SECONDS,
        show_default=True,
        help="Time limit of the analysis; what is not known by then is reported as unknown.",
    ),
)


def told_options(function: Command) -> Command:
    """Gives a subcommand the options that correspond to a spec's stream section."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def told_by(
    streams: tuple[str, ...],
    steps: tuple[str, ...],
    counts: tuple[str, ...],
    statics: tuple[str, ...],
    states: tuple[str, ...],
    sizes: tuple[str, ...],
    chunk: int | None,
    window: int | None,
) -> Told:
    """The values of these options as a ``Told``.

    Errors:
        SpecError: an option is malformed, or an input has two roles.
    """
    roles: dict[str, dict[str, object]] = {}
    for name, axis in pairs("--input", "NAME=AXIS", streams):
        roles.setdefault(name, {})["axis"] = whole("--input", "NAME=AXIS", f"{name}={axis}", axis)
    for name in steps:
        roles.setdefault(name, {})["step"] = True
    for name, other in pairs("--counts", "NAME=INPUT", counts):
        roles.setdefault(name, {})["counts"] = other
    for name in statics:
        roles.setdefault(name, {})["static"] = True
    open_sizes: dict[str, dict[int, int]] = {}
    for place, size in pairs("--size", "NAME:AXIS=N", sizes):
        name, _, axis = place.rpartition(":")
        text = f"{place}={size}"
        number, count = (whole("--size", "NAME:AXIS=N", text, part) for part in (axis, size))
        open_sizes.setdefault(name, {})[number] = count
    inputs = {name: input_spec(name, role) for name, role in roles.items()}
    given = [StateSpec(input=i, output=o) for i, o in pairs("--state", "IN=OUT", states)]
    return Told(inputs, given, chunk, window, open_sizes)


def pairs(option: str, form: str, texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, found, value = text.rpartition("=")
        if not found or not name or not value:
            raise SpecError(f"{option}: '{text}' is not of the form {form}", hint=f"for example: {EXAMPLES[option]}")
        yield name, value


EXAMPLES = {
    "--input": "--input features=1",
    "--counts": "--counts lengths=features",
    "--state": "--state h_in=h_out",
    "--size": "--size features:2=80",
}


def whole(option: str, form: str, text: str, value: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise SpecError(f"{option}: '{text}' is not of the form {form}", hint=f"for example: {EXAMPLES[option]}")
    return int(value)


def input_spec(name: str, role: dict[str, object]) -> InputSpec:
    try:
        return InputSpec.model_validate(role)
    except PydanticError as err:
        raise SpecError(f"'{name}': {plain_words(first_error(err.errors(include_url=False)))}") from None
