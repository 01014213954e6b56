"""Writes an ONNX graph of fixed sizes as a LiteRT (TensorFlow Lite) model."""
