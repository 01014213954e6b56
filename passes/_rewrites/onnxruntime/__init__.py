"""Nodes that onnxruntime runs faster."""
