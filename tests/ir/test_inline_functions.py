"""Local functions are inlined with the default values of the attributes that a call leaves out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphc.ir.functions.inline_functions import inline_local_functions
from graphc.ir.ort_session import Session

TEXT = """
<ir_version: 9, opset_import: ["" : 17, "my" : 1]>
g (float[1,T,4] x) => (float[1,T,4] y) {CALL}
<domain: "my", opset_import: ["" : 17]>
leaky <slope: float = 0.5> (v) => (r) { r = LeakyRelu <alpha: float = @slope> (v) }
<domain: "my", opset_import: ["" : 17, "my" : 1]>
outer (v) => (r) { r = my.leaky (v) }
<domain: "my", opset_import: ["" : 17, "my" : 1]>
passing <steep> (v) => (r) { r = my.leaky <slope: float = @steep> (v) }
"""
CALLS = {
    "by default": ("y = my.leaky (x)", 0.5),
    "given": ("y = my.leaky <slope = 0.25> (x)", 0.25),
    "inside another": ("y = my.outer (x)", 0.5),
    "of a function that it is passed on to": ("y = my.passing (x)", 0.5),
    "passed on": ("y = my.passing <steep = 0.25> (x)", 0.25),
    "inside a branch": (
        "c = Constant <value = bool {1}> () y = If (c) <"
        "then_branch = t () => (float[1,T,4] a) { a = my.leaky (x) },"
        "else_branch = e () => (float[1,T,4] b) { b = Identity (x) }>",
        0.5,
    ),
}


@pytest.mark.parametrize(("call", "slope"), CALLS.values(), ids=CALLS)
def test_a_default_value_is_kept(call: str, slope: float) -> None:
    model = onnx.parser.parse_model(TEXT.replace("CALL", call))
    made = inline_local_functions(model)
    assert not made.functions
    x = np.array([[[-4, -1, 0, 2]]], np.float32)
    np.testing.assert_array_equal(Session(made).run({"x": x})["y"], np.where(x < 0, slope * x, x))
