"""``graphc-stream MODEL [FILE]``: streams a file or noise through a compiled model; prints outputs and speed."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.contract.manifest import PortEntry
from graphc_runtime.errors import GraphcError, InputError
from graphc_runtime.pipeline.manifest import PIPELINE_MANIFEST
from graphc_runtime.pipeline.pipeline import Event, Pipeline
from graphc_runtime.pipeline.text import Transcript
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import Arrays, cut

Array = NDArray[Any]
NOISE_CALLS = 50
WRONG_RATE = 0.005
LINES = 8


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="graphc-stream", description=(__doc__ or "").split(": ", 1)[1])
    parser.add_argument(
        "model", type=Path, help="a model that graphc compiled, its manifest, or the folder of a pipeline"
    )
    parser.add_argument(
        "file", type=Path, nargs="?", help="a 16-bit .wav for a model of samples, or an .npy; default: noise"
    )
    parser.add_argument("-o", "--output", type=Path, help="an .npz to save every output in; for a denoiser a .wav")
    parser.add_argument("--target", help="the runtime, one of the manifest's targets; default: onnxruntime")
    options = parser.parse_args(words)
    try:
        if options.model.is_dir() or options.model.name == PIPELINE_MANIFEST:
            decided(options)
        else:
            streamed(options)
    except GraphcError as err:
        print(f"graphc-stream: error: {err}", file=sys.stderr)
        return err.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as err:
        print(f"graphc-stream: error: {err.filename}: {err.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def decided(options: argparse.Namespace) -> None:
    """Streams the input through a pipeline, and prints detections or transcripts with their times."""
    if options.target is not None:
        raise InputError("a pipeline runs in onnxruntime", hint="leave --target out")
    pipeline = Pipeline(options.model)
    sound = pipeline.manifest.denoise
    check_output(options.output, ".npz" if sound is None else ".wav")
    session = pipeline.session
    feeds = drawn(session) if options.file is None else {first_stream(session): read(session, options.file)}
    whole: dict[str, list[Array]] = {name: [] for name in session.outputs}
    spent: list[float] = []
    heard = 0
    for frames in [*pieces(session, feeds), None]:
        start = time.perf_counter()
        events = pipeline.flush() if frames is None else pipeline.push(frames[first_stream(session)])
        spent.append(time.perf_counter() - start)
        keep(whole, pipeline.outputs)
        for event in events:
            show(f"{pipeline.name}: {told(event)}", isinstance(event, Event) or event.final)
        heard += len(events)
    if pipeline.decoder is not None and not heard:
        print(f"{pipeline.name}: {'not heard' if pipeline.manifest.trigger is not None else 'nothing understood'}")
    print(summary(session, feeds, spent))
    if sound is None:
        write_outputs(session, whole, options.output)
    elif options.output is not None:
        write_sound(session, np.concatenate([np.ravel(part) for part in whole[sound.samples]]), options.output)


def show(line: str, final: bool) -> None:
    """Prints a line. A line that is not final is printed only on a terminal, where the next line overwrites it."""
    if final:
        print(f"\r\033[K{line}" if sys.stdout.isatty() else line, flush=True)
    elif sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        print(f"\r\033[K{line if len(line) < width else '…' + line[2 - width :]}", end="", flush=True)


def told(event: Event | Transcript) -> str:
    """One line that describes a detection or a transcript."""
    if isinstance(event, Event):
        return f"heard at {event.seconds:.2f} s, score {event.score:.3f}"
    what = event.text or " ".join(map(str, event.tokens))
    return f"{event.seconds:.2f} s{', final' if event.final else ''}: {what}"


def check_output(path: Path | None, suffix: str = ".npz") -> None:
    if path is not None and path.suffix != suffix:
        raise InputError(f"'{path}' is not a {suffix}", hint=f"outputs are saved as {suffix}")


def write_sound(session: StreamSession, samples: Array, path: Path) -> None:
    """Writes samples as a 16-bit .wav, at the sample rate of the input."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(round(1000 / (session.manifest.frame_ms or 1.0)))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    print(f"wrote {path}")


def write_outputs(session: StreamSession, whole: dict[str, list[Array]], path: Path | None) -> None:
    if path is not None:
        arrays: dict[str, Any] = {n: np.concatenate(v, axis=session.outputs[n].along or 0) for n, v in whole.items()}
        np.savez(path, **arrays)
        print(f"wrote {path}")


def streamed(options: argparse.Namespace) -> None:
    check_output(options.output)
    session = StreamSession(options.model, target=options.target)
    feeds = drawn(session) if options.file is None else {first_stream(session): read(session, options.file)}
    whole: dict[str, list[Array]] = {name: [] for name in session.outputs}
    spent: list[float] = []
    for frames in pieces(session, feeds):
        start = time.perf_counter()
        new = session.push(frames)
        spent.append(time.perf_counter() - start)
        keep(whole, new)
        if len(spent) <= LINES:
            print(said(session, new))
    if len(spent) > LINES:
        print(f"… {len(spent) - LINES} more pushes")
    start = time.perf_counter()
    rest = session.flush()
    spent.append(time.perf_counter() - start)
    keep(whole, rest)
    print(f"tail: {said(session, rest)}")
    print(summary(session, feeds, spent))
    write_outputs(session, whole, options.output)


