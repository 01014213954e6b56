"""Measures how much the scales of dynamic quantization depend on the chunk, compared with a whole utterance."""

from __future__ import annotations

from functools import partial

import numpy as np
from graphc_passes._quantize.dynamic import dynamic
from graphc_passes._quantize.mixed.measurements import least_snr
from graphc_passes._quantize.options import QuantizeOptions

import graphc.api as api
from graphc.api import GraphcError, Model, PassContext, size_of

LARGEST_TRIED = 200_000_000
SEQUENCES = 2


def chunk_dependence(result: Model, config: QuantizeOptions, context: PassContext) -> list[str]:
    """A list with a sentence for the report: the SNR of the stream against the offline model.

    Both models are quantized dynamically. The offline model computes its scales over all frames at once. The list is
    empty if the two models cannot be compared.
    """
    offline = context.reference
    if offline is None or result.signature is None or result.signature.window is not None:
        return []
    if size_of(offline.model) > LARGEST_TRIED:
        return [
            "activation scales are computed for each call; how much they depend on the chunk was not measured, "
            "because the model is too large"
        ]
    rng = np.random.default_rng(0)
    lengths = [n for n in offline.some_lengths() if n >= result.signature.min_frames][:SEQUENCES]
    sequences = [offline.draw(n, rng) for n in lengths]
    try:
        whole = offline.over(dynamic(offline.model, config, list(config.exclude_nodes)))
        want = [whole.run(feeds) for feeds in sequences]
        got = api.outputs_on(result, api.Streams([partial(dict, feeds) for feeds in sequences]))
    except (GraphcError, api.RunError) as err:
        return [
            "activation scales are computed for each call; the offline model, quantized the same way, does not run: "
            f"{err}"
        ]
    alike = [n for n in got[0] if all(np.shape(w[n]) == np.shape(g[n]) for w, g in zip(want, got, strict=True))]
    if not alike:
        return []
    ratio = least_snr([{n: w[n] for n in alike} for w in want], [{n: g[n] for n in alike} for g in got])
    frames = result.signature.smallest
    return [
        f"activation scales are computed for each call of {frames} frames: the SNR of this stream is {ratio:.1f} dB "
        "against the offline model quantized the same way; those of mode: static do not depend on the chunk"
    ]
