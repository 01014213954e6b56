"""Writes a compiled ONNX graph in the forms that other runtimes take."""
