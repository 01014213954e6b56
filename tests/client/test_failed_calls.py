"""A call that fails takes no frames, in C++ and in Node: a token beyond the end of a table ends the call."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import ROOT
from lifting import model_of, random, weights

import graphc
from graphc import StreamSession

CLIENTS = ROOT / "clients"
WEB = CLIENTS / "web" / "node_modules" / "onnxruntime-web"
CAPI = Path(onnxruntime.__file__).parent / "capi"
TOKENS = [1, 2, 3, 4, 0, 1]
IN_CPP = """
#include <cstdio>
#include "graphc_batch.hpp"
int main(int, char** files) {
  const int64_t tokens[] = {1, 2, 3, 4, 0, 1}, wrong[] = {1, 99};
  graphc::Batch batch;
  if (!batch.open(files[1])) return std::puts(batch.error().c_str()), 1;
  const int good = batch.begin(), bad = batch.begin();
  batch.push(good, tokens, 6), batch.push(bad, wrong, 2);
  if (batch.step()) return std::puts("the call did not fail"), 1;
  batch.drop(bad), batch.finish(good);
  while (batch.active(good)) if (!batch.step()) return std::puts(batch.error().c_str()), 1;
  graphc::Stream stream;
  if (!stream.open(files[2]) || !stream.push(tokens, 2)) return std::puts(stream.error().c_str()), 1;
  if (stream.push(wrong, 2) || stream.push(tokens, 2)) return std::puts("the call did not fail"), 1;
  stream.reset();
  if (!stream.push(tokens, 6) || !stream.flush()) return std::puts(stream.error().c_str()), 1;
  for (graphc::Output* output : {&batch.output(good), &stream.output()}) {
    std::vector<float> values(static_cast<size_t>(output->available()) * 4);
    output->take(values.data(), output->available());
    std::putchar('[');
    for (size_t i = 0; i < values.size(); ++i) std::printf(i ? ",%.9g" : "%.9g", values[i]);
    std::puts("]");
  }
}
"""
IN_NODE = """
import assert from 'node:assert/strict';
import * as ort from 'onnxruntime-web';
import {readFileSync} from 'node:fs';
import {BatchSession} from '../src/batch.js';
import {StreamSession} from '../src/stream.js';
const [, , batched, alone] = process.argv;
const read = (Client, stem) =>
  Client.create(ort, JSON.parse(readFileSync(`${stem}.manifest.json`)), new Uint8Array(readFileSync(`${stem}.onnx`)));
const tokens = (...list) => BigInt64Array.from(list, BigInt);
const batch = await read(BatchSession, batched);
const [good, bad] = [batch.begin(), batch.begin()];
batch.push(good, tokens(1, 2, 3, 4, 0, 1));
batch.push(bad, tokens(1, 99));
await assert.rejects(batch.step(), /does not run/);
batch.drop(bad);
batch.finish(good);
const parts = [];
while (batch.free < 2) parts.push((await batch.step()).get(good).y);
const stream = await read(StreamSession, alone);
await stream.push(tokens(1, 2));
await assert.rejects(stream.push(tokens(1, 99)), /does not run/);
await assert.rejects(stream.push(tokens(1, 2)), /does not run/);
stream.reset();
const whole = [(await stream.push(tokens(1, 2, 3, 4, 0, 1))).y, (await stream.flush()).y];
for (const found of [parts, whole]) console.log(JSON.stringify(found.flatMap((part) => [...part.data])));
"""


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A batch of two streams, and one stream, of the same network. An output frame is a row of four numbers."""
    folder = tmp_path_factory.mktemp("tokens")
    body = "r = Gather (table, t) c = Transpose <perm=[0,2,1]> (r) d = Conv <pads=[2,0]> (c, k) y = Transpose <perm=[0,2,1]> (d)"
    model = weights(model_of(body, "int64[N,T] t"), table=random(5, 4), k=random(4, 4, 3))
    onnx.save(model, folder / "model.onnx")
    for name, more in (("batch", ", batch: 2, clocks: own"), ("alone", "")):
        (folder / f"{name}.yaml").write_text(
            f"{{version: 1, model: model.onnx, output: {name}.onnx, passes: [lift_state], "
            f"stream: {{chunk: 2{more}, inputs: {{t: {{axis: 1}}}}}}}}"
        )
        graphc.compile(folder / f"{name}.yaml")
    return folder / "batch", folder / "alone"


def are_right(printed: str, alone: Path) -> None:
    want = StreamSession(alone.with_suffix(".onnx")).run(t=np.array([TOKENS]))["y"].ravel()
    found = [json.loads(line) for line in printed.splitlines()]
    assert len(found) == 2
    for values in found:
        np.testing.assert_allclose(values, want, atol=1e-6)


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_in_cpp(stems: tuple[Path, Path], tmp_path: Path) -> None:
    (library,) = CAPI.glob("libonnxruntime.so.*")
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    (tmp_path / "failed.cpp").write_text(IN_CPP)
    checks = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", f"-I{CLIENTS / 'cpp'}"]
    link = [str(tmp_path / "libonnxruntime.so.1"), f"-Wl,-rpath,{tmp_path}", "-pthread"]
    subprocess.run(["g++", *checks, "failed.cpp", *link, "-o", "failed"], cwd=tmp_path, check=True)
    models = [str(stem.with_suffix(".onnx")) for stem in stems]
    done = subprocess.run([tmp_path / "failed", *models], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    are_right(done.stdout, stems[1])


@pytest.mark.skipif(
    shutil.which("node") is None or not WEB.is_dir(), reason="node is not installed, or `make web` was not run"
)
def test_in_node(stems: tuple[Path, Path]) -> None:
    command = ["node", "--input-type=module", "-", *map(str, stems)]
    done = subprocess.run(
        command,
        input=IN_NODE,
        cwd=CLIENTS / "web" / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    are_right(done.stdout, stems[1])
