"""The contract's promise on one model: equal for every length that the offline model takes, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from graphc.ir.model import Model
from graphc.ir.verify import verify
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.op_sets.registry import op_set_named
from graphc.passes.pass_api import PassContext
from graphc.passes.registry import load_registry
from graphc.spec.schema import EXACT
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.lift import lift, lift_dynamic
from graphc.stream.propagation.analysis import Analysis, analyse
from graphc.validate.compare import compare
from graphc.validate.run_streams import run_stream, session_of
from graphc.validate.validation_streams import streamed
from graphc_runtime.errors import ModelError, StreamError

SHORTEST = 20


@dataclass(frozen=True)
class Verdict:
    kind: Literal["equal", "refused", "wrong", "not a model"]
    detail: str = ""


def verdict_of(
    model: onnx.ModelProto,
    times: int,
    lengths: Sequence[int],
    spec: StreamSpec | None = None,
    fused_for: str | None = None,
) -> Verdict:
    """Lifts a model at a chunk of ``times`` the smallest and streams random inputs of these lengths, and of the shortest.

    With ``times`` 0 calls take any multiple of the smallest. With ``fused_for`` the lifted model is fused for that target.
    """
    offline = offline_of(model, spec or StreamSpec(chunk=1))
    try:
        offline.some_lengths()
    except ModelError as err:
        return Verdict("not a model", str(err))
    try:
        lifted = lifted_at(analyse(offline), times)
    except StreamError as err:
        assert err.reason and (err.node or err.hint), f"a refusal without node or way out: {err}"
        return Verdict("refused", str(err))
    verify(lifted, "lift")
    if fused_for is not None:
        lifted = fused(lifted, fused_for)
        verify(lifted, "fuse")
    assert lifted.signature is not None
    shortest = max(min(lengths), lifted.signature.min_frames)
    tried = {*range(shortest, shortest + SHORTEST), *(n for n in lengths if n >= shortest)}
    return streams_equal(offline, session_of(lifted), sorted(tried))


def fused(model: Model, target: str) -> Model:
    cls = load_registry()["fuse"]
    return cls().run(model, cls.Config(), PassContext(None, None, model.proto(), 17, target=op_set_named(target))).model


def lifted_at(smallest: Analysis, times: int) -> Model:
    """The lift at so many times the smallest chunk; for 0, for calls of any multiple of it."""
    if times == 0:
        return lift_dynamic(smallest.offline, evaluation=smallest.evaluation)
    if times == 1:
        return lift(smallest)
    return lift(analyse(smallest.offline, smallest.chunk_multiple * times, smallest.evaluation))


def begun_within(offline: Offline, frames: int, start: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The stream inputs of so many frames, cut out of a longer recording."""
    recording = offline.draw(frames + start, rng, scale=2.0)
    cut: dict[str, np.ndarray] = {}
    for name, role in offline.streams().items():
        last = offline.frames_of(name, frames + start)
        cut[name] = recording[name].take(range(last - offline.frames_of(name, frames), last), axis=role.axis)
    return cut


def streams_equal(offline: Offline, session, lengths: Iterable[int], starts: int = 0) -> Verdict:  # type: ignore[no-untyped-def]
    """Streams of every length; each begins up to ``starts`` frames inside a longer recording."""
    rng = np.random.default_rng(0)
    tried = 0
    for frames in lengths:
        if not offline.accepts(frames) or frames > (session.manifest.max_frames or frames):
            continue
        feeds = offline.draw(frames, rng, scale=2.0)
        if starts:
            feeds |= begun_within(offline, frames, int(rng.integers(starts)), rng)
        want = offline.run(feeds)
        if any(not np.isfinite(v).all() or np.abs(v).max(initial=0) > 1e4 for v in want.values()):
            continue
        tried += 1
        got = run_stream(session, streamed(offline, feeds))
        for name, entry in session.outputs.items():
            if entry.axis is None:
                continue
            difference = compare(name, want[name], got[name], entry.axis, EXACT, frames)
            if not difference.holds:
                detail = (
                    f"{frames} frames, chunk {session.chunk}: {name}: {difference.reason}, frame {difference.frame}"
                )
                return Verdict("wrong", detail)
    return Verdict("equal" if tried else "not a model", f"{tried} lengths")
