"""Reads YAML safely, and records the line and column of every key.

Scalars are those of YAML 1.2 core (``1e-4`` is a number, ``no`` is a string). Tags that make objects and duplicate
keys are refused. The size, the depth, and the number of nodes after expansion of aliases are limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from graphc.errors import SpecError

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 40

LONGEST_SIMPLE_KEY = 1024

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")

Key = str | int
Keys = tuple[Key, ...]


@dataclass(frozen=True)
class YamlFile:
    """A YAML file as plain data, with the place of each value."""

    path: Path
    data: Any
    marks: dict[Keys, tuple[int, int]]

    def existing(self, keys: tuple[Any, ...]) -> Keys:
        """The keys of a path that exist in the file. Keys that only the schema has are left out."""
        found: Keys = ()
        for key in keys:
            if (*found, key) in self.marks:
                found = (*found, key)
            elif self.as_pass_options(found, key) in self.marks:
                found = self.as_pass_options(found, key)
        return found

    def as_pass_options(self, found: Keys, key: Any) -> Keys:
        """``found`` and ``key`` as one path, in which a pass's options are under its name, as in the file."""
        if len(found) == 2 and found[0] == "passes":
            names = [k[2] for k in self.marks if len(k) == 3 and k[:2] == found]
            if len(names) == 1:
                return (*found, names[0]) if key == "options" else (*found, names[0], key)
        return (*found, key)

    def place(self, keys: Keys) -> tuple[str, str]:
        """``file:line:column`` of a value, and its path, such as ``passes[1].quantize.mode``."""
        known = keys
        while known and known not in self.marks:
            known = known[:-1]
        line, column = self.marks.get(known, (1, 1))
        return f"{self.path}:{line}:{column}", written(keys)


def yaml_text(text: str) -> str:
    """A text as a scalar that YAML 1.2 reads back as the same text, in a block or in brackets."""
    if PLAIN.fullmatch(text) and text.lower() not in ("null", "true", "false"):
        return text
    return '"' + "".join(c if c.isprintable() and c not in '\\"' else escaped(c) for c in text) + '"'


def yaml_key(text: str, indent: int) -> str:
    """A key of a block mapping, up to its colon. A long key gets its own line (YAML 1.2.2, 7.4.2 and 8.2.2)."""
    key = yaml_text(text)
    return f"{' ' * indent}{key}:" if len(key) <= LONGEST_SIMPLE_KEY else f"{' ' * indent}? {key}\n{' ' * indent}:"


def escaped(character: str) -> str:
    return '\\"' if character == '"' else character.encode("unicode_escape").decode()


def written(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def read_yaml(path: Path) -> YamlFile:
    """Reads one YAML document.

    Errors:
        SpecError: the file is missing, too large, not UTF-8, not YAML, repeats a key, or nests or expands too far.
    """
    try:
        if path.exists() and not path.is_file():
            raise SpecError("the spec is not a regular file", where=str(path))
        if path.suffix == ".onnx" and path.exists():
            raise SpecError(
                "this is a model; expected a spec",
                where=str(path),
                hint="`graphc init MODEL` writes a spec for it",
            )
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise SpecError(f"the spec cannot be read: {err.strerror}", where=str(path)) from err
    if len(raw) > MAX_BYTES:
        raise SpecError(f"a spec of more than {MAX_BYTES} bytes", where=str(path))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise SpecError(f"not UTF-8 at byte {err.start}", where=str(path)) from err
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise SpecError(f"not YAML: {err.problem or err.context}", where=where) from err
    except (YAMLError, RecursionError, ValueError, OverflowError) as err:
        raise SpecError(f"not YAML: {' '.join(str(err).split())[:200]}", where=str(path)) from err
    builder = YamlBuilder(path)
    data = builder.build(root, ()) if root is not None else None
    if not isinstance(data, dict):
        raise SpecError("a spec is a mapping of keys such as version, model, output and passes", where=f"{path}:1:1")
    return YamlFile(path, data, builder.marks)


class YamlBuilder:
    """Turns YAML nodes into plain data, and records the place of each."""

    def __init__(self, path: Path):
        self.path = path
        self.marks: dict[Keys, tuple[int, int]] = {}
        self.nodes = 0

    def build(self, node: Node, keys: Keys, mark: Any = None) -> Any:
        mark = mark or node.start_mark
        self.marks[keys] = (mark.line + 1, mark.column + 1)
        self.nodes += 1
        if self.nodes > MAX_NODES or len(keys) > MAX_DEPTH:
            raise self.error(node, "too deeply nested or too large (aliases count as expanded)")
        if isinstance(node, ScalarNode):
            return self.scalar(node)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*keys, index)) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self.mapping(node, keys)
        raise self.error(node, "not a scalar, a list or a mapping")

    def mapping(self, node: MappingNode, keys: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self.error(key_node, "a key must be plain text")
            key = str(key_node.value)
            if key in found:
                raise self.error(key_node, f"the key '{key}' appears twice")
            found[key] = self.build(value, (*keys, key), key_node.start_mark)
        return found

    def scalar(self, node: ScalarNode) -> Any:
        kind = str(node.tag).rpartition(":")[2]
        text = str(node.value)
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return text.lower() == "true"
            if kind == "int":
                return int(text.replace("_", ""), 0)
            if kind == "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan"))
        except ValueError as err:
            raise self.error(node, f"'{text}' is not a number") from err
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.error(node, "an unpaired surrogate is not text")
        if kind in ("str", "timestamp"):
            return text
        raise self.error(node, f"the tag '{node.tag}' is not allowed")

    def error(self, node: Node, reason: str) -> SpecError:
        return SpecError(reason, where=f"{self.path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}")