def first_stream(session: StreamSession) -> str:
    if len(session.streams) + len(session.statics) > 1:
        raise InputError(
            f"the model takes {', '.join([*session.streams, *session.statics])}, and a file holds only one",
            hint="write the loop: graphc client MODEL --language python -o DIR",
        )
    return next(iter(session.streams))


def drawn(session: StreamSession) -> Arrays:
    """Noise for every input, enough for NOISE_CALLS calls. Inputs that are not floats get zeros."""
    rng = np.random.default_rng(0)
    feeds = {}
    for name, entry in {**session.statics, **session.streams}.items():
        shape = [int(size or 1) for size in entry.shape]
        if entry.is_step:
            shape = [NOISE_CALLS, *shape]
        elif entry.axis is not None:
            shape[entry.axis] = NOISE_CALLS * session.chunks[name]
        dtype = session.dtypes[name]
        feeds[name] = rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)
    return feeds


def read(session: StreamSession, path: Path) -> Array:
    """The frames of a file, in the shape of the stream input.

    Errors:
        InputError: the file is neither a 16-bit .wav nor an .npy, or does not fit the input.
    """
    name = first_stream(session)
    entry = session.streams[name]
    if path.suffix == ".npy":
        try:
            value = np.asarray(np.load(path, allow_pickle=False))
        except (ValueError, EOFError) as err:
            raise InputError("not an .npy file of numbers, or truncated", where=str(path)) from err
        try:
            session.fitting(name, value)
        except InputError as err:
            hint = err.hint or f"save it as {session.dtypes[name]} [{', '.join(str(s) for s in wanted(entry))}]"
            raise InputError(err.reason, hint=hint, where=str(path)) from None
        return value
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as err:
        raise InputError("neither an .npy nor a .wav file", where=str(path)) from err
    shape = [-1 if axis == entry.axis else int(size or 1) for axis, size in enumerate(entry.shape)]
    if entry.axis is None or any(size not in (1, -1) for size in shape):
        raise InputError(
            f"'{name}' takes features {wanted(entry)}, not samples", hint="save features as .npy", where=str(path)
        )
    if width != 2 or channels != 1:
        raise InputError(
            f"it has {channels} channels of {8 * width} bits", hint="save one channel of 16 bits", where=str(path)
        )
    if session.manifest.frame_ms and abs(rate * session.manifest.frame_ms / 1000 - 1) > WRONG_RATE:
        heard = round(1000 / session.manifest.frame_ms)
        raise InputError(
            f"it has {rate} samples a second, but the model takes {heard}", hint="resample it", where=str(path)
        )
    return (np.frombuffer(raw, "<i2") / np.float32(32768)).astype(np.float32).reshape(shape)


def wanted(entry: PortEntry) -> list[int | str | None]:
    """The port's shape, with 'any' for its number of frames."""
    shape: list[int | str | None] = ["any" if a == entry.axis else s for a, s in enumerate(entry.shape)]
    return ["any", *shape] if entry.is_step else shape


def pieces(session: StreamSession, feeds: Arrays) -> Iterator[Arrays]:
    """Yields the frames of each push, by input name. The first push includes the static inputs."""
    rest = {name: value for name, value in feeds.items() if name in session.streams}
    first = {name: value for name, value in feeds.items() if name in session.statics}
    while any(value.shape[session.streams[name].along or 0] for name, value in rest.items()):
        piece = dict(first)
        first = {}
        for name, value in rest.items():
            piece[name], rest[name] = cut(value, session.chunks[name], session.streams[name].along or 0)
        yield piece


def keep(whole: dict[str, list[Array]], new: Arrays) -> None:
    for name, value in new.items():
        whole[name].append(np.atleast_1d(value))


def said(session: StreamSession, new: Arrays) -> str:
    parts = []
    for name, value in new.items():
        entry = session.outputs[name]
        frames = value.shape[entry.along] if entry.along is not None else len(np.atleast_1d(value))
        level = f", rms {np.sqrt(np.mean(np.square(value.astype(np.float64)))):.4g}" if value.size else ""
        parts.append(f"{name}: {frames} frames{level}")
    return "; ".join(parts)


def summary(session: StreamSession, feeds: Arrays, spent: list[float]) -> str:
    name = next(iter(session.streams))
    frames = feeds[name].shape[session.streams[name].along or 0]
    text = f"{frames} frames of {name} in {len(spent) - 1} pushes, {np.median(spent) * 1000:.3f} ms a push"
    if session.manifest.frame_ms and frames:
        heard = frames * session.chunk / session.chunks[name] * session.manifest.frame_ms / 1000
        text += f", {sum(spent) / heard:.4f} of real time"
    return text


if __name__ == "__main__":
    sys.exit(main())
