"""Reads tables of tokens in the formats that toolkits write."""

from __future__ import annotations

import json
from pathlib import Path

from graphc.errors import SpecError

LARGEST = 20_000_000
MOST_TOKENS = 1_000_000


def read_tokens(path: Path) -> list[str]:
    """The text of every token, by its number.

    ``.txt`` has one token per line, with its number after it (icefall, k2, FunASR, WeNet) or without. ``.json`` maps
    tokens to numbers (transformers' vocab.json) or lists them. ``.model`` is SentencePiece's.

    Errors:
        SpecError: the file cannot be read, or is not such a table.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large for a table of tokens")
        if path.suffix == ".model":
            return sentence_pieces(path)
        text = path.read_text()
        return of_json(text) if path.suffix == ".json" else of_lines(text)
    except OSError as err:
        raise SpecError(f"the table of tokens cannot be read: {err.strerror}", where=str(path)) from err
    except ValueError as err:
        raise SpecError(
            f"not a table of tokens: {err}",
            where=str(path),
            hint="use one token a line, with or without its number; JSON; or a SentencePiece .model",
        ) from err


def of_lines(text: str) -> list[str]:
    lines = text.split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    pairs = [line.rsplit(maxsplit=1) for line in lines]
    if pairs and all(len(pair) == 2 and pair[1].isdigit() for pair in pairs):
        return by_number({token: int(number) for token, number in pairs})
    return [line.rstrip("\r") for line in lines]


def of_json(text: str) -> list[str]:
    """The tokens of a JSON table, in order of their numbers.

    Errors:
        ValueError: neither a mapping to numbers nor a list of texts.
    """
    data = json.loads(text)
    if isinstance(data, list) and all(isinstance(token, str) for token in data):
        return data
    if isinstance(data, dict) and data and all(type(number) is int for number in data.values()):
        return by_number(data)
    raise ValueError("neither a list of tokens nor their numbers")


def by_number(numbers: dict[str, int]) -> list[str]:
    """The tokens in order of their numbers, with empty texts for missing numbers.

    Errors:
        ValueError: a number is out of range.
    """
    if min(numbers.values()) < 0 or max(numbers.values()) >= MOST_TOKENS:
        raise ValueError("a number is out of range")
    table = [""] * (max(numbers.values()) + 1)
    for token, number in numbers.items():
        table[number] = token
    return table


def sentence_pieces(path: Path) -> list[str]:
    """The pieces of a SentencePiece model, in order of their numbers.

    Errors:
        SpecError: sentencepiece is not installed.
        ValueError: not a SentencePiece model.
    """
    try:
        import sentencepiece
    except ImportError:
        raise SpecError(
            "a SentencePiece model needs sentencepiece", where=str(path), hint="pip install sentencepiece"
        ) from None
    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except RuntimeError as err:
        raise ValueError(str(err)) from err
    return [model.id_to_piece(i) for i in range(model.get_piece_size())]
