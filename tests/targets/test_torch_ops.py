"""The torch programs of ExecuTorch and Core ML, op by op: onnx's own cases give what ONNX says, or are refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from op_cases import Array, equal_cases

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'graphc[executorch]'")

from graphc.emit.torch_program.program import program_of  # noqa: E402
from graphc.emit.torch_program.rule import RULES  # noqa: E402

NO_CASE = {"Cast"}
pytestmark = pytest.mark.xdist_group("onnx_cases")


def given(model: onnx.ModelProto, fed: dict[str, Array]) -> Iterator[Array]:
    program = program_of(model)
    with torch.no_grad():
        results = program(*(torch.from_numpy(np.array(fed[name])) for name in program.inputs))
    yield from (value.numpy() for value in results)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("op", sorted(RULES))
def test_an_op_gives_what_onnx_says_or_is_refused(op: str) -> None:
    equal = equal_cases(op, given)
    assert equal or op in NO_CASE, f"no case of {op} was taken"
