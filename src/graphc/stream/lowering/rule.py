"""The interface of a streaming rule, and the registry of rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

from graphc.ir.graph import Node
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.errors import GraphcError

Rule = Callable[[Node, Facts], Lowering]
RULES: dict[str, tuple[Rule, str]] = {}


def stream_rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for op types; an op of another domain is written ``domain::Op``.

    Errors:
        GraphcError: two rules are registered for one op; the message names both owners.
    """

    def register(rule: Rule) -> Rule:
        owner = f"{rule.__module__}.{rule.__name__}"
        for op in ops:
            other = RULES.get(op)
            if other is not None and other[1] != owner:
                raise GraphcError(
                    f"two streaming rules for {op}: {other[1]} and {owner}", hint="uninstall the package of one of them"
                )
            RULES[op] = (rule, owner)
        return rule

    return register


SCORE_RULES: dict[str, Rule] = {}


def score_rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for op types, which is used instead of their stream rule if an input is a score matrix."""

    def register(rule: Rule) -> Rule:
        SCORE_RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


@cache
def load_rules() -> None:
    """Imports graphc's own rules, once."""
    package = importlib.import_module("graphc.stream.rules")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"graphc.stream.rules.{module.name}")


def rule_for(op: str, on_scores: bool = False) -> Rule | None:
    """The rule of an op type, or its rule for score matrices if ``on_scores``; None if there is none."""
    load_rules()
    if on_scores:
        return SCORE_RULES.get(op)
    found = RULES.get(op)
    return found[0] if found else None
