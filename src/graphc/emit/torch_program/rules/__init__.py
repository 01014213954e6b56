"""ONNX ops as torch operations, one family in each file."""
