"""The README's first command: every step of it, as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import ROOT


def test_quickstart_streams_on_both_targets() -> None:
    done = subprocess.run(
        [sys.executable, "examples/quickstart.py"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for target in ("openvino", "tract"):
        assert re.search(rf"^{target} .*: equal within", done.stdout, re.MULTILINE)
        found = re.search(rf"^  {target}: within (\S+) of the same stream in onnxruntime", done.stdout, re.MULTILINE)
        assert found is not None and float(found[1]) < 1e-4
    for name in ("onnx", "manifest.json", "openvino.xml", "report.html"):
        assert (ROOT / "out" / f"quickstart.{name}").is_file()
