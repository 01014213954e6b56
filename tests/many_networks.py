"""The promise on many random networks: equal at every length, or refused; never wrong.

    python tests/many_networks.py [--networks 10000] [--first 0] [--workers 2]

Every network is drawn from a seed of its own, so that a number names it: five of eight are recurrent, convolutional and
pooling networks, two have attention, and one does something else from some length on; two of four are fused, for either
target. One that is wrong is saved as wrong_SEED.onnx; tests/corpus holds those of the past.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parent))
from drawn_attention import draw_attention_network
from drawn_thresholds import draw_threshold_network
from networks import Seeded, draw_network
from promise import Verdict, verdict_of

CHUNKS = 3
LENGTHS = range(1, 30)
TARGETS = (None, "onnx", None, "onnxruntime")
BATCH = 20


@dataclass(frozen=True)
class Drawn:
    """A network, and how it is tried.

    Args:
        times: the chunk in multiples of the smallest; 0: calls of any.
        lengths: of the streams.
    """

    model: onnx.ModelProto
    family: str
    times: int
    target: str | None
    lengths: Sequence[int]


def drawn(seed: int) -> Drawn:
    """The network of a seed."""
    choose = Seeded(seed)
    lengths: Sequence[int] = LENGTHS
    if seed % 8 == 5:
        family, (model, beside) = "threshold", draw_threshold_network(choose)
        lengths = [*LENGTHS, *beside]
    elif seed % 4 == 3:
        family, model = "attention", draw_attention_network(choose)
    else:
        family, model = "plain", draw_network(choose)
    return Drawn(model, family, choose.integer(0, CHUNKS), TARGETS[seed // 4 % 4], lengths)


def judged(seeds: list[int]) -> list[tuple[int, str, Verdict]]:
    found: list[tuple[int, str, Verdict]] = []
    for seed in seeds:
        d = drawn(seed)
        verdict = verdict_of(d.model, d.times, d.lengths, fused_for=d.target)
        if verdict.kind == "wrong":
            onnx.save(d.model, f"wrong_{seed}.onnx")
        found.append((seed, f"{d.family}, {'fused for ' + d.target if d.target else 'lifted'}", verdict))
    return found


def judged_alone(seed: int) -> tuple[int, str, Verdict]:
    """The verdict on a network in a process of its own, which the runtime may end."""
    with ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(judged, [seed]).result()[0]
        except BrokenProcessPool:
            return seed, drawn(seed).family, Verdict("not a model", "onnxruntime ends the process")


def run(first: int, count: int, workers: int) -> Iterator[tuple[int, str, Verdict]]:
    seeds = list(range(first, first + count))
    left = [seeds[i : i + BATCH] for i in range(0, count, BATCH)]
    while left:
        try:
            with ProcessPoolExecutor(workers) as pool:
                for results in pool.map(judged, left):
                    yield from results
                    left = left[1:]
        except BrokenProcessPool:
            yield from map(judged_alone, left[0])
            left = left[1:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    for done, (seed, family, verdict) in enumerate(run(arguments.first, arguments.networks, arguments.workers), 1):
        counts[family, verdict.kind] += 1
        if verdict.kind == "wrong":
            print(f"WRONG: seed {seed}, {family}: {verdict.detail}", flush=True)
        if done % 500 == 0:
            print(
                done,
                {k: sum(n for (_, kind), n in counts.items() if kind == k) for k in ("equal", "refused", "wrong")},
                flush=True,
            )
    for (family, kind), number in sorted(counts.items()):
        print(f"{number:6}  {family}: {kind}")
    return 1 if any(kind == "wrong" for _, kind in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
