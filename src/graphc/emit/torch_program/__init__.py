"""Writes an ONNX graph of fixed sizes as a torch program, for runtimes that only convert torch programs."""
