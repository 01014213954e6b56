"""Rewrites into nodes that onnxruntime runs faster."""
