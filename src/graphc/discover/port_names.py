"""Guesses the meaning of ports and dims from their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
DIRECTIONS = vocabulary(
    "in out input inputs output outputs inp outp next new prev previous old cur curr current updated "
    "update last present past initial init final n"
)
STATES = vocabulary(
    "state states cache caches cached hidden cell h c hn cn h0 c0 memory mem mems buffer buf context ctx "
    "lstm gru rnn key value kv carry attn"
)
CACHES = vocabulary("past present cache caches cached kv key value mem mems buffer context")
BATCHES = vocabulary("batch batchsize bs bsz nbatch")
BATCH_LETTERS = ("b", "n")
TIMES = vocabulary(
    "time times frame frames nframes t seq sequence length len sample samples nsamples step steps audio "
    "timesteps window chunk tokens phonemes signal"
)
FEATURES = vocabulary(
    "feature features feat feats mel mels nmels bin bins freq freqs frequency channel channels ch hidden "
    "coeff coefficients f c d"
)
SOUNDS = vocabulary("audio wav wave waveform waveforms pcm sound samples signal speech noisy mix mixture")
RATES = vocabulary("sr samplerate fs")
SETTINGS = vocabulary(
    "sid speaker spk spkr embedding emb dvector dvec xvector style speed scale scales temperature lang "
    "langid language tone pitch threshold gain alpha"
)
LENGTHS = vocabulary("len lens length lengths frames nframes count")

ENDS = {"hn": "h", "cn": "c", "staten": "state"}
STARTS = (["h", "0"], ["c", "0"])


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case, split at underscores, camel case and digits."""
    return [word.lower() for word in WORDS.findall(name)]


def says(name: str, words: frozenset[str]) -> bool:
    """Whether ``words`` contains a word of the name, or two adjacent words of the name joined."""
    found = words_of(name)
    pairs = [a + b for a, b in pairwise(found)]
    return not words.isdisjoint([*found, *pairs])


def dim_says(dim: object, words: frozenset[str]) -> bool:
    """Whether ``words`` contains the first, the last, or all joined words of a symbolic dim. Digits are ignored."""
    if not isinstance(dim, str):
        return False
    found = [word for word in words_of(dim) if not word.isdigit()]
    whole = "".join(found)
    return bool(found) and (whole in words or found[-1] in words or found[0] in words)


def is_batch(dims: Sequence[object], axis: int) -> bool:
    """Whether an axis is the batch, judged by the name of its dim.

    An axis named ``tokens_n`` is not. A single letter means the batch on the first axis or beside an axis named as
    time, unless another axis is more likely: the last axis of ``[batch, N]``, ``[B, N]`` and ``[1, 1, n]`` is not the
    batch.
    """
    claims = [batch_claim(dims, a) for a in range(len(dims))]
    return claims[axis] > 0 and claims[axis] == max(claims)


def batch_claim(dims: Sequence[object], axis: int) -> int:
    """A score for how likely a symbolic dim is the batch; 0 if it is not."""
    dim = dims[axis]
    if dim_says(dim, TIMES):
        return 0
    if dim_says(dim, BATCHES):
        return 1 + len(BATCH_LETTERS)
    if axis > 0 and not any(dim_says(other, TIMES) for other in dims):
        return 0
    return next((len(BATCH_LETTERS) - i for i, b in enumerate(BATCH_LETTERS) if dim_says(dim, frozenset({b}))), 0)


def stem_of(name: str) -> tuple[str, ...]:
    """A port's name without the words for its direction: ``next_cache_0`` and ``cache_0`` have the same stem."""
    stem = [ENDS.get(word, word) for word in words_of(name) if word not in DIRECTIONS]
    return tuple(stem[:1] if stem in STARTS else stem)


def likeness(one: str, other: str) -> float:
    """The similarity of two names without their words for directions, from 0 to 1; 0 if a name has no other words."""
    a, b = stem_of(one), stem_of(other)
    if not a or not b:
        return 0.0
    return 1.0 if a == b else SequenceMatcher(None, "_".join(a), "_".join(b)).ratio() * 0.9
