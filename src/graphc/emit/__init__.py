"""Writes a compiled ONNX graph in the formats of other runtimes."""
