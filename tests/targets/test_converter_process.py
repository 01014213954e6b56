"""Converters in a process of their own: what they refuse is told as if they had been called here."""

from __future__ import annotations

import pytest

from graphc.targets.runtimes import converter_process
from graphc.targets.runtimes.converter_process import convert_apart
from graphc_runtime.errors import TargetError

REFUSES = """
from graphc.targets.runtimes.converter_process import in_this_process
from graphc_runtime.errors import TargetError
def convert(word):
    raise TargetError(f"it knows no {word}", node="a (Loop)", hint="leave it out")
in_this_process(convert, ["loop"])
"""


def test_a_refusal_keeps_its_node_and_its_way_out() -> None:
    with pytest.raises(TargetError, match="it knows no loop") as caught:
        convert_apart("the converter", REFUSES, [])
    assert caught.value.node == "a (Loop)"
    assert caught.value.hint == "leave it out"


def test_a_crash_tells_its_last_lines() -> None:
    with pytest.raises(TargetError, match=r"the converter does not take the model: .*ValueError: no"):
        convert_apart("the converter", "raise ValueError('no')", [])


def test_a_converter_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter_process, "LONGEST_S", 0.2)
    with pytest.raises(TargetError, match=r"did not end within 0\.2 s"):
        convert_apart("the converter", "import time; time.sleep(60)", [])


def test_what_it_says_is_given() -> None:
    assert convert_apart("the converter", "import sys; print(*sys.argv[1:])", ["a", "b"]) == "a b"
