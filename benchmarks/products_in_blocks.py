"""Products with block-quantized weights in onnxruntime, in float and in integers, compared with float32 weights.

    python benchmarks/products_in_blocks.py

One thread, all variants taking turns, medians. The signal-to-noise ratio is that of one product of normal numbers.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import graphc

SIZES = ((144, 576), (1024, 1024), (1024, 4096))
FRAMES = (1, 7, 14)
ROUNDS = 25
VARIANTS = [(weights, products) for weights in ("int4", "int8") for products in ("float", "int8")]


def product(rows: int, columns: int) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((rows, columns)) / rows**0.5).astype(np.float32)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["frames", size])
        for name, size in (("x", rows), ("y", columns))
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    graph = helper.make_graph([node], "product", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)


def main() -> None:
    names = [f"{weights}, products in {products}" for weights, products in VARIANTS]
    print(f"| weights | frames | float32 | {' | '.join(names)} |")
    print("| --- " * (3 + len(names)) + "|")
    for rows, columns in SIZES:
        plain = product(rows, columns)
        block = 32 if rows % 32 == 0 else 16
        sessions = [session(plain)]
        for weights, products in VARIANTS:
            options = {"mode": "weight_only", "weights": weights, "block": block, "products": products}
            sessions.append(session(graphc.transform(plain, [{"quantize": options}], "onnxruntime")))
        for frames in FRAMES:
            x = np.random.default_rng(1).standard_normal((frames, rows)).astype(np.float32)
            spent: list[list[float]] = [[] for _ in sessions]
            for _ in range(ROUNDS):
                for place, one in enumerate(sessions):
                    start = time.perf_counter()
                    one.run(None, {"x": x})
                    spent[place].append(time.perf_counter() - start)
            want, *others = (one.run(None, {"x": x})[0] for one in sessions)
            ratios = [10 * np.log10((want**2).sum() / ((want - got) ** 2).sum()) for got in others]
            whole, *times = (statistics.median(times) * 1e6 for times in spent)
            cells = [f"{t / whole:.2f}, {r:.0f} dB" for t, r in zip(times, ratios, strict=True)]
            print(f"| {rows} × {columns} | {frames} | {whole:.0f} µs | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
